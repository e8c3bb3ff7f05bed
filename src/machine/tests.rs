//! The machine against a host made of a few lists: what it promises when proposals are refused, overtaken, repeated.

mod blocked;
mod bounds;
mod events;
mod fields;
mod publications;
mod scripts;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::command::batch::{Call, Watch};
use crate::resp::Protocol;
use crate::store::memory::{Fault, MemoryEngine, Operation};
use crate::store::{Engine, Read};

const GROUP: GroupId = GroupId(1);

/// One replica and the host around it.
struct World {
    engine: Arc<MemoryEngine>,
    machine: Machine,
    now: Now,
    out: Vec<Output>,
    /// Appended and not committed.
    log: Vec<Committed>,
    last: LogIndex,
    term: Term,
    tickets: u64,
}

impl World {
    fn new() -> World {
        World::on(Arc::new(MemoryEngine::new()))
    }

    fn on(engine: Arc<MemoryEngine>) -> World {
        World::of(Content::Keys(SlotRange::ALL), engine)
    }

    fn of(content: Content, engine: Arc<MemoryEngine>) -> World {
        let thresholds = Thresholds::default();
        // Most stories are about several small entries on their way.
        let settings = Settings { small_entries_in_flight_max: usize::MAX, ..Settings::new(thresholds) };
        let machine = Machine::new(GROUP, content, 1, engine.clone(), settings, 1).unwrap();
        let last = machine.state().applied;
        let now = Now { wall: Millis(1_000), mono: Nanos(1_000) };
        World { engine, machine, now, out: Vec::new(), log: Vec::new(), last, term: Term(0), tickets: 0 }
    }

    /// A leader that may evaluate.
    fn leader() -> World {
        let mut world = World::new();
        world.lead(Term(1));
        world
    }

    fn lead(&mut self, term: Term) {
        self.term = term;
        let first = self.last.next();
        self.handle(Input::Role(Role::Leader { term, first }));
        self.append(term, Bytes::new());
        self.commit();
    }

    fn append(&mut self, term: Term, data: Bytes) -> LogIndex {
        self.last = self.last.next();
        self.log.push(Committed { index: self.last, term, data, conf_state: None });
        self.last
    }

    /// Feeds an input; proposals are kept among the outputs.
    fn handle(&mut self, input: Input) {
        self.machine.handle(self.now, input, &mut self.out).unwrap();
    }

    fn turn(&mut self) {
        self.machine.turn(self.now, &mut self.out).unwrap();
    }

    /// Takes the proposals out of the outputs.
    fn proposals(&mut self) -> Vec<Proposal> {
        let is_proposal = |output: &mut Output| matches!(output, Output::Propose(_));
        let proposals = self.out.extract_if(.., is_proposal);
        proposals
            .filter_map(|output| if let Output::Propose(proposal) = output { Some(proposal) } else { None })
            .collect()
    }

    /// Appends the proposals to the log.
    fn accept(&mut self) -> usize {
        let proposals = self.proposals();
        let count = proposals.len();
        for Proposal { generation, sequence, term, data, .. } in proposals {
            let index = self.append(term, data);
            self.handle(Input::Proposed { generation, sequence, index, term });
        }
        count
    }

    fn commit(&mut self) {
        let entries = std::mem::take(&mut self.log);
        self.handle(Input::Commit(entries));
    }

    /// What came out since the last call, without `Applied`.
    fn told(&mut self) -> Vec<Output> {
        let mut out = std::mem::take(&mut self.out);
        out.retain(|output| !matches!(output, Output::Applied(_)));
        out
    }

    fn submit(&mut self, units: Vec<Unit>) -> Ticket {
        self.submit_from(None, units)
    }

    fn submit_from(&mut self, origin: Option<Origin>, units: Vec<Unit>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.handle(Input::Submit(Submission { ticket, origin, units: Arc::new(units) }));
        ticket
    }

    /// Runs units to their end on a healthy cluster.
    fn run(&mut self, units: Vec<Unit>) -> Vec<UnitReply> {
        self.run_from(None, units)
    }

    fn run_from(&mut self, origin: Option<Origin>, units: Vec<Unit>) -> Vec<UnitReply> {
        let ticket = self.submit_from(origin, units);
        self.settle();
        match self.told().as_slice() {
            [Output::Reply(answered, replies)] if *answered == ticket => replies.clone(),
            other => panic!("not one reply: {other:?}"),
        }
    }

    /// Turns, accepts, commits and confirms until nothing is left.
    fn settle(&mut self) {
        loop {
            self.turn();
            let rounds: Vec<u64> = self
                .out
                .extract_if(.., |output| matches!(output, Output::ConfirmLeadership(_)))
                .filter_map(|output| if let Output::ConfirmLeadership(number) = output { Some(number) } else { None })
                .collect();
            let accepted = self.accept();
            self.commit();
            for number in &rounds {
                self.handle(Input::ReadIndex { number: *number, index: self.last });
            }
            if rounds.is_empty() && accepted == 0 {
                break;
            }
        }
    }

    fn value(&self, key: &str) -> Option<Bytes> {
        let record = self.engine.get(&crate::store::keys::head(0, key.as_bytes())).unwrap()?;
        Some(crate::data::Head::decode(&record).unwrap().payload)
    }
}

/// The state of a replica as a received snapshot.
fn whole(world: &World) -> crate::store::snapshot::Receiver<Vec<Bytes>> {
    let ranges = crate::store::snapshot::ranges(GROUP, Some(SlotRange::ALL));
    let mut sender = crate::store::snapshot::Sender::new(world.engine.snapshot().unwrap(), ranges);
    let mut receiver = crate::store::snapshot::Receiver::new(Vec::new());
    while let Some(chunk) = sender.next_chunk().unwrap() {
        receiver.accept(chunk).unwrap();
    }
    receiver
}

fn words(line: &str) -> Call {
    let args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    Call::new(0, Protocol::Resp2, args)
}

fn call(line: &str) -> Vec<Unit> {
    vec![Unit::Call(words(line))]
}

fn reply(text: &'static str) -> Vec<UnitReply> {
    vec![UnitReply::Call(Bytes::from_static(text.as_bytes()))]
}

fn origin(number: u64, acknowledged_below: u64) -> Option<Origin> {
    Some(Origin { session: SessionId(9), number, acknowledged_below })
}

fn text(bytes: Option<Bytes>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn a_write_is_one_entry_and_answers_when_it_is_applied() {
    let mut world = World::leader();
    world.told();
    let (first, second) = (world.submit(call("SET k v")), world.submit(call("GET k")));
    world.turn();
    assert_eq!(world.accept(), 1, "all that waits is one entry");
    assert_eq!(world.told(), []);
    world.commit();
    assert_eq!(world.told(), [Output::Reply(first, reply("+OK\r\n")), Output::Reply(second, reply("$1\r\nv\r\n"))]);
    assert_eq!(text(world.value("k")).as_deref(), Some("v"));
}

#[test]
fn rule_25_nothing_is_evaluated_before_the_first_entry_of_the_term_is_applied() {
    let mut world = World::new();
    let refused = world.submit(call("SET k v"));
    assert_eq!(world.told(), [Output::Refused(refused, Refusal::NotLeader)]);
    world.term = Term(4);
    world.handle(Input::Role(Role::Leader { term: Term(4), first: LogIndex(1) }));
    let early = world.submit(call("SET k v"));
    world.turn();
    assert_eq!(world.told(), []);
    world.append(Term(4), Bytes::new());
    world.commit();
    world.settle();
    assert_eq!(world.told(), [Output::Reply(early, reply("+OK\r\n"))]);
}

#[test]
fn rule_17_the_state_record_is_in_the_batch_of_the_mutations() {
    let mut world = World::leader();
    world.run(call("SET k v"));
    let state = State::load(&*world.engine, GROUP).unwrap().unwrap();
    assert_eq!((state.applied, state.term, state.stamp), (LogIndex(2), Term(1), Millis(1_000)));
    assert_eq!(state, *world.machine.state());
    world.engine.fail_next(Operation::Write, Fault::io());
    let data = crate::group::entry::Entry {
        stamp: Millis(2_000),
        epoch: 1,
        mutations: Vec::new(),
        publications: Vec::new(),
        own: Vec::new(),
    }
    .encode();
    world.append(Term(1), data);
    let entries = std::mem::take(&mut world.log);
    assert!(world.machine.handle(world.now, Input::Commit(entries), &mut world.out).is_err());
    assert_eq!(State::load(&*world.engine, GROUP).unwrap().unwrap(), state);
    assert_eq!(*world.machine.state(), state, "what was not written was not applied");
}

#[test]
fn rule_23_an_unknown_format_stops_and_a_gap_too() {
    let mut world = World::leader();
    world.append(Term(1), Bytes::from_static(b"\x09"));
    let entries = std::mem::take(&mut world.log);
    let result = world.machine.handle(world.now, Input::Commit(entries), &mut world.out);
    assert!(matches!(result, Err(Error::Entry { index: LogIndex(2), .. })), "{result:?}");
    let ahead = Committed { index: LogIndex(7), term: Term(1), data: Bytes::new(), conf_state: None };
    let result = world.machine.handle(world.now, Input::Commit(vec![ahead]), &mut world.out);
    assert_eq!(result, Err(Error::OutOfOrder { index: LogIndex(7), applied: LogIndex(1) }));
}

#[test]
fn rule_23_replicas_are_equal_at_equal_index_however_entries_were_grouped() {
    let mut leader = World::leader();
    let mut log = vec![Committed { index: LogIndex(1), term: Term(1), data: Bytes::new(), conf_state: None }];
    for n in 0..20 {
        leader.submit(call(&format!("INCR n{}", n % 3)));
        leader.turn();
        leader.accept();
        log.extend(leader.log.iter().cloned());
        leader.commit();
    }
    let mut at_once = World::new();
    at_once.handle(Input::Commit(log.clone()));
    let mut one_by_one = World::new();
    for entry in log {
        one_by_one.handle(Input::Commit(vec![entry]));
    }
    assert_eq!(leader.machine.state(), at_once.machine.state());
    assert_eq!(leader.machine.state(), one_by_one.machine.state());
    assert_eq!(text(at_once.value("n1")), text(leader.value("n1")));
}

#[test]
fn rule_26_a_dropped_proposal_takes_all_later_ones_along_and_runs_again_in_order() {
    let mut world = World::leader();
    world.told();
    let tickets: Vec<Ticket> = (0..3)
        .map(|_| {
            let ticket = world.submit(call("INCR n"));
            world.turn();
            ticket
        })
        .collect();
    let read = world.submit(call("GET n"));
    world.turn();
    let proposals = world.proposals();
    assert_eq!(proposals.iter().map(|proposal| proposal.sequence).collect::<Vec<_>>(), [0, 1, 2]);
    let Proposal { generation, sequence, term, data, .. } = proposals[0].clone();
    let index = world.append(term, data);
    world.handle(Input::Proposed { generation, sequence, index, term });
    world.handle(Input::Dropped { generation, sequence: 1 });
    world.turn();
    world.handle(Input::Tick);
    world.turn();
    assert_eq!(world.proposals(), [], "the accepted entry is still under way");
    world.commit();
    assert_eq!(world.told(), [Output::Reply(tickets[0], reply(":1\r\n"))]);
    world.settle();
    let answers = [
        Output::Reply(tickets[1], reply(":2\r\n")),
        Output::Reply(tickets[2], reply(":3\r\n")),
        Output::Reply(read, reply("$1\r\n3\r\n")),
    ];
    assert_eq!(world.told(), answers);
    assert_eq!(text(world.value("n")).as_deref(), Some("3"));
}

#[test]
fn a_refused_proposal_runs_again_as_soon_as_the_group_has_room() {
    let mut world = World::leader();
    world.told();
    let tickets = [0, 1].map(|_| {
        let ticket = world.submit(call("INCR n"));
        world.turn();
        ticket
    });
    let Proposal { generation, sequence, term, data, .. } = world.proposals().remove(0);
    let index = world.append(term, data);
    world.handle(Input::Proposed { generation, sequence, index, term });
    world.handle(Input::Dropped { generation, sequence: 1 });
    world.turn();
    assert_eq!(world.proposals(), [], "there is no room before the first is applied");
    world.commit();
    world.turn();
    assert_eq!(world.accept(), 1, "without a tick");
    world.commit();
    assert_eq!(world.told(), [Output::Reply(tickets[0], reply(":1\r\n")), Output::Reply(tickets[1], reply(":2\r\n"))]);

    // With nothing on its way there is no use in asking again at once, only after something changed.
    let ticket = world.submit(call("INCR n"));
    world.turn();
    let Proposal { generation, sequence, .. } = world.proposals().remove(0);
    world.handle(Input::Dropped { generation, sequence });
    world.turn();
    assert_eq!(world.proposals(), []);
    world.append(Term(1), Bytes::new());
    world.commit();
    world.settle();
    assert_eq!(world.told(), [Output::Reply(ticket, reply(":3\r\n"))]);
}

#[test]
fn rule_29_a_step_down_leaves_the_decision_to_index_and_term() {
    let mut world = World::leader();
    world.told();
    let stands = world.submit(call("SET a 1"));
    world.turn();
    world.accept();
    let lost = world.submit(call("SET b 2"));
    world.turn();
    world.accept();
    let late = world.submit(call("SET c 3"));
    world.turn();
    let unnamed = world.proposals().remove(0);
    let waiting = world.submit(call("SET d 4"));
    world.handle(Input::Role(Role::Follower));
    assert_eq!(world.told(), [Output::Refused(waiting, Refusal::NotLeader)], "only what was never proposed");
    // The host names the place of the third only now.
    let Proposal { generation, sequence, term, data, .. } = unnamed;
    let index = world.append(term, data);
    world.handle(Input::Proposed { generation, sequence, index, term });
    // Another leader kept the first and overwrote the others by its first entry.
    world.log.truncate(1);
    world.last = world.log[0].index;
    world.append(Term(2), Bytes::new());
    world.commit();
    let told = world.told();
    assert_eq!(told[0], Output::Reply(stands, reply("+OK\r\n")));
    assert!(told.contains(&Output::Refused(lost, Refusal::NotLeader)), "{told:?}");
    assert!(told.contains(&Output::Refused(late, Refusal::NotLeader)), "{told:?}");
    assert_eq!((text(world.value("a")).as_deref(), world.value("b"), world.value("c")), (Some("1"), None, None));
}

#[test]
fn rule_26_a_proposal_dropped_after_a_step_down_did_not_run() {
    let mut world = World::leader();
    world.told();
    let ticket = world.submit(call("SET a 1"));
    world.turn();
    let Proposal { generation, sequence, .. } = world.proposals().remove(0);
    world.handle(Input::Role(Role::Follower));
    assert_eq!(world.told(), []);
    world.handle(Input::Dropped { generation, sequence });
    assert_eq!(world.told(), [Output::Refused(ticket, Refusal::NotLeader)]);
}

#[test]
fn a_leader_again_evaluates_on_what_was_decided_in_between() {
    let mut world = World::leader();
    world.run(call("SET n 5"));
    let lost = world.submit(call("INCR n"));
    world.turn();
    world.accept();
    world.handle(Input::Role(Role::Follower));
    world.log.clear();
    world.last = LogIndex(2);
    world.told();
    world.lead(Term(3));
    assert_eq!(world.told(), [Output::Refused(lost, Refusal::NotLeader)]);
    assert_eq!(world.run(call("INCR n")), reply(":6\r\n"));
}

#[test]
fn rule_25_a_leader_that_gave_up_a_transfer_waits_for_its_own_entries() {
    let mut world = World::leader();
    world.told();
    let first = world.submit(call("INCR n"));
    world.turn();
    world.accept();
    let unnamed = world.submit(call("INCR n"));
    world.turn();
    let Proposal { generation, sequence, .. } = world.proposals().remove(0);
    world.handle(Input::Role(Role::Follower));
    world.handle(Input::Role(Role::Leader { term: Term(1), first: LogIndex(1) }));
    let again = world.submit(call("INCR n"));
    world.turn();
    assert_eq!(world.proposals(), [], "the state does not show the first entry yet");
    world.commit();
    world.turn();
    assert_eq!(world.proposals(), [], "nor is it known what became of the second");
    world.handle(Input::Dropped { generation, sequence });
    world.settle();
    let answers = [
        Output::Reply(first, reply(":1\r\n")),
        Output::Refused(unnamed, Refusal::NotLeader),
        Output::Reply(again, reply(":2\r\n")),
    ];
    assert_eq!(world.told(), answers);
}

#[test]
fn rule_27_a_read_waits_for_the_entry_it_observed_and_for_proof_of_leadership() {
    let mut world = World::leader();
    world.told();
    let write = world.submit(call("SET k v"));
    world.turn();
    let read = world.submit(call("GET k"));
    world.turn();
    world.accept();
    assert_eq!(world.told(), []);
    world.commit();
    assert_eq!(world.told(), [Output::Reply(write, reply("+OK\r\n")), Output::ConfirmLeadership(1)]);
    let second = world.submit(call("GET k"));
    world.turn();
    assert_eq!(world.told(), [], "one round at a time");
    world.handle(Input::ReadIndex { number: 1, index: world.last });
    let expected = [Output::Reply(read, reply("$1\r\nv\r\n")), Output::ConfirmLeadership(2)];
    assert_eq!(world.told(), expected, "the round started before the second read was evaluated");
    world.handle(Input::ReadIndex { number: 2, index: world.last });
    assert_eq!(world.told(), [Output::Reply(second, reply("$1\r\nv\r\n"))]);
}

#[test]
fn rule_27_a_lease_counts_when_the_answer_leaves_not_when_it_was_evaluated() {
    let mut world = World::leader();
    world.told();
    let until = Nanos(2_000);
    world.handle(Input::Lease { term: Term(1), until });
    let write = world.submit(call("SET k v"));
    world.turn();
    let read = world.submit(call("GET k"));
    world.turn();
    world.accept();
    world.now.mono = until;
    world.commit();
    assert_eq!(world.told(), [Output::Reply(write, reply("+OK\r\n")), Output::ConfirmLeadership(1)]);
    world.handle(Input::Lease { term: Term(1), until: Nanos(3_000) });
    assert_eq!(world.told(), [Output::Reply(read, reply("$1\r\nv\r\n"))]);
    let read = world.submit(call("GET k"));
    world.turn();
    assert_eq!(world.told(), [Output::Reply(read, reply("$1\r\nv\r\n"))], "nothing pending, a lease: at once");
}

#[test]
fn rule_33_a_released_lease_answers_nothing_more() {
    let mut world = World::leader();
    world.told();
    world.handle(Input::Lease { term: Term(1), until: Nanos(9_000) });
    world.handle(Input::Lease { term: Term(1), until: Nanos(0) });
    assert_eq!(world.told(), [Output::LeaseReleased(Term(1))]);
    let read = world.submit(call("GET k"));
    world.turn();
    assert_eq!(world.told(), [Output::ConfirmLeadership(1)]);
    world.handle(Input::Lease { term: Term(9), until: Nanos(9_000) });
    assert_eq!(world.told(), [], "another term's lease proves nothing");
    world.handle(Input::ReadRefused { number: 1 });
    assert_eq!(world.told(), [Output::Refused(read, Refusal::NotLeader)]);
}

#[test]
fn rule_27_a_step_down_refuses_reads_that_wait() {
    let mut world = World::leader();
    world.told();
    let observing = {
        world.submit(call("SET k v"));
        world.turn();
        world.submit(call("GET k"))
    };
    world.turn();
    world.accept();
    world.handle(Input::Role(Role::Follower));
    assert_eq!(world.told(), [Output::Refused(observing, Refusal::NotLeader)]);
}

#[test]
fn rule_28_an_entry_of_another_epoch_is_skipped_and_its_commands_run_again() {
    let mut world = World::leader();
    world.told();
    let ticket = world.submit(call("INCR n"));
    world.turn();
    world.accept();
    // As if a split had been applied in between.
    let mut entry = crate::group::entry::Entry::decode(&world.log[0].data).unwrap();
    entry.epoch = 0;
    world.log[0].data = entry.encode();
    world.commit();
    assert_eq!(world.told(), []);
    assert_eq!(world.value("n"), None);
    world.settle();
    assert_eq!(world.told(), [Output::Reply(ticket, reply(":1\r\n"))]);
}

#[test]
fn j1_a_repeated_batch_runs_once_and_answers_the_same() {
    let mut world = World::leader();
    assert_eq!(world.run_from(origin(1, 1), call("INCR n")), reply(":1\r\n"));
    assert_eq!(world.run_from(origin(1, 1), call("INCR n")), reply(":1\r\n"), "applied");
    world.told();
    let first = world.submit_from(origin(2, 2), call("INCR n"));
    let same_turn = world.submit_from(origin(2, 2), call("INCR n"));
    world.turn();
    let in_flight = world.submit_from(origin(2, 2), call("INCR n"));
    world.turn();
    assert_eq!(world.accept(), 1);
    world.commit();
    let answer = |ticket| Output::Reply(ticket, reply(":2\r\n"));
    assert_eq!(world.told(), [answer(first), answer(same_turn), answer(in_flight)]);
    assert_eq!(text(world.value("n")).as_deref(), Some("2"));
}

#[test]
fn j1_a_batch_that_changed_nothing_does_not_run_a_second_time() {
    let mut world = World::leader();
    world.run(call("SET k 1"));
    assert_eq!(world.run_from(origin(1, 1), call("SETNX k 2")), reply(":0\r\n"));
    world.run(call("DEL k"));
    assert_eq!(world.run_from(origin(1, 1), call("SETNX k 2")), reply(":0\r\n"));
    assert_eq!(world.value("k"), None);
}

#[test]
fn j1_a_new_leader_answers_with_the_stored_reply() {
    let mut old = World::leader();
    old.run_from(origin(1, 1), call("INCR n"));
    old.submit_from(origin(2, 1), call("INCR n"));
    old.turn();
    // The second batch is lost with the old leader, the first is not.
    let mut new = World::on(old.engine.clone());
    new.lead(Term(2));
    assert_eq!(new.run_from(origin(1, 1), call("INCR n")), reply(":1\r\n"));
    assert_eq!(new.run_from(origin(2, 1), call("INCR n")), reply(":2\r\n"));
    assert_eq!(text(new.value("n")).as_deref(), Some("2"));
}

#[test]
fn acknowledged_replies_go_and_late_duplicates_are_refused() {
    let mut world = World::leader();
    world.run_from(origin(1, 1), call("INCR n"));
    world.run_from(origin(2, 1), call("INCR n"));
    world.run_from(origin(3, 3), call("INCR n"));
    let stored = |number| world.engine.get(&crate::store::keys::reply(GROUP, SessionId(9), number)).unwrap().is_some();
    assert_eq!([1, 2, 3].map(stored), [false, false, true]);
    world.told();
    let late = world.submit_from(origin(2, 1), call("INCR n"));
    world.turn();
    assert_eq!(world.told(), [Output::Refused(late, Refusal::Duplicate)]);
    let unknown = Some(Origin { session: SessionId(7), number: 5, acknowledged_below: 5 });
    let expired = world.submit_from(unknown, call("INCR n"));
    world.turn();
    assert_eq!(world.told(), [Output::Refused(expired, Refusal::SessionExpired)]);
}

#[test]
fn idle_sessions_are_forgotten_by_the_leaders_own_clock() {
    let mut world = World::leader();
    world.run_from(origin(1, 1), call("INCR n"));
    let known = |world: &World| {
        let session = world.engine.get(&crate::store::keys::session(GROUP, SessionId(9))).unwrap();
        let reply = world.engine.get(&crate::store::keys::reply(GROUP, SessionId(9), 1)).unwrap();
        (session.is_some(), reply.is_some())
    };
    world.now.wall = Millis(u64::MAX / 2);
    world.handle(Input::Tick);
    world.settle();
    assert_eq!(known(&world), (true, true), "a wall clock may jump");
    world.now.mono = world.now.mono + super::session::IDLE_MAX;
    world.handle(Input::Tick);
    world.settle();
    assert_eq!(known(&world), (false, false));
}

#[test]
fn watched_keys_stop_exec_when_they_changed() {
    let mut world = World::leader();
    let keys = vec![Bytes::from_static(b"k")];
    let watch = |world: &mut World| match world.run(vec![Unit::Watch { db: 0, keys: keys.clone() }])[..] {
        [UnitReply::Watch { term, sequence }] => Watch { db: 0, key: Bytes::from_static(b"k"), term, sequence },
        ref other => panic!("{other:?}"),
    };
    let exec = |watch: &Watch| vec![Unit::Atomic { watches: vec![watch.clone()], calls: vec![words("SET k x")] }];
    let unchanged = watch(&mut world);
    let done = vec![UnitReply::Atomic(Some(vec![Bytes::from_static(b"+OK\r\n")]))];
    assert_eq!(world.run(exec(&unchanged)), done);
    assert_eq!(world.run(exec(&unchanged)), [UnitReply::Atomic(None)], "the first EXEC changed the key");
    let before_change = watch(&mut world);
    world.lead(Term(2));
    world.told();
    assert_eq!(world.run(exec(&before_change)), [UnitReply::Atomic(None)], "another leader does not know");
}

#[test]
fn rule_39_stamps_never_go_back_and_due_keys_are_deleted_by_the_log() {
    let mut world = World::leader();
    world.run(call("SET k v PX 500"));
    world.now.wall = Millis(1_499);
    world.handle(Input::Tick);
    world.settle();
    assert!(world.value("k").is_some());
    world.now.wall = Millis(1_500);
    world.handle(Input::Tick);
    world.settle();
    assert_eq!(world.value("k"), None);
    assert_eq!(world.machine.state().stamp, Millis(1_500));
    world.now.wall = Millis(10);
    world.run(call("SET other v"));
    assert_eq!(world.machine.state().stamp, Millis(1_500));
}

#[test]
fn rule_24_a_replica_ends_no_key_by_its_own_decision() {
    let mut leader = World::leader();
    let mut log = vec![Committed { index: LogIndex(1), term: Term(1), data: Bytes::new(), conf_state: None }];
    // The last one's stamp passes the deadline, but its entry says nothing of the key.
    for (wall, line) in [(1_000, "SET due v PX 500"), (9_000, "SET other v")] {
        leader.now.wall = Millis(wall);
        leader.submit(call(line));
        leader.turn();
        leader.accept();
        log.extend(leader.log.iter().cloned());
        leader.commit();
    }
    assert!(leader.value("due").is_some(), "not even the leader's");
    let mut follower = World::new();
    follower.handle(Input::Commit(log));
    follower.told();
    let before = follower.machine.state().clone();
    assert_eq!(before.stamp, Millis(9_000));
    follower.now = Now { wall: Millis(u64::MAX / 2), mono: Nanos(u64::MAX / 2) };
    for _ in 0..3 {
        follower.handle(Input::Tick);
        follower.turn();
    }
    assert_eq!(follower.told(), [], "nothing is proposed");
    assert_eq!(follower.machine.state(), &before);
    assert_eq!(text(follower.value("due")).as_deref(), Some("v"), "the record is there until the log deletes it");
}

#[test]
fn rule_31_stored_replies_travel_through_snapshots() {
    let mut old = World::leader();
    old.run_from(origin(1, 1), call("INCR n"));
    old.run_from(origin(2, 1), call("INCR n"));
    // Number 1 was answered and acknowledged; 3 was answered, but the answer got lost with the leader.
    let lost = old.run_from(origin(3, 2), call("APPEND s x"));
    let mut new = World::new();
    let mut receiver = whole(&old);
    let place = (old.machine.state().applied, old.machine.state().term);
    snapshot::install(&*new.engine, GROUP, Some(SlotRange::ALL), place, &mut receiver).unwrap();
    new.handle(Input::Installed { index: place.0, term: place.1 });
    new.last = place.0;
    new.lead(Term(2));
    new.told();
    assert_eq!(new.run_from(origin(2, 2), call("INCR n")), reply(":2\r\n"));
    assert_eq!(new.run_from(origin(3, 2), call("APPEND s x")), lost);
    assert_eq!((text(new.value("n")).as_deref(), text(new.value("s")).as_deref()), (Some("2"), Some("x")));
    let late = new.submit_from(origin(1, 1), call("INCR n"));
    new.settle();
    assert_eq!(new.told(), [Output::Refused(late, Refusal::Duplicate)], "what was acknowledged is known as well");
    assert_eq!(new.run_from(origin(4, 2), call("INCR n")), reply(":3\r\n"));
}

#[test]
fn rule_21_slots_that_no_group_owns_are_emptied_before_anything_else() {
    let engine = Arc::new(MemoryEngine::new());
    let head = |key: &str| crate::store::keys::head(0, key.as_bytes());
    let slot = |key: &str| crate::base::Slot::of(key.as_bytes()).get();
    let fill = (0..500).map(|n| format!("key-{n}")).collect::<Vec<_>>();
    let mut batch = crate::store::Batch::default();
    fill.iter().for_each(|key| batch.put(head(key), "left behind"));
    batch.put(crate::store::keys::counts(GROUP), "a group record");
    engine.write(&batch).unwrap();
    let owned = [SlotRange::new(8_000, 9_999).unwrap(), SlotRange::new(1_000, 1_999).unwrap()];
    let emptied = snapshot::drop_unowned(&*engine, &owned).unwrap();
    assert_eq!(emptied.len(), 3);
    // As durable as what a snapshot for these slots brings next.
    engine.crash(&mut crate::base::Rng::new(1));
    for key in &fill {
        let is_owned = matches!(slot(key), 1_000..=1_999 | 8_000..=9_999);
        assert_eq!(engine.get(&head(key)).unwrap().is_some(), is_owned, "{key} in slot {}", slot(key));
    }
    assert!(engine.get(&crate::store::keys::counts(GROUP)).unwrap().is_some(), "group records are nobody's slots");
    engine.fail_until_healed(Operation::Write, Fault::io());
    assert_eq!(snapshot::drop_unowned(&*engine, &owned).unwrap(), [], "nothing is left, so nothing is written");
}

#[test]
fn rule_20_an_installed_snapshot_decides_what_it_can() {
    let mut leader = World::leader();
    for n in 0..5 {
        leader.run(call(&format!("SET k{n} v")));
    }
    let mut receiver = whole(&leader);
    let place = (leader.machine.state().applied, leader.machine.state().term);

    let mut behind = World::leader();
    behind.told();
    let doubtful = behind.submit(call("SET x 1"));
    behind.turn();
    behind.accept();
    behind.handle(Input::Role(Role::Follower));
    behind.told();
    snapshot::install(&*behind.engine, GROUP, Some(SlotRange::ALL), place, &mut receiver).unwrap();
    behind.handle(Input::Installed { index: place.0, term: place.1 });
    assert_eq!(behind.told(), [Output::Unknown(doubtful)]);
    assert_eq!(behind.machine.state(), leader.machine.state());
    assert_eq!(State::persisted(&*behind.engine, GROUP).unwrap(), place.0);
    assert_eq!(text(behind.value("k4")).as_deref(), Some("v"));
    let wrong = snapshot::install(&*behind.engine, GROUP, Some(SlotRange::ALL), (LogIndex(99), Term(1)), &mut receiver);
    assert!(matches!(wrong, Err(Error::Snapshot { .. })), "{wrong:?}");
}

#[test]
fn a_local_read_answers_from_the_applied_state_only() {
    let mut world = World::leader();
    world.run(call("SET k v"));
    world.run(call("SET due v PX 500"));
    world.submit(call("SET k newer"));
    world.turn();
    let version = world.machine.version();
    let mut facts = Facts {
        group: GROUP,
        slots: SlotRange::ALL,
        moment: crate::data::Moment { stamp: Millis(0), clock: Millis(1_000) },
        thresholds: world.machine.settings.thresholds,
        events: Default::default(),
        seed: 1,
    };
    let read = |facts: &Facts, line: &str| {
        let mut out = bytes::BytesMut::from(&b"before "[..]);
        let view = InMemory::new(&*world.engine, &version);
        let result = read_local(&view, facts, &world.machine.settings.usage, &words(line), &mut out).unwrap();
        (result, String::from_utf8_lossy(&out[7..]).into_owned())
    };
    assert_eq!(read(&facts, "GET k"), (Local::Done, "$1\r\nv\r\n".into()));
    assert_eq!(read(&facts, "SET k x"), (Local::NeedsLog, String::new()));
    assert_eq!(read(&facts, "GET due"), (Local::Done, "$1\r\nv\r\n".into()));
    facts.moment.clock = Millis(1_500);
    assert_eq!(read(&facts, "GET due"), (Local::NeedsLog, String::new()));
    assert_eq!(version.change(|| read(&facts, "GET k")), (Local::WouldBlock, String::new()));
    assert_eq!(read(&facts, "GET k").0, Local::Done);
}

#[test]
fn a_view_in_memory_is_never_of_two_states() {
    let mut world = World::leader();
    world.run(call("SET a 1"));
    let version = world.machine.version();
    let view = InMemory::new(&*world.engine, &version);
    let record = crate::store::keys::head(0, b"a");
    assert!(view.get(&record).unwrap().is_some());
    version.change(|| ());
    assert_eq!(view.get(&record), Err(crate::store::Error::WouldBlock));
}

/// One record of all changes, one behind the other; the answer is the record.
fn append(state: &mut dyn store::Write, change: &Bytes) -> store::Result<Bytes> {
    let key = Bytes::from_static(b"changes");
    let changes = Bytes::from([&state.get(&key)?.unwrap_or_default()[..], change].concat());
    state.put(key, changes.clone());
    Ok(changes)
}

#[test]
fn a_change_of_facts_is_decided_about_once_and_on_top_of_those_before_it() {
    let mut world = World::of(Content::Facts(append), Arc::new(MemoryEngine::new()));
    world.lead(Term(1));
    world.told();
    let change = |text: &'static str| vec![Unit::Change(Bytes::from_static(text.as_bytes()))];
    let decided = |text: &'static str| vec![UnitReply::Decision(Bytes::from_static(text.as_bytes()))];
    let first = world.submit(change("a"));
    world.turn();
    assert_eq!(world.accept(), 1);
    // Its entry is on its way.
    let second = world.submit_from(origin(1, 1), change("b"));
    world.settle();
    assert_eq!(world.told(), [Output::Reply(first, decided("a")), Output::Reply(second, decided("ab"))]);
    assert_eq!(world.run_from(origin(1, 1), change("b")), decided("ab"), "a copy of it");
    assert_eq!(world.run(change("c")), decided("abc"));
    // A refused entry takes what was decided on top of it along.
    let (lost, after) = (world.submit(change("d")), world.submit(change("e")));
    world.turn();
    for Proposal { generation, sequence, .. } in world.proposals() {
        world.handle(Input::Dropped { generation, sequence });
    }
    world.handle(Input::Tick);
    world.settle();
    assert_eq!(world.told(), [Output::Reply(lost, decided("abcd")), Output::Reply(after, decided("abcde"))]);
}

#[test]
fn what_a_group_does_not_hold_is_refused() {
    let refused = |mut world: World, units: Vec<Unit>| {
        world.lead(Term(1));
        world.told();
        let ticket = world.submit(units);
        assert_eq!(world.told(), [Output::Refused(ticket, Refusal::NotLeader)]);
    };
    let change = || Unit::Change(Bytes::from_static(b"a"));
    let facts = || World::of(Content::Facts(append), Arc::new(MemoryEngine::new()));
    refused(World::new(), vec![change()]);
    refused(World::new(), vec![Unit::Call(words("GET k")), change()]);
    refused(facts(), call("SET k v"));
    refused(facts(), vec![change(), Unit::Watch { db: 0, keys: vec![] }]);
}
