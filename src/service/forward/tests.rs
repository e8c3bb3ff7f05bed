//! The forwarder through leader changes, refusals, lost links and late answers, one story at a time.

mod waits;

use bytes::Bytes;

use super::*;
use crate::command::batch::Call;
use crate::resp::Protocol;

const GROUP: GroupId = GroupId(1);
const ME: NodeId = NodeId(1);

fn at(ms: u64) -> Nanos {
    Nanos(ms * 1_000_000)
}

fn call(word: &'static str) -> Vec<Unit> {
    let args = vec![Bytes::from_static(b"INCR"), Bytes::from_static(word.as_bytes())];
    vec![Unit::Call(Call::new(0, Protocol::Resp2, args))]
}

fn replies(texts: &[&'static str]) -> Vec<UnitReply> {
    texts.iter().map(|text| UnitReply::Call(Bytes::from_static(text.as_bytes()))).collect()
}

/// A forwarder on node 1 with links to nodes 2 and 3, and what it wants.
struct Bench(Forwarder, Vec<Output>);

impl Bench {
    fn led_by(leader: u64) -> Bench {
        let mut forwarder = Forwarder::new(ME, SessionId(77), Bounds::default());
        forwarder.link_up(NodeId(2));
        forwarder.link_up(NodeId(3));
        forwarder.leader(GROUP, Some(NodeId(leader)));
        Bench(forwarder, Vec::new())
    }

    fn submit(&mut self, ms: u64, client: u64, word: &'static str) {
        self.0.submit(at(ms), GROUP, Ticket(client), call(word), &mut self.1);
    }

    fn flush(&mut self, ms: u64) -> Vec<Output> {
        self.0.flush(at(ms), &mut self.1);
        std::mem::take(&mut self.1)
    }

    fn tick(&mut self, ms: u64) -> Vec<Output> {
        self.0.tick(at(ms), &mut self.1);
        std::mem::take(&mut self.1)
    }

    fn answer(&mut self, ms: u64, attempt: Ticket, answer: Answer) -> Vec<Output> {
        self.0.answered(at(ms), GROUP, attempt, answer, &mut self.1);
        self.flush(ms)
    }
}

/// The only thing wanted is this attempt.
fn attempt(wanted: Vec<Output>) -> (NodeId, Submission) {
    match <[Output; 1]>::try_from(wanted) {
        Ok([Output::Send(node, GROUP, submission)]) => (node, submission),
        Ok([Output::Local(GROUP, submission)]) => (ME, submission),
        other => panic!("one attempt was expected, not {other:?}"),
    }
}

fn number(submission: &Submission) -> u64 {
    submission.origin.expect("a numbered frame").number
}

#[test]
fn what_comes_together_shares_a_frame_and_everybody_gets_his_own_reply() {
    let mut bench = Bench::led_by(2);
    bench.submit(0, 10, "a");
    bench.submit(0, 11, "b");
    let (node, frame) = attempt(bench.flush(0));
    assert_eq!((node, frame.units.len(), number(&frame)), (NodeId(2), 2, 1));
    let done = bench.answer(1, frame.ticket, Answer::Replies(replies(&[":1", ":2"])));
    let expected = [(10, ":1"), (11, ":2")];
    let expected = expected.map(|(client, text)| Output::Done(Ticket(client), Outcome::Replies(replies(&[text]))));
    assert_eq!(done, expected, "R9: a reply goes to whom it belongs");
    assert_eq!((bench.0.bytes(), bench.0.pending()), (0, 0));
}

#[test]
fn a_frame_keeps_its_number_and_content_over_a_leader_change() {
    let mut bench = Bench::led_by(2);
    bench.submit(0, 10, "a");
    let (_, first) = attempt(bench.flush(0));
    bench.0.link_down(NodeId(2));
    bench.submit(1, 11, "b");
    assert_eq!(bench.flush(1), [], "no link, no attempt");
    bench.0.leader(GROUP, Some(NodeId(3)));
    let wanted = bench.flush(2);
    let [Output::Send(to, _, again), Output::Send(_, _, second)] = &wanted[..] else { panic!("{wanted:?}") };
    assert_eq!((*to, &again.units, again.origin), (NodeId(3), &first.units, first.origin), "J1: never a second INCR");
    assert_eq!(number(second), 2);
    assert_eq!(bench.answer(3, first.ticket, Answer::Replies(replies(&[":9"]))), [], "an attempt that was given up");
    let done = bench.answer(3, again.ticket, Answer::Replies(replies(&[":1"])));
    assert_eq!(done, [Output::Done(Ticket(10), Outcome::Replies(replies(&[":1"])))]);
}

#[test]
fn the_new_leader_may_be_this_node() {
    let mut bench = Bench::led_by(2);
    bench.submit(0, 10, "a");
    let (_, first) = attempt(bench.flush(0));
    bench.0.leader(GROUP, Some(ME));
    bench.submit(1, 11, "b");
    let wanted = bench.flush(1);
    let [Output::Local(_, again), Output::Local(_, own)] = &wanted[..] else { panic!("{wanted:?}") };
    assert_eq!((again.origin, own.origin), (first.origin, None));
}

#[test]
fn a_refused_first_attempt_leaves_no_doubt() {
    let mut bench = Bench::led_by(2);
    bench.submit(0, 10, "a");
    let (_, first) = attempt(bench.flush(0));
    assert_eq!(bench.answer(1, first.ticket, Answer::Refused(Refusal::NotLeader)), [], "not at once again");
    let (_, second) = attempt(bench.tick(20));
    assert_eq!(second.origin, first.origin, "nobody knows the number yet: the leader must take it for the first");
    bench.answer(21, second.ticket, Answer::Refused(Refusal::NotLeader));
    bench.0.leader(GROUP, None);
    assert_eq!(bench.tick(2500), [Output::Done(Ticket(10), Outcome::Down)], "it certainly did not run");
}

#[test]
fn rule_30_what_may_have_run_is_never_called_down() {
    let mut bench = Bench::led_by(2);
    bench.submit(0, 10, "a");
    attempt(bench.flush(0));
    bench.0.link_down(NodeId(2));
    bench.0.leader(GROUP, Some(NodeId(3)));
    let (_, again) = attempt(bench.flush(1));
    bench.answer(2, again.ticket, Answer::Refused(Refusal::Overloaded));
    bench.0.leader(GROUP, None);
    assert_eq!(
        bench.tick(2500),
        [Output::Done(Ticket(10), Outcome::Unknown)],
        "R7, J2: the first attempt may have run"
    );
    assert_eq!(bench.0.bytes(), 0);
}

#[test]
fn a_local_refusal_is_asked_again_and_a_local_doubt_is_told() {
    let mut bench = Bench::led_by(1);
    bench.submit(0, 10, "a");
    let (_, first) = attempt(bench.flush(0));
    assert_eq!(first.origin, None);
    bench.answer(1, first.ticket, Answer::Refused(Refusal::NotLeader));
    bench.0.leader(GROUP, Some(NodeId(2)));
    let (to, second) = attempt(bench.flush(1));
    assert_eq!((to, number(&second)), (NodeId(2), 1));
    bench.0.leader(GROUP, Some(ME));
    bench.submit(2, 11, "b");
    let wanted = bench.flush(2);
    let [_, Output::Local(_, own)] = &wanted[..] else { panic!("{wanted:?}") };
    assert_eq!(bench.answer(3, own.ticket, Answer::Unknown), [Output::Done(Ticket(11), Outcome::Unknown)]);
}

#[test]
fn an_expired_session_is_followed_by_a_new_one() {
    let mut bench = Bench::led_by(2);
    for client in 10..13 {
        bench.submit(0, client, "a");
        let (_, frame) = attempt(bench.flush(0));
        if client == 10 {
            bench.answer(0, frame.ticket, Answer::Replies(replies(&[":1"])));
        } else {
            assert_eq!(number(&frame), client - 9);
        }
    }
    // Attempts 2 and 3 are refused by a leader that forgot the session.
    assert_eq!(bench.answer(1, Ticket(2), Answer::Refused(Refusal::SessionExpired)), [], "3 is still under way");
    let (_, frame) = attempt(bench.answer(1, Ticket(3), Answer::Refused(Refusal::SessionExpired)));
    let origin = frame.origin.expect("numbered");
    assert_eq!((origin.number, origin.acknowledged_below, frame.units.len()), (1, 1, 2));
    assert_ne!(origin.session, SessionId(77));
}

#[test]
fn reads_travel_without_a_number_and_leave_no_doubt() {
    let mut bench = Bench::led_by(2);
    let get = || {
        let args = vec![Bytes::from_static(b"GET"), Bytes::from_static(b"a")];
        vec![Unit::Call(Call::new(0, Protocol::Resp2, args))]
    };
    bench.0.submit(at(0), GROUP, Ticket(10), get(), &mut bench.1);
    bench.submit(0, 11, "a");
    let wanted = bench.flush(0);
    let [Output::Send(_, _, write), Output::Send(_, _, read)] = &wanted[..] else { panic!("{wanted:?}") };
    assert_eq!((number(write), read.origin), (1, None));
    bench.0.link_down(NodeId(2));
    bench.0.leader(GROUP, Some(NodeId(3)));
    let wanted = bench.flush(1);
    assert!(
        matches!(&wanted[..], [Output::Send(..), Output::Send(_, _, again)] if again.origin.is_none()),
        "{wanted:?}"
    );
    bench.0.link_down(NodeId(3));
    let mut done = bench.tick(2500);
    done.sort_by_key(|output| matches!(output, Output::Done(ticket, _) if *ticket == Ticket(11)));
    assert_eq!(done, [Output::Done(Ticket(10), Outcome::Down), Output::Done(Ticket(11), Outcome::Unknown)]);
    assert_eq!((bench.0.bytes(), bench.0.pending()), (0, 0));
}

#[test]
fn rule_40_the_queue_is_bounded() {
    let mut bench = Bench::led_by(2);
    bench.0.bounds.bytes_max = 250;
    bench.submit(0, 10, "a");
    bench.submit(0, 11, "b");
    assert_eq!(bench.1, [Output::Done(Ticket(11), Outcome::Overloaded)]);
}

#[test]
fn frames_under_way_are_bounded_and_what_waits_shares_the_next() {
    let mut bench = Bench::led_by(2);
    let mut tickets = Vec::new();
    for client in 0..20 {
        bench.submit(0, client, "a");
        tickets.extend(bench.flush(0));
    }
    assert_eq!(tickets.len(), 4);
    let Output::Send(_, _, first) = &tickets[0] else { panic!("{tickets:?}") };
    let wanted = bench.answer(1, first.ticket, Answer::Replies(replies(&[":1"])));
    let Some(Output::Send(_, _, next)) = wanted.last() else { panic!("{wanted:?}") };
    assert_eq!(next.units.len(), 16);
    assert_eq!(next.origin.expect("numbered").acknowledged_below, 2);
}

#[test]
fn rule_40_a_frame_has_at_most_so_many_units() {
    let mut bench = Bench::led_by(2);
    let most = Bounds::default().frame_units_max;
    for client in 0..most as u64 + 10 {
        bench.submit(0, client, "k");
    }
    let sizes: Vec<usize> = bench
        .flush(0)
        .iter()
        .map(|output| match output {
            Output::Send(_, _, submission) => submission.units.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [most, 10]);
}
