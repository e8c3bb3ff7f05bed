//! Subscriptions that begin or end inside of a block (MULTI). As in Redis they count from their place in the block on: what
//! the block publishes behind a SUBSCRIBE, its own client hears, behind EXEC's answer.
//!
//! The block's entry is told to who listens when it is applied, so the subscriptions are there before the block runs, with
//! an inbox of their own: if the block does not run, nothing of it was heard. What the block publishes where its client
//! does not listen (before SUBSCRIBE, behind UNSUBSCRIBE) is told in the same entry, and known by its bytes: the inbox
//! leaves it out, once. Of what scripts in the block publish nothing is known beforehand: it is heard if the client
//! listens anywhere in the block. HELLO in the block changes the bytes, so then subscriptions begin behind it.
//!
//! Invariant: an early subscription ends with its value, or is handed over to the connection's own inbox.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::message::Message;
use super::words::{Word, word};
use super::{Hub, Inbox, Kind, Listener};
use crate::base::{ChannelKind, Nanos, Publication, glob};
use crate::command::Spec;
use crate::service::client_list::Client;

/// What a block says of channels, in its order.
#[derive(Debug, Default)]
pub(in crate::service) struct Rehearsal {
    events: Vec<Event>,
    changes_protocol: bool,
}

#[derive(Debug)]
enum Event {
    Begin(Kind, Bytes),
    End(Kind, Bytes),
    EndAll(Kind),
    /// The item at this place of the block.
    Publish(usize, Publication),
}

/// Subscriptions of a block that is about to run.
#[derive(Debug)]
pub(in crate::service) struct Early {
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
    main: Arc<Inbox>,
    names: Vec<(Kind, Bytes)>,
    /// Whether what the block publishes is told here before it is answered.
    is_led_here: bool,
    is_settled: bool,
}

/// Names of a kind.
type Names = BTreeSet<(Kind, Bytes)>;

impl Rehearsal {
    /// The next item of the block, at its place.
    pub fn add(&mut self, place: usize, spec: &Spec, args: &[Bytes]) {
        match (word(spec), spec.name, args) {
            (Some(Word::Begin(kind)), _, [_, names @ ..]) => {
                self.events.extend(names.iter().map(|name| Event::Begin(kind, name.clone())));
            }
            (Some(Word::End(kind)), _, [_]) => self.events.push(Event::EndAll(kind)),
            (Some(Word::End(kind)), _, [_, names @ ..]) => {
                self.events.extend(names.iter().map(|name| Event::End(kind, name.clone())));
            }
            (_, name @ ("publish" | "spublish"), [_, channel, message]) => {
                let kind = if name == "publish" { ChannelKind::Plain } else { ChannelKind::Shard };
                let (channel, message) = (channel.clone(), message.clone());
                self.events.push(Event::Publish(place, Publication { kind, channel, message }));
            }
            (_, "hello", _) => self.changes_protocol = true,
            _ => {}
        }
    }

    /// Whether subscriptions begin or end in the block.
    pub fn divides(&self) -> bool {
        !self.changes_protocol && self.events.iter().any(|event| !matches!(event, Event::Publish(..)))
    }

    /// Begins what the block begins. Gives it with the places of publications, and of how many of the client's own
    /// subscriptions at that place of the block they must not be counted.
    pub fn begin(
        self,
        hub: &Arc<Hub>,
        client: &Arc<Client>,
        main: Arc<Inbox>,
        listener: Option<&Listener>,
        is_led_here: bool,
    ) -> (Early, Vec<(usize, u64)>) {
        let mut before = Names::new();
        for (listener, kind) in listener.into_iter().flat_map(|listener| Kind::ALL.map(|kind| (listener, kind))) {
            before.extend(listener.names(kind).into_iter().map(|name| (kind, name)));
        }
        let begun = self.events.iter().filter_map(|event| match event {
            // A copy, as of every subscription.
            Event::Begin(kind, name) => Some((*kind, Bytes::copy_from_slice(name))),
            _ => None,
        });
        let begun: Names = begun.filter(|name| !before.contains(name)).collect();
        main.hear_all();
        let inbox = Arc::new(Inbox::new(client.clone()));
        let mut early = Early { hub: hub.clone(), inbox, main, names: Vec::new(), is_led_here, is_settled: false };
        for (kind, name) in &begun {
            // Where there is no room for it, the word itself will say so.
            if hub.subscribe(*kind, name, &early.inbox).is_ok() {
                early.names.push((*kind, name.clone()));
            }
        }
        let counts = early.leave_out(&self.events, &before, &begun);
        (early, counts)
    }
}

impl Early {
    /// Tells inboxes what they must leave out.
    fn leave_out(&self, events: &[Event], before: &Names, begun: &Names) -> Vec<(usize, u64)> {
        let mut counts = Vec::new();
        let mut now = before.clone();
        // What is not listened to at this place of the block, but at another one.
        let mut silent = begun.clone();
        for event in events {
            match event {
                Event::Begin(kind, name) => {
                    let name = (*kind, name.clone());
                    silent.remove(&name);
                    now.insert(name);
                }
                Event::End(kind, name) => silent.extend(now.take(&(*kind, name.clone()))),
                Event::EndAll(kind) => silent.extend(now.extract_if(.., |(other, _)| other == kind)),
                Event::Publish(place, publication) => {
                    let mut count = 0;
                    for name in &silent {
                        let Some(message) = heard_as(name, publication) else { continue };
                        let inbox = if begun.contains(name) { &self.inbox } else { &self.main };
                        inbox.leave_out(message.forms());
                        count += 1;
                    }
                    counts.push((*place, count));
                }
            }
        }
        counts
    }

    /// The block ran, and its words were answered: what was heard so far, and what will be, is the connection's.
    pub fn settle(mut self, now: Nanos) {
        self.is_settled = true;
        self.hub.hand_over(&self.names, &self.inbox, &self.main, now);
        if self.is_led_here {
            self.main.hear_all();
        }
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        if !self.is_settled {
            self.main.hear_all();
            self.names.iter().for_each(|(kind, name)| self.hub.unsubscribe(*kind, name, &self.inbox));
        }
    }
}

/// The message that a publication is to who listens to a name; `None` if it is none.
fn heard_as<'a>((kind, name): &'a (Kind, Bytes), publication: &'a Publication) -> Option<Message<'a>> {
    match kind {
        Kind::Pattern => (publication.kind == ChannelKind::Plain && glob::matches(name, &publication.channel))
            .then(|| Message::of_pattern(name, publication)),
        kind => (Kind::from(publication.kind) == *kind && publication.channel == *name)
            .then(|| Message::of_channel(publication)),
    }
}
