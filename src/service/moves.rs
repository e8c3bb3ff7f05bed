//! CLIENT MAINT_NOTIFICATIONS: who wants to hear that leadership moves on purpose (FAILOVER, CLUSTER FAILOVER, the end of
//! a node), and telling them. A connection stays where it is meanwhile, but its commands may take longer: libraries are
//! patient until they hear that it is over.
//!
//! ```text
//! FAILING_OVER sequence seconds groups    leadership of groups that this node leads is being handed over
//! FAILED_OVER sequence groups             it is known who leads them now; that may be this node again
//! MOVING sequence seconds address         this node is about to end: another one takes its clients
//! ```
//!
//! Pushes of RESP3, as libraries read them: numbers are numbers, groups a text like `["1","2"]`, and an address is
//! `host:port`, or null for a client that wants none (it connects again to where it was told first). Libraries ignore a
//! sequence that is not newer than what they had from another connection, perhaps to another node or another life of
//! this one; so sequences follow the wall clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};

use super::Service;
use super::output_limits::Limit;
use super::pubsub::Inbox;
use super::session::Session;
use super::words::{is, syntax_error};
use crate::base::{GroupId, Millis, Nanos};
use crate::resp::{Protocol, Value, put_bulk, put_integer, put_length};

const NEEDS_RESP3: &str = "ERR CLIENT MAINT_NOTIFICATIONS needs a connection that speaks RESP3 (HELLO 3)";

/// The connections of a node that want to hear of moves.
#[derive(Debug, Default)]
pub struct Moves {
    table: Mutex<Table>,
    /// `client-output-buffer-limit` of those who are told things.
    limit: RwLock<Limit>,
    /// They were told that this node ends.
    is_leaving: AtomicBool,
}

#[derive(Debug, Default)]
struct Table {
    listeners: BTreeMap<u64, Listener>,
    /// Groups whose move is told and not over.
    under_way: BTreeSet<GroupId>,
    /// The last sequence that was told.
    sequence: u64,
}

#[derive(Debug)]
struct Listener {
    inbox: Arc<Inbox>,
    /// Whether it wants to know where to go.
    wants_address: bool,
}

/// A connection that wants to hear of moves, as long as this exists.
#[derive(Debug)]
pub(super) struct Hearing {
    moves: Arc<Moves>,
    id: u64,
}

impl Moves {
    /// Leadership of groups that are led here begins to move; within so many seconds it did, or did not.
    pub fn begin(&self, groups: &[GroupId], seconds: u64, wall: Millis, now: Nanos) {
        self.tell(wall, now, |table, sequence| {
            table.under_way.extend(groups);
            let mut out = head("FAILING_OVER", 4, sequence);
            put_integer(&mut out, seconds as i64);
            put_groups(&mut out, groups);
            let message = out.freeze();
            move |_: &Listener, _| message.clone()
        });
    }

    /// It is known who leads these groups now.
    pub fn end(&self, groups: &[GroupId], wall: Millis, now: Nanos) {
        self.tell(wall, now, |table, sequence| {
            table.under_way.retain(|group| !groups.contains(group));
            let mut out = head("FAILED_OVER", 3, sequence);
            put_groups(&mut out, groups);
            let message = out.freeze();
            move |_: &Listener, _| message.clone()
        });
    }

    /// This node ends within so many seconds. The nodes at these addresses stay; clients are spread over them. Without
    /// any there is nothing to tell.
    pub fn leave(&self, addresses: &[String], seconds: u64, wall: Millis, now: Nanos) {
        if addresses.is_empty() {
            return;
        }
        self.is_leaving.store(true, Relaxed);
        self.tell(wall, now, |_, sequence| {
            move |listener: &Listener, place: usize| {
                let mut out = head("MOVING", 4, sequence);
                put_integer(&mut out, seconds as i64);
                match addresses.get(place % addresses.len()).filter(|_| listener.wants_address) {
                    Some(address) => put_bulk(&mut out, address.as_bytes()),
                    None => out.extend_from_slice(b"_\r\n"),
                }
                out.freeze()
            }
        });
    }

    /// Whether connections that were told of the end of this node are still here.
    pub fn is_waited_for(&self) -> bool {
        self.is_leaving.load(Relaxed) && !self.table.lock().listeners.is_empty()
    }

    /// Whether a move was told of that is not over.
    pub fn is_under_way(&self) -> bool {
        !self.table.lock().under_way.is_empty()
    }

    pub(super) fn set_limit(&self, limit: Limit) {
        *self.limit.write() = limit;
    }

    /// Tells every listener what `message` makes for it, by its place among all. Waits for nobody but other users of the
    /// table.
    fn tell<M: Fn(&Listener, usize) -> Bytes>(
        &self,
        wall: Millis,
        now: Nanos,
        message: impl FnOnce(&mut Table, u64) -> M,
    ) {
        let limit = *self.limit.read();
        let mut table = self.table.lock();
        table.sequence = wall.0.max(table.sequence + 1);
        let sequence = table.sequence;
        let message = message(&mut table, sequence);
        for (place, listener) in table.listeners.values().enumerate() {
            listener.inbox.put(message(listener, place), now, limit);
        }
    }

    fn join(self: &Arc<Self>, id: u64, inbox: Arc<Inbox>, wants_address: bool) -> Hearing {
        self.table.lock().listeners.insert(id, Listener { inbox, wants_address });
        Hearing { moves: self.clone(), id }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.moves.table.lock().listeners.remove(&self.id);
    }
}

impl Service {
    /// `CLIENT MAINT_NOTIFICATIONS ON|OFF [MOVING-ENDPOINT-TYPE type]`
    ///
    /// A node has one address for clients, so of the types of addresses only `none` makes a difference.
    pub(super) fn hear_moves(&self, session: &mut Session, words: &[Bytes]) -> Value {
        const TYPES: [&str; 5] = ["internal-ip", "internal-fqdn", "external-ip", "external-fqdn", "none"];
        let is_known = |kind: &Bytes| TYPES.iter().any(|known| is(kind, known));
        let (switch, wants_address) = match words {
            [switch] => (switch, true),
            [switch, option, kind] if is(option, "moving-endpoint-type") && is_known(kind) => {
                (switch, !is(kind, "none"))
            }
            _ => return syntax_error(),
        };
        // What was on ends first: a guard that is dropped later would take the new one's place with it.
        if is(switch, "off") {
            session.hears_moves = None;
            return Value::OK;
        }
        if !is(switch, "on") {
            return syntax_error();
        }
        if session.protocol() != Protocol::Resp3 {
            return Value::error(NEEDS_RESP3);
        }
        session.hears_moves = None;
        let inbox = session.open_inbox();
        session.hears_moves = Some(self.moves.join(session.client.id, inbox, wants_address));
        Value::OK
    }
}

/// The beginning of a push with so many parts.
fn head(name: &str, parts: usize, sequence: u64) -> BytesMut {
    let mut out = BytesMut::with_capacity(96);
    put_length(&mut out, b'>', parts);
    put_bulk(&mut out, name.as_bytes());
    put_integer(&mut out, sequence as i64);
    out
}

fn put_groups(out: &mut BytesMut, groups: &[GroupId]) {
    let groups: Vec<String> = groups.iter().map(|group| format!("\"{group}\"")).collect();
    put_bulk(out, format!("[{}]", groups.join(",")).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::client_list::Clients;

    fn heard(inbox: &Inbox) -> String {
        let mut out = BytesMut::new();
        inbox.take(&mut out, usize::MAX);
        String::from_utf8_lossy(&out).replace("\r\n", " ")
    }

    #[test]
    fn moves_are_told_in_the_words_that_libraries_read() {
        let (clients, moves) = (Clients::default(), Arc::<Moves>::default());
        let inbox = |wants_address| {
            let client = clients.add("a:1".into(), "b:2".into(), 10, Millis(0), Nanos(0)).expect("room");
            client.resp3.store(true, Relaxed);
            let inbox = Arc::new(Inbox::new(client.clone()));
            (moves.join(client.id, inbox.clone(), wants_address), inbox)
        };
        let ((one_hears, one), (other_hears, other), (none_hears, none)) = (inbox(true), inbox(true), inbox(false));
        moves.begin(&[GroupId(1), GroupId(2)], 1, Millis(700), Nanos(0));
        let begins = ">4 $12 FAILING_OVER :700 :1 $9 [\"1\",\"2\"] ";
        assert_eq!((heard(&one), heard(&other), heard(&none)), (begins.into(), begins.into(), begins.into()));
        moves.end(&[GroupId(2)], Millis(700), Nanos(0));
        assert_eq!(heard(&one), ">3 $11 FAILED_OVER :701 $5 [\"2\"] ");
        assert!(moves.is_under_way());
        moves.end(&[GroupId(1)], Millis(600), Nanos(0));
        assert_eq!(heard(&one), ">3 $11 FAILED_OVER :702 $5 [\"1\"] ");
        assert!(!moves.is_under_way());
        assert_eq!(heard(&other), heard(&none), "they hear the same");
        moves.leave(&[], 5, Millis(900), Nanos(0));
        assert!(!moves.is_waited_for());
        moves.leave(&["a:1".into(), "b:2".into()], 5, Millis(900), Nanos(0));
        assert_eq!(heard(&one), ">4 $6 MOVING :900 :5 $3 a:1 ");
        assert_eq!(heard(&other), ">4 $6 MOVING :900 :5 $3 b:2 ");
        assert_eq!(heard(&none), ">4 $6 MOVING :900 :5 _ ");
        assert!(moves.is_waited_for());
        drop(other_hears);
        moves.end(&[], Millis(901), Nanos(0));
        assert_eq!(heard(&other), "");
        drop((one_hears, none_hears));
        assert!(!moves.is_waited_for());
    }
}
