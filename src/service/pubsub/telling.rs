//! What this node tells each other node: how many subscribers it has of what. All of it when a stream opens, afterwards
//! what changed; names that change often are told once, with their newest count.
//!
//! Invariant: what waits to be told is a set of names, bounded in number: beyond that everything is told anew.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Hub, Kind};
use crate::base::{NodeId, limits};

/// Names of one frame.
const NAMES_PER_FRAME: usize = 4096;

/// How many subscribers a node has of a name; none any more if 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Of what kind.
    pub kind: Kind,
    /// The channel or pattern.
    pub name: Bytes,
    /// Subscriptions to it.
    pub count: u64,
}

/// A part of what a node tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    /// Everything told before is void.
    pub is_beginning: bool,
    /// What holds now.
    pub interests: Vec<Interest>,
}

/// The streams to other nodes.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<BTreeMap<NodeId, Arc<Link>>>);

#[derive(Debug, Default)]
struct Link(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    /// Everything is to be told anew.
    begins: bool,
    /// From where on, while that is not finished.
    all_from: Option<(Kind, Bytes)>,
    changed: BTreeSet<(Kind, Bytes)>,
    waker: Option<Waker>,
}

/// What is told on one stream to another node. A newer stream to the same node takes over.
#[derive(Debug)]
pub struct Telling {
    hub: Arc<Hub>,
    to: NodeId,
    link: Arc<Link>,
}

impl Links {
    /// The count of a name is another one now.
    pub fn changed(&self, kind: Kind, name: &Bytes) {
        if name.len() > limits::NAME_TOLD_BYTES_MAX {
            return;
        }
        for link in self.0.lock().values() {
            let waker = {
                let mut untold = link.0.lock();
                if untold.changed.len() < limits::NAMES_TOLD_MAX {
                    untold.changed.insert((kind, name.clone()));
                } else {
                    untold.begin();
                }
                untold.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Untold {
    fn begin(&mut self) {
        self.begins = true;
        self.all_from = Some((Kind::Channel, Bytes::new()));
        self.changed.clear();
    }
}

impl Telling {
    pub(super) fn new(hub: Arc<Hub>, to: NodeId) -> Telling {
        let link = Arc::new(Link::default());
        link.0.lock().begin();
        hub.links.0.lock().insert(to, link.clone());
        Telling { hub, to, link }
    }

    /// The next part, once there is something to tell.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Interests> {
        let mut untold = self.link.0.lock();
        let is_beginning = std::mem::take(&mut untold.begins);
        let mut interests = Vec::new();
        if let Some(from) = untold.all_from.take() {
            interests = self.hub.interests_from(from);
            if interests.len() == NAMES_PER_FRAME {
                untold.all_from = interests.last().map(|last| (last.kind, last.name.clone()));
            }
        }
        while interests.len() < NAMES_PER_FRAME
            && let Some((kind, name)) = untold.changed.pop_first()
        {
            let count = self.hub.local.read().subscribers(kind, &name);
            interests.push(Interest { kind, name, count });
        }
        if is_beginning || !interests.is_empty() {
            return Poll::Ready(Interests { is_beginning, interests });
        }
        untold.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let mut links = self.hub.links.0.lock();
        if links.get(&self.to).is_some_and(|link| Arc::ptr_eq(link, &self.link)) {
            links.remove(&self.to);
        }
    }
}

impl Hub {
    /// What there are subscribers of here, at most a frame of it, from this name on.
    fn interests_from(&self, (first, name): (Kind, Bytes)) -> Vec<Interest> {
        let local = self.local.read();
        let mut found = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind >= first) {
            // The last name of a frame is told again with the next one: it may have been the empty name.
            let start = if kind == first { Bound::Included(&name) } else { Bound::Unbounded };
            let names = local.names[kind.place()].range::<Bytes, _>((start, Bound::Unbounded));
            for (name, inboxes) in names.filter(|(name, _)| name.len() <= limits::NAME_TOLD_BYTES_MAX) {
                if found.len() == NAMES_PER_FRAME {
                    return found;
                }
                found.push(Interest { kind, name: name.clone(), count: inboxes.len() as u64 });
            }
        }
        found
    }
}
