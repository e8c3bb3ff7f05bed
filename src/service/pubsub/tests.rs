//! A hub with connections and without sockets.

use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::Duration;

use bytes::BytesMut;

use super::*;
use crate::base::Millis;
use crate::service::client_list::{Client, Clients};

#[derive(Default)]
struct World {
    hub: Arc<Hub>,
    clients: Clients,
}

impl World {
    fn client(&self) -> Arc<Client> {
        self.clients.add(String::new(), String::new(), 1000, Millis(0), Nanos(0)).unwrap()
    }

    fn listener(&self, subscriptions: &[(Kind, &str)]) -> Listener {
        let client = self.client();
        let inbox = Arc::new(Inbox::new(client.clone()));
        let mut listener = Listener::new(self.hub.clone(), client, inbox);
        for (kind, name) in subscriptions {
            listener.subscribe(*kind, &name.to_string().into()).unwrap();
        }
        listener
    }

    fn publish(&self, channel: &'static str, message: &str) {
        self.publish_at(Nanos(0), ChannelKind::Plain, channel, message);
    }

    fn publish_at(&self, now: Nanos, kind: ChannelKind, channel: &'static str, message: &str) {
        self.hub.deliver(now, &[Publication { kind, channel: channel.into(), message: message.to_owned().into() }]);
    }
}

fn read(listener: &Listener) -> String {
    let mut out = BytesMut::new();
    listener.inbox.take(&mut out, usize::MAX);
    String::from_utf8(out.to_vec()).unwrap().replace("\r\n", " ")
}

const FIRST: &str = "*3 $7 message $1 a $1 1 ";

#[test]
fn messages_reach_channels_patterns_and_shard_channels() {
    let world = World::default();
    let both = world.listener(&[(Kind::Channel, "a"), (Kind::Pattern, "[ab]")]);
    let shard = world.listener(&[(Kind::Shard, "a")]);
    world.publish("a", "1");
    world.publish("b", "2");
    world.publish_at(Nanos(0), ChannelKind::Shard, "a", "3");
    world.publish("c", "4");
    let patterns = "*4 $8 pmessage $4 [ab] $1 a $1 1 *4 $8 pmessage $4 [ab] $1 b $1 2 ";
    assert_eq!(read(&both), format!("{FIRST}{patterns}"));
    assert_eq!(read(&shard), "*3 $8 smessage $1 a $1 3 ");
}

#[test]
fn each_gets_its_protocol() {
    let world = World::default();
    let (two, three) = (world.listener(&[(Kind::Channel, "a")]), world.listener(&[(Kind::Channel, "a")]));
    world.clients.get(three.inbox.id()).unwrap().resp3.store(true, Relaxed);
    world.publish("a", "1");
    assert_eq!((&*read(&two), &*read(&three)), (FIRST, ">3 $7 message $1 a $1 1 "));
}

#[test]
fn nothing_comes_after_the_end_and_ends_are_counted() {
    let world = World::default();
    let mut listener = world.listener(&[(Kind::Channel, "a"), (Kind::Channel, "a"), (Kind::Pattern, "*")]);
    assert_eq!((listener.count(Kind::Channel), listener.count(Kind::Shard)), (2, 0));
    listener.unsubscribe(Kind::Channel, &Bytes::from("a"));
    listener.unsubscribe(Kind::Channel, &Bytes::from("never"));
    listener.leave();
    world.publish("a", "1");
    assert_eq!(read(&listener), "");
    assert!(!listener.is_listening());
    let another = world.listener(&[(Kind::Channel, "a")]);
    assert_eq!(world.hub.names(Kind::Channel), 1);
    drop(another);
    assert_eq!((world.hub.names(Kind::Channel), world.hub.local.read().bytes), (0, 0));
}

#[test]
fn who_reads_nothing_is_ended_and_others_are_not() {
    let world = World::default();
    world.hub.set_limit(Limit { hard: 1000, soft: 0, patience: Duration::ZERO });
    let (slow, quick) = (world.listener(&[(Kind::Channel, "a")]), world.listener(&[(Kind::Channel, "a")]));
    for _ in 0..20 {
        world.publish("a", &"x".repeat(100));
        assert!(read(&quick).len() > 100);
    }
    assert!(slow.inbox.is_overrun() && world.clients.get(slow.inbox.id()).unwrap().is_ending());
    assert_eq!((read(&slow).len(), slow.inbox.bytes()), (0, 0));
    assert!(!quick.inbox.is_overrun() && !world.clients.get(quick.inbox.id()).unwrap().is_ending());
}

#[test]
fn a_soft_limit_is_for_those_who_stay_above_it() {
    let world = World::default();
    let limit = Limit { hard: 0, soft: 300, patience: Duration::from_secs(10) };
    world.hub.set_limit(limit);
    let listener = world.listener(&[(Kind::Channel, "a")]);
    let seconds = |seconds: u64| Nanos(seconds * 1_000_000_000);
    let publish = |at| world.publish_at(seconds(at), ChannelKind::Plain, "a", &"x".repeat(400));
    publish(0);
    assert!(!listener.inbox.is_too_slow(seconds(10), limit));
    read(&listener);
    assert!(!listener.inbox.is_too_slow(seconds(11), limit), "it read");
    publish(12);
    assert!(!listener.inbox.is_too_slow(seconds(22), limit));
    assert!(listener.inbox.is_too_slow(seconds(23), limit));
    publish(24);
    assert!(listener.inbox.is_overrun());
}

#[test]
fn a_message_wakes_who_waits() {
    let world = World::default();
    let listener = world.listener(&[(Kind::Channel, "a")]);
    let mut filled = pin!(listener.inbox.filled());
    let mut context = std::task::Context::from_waker(Waker::noop());
    assert!(filled.as_mut().poll(&mut context).is_pending());
    world.publish("b", "1");
    assert!(filled.as_mut().poll(&mut context).is_pending());
    world.publish("a", "1");
    assert!(filled.as_mut().poll(&mut context).is_ready());
}

#[test]
fn subscriptions_are_bounded_in_bytes() {
    let world = World::default();
    let mut listener = world.listener(&[]);
    world.hub.local.write().bytes = limits::SUBSCRIPTION_BYTES_MAX - 300;
    let name = |n: u64| Bytes::from(format!("channel {n}"));
    let taken = (0..8).take_while(|n| listener.subscribe(Kind::Channel, &name(*n)).is_ok()).count();
    assert_eq!((taken, listener.count(Kind::Channel)), (2, 2));
    listener.leave();
    assert_eq!(listener.subscribe(Kind::Channel, &name(9)), Ok(()));
}

/// Everything that is to be told now.
fn told(telling: &Telling) -> Vec<Interests> {
    let mut context = std::task::Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    while let std::task::Poll::Ready(told) = telling.poll_next(&mut context) {
        all.push(told);
    }
    all
}

fn interest(kind: Kind, name: &'static str, count: u64) -> Interest {
    Interest { kind, name: name.into(), count }
}

#[test]
fn all_is_told_first_and_then_what_changed() {
    let world = World::default();
    let mut first = world.listener(&[(Kind::Channel, "a"), (Kind::Pattern, "*"), (Kind::Shard, "")]);
    let telling = world.hub.tell(NodeId(2));
    let beginning =
        vec![interest(Kind::Channel, "a", 1), interest(Kind::Pattern, "*", 1), interest(Kind::Shard, "", 1)];
    assert_eq!(told(&telling), [Interests { is_beginning: true, interests: beginning }]);
    let second = world.listener(&[(Kind::Channel, "a"), (Kind::Channel, "b")]);
    drop(second);
    first.unsubscribe(Kind::Pattern, &Bytes::from("*"));
    let changes =
        vec![interest(Kind::Channel, "a", 1), interest(Kind::Channel, "b", 0), interest(Kind::Pattern, "*", 0)];
    assert_eq!(told(&telling), [Interests { is_beginning: false, interests: changes }]);
    assert_eq!(told(&telling), []);
    // A newer stream takes over, and ends after the older one.
    let newer = world.hub.tell(NodeId(2));
    drop(telling);
    first.subscribe(Kind::Channel, &Bytes::from("c")).unwrap();
    let again = &told(&newer)[0];
    assert!(again.is_beginning && again.interests.contains(&interest(Kind::Channel, "c", 1)));
}

#[test]
fn a_large_table_is_told_in_parts() {
    let (world, other) = (World::default(), World::default());
    let mut listener = world.listener(&[]);
    for n in 0..10_000 {
        listener.subscribe(Kind::Channel, &format!("c{n}").into()).unwrap();
    }
    let (telling, hearing) = (world.hub.tell(NodeId(2)), other.hub.hear(NodeId(1)));
    let parts = told(&telling);
    assert!(parts.len() > 2 && parts.iter().all(|part| part.interests.len() <= 4096));
    parts.into_iter().for_each(|part| hearing.hear(part));
    assert_eq!(other.hub.channels(ChannelKind::Plain, None), world.hub.channels(ChannelKind::Plain, None));
}

#[test]
fn audiences_are_counted_over_nodes() {
    let world = World::default();
    let _here = world.listener(&[(Kind::Channel, "a"), (Kind::Pattern, "a*"), (Kind::Pattern, "*")]);
    let (two, three) = (world.hub.hear(NodeId(2)), world.hub.hear(NodeId(3)));
    let tell = |hearing: &Hearing, interests| hearing.hear(Interests { is_beginning: false, interests });
    tell(&two, vec![interest(Kind::Channel, "a", 3), interest(Kind::Pattern, "?", 2), interest(Kind::Shard, "s", 4)]);
    tell(&three, vec![interest(Kind::Pattern, "*", 1), interest(Kind::Channel, "b", 1)]);
    let hub = &world.hub;
    assert_eq!(hub.subscribers(ChannelKind::Plain, b"a"), 4);
    assert_eq!(hub.receivers(ChannelKind::Plain, b"a"), 4 + 2 + 2 + 1);
    assert_eq!(hub.receivers(ChannelKind::Shard, b"s"), 4);
    assert_eq!(hub.patterns(), 3);
    assert_eq!(hub.channels(ChannelKind::Plain, None), ["a", "b"]);
    assert_eq!(hub.channels(ChannelKind::Plain, Some(b"[b-z]")), ["b"]);
    assert_eq!(hub.channels(ChannelKind::Shard, None), ["s"]);
    // A stream that was opened again starts from nothing, and the end of the old one does not matter any more.
    let again = world.hub.hear(NodeId(2));
    assert_eq!(hub.subscribers(ChannelKind::Plain, b"a"), 1);
    tell(&again, vec![interest(Kind::Channel, "a", 2)]);
    tell(&two, vec![interest(Kind::Channel, "a", 9)]);
    drop(two);
    assert_eq!(hub.subscribers(ChannelKind::Plain, b"a"), 3);
    drop((again, three));
    assert_eq!((hub.subscribers(ChannelKind::Plain, b"a"), hub.patterns()), (1, 2));
}

#[test]
fn what_others_tell_is_bounded() {
    let world = World::default();
    let hearing = world.hub.hear(NodeId(2));
    let name = |n: usize| Interest { kind: Kind::Channel, name: format!("c{n}").into(), count: 1 };
    hearing.hear(Interests { is_beginning: true, interests: (0..limits::NAMES_TOLD_MAX + 10).map(name).collect() });
    let long = Bytes::from(vec![b'x'; limits::NAME_TOLD_BYTES_MAX + 1]);
    assert_eq!(world.hub.channels(ChannelKind::Plain, None).len(), limits::NAMES_TOLD_MAX);
    let change = |interests| hearing.hear(Interests { is_beginning: false, interests });
    change(vec![Interest { count: 0, ..name(0) }, Interest { name: long, ..name(0) }, name(limits::NAMES_TOLD_MAX)]);
    let names = world.hub.channels(ChannelKind::Plain, None);
    assert!(names.len() == limits::NAMES_TOLD_MAX && names.iter().all(|name| name.len() < 10 && name != "c0"));
}
