//! The table of a node, with clients that have an inbox and no connection.

use bytes::BytesMut;

use super::tracker::Mode;
use super::*;
use crate::base::Millis;
use crate::service::client_list::{Client, Clients};
use crate::service::pubsub::Inbox;

struct World {
    trackers: Arc<Trackers>,
    clients: Arc<Clients>,
}

struct Reader {
    client: Arc<Client>,
    inbox: Arc<Inbox>,
}

impl World {
    fn new() -> World {
        World { trackers: Arc::default(), clients: Arc::default() }
    }

    fn client(&self, is_resp3: bool) -> Reader {
        let client = self.clients.add("a:1".into(), "b:2".into(), 10, Millis(0), Nanos(0)).expect("room");
        client.resp3.store(is_resp3, Ordering::Relaxed);
        let inbox = Arc::new(Inbox::new(client.clone()));
        client.set_inbox(&inbox);
        Reader { client, inbox }
    }

    fn join(&self, reader: &Reader, mode: Mode, redirect: Option<u64>) {
        let redirect = redirect.map(|id| (self.clients.clone(), id));
        let (inbox, client) = (reader.inbox.clone(), reader.client.clone());
        self.trackers.join(Tracker { inbox, client, redirect, mode, author: reader.client.id << 32 });
    }

    fn read(&self, reader: &Reader, keys: &[&str]) {
        self.trackers.remember(reader.client.id, keys.iter().map(|key| key.as_bytes()), Nanos(0));
    }

    fn change(&self, keys: &[&str]) {
        let changes: Vec<_> = keys.iter().map(|key| Changed::key(key.to_string())).collect();
        self.trackers.changed(Nanos(0), &changes);
    }
}

impl Reader {
    fn heard(&self) -> String {
        let mut out = BytesMut::new();
        self.inbox.take(&mut out, usize::MAX);
        String::from_utf8_lossy(&out).replace("\r\n", " ")
    }
}

fn notice(keys: &[&str]) -> String {
    let keys: String = keys.iter().map(|key| format!("${} {key} ", key.len())).collect();
    format!(">2 $10 invalidate *{} {keys}", keys.matches('$').count())
}

#[test]
fn who_read_a_key_hears_once_that_it_changed() {
    let world = World::new();
    let (one, other) = (world.client(true), world.client(true));
    [&one, &other].into_iter().for_each(|reader| world.join(reader, Mode::All, None));
    world.read(&one, &["a", "b", "a"]);
    world.read(&other, &["b"]);
    assert_eq!(world.trackers.figures(), Figures { keys: 2, items: 3, prefixes: 0 });
    world.change(&["b", "c", "b"]);
    assert_eq!((one.heard(), other.heard()), (notice(&["b"]), notice(&["b"])));
    world.change(&["b"]);
    assert_eq!((one.heard(), other.heard()), (String::new(), String::new()));
    world.trackers.changed(Nanos(0), &[Changed::Everything]);
    assert_eq!((one.heard(), other.heard()), (">2 $10 invalidate _ ".into(), ">2 $10 invalidate _ ".into()));
    assert_eq!(world.trackers.figures(), Figures::default());
}

#[test]
fn prefixes_hear_of_all_their_keys_at_once() {
    let world = World::new();
    let reader = world.client(true);
    world.join(&reader, Mode::Broadcast, None);
    for prefix in ["user:", "item:"] {
        world.trackers.broadcast(reader.client.id, &prefix.into()).expect("room");
    }
    world.change(&["user:1", "other", "item:1", "user:1"]);
    assert_eq!(reader.heard(), notice(&["item:1", "user:1"]));
    assert_eq!(world.trackers.figures().prefixes, 2);
    world.trackers.leave(reader.client.id, [Bytes::from("user:"), Bytes::from("item:")].iter());
    world.change(&["user:1"]);
    assert_eq!(reader.heard(), "");
    assert!(!world.trackers.is_on().load(Ordering::Relaxed));
    assert_eq!(world.trackers.table.lock().bytes, 0);
}

#[test]
fn another_client_hears_where_notices_are_redirected() {
    let world = World::new();
    let (reader, other) = (world.client(false), world.client(false));
    world.join(&reader, Mode::All, Some(other.client.id));
    world.read(&reader, &["k"]);
    world.change(&["k"]);
    assert_eq!(other.heard(), "", "it listens to nothing");
    other.client.subscriptions[0].store(1, Ordering::Relaxed);
    world.read(&reader, &["k"]);
    world.change(&["k"]);
    assert_eq!(other.heard(), "*3 $7 message $20 __redis__:invalidate *1 $1 k ");
    world.trackers.changed(Nanos(0), &[Changed::Everything]);
    assert_eq!(other.heard(), "*3 $7 message $20 __redis__:invalidate $-1 ");
    other.client.resp3.store(true, Ordering::Relaxed);
    world.read(&reader, &["k"]);
    world.change(&["k"]);
    assert_eq!((reader.heard(), other.heard()), (String::new(), notice(&["k"])));
}

#[test]
fn a_client_hears_that_nobody_hears_for_it() {
    let world = World::new();
    let (reader, other) = (world.client(true), world.client(true));
    world.join(&reader, Mode::All, Some(other.client.id));
    world.clients.remove(other.client.id);
    world.read(&reader, &["a", "b"]);
    world.change(&["a", "b"]);
    assert_eq!(reader.heard(), format!(">2 $21 tracking-redir-broken :{} ", other.client.id));
    assert!(reader.client.is_redirect_broken.load(Ordering::Relaxed));
}

#[test]
fn a_full_table_forgets_keys_and_says_so() {
    let world = World::new();
    let reader = world.client(true);
    world.join(&reader, Mode::All, None);
    world.trackers.set_keys_max(2);
    world.read(&reader, &["a", "b"]);
    assert_eq!(reader.heard(), "");
    world.read(&reader, &["c"]);
    assert_eq!(reader.heard(), notice(&["a"]));
    assert_eq!(world.trackers.figures().keys, 2);
    world.trackers.set_keys_max(0);
    world.read(&reader, &["d", "e", "f"]);
    assert_eq!((reader.heard(), world.trackers.figures().keys), (String::new(), 5));
}

#[test]
fn nobody_hears_of_what_he_changed_alone() {
    let world = World::new();
    let (reader, other, all) = (world.client(true), world.client(true), world.client(true));
    [&reader, &other].into_iter().for_each(|reader| world.join(reader, Mode::All, None));
    world.join(&all, Mode::Broadcast, None);
    world.trackers.broadcast(all.client.id, &Bytes::new()).expect("room");
    let change = |author: &Reader| {
        let author = author.client.id << 32;
        world.trackers.changed(Nanos(0), &[Changed::Key { key: "k".into(), author }]);
    };
    world.read(&reader, &["k"]);
    world.read(&other, &["k"]);
    change(&reader);
    assert_eq!((reader.heard(), other.heard(), all.heard()), (String::new(), notice(&["k"]), notice(&["k"])));
    change(&all);
    assert_eq!((reader.heard(), other.heard(), all.heard()), (notice(&["k"]), String::new(), String::new()));
}

#[test]
fn what_scripts_read_is_told_at_once_if_it_changed_meanwhile() {
    let world = World::new();
    let reader = world.client(true);
    world.join(&reader, Mode::All, None);
    let answered = |keys: &[&'static str]| {
        let keys = keys.iter().map(|key| Bytes::from(*key)).collect();
        world.trackers.remember_late(reader.client.id, &[keys], Nanos(0));
    };
    world.trackers.expect_reads(reader.client.id);
    world.change(&["a", "c"]);
    answered(&["a", "b"]);
    assert_eq!(reader.heard(), notice(&["a"]));
    world.change(&["a", "b"]);
    assert_eq!(reader.heard(), notice(&["b"]), "it was told of the other one already");
    // Keys that nobody names, since they are too many.
    world.trackers.expect_reads(reader.client.id);
    answered(&[]);
    assert_eq!(reader.heard(), ">2 $10 invalidate _ ");
    // Nothing is remembered of who does not wait, or went away.
    answered(&["a"]);
    world.trackers.expect_reads(reader.client.id);
    world.trackers.leave(reader.client.id, [].iter());
    answered(&["a"]);
    assert_eq!(world.trackers.figures(), Figures::default());
}
