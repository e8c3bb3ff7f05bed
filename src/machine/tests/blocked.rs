//! Clients that wait for a key: who is served, in which entry, and what becomes of them when anything goes wrong.

use super::*;
use crate::command::acl::Rights;

/// Waits for a key; the answer is stored if `remembered`.
fn block(line: &str, remembered: bool) -> Vec<Unit> {
    vec![Unit::Block { call: words(line), remembered }]
}

impl World {
    /// A client waits, under this number.
    fn wait(&mut self, number: u64, line: &str) -> Ticket {
        self.submit_from(origin(number, 1), block(line, false))
    }

    /// What the clients are told once everything has settled.
    fn settled(&mut self) -> Vec<Output> {
        self.settle();
        self.told()
    }

    /// Lets clients wait for what is not there.
    fn park<const N: usize>(&mut self, lines: [&str; N]) -> [Ticket; N] {
        let mut number = 0;
        let tickets = lines.map(|line| {
            number += 1;
            self.wait(number, line)
        });
        assert_eq!(self.settled(), []);
        tickets
    }
}

fn told(ticket: Ticket, text: &'static str) -> Output {
    Output::Reply(ticket, reply(text))
}

fn still_blocked(below: u64, open: &[u64]) -> Vec<Unit> {
    vec![Unit::StillBlocked { session: SessionId(9), below, open: open.to_vec() }]
}

fn noted(ticket: Ticket) -> Output {
    Output::Reply(ticket, vec![UnitReply::Noted])
}

#[test]
fn the_first_who_came_is_served_in_the_entry_of_the_push() {
    let mut world = World::leader();
    let [first, second, third] = world.park(["BLPOP l 0", "BLPOP l 0", "BRPOP other l 0"]);
    let push = world.submit(call("RPUSH l a b"));
    world.turn();
    assert_eq!(world.accept(), 1, "one entry");
    assert_eq!(world.told(), [], "not before it is applied");
    world.commit();
    let expected = [
        told(push, ":2\r\n"),
        told(first, "*2\r\n$1\r\nl\r\n$1\r\na\r\n"),
        told(second, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n"),
    ];
    assert_eq!(world.told(), expected);
    assert_eq!(world.run(call("EXISTS l")), reply(":0\r\n"));
    let push = world.submit(call("LPUSH other c"));
    assert_eq!(world.settled(), [told(push, ":1\r\n"), told(third, "*2\r\n$5\r\nother\r\n$1\r\nc\r\n")]);
}

#[test]
fn a_block_is_served_after_it_and_a_script_too() {
    let mut world = World::leader();
    let [waiter] = world.park(["BLPOP l 0"]);
    let calls = vec![words("RPUSH l a b"), words("LLEN l"), words("LPOP l")];
    let block = world.submit(vec![Unit::Atomic { watches: Vec::new(), calls }]);
    let replies = [":2\r\n", ":2\r\n", "$1\r\na\r\n"].map(Bytes::from).to_vec();
    let expected =
        [Output::Reply(block, vec![UnitReply::Atomic(Some(replies))]), told(waiter, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n")];
    assert_eq!(world.settled(), expected, "what the block took itself is not given away");
}

#[test]
fn what_one_is_given_may_serve_the_next() {
    let mut world = World::leader();
    let [mover, waiter, members] = world.park(["BLMOVE a b LEFT RIGHT 0", "BLPOP b 0", "BZPOPMIN a z 0"]);
    let push = world.submit(call("RPUSH a x"));
    let expected = [told(push, ":1\r\n"), told(mover, "$1\r\nx\r\n"), told(waiter, "*2\r\n$1\r\nb\r\n$1\r\nx\r\n")];
    assert_eq!(world.settled(), expected, "a list is nothing to who waits for members");
    let add = world.submit(call("ZADD z 2 m"));
    assert_eq!(world.settled(), [told(add, ":1\r\n"), told(members, "*3\r\n$1\r\nz\r\n$1\r\nm\r\n$1\r\n2\r\n")]);
}

#[test]
fn a_key_of_another_kind_ends_no_wait() {
    let mut world = World::leader();
    let [waiter, reader] = world.park(["BLPOP k 0", "XREAD BLOCK 0 STREAMS k 0"]);
    let set = world.submit(call("SET k v"));
    assert_eq!(world.settled(), [told(set, "+OK\r\n")]);
    world.run(call("DEL k"));
    let add = world.submit(call("XADD k 1-1 f v"));
    let entry = "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n";
    assert_eq!(world.settled(), [told(add, "$3\r\n1-1\r\n"), told(reader, entry)]);
    world.run(call("DEL k"));
    let push = world.submit(call("RPUSH k x"));
    assert_eq!(world.settled(), [told(push, ":1\r\n"), told(waiter, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n")]);
}

#[test]
fn a_reader_of_what_is_new_waits_from_where_it_began() {
    let mut world = World::leader();
    world.run(call("XADD s 5-1 f v"));
    let asked = world.wait(1, "XREAD BLOCK 0 STREAMS s none $ $");
    let words: Vec<Bytes> =
        "XREAD BLOCK 0 STREAMS s none 5-1 0-0".split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    assert_eq!(world.settled(), [Output::Reply(asked, vec![UnitReply::Settled(words)])]);
}

#[test]
fn the_group_that_is_gone_is_an_answer() {
    let mut world = World::leader();
    world.run(call("XGROUP CREATE s g 0 MKSTREAM"));
    let [reader] = world.park(["XREADGROUP GROUP g c BLOCK 0 STREAMS s >"]);
    let gone = world.submit(call("DEL s"));
    let line = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n";
    assert_eq!(world.settled(), [told(gone, ":1\r\n"), told(reader, line)]);
}

#[test]
fn who_is_hurried_is_answered_with_what_there_is() {
    let mut world = World::leader();
    let [late, other] = world.park(["BLPOP l 0", "BLPOP l 0"]);
    let hurry = vec![Unit::Hurry { session: SessionId(9), numbers: vec![1, 77] }];
    let hurried = world.submit(hurry.clone());
    assert_eq!(world.settled(), [noted(hurried), told(late, "*-1\r\n")]);
    let (push, again) = (world.submit(call("RPUSH l a")), world.submit(hurry));
    let expected = [told(push, ":1\r\n"), told(other, "*2\r\n$1\r\nl\r\n$1\r\na\r\n"), noted(again)];
    assert_eq!(world.settled(), expected, "who was answered has nothing to hurry for");
}

#[test]
fn those_of_a_refused_entry_wait_on_where_they_stood() {
    let mut world = World::leader();
    let [first, second] = world.park(["BLPOP l 0", "BLPOP l 0"]);
    let push = world.submit(call("RPUSH l a"));
    world.turn();
    let [Proposal { generation, sequence, .. }] = world.proposals()[..] else { panic!("one entry") };
    world.handle(Input::Dropped { generation, sequence });
    let told_later = world.wait(3, "BLPOP l 0");
    world.handle(Input::Tick);
    assert_eq!(world.settled(), [told(push, ":1\r\n"), told(first, "*2\r\n$1\r\nl\r\n$1\r\na\r\n")]);
    let push = world.submit(call("RPUSH l b c"));
    let expected = [
        told(push, ":2\r\n"),
        told(second, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n"),
        told(told_later, "*2\r\n$1\r\nl\r\n$1\r\nc\r\n"),
    ];
    assert_eq!(world.settled(), expected);
}

#[test]
fn who_waits_is_refused_when_leadership_ends_and_who_was_served_is_not() {
    let mut world = World::leader();
    let [served, waiting] = world.park(["BLPOP l 0", "BLPOP m 0"]);
    let push = world.submit(call("RPUSH l a"));
    world.turn();
    world.accept();
    world.handle(Input::Role(Role::Follower));
    assert_eq!(world.told(), [Output::Refused(waiting, Refusal::NotLeader)]);
    world.commit();
    assert_eq!(world.told(), [told(push, ":1\r\n"), told(served, "*2\r\n$1\r\nl\r\n$1\r\na\r\n")]);
}

#[test]
fn an_answer_that_was_lost_is_given_again_and_nothing_is_taken_twice() {
    let mut world = World::leader();
    let waiter = world.submit_from(origin(1, 1), block("BLPOP l 0", true));
    assert_eq!(world.settled(), []);
    let push = world.submit(call("RPUSH l a b"));
    assert_eq!(world.settled(), [told(push, ":2\r\n"), told(waiter, "*2\r\n$1\r\nl\r\n$1\r\na\r\n")]);
    // The next leader hears of it as of something new.
    let mut next = World::on(world.engine.clone());
    next.lead(Term(2));
    next.told();
    assert_eq!(next.run_from(origin(1, 1), block("BLPOP l 0", true)), reply("*2\r\n$1\r\nl\r\n$1\r\na\r\n"));
    assert_eq!(next.run(call("LLEN l")), reply(":1\r\n"));
    // Once the front has it, it is forgotten, and never runs again.
    next.run(still_blocked(2, &[]));
    let (start, end) = crate::store::keys::replies(GROUP, SessionId(9));
    let mut stored = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        stored += 1;
        std::ops::ControlFlow::Continue(())
    };
    next.engine.scan(&start, &end, crate::store::Order::Forward, &mut count).unwrap();
    assert_eq!(stored, 0);
    let late = next.submit_from(origin(1, 1), block("BLPOP l 0", true));
    assert_eq!(next.settled(), [Output::Refused(late, Refusal::Duplicate)]);
    let other = next.submit_from(origin(2, 1), block("BLPOP l 0", true));
    assert_eq!(next.settled(), [told(other, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n")]);
}

#[test]
fn a_late_word_of_what_is_open_does_not_speak_of_what_came_after_it() {
    let mut world = World::leader();
    let first = world.submit_from(origin(1, 1), block("BLPOP l 0", true));
    let second = world.submit_from(origin(2, 1), block("BLPOP l 0", true));
    assert_eq!(world.settled(), []);
    let push = world.submit(call("RPUSH l a b"));
    let given = [told(first, "*2\r\n$1\r\nl\r\n$1\r\na\r\n"), told(second, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n")];
    assert_eq!(world.settled(), [vec![told(push, ":2\r\n")], given.to_vec()].concat());
    world.run(still_blocked(2, &[]));
    let again = world.submit_from(origin(2, 1), block("BLPOP l 0", true));
    assert_eq!(world.settled(), [told(again, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n")]);
}

#[test]
fn a_second_copy_takes_the_place_of_the_first() {
    let mut world = World::leader();
    let [first, other] = world.park(["BLPOP l 0", "BLPOP l 0"]);
    let copy = world.wait(1, "BLPOP l 0");
    assert_eq!(world.settled(), [Output::Refused(first, Refusal::Duplicate)]);
    let push = world.submit(call("RPUSH l a"));
    assert_eq!(world.settled(), [told(push, ":1\r\n"), told(copy, "*2\r\n$1\r\nl\r\n$1\r\na\r\n")]);
    let push = world.submit(call("RPUSH l b"));
    assert_eq!(world.settled(), [told(push, ":1\r\n"), told(other, "*2\r\n$1\r\nl\r\n$1\r\nb\r\n")]);
}

#[test]
fn nothing_is_given_to_who_is_gone() {
    let mut world = World::leader();
    let [gone, there] = world.park(["BLPOP l 0", "BLPOP l 0"]);
    let beat = world.submit(still_blocked(3, &[2]));
    assert_eq!(world.settled(), [Output::Refused(gone, Refusal::Duplicate), noted(beat)]);
    world.now.mono = Nanos(world.now.mono.0 + 2_900_000_000);
    world.handle(Input::Tick);
    assert_eq!(world.settled(), [], "heard of a while ago");
    world.now.mono = Nanos(world.now.mono.0 + 200_000_000);
    world.handle(Input::Tick);
    assert_eq!(world.told(), [Output::Refused(there, Refusal::NotLeader)], "its front is silent");
    let push = world.submit(call("RPUSH l a"));
    assert_eq!(world.settled(), [told(push, ":1\r\n")]);
    assert_eq!(world.run(call("LLEN l")), reply(":1\r\n"));
}

#[test]
fn who_lost_the_right_to_a_key_hears_it_when_there_is_something() {
    let mut world = World::leader();
    let everything_but_keys = [Bytes::from("+@all")];
    let rights = Arc::new(Rights::from_words("alice".into(), &everything_but_keys).expect("rules"));
    let denied = |line: &str| {
        let call = Call { rights: Some(rights.clone()), ..words(line) };
        vec![Unit::Block { call, remembered: false }]
    };
    let refusal = "-NOPERM No permissions to access a key\r\n";
    let first = world.submit_from(origin(1, 1), denied("BLPOP l 0"));
    assert_eq!(world.settled(), []);
    let second = world.wait(2, "BLPOP l 0");
    assert_eq!(world.settled(), []);
    let push = world.submit(call("RPUSH l a"));
    let element = "*2\r\n$1\r\nl\r\n$1\r\na\r\n";
    assert_eq!(world.settled(), [told(push, ":1\r\n"), told(first, refusal), told(second, element)]);
    // What is there already is not given either; without anything its time ends like any other's.
    world.run(call("RPUSH there a"));
    let third = world.submit_from(origin(3, 1), denied("BLMOVE there to LEFT LEFT 0"));
    assert_eq!(world.settled(), [told(third, refusal)]);
    assert_eq!(world.run(call("LLEN there")), reply(":1\r\n"));
    let fourth = world.submit_from(origin(4, 1), denied("BZPOPMIN z 0"));
    assert_eq!(world.settled(), []);
    let hurry = world.submit(vec![Unit::Hurry { session: SessionId(9), numbers: vec![4] }]);
    let mut heard = world.settled();
    heard.sort_by_key(|output| format!("{output:?}"));
    let mut expected = [noted(hurry), told(fourth, "$-1\r\n")];
    expected.sort_by_key(|output| format!("{output:?}"));
    assert_eq!(heard, expected);
    // Of a stream only a change counts.
    world.run(call("XADD s 1-1 f v"));
    let fifth = world.submit_from(origin(5, 1), denied("XREAD BLOCK 0 STREAMS s 0"));
    assert_eq!(world.settled(), []);
    let add = world.submit(call("XADD s 2-1 f v"));
    assert_eq!(world.settled(), [told(add, "$3\r\n2-1\r\n"), told(fifth, refusal)]);
}
