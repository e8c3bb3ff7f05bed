//! Commands that wait for a key, through leader changes and lost links.

use super::*;

impl Bench {
    fn block(&mut self, ms: u64, client: u64) -> Vec<Output> {
        self.0.block(GROUP, Ticket(client), blpop(), &mut self.1);
        self.flush(ms)
    }
}

fn blpop() -> Call {
    let args = ["BLPOP", "l", "0"].map(|word| Bytes::from_static(word.as_bytes())).to_vec();
    Call::new(0, Protocol::Resp2, args)
}

/// What is wanted, without the word about what is still blocked.
fn attempts(wanted: &[Output]) -> Vec<(NodeId, Submission)> {
    let submissions = wanted.iter().map(|output| match output {
        Output::Send(node, GROUP, submission) => (*node, submission.clone()),
        Output::Local(GROUP, submission) => (ME, submission.clone()),
        other => panic!("an attempt was expected, not {other:?}"),
    });
    submissions.filter(|(_, submission)| still_blocked(submission).is_none()).collect()
}

/// The only attempt among what is wanted.
fn only(wanted: &[Output]) -> (NodeId, Submission) {
    <[_; 1]>::try_from(attempts(wanted)).map_or_else(|other| panic!("one attempt, not {other:?}"), |[one]| one)
}

/// What a submission says about what is still blocked.
fn still_blocked(submission: &Submission) -> Option<(u64, Vec<u64>)> {
    match &submission.units[..] {
        [Unit::StillBlocked { below, open, .. }] => Some((*below, open.clone())),
        _ => None,
    }
}

fn beats(wanted: &[Output]) -> Vec<(Ticket, u64, Vec<u64>)> {
    let beat = |output: &Output| match output {
        Output::Send(_, _, submission) | Output::Local(_, submission) => {
            still_blocked(submission).map(|(below, open)| (submission.ticket, below, open))
        }
        Output::Done(..) => None,
    };
    wanted.iter().filter_map(beat).collect()
}

fn is_remembered(submission: &Submission) -> bool {
    matches!(submission.units[..], [Unit::Block { remembered: true, .. }])
}

fn pair() -> Answer {
    Answer::Replies(replies(&["*2\r\n$1\r\nl\r\n$1\r\na\r\n"]))
}

#[test]
fn it_has_no_deadline_and_waits_at_the_next_leader_too() {
    let mut bench = Bench::led_by(2);
    let (node, first) = only(&bench.block(0, 10));
    assert_eq!((node, number(&first), is_remembered(&first)), (NodeId(2), 10, true));
    assert!(!bench.tick(60_000).iter().any(|output| matches!(output, Output::Done(..))));
    bench.0.leader(GROUP, Some(NodeId(3)));
    let (node, second) = only(&bench.flush(60_001));
    assert_eq!((node, second.origin, is_remembered(&second)), (NodeId(3), first.origin, true));
    assert_eq!(bench.answer(60_002, first.ticket, pair()), [], "an attempt that was given up");
    let done = bench.answer(60_003, second.ticket, pair());
    assert!(done.contains(&Output::Done(Ticket(10), Outcome::Replies(replies(&["*2\r\n$1\r\nl\r\n$1\r\na\r\n"])))));
    assert_eq!((bench.0.bytes(), bench.0.blocked()), (0, 0));
}

#[test]
fn at_this_node_nothing_needs_to_be_remembered_unless_another_may_have_served_it() {
    let mut bench = Bench::led_by(1);
    let (node, own) = only(&bench.block(0, 10));
    assert_eq!((node, is_remembered(&own)), (ME, false));
    assert_eq!(attempts(&bench.answer(1, own.ticket, Answer::Refused(Refusal::NotLeader))), []);
    bench.0.leader(GROUP, Some(NodeId(2)));
    let (_, other) = only(&bench.flush(20));
    assert!(is_remembered(&other));
    bench.0.link_down(NodeId(2));
    bench.0.leader(GROUP, Some(ME));
    let (node, again) = only(&bench.flush(21));
    assert_eq!((node, is_remembered(&again)), (ME, true), "node 2 may have served it");
    let done = bench.answer(22, again.ticket, Answer::Unknown);
    assert_eq!(attempts(&done), [], "its answer is stored, if it has one: it is asked for again");
    assert_eq!(attempts(&bench.tick(50)).len(), 1);
    let mut bench = Bench::led_by(1);
    let (_, own) = only(&bench.block(0, 10));
    assert!(bench.answer(1, own.ticket, Answer::Unknown).contains(&Output::Done(Ticket(10), Outcome::Unknown)));
}

#[test]
fn the_leader_hears_what_is_still_wanted() {
    let mut bench = Bench::led_by(2);
    let first = bench.block(0, 10);
    let [(beat, 11, open)] = &beats(&first)[..] else { panic!("{first:?}") };
    assert_eq!(open, &[10]);
    let wanted = bench.block(1, 12);
    assert_eq!(beats(&wanted), [], "one at a time");
    let (_, second) = only(&wanted);
    let noted = Answer::Replies(vec![UnitReply::Noted]);
    assert_eq!(bench.answer(2, *beat, noted.clone()), []);
    let later = bench.tick(500);
    let [(beat, 13, open)] = &beats(&later)[..] else { panic!("{later:?}") };
    assert_eq!(open, &[10, 12]);
    bench.answer(501, *beat, noted.clone());
    bench.0.give_up(GROUP, Ticket(10));
    let at_once = bench.flush(502);
    let [(beat, 13, open)] = &beats(&at_once)[..] else { panic!("{at_once:?}") };
    assert_eq!(open, &[12], "who is gone is not given anything");
    bench.answer(503, *beat, noted.clone());
    bench.answer(504, second.ticket, pair());
    let last = bench.tick(1_100);
    let [(beat, 13, open)] = &beats(&last)[..] else { panic!("{last:?}") };
    assert!(open.is_empty(), "the leader may forget its answer");
    bench.answer(1_101, *beat, noted);
    assert_eq!(bench.tick(9_000), [], "nothing is left to say");
}

#[test]
fn whose_time_is_over_is_answered_in_time() {
    let mut bench = Bench::led_by(2);
    let (_, first) = only(&bench.block(0, 10));
    bench.0.hurry(at(100), GROUP, Ticket(10));
    let hurry = only(&bench.flush(100)).1;
    assert!(matches!(&hurry.units[..], [Unit::Hurry { numbers, .. }] if numbers == &[10]));
    assert_eq!(attempts(&bench.tick(200)), []);
    assert_eq!(attempts(&bench.tick(301)).len(), 1, "asked again");
    bench.0.link_down(NodeId(2));
    bench.0.leader(GROUP, Some(NodeId(3)));
    let wanted = attempts(&bench.flush(302));
    let [(_, looks), ..] = &wanted[..] else { panic!("{wanted:?}") };
    assert_eq!((looks.origin, &looks.units), (first.origin, &Arc::new(vec![Unit::Call(blpop())])), "it only looks");
    assert!(bench.tick(2_600).contains(&Output::Done(Ticket(10), Outcome::Unknown)));

    let mut bench = Bench::led_by(2);
    bench.0.leader(GROUP, None);
    assert_eq!(bench.block(0, 10), []);
    bench.0.hurry(at(100), GROUP, Ticket(10));
    assert_eq!(bench.tick(2_600), [Output::Done(Ticket(10), Outcome::Down)], "it certainly took nothing");
}
