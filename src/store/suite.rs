//! One suite for every engine and one for every log: what the traits promise, run over memory, RocksDB and the
//! cached forms of both.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Batch, Engine, HardState, Log, LogRecord, LogState, LogWrite, Mutation, Order, Read};
use crate::base::{GroupId, LogIndex, Rng, Term};

/// Runs every test of the engine suite over the engines that `make` gives; each must be empty.
pub fn engine_suite<E: Engine>(make: impl Fn() -> E) {
    reads_back_what_was_written(&make());
    scans_in_both_directions(&make());
    snapshots_do_not_move(&make());
    flushed_is_persisted(&make());
    ingest_replaces_ranges(&make());
    ingest_takes_any_order_and_no_records(&make());
    follows_a_plain_map(&make());
}

fn b(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn batch(mutations: impl IntoIterator<Item = Mutation>) -> Batch {
    Batch { mutations: mutations.into_iter().collect() }
}

fn put(key: &'static str, value: &'static str) -> Mutation {
    Mutation::Put(b(key), b(value))
}

/// All records of a range, in order.
pub fn all(view: &dyn Read, start: &[u8], end: &[u8], order: Order) -> Vec<(Bytes, Bytes)> {
    let mut found = Vec::new();
    view.scan(start, end, order, &mut |key, value| {
        found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn reads_back_what_was_written(engine: &impl Engine) {
    assert_eq!(engine.get(b"a"), Ok(None));
    assert_eq!(engine.get_in_memory(b"a"), Ok(None));
    engine.write(&batch([put("a", "1"), put("b", "2"), put("a", "3"), Mutation::Delete(b("b"))])).unwrap();
    assert_eq!(engine.get(b"a"), Ok(Some(b("3"))), "a later mutation of a batch wins");
    assert_eq!(engine.get_in_memory(b"a"), Ok(Some(b("3"))));
    assert_eq!(engine.get(b"b"), Ok(None));
    engine.write(&batch([put("a", ""), put("b", "4"), Mutation::DeleteRange(b("b"), b("c")), put("b", "5")])).unwrap();
    assert_eq!(engine.get(b"a"), Ok(Some(b(""))), "an empty value is a value");
    assert_eq!(engine.get(b"b"), Ok(Some(b("5"))));
    engine.write(&Batch::default()).unwrap();
    engine.write(&batch([Mutation::DeleteRange(b("b"), b("a"))])).unwrap();
    assert_eq!(engine.get(b"b"), Ok(Some(b("5"))), "a range that ends before it starts is empty");
}

fn scans_in_both_directions(engine: &impl Engine) {
    engine.write(&batch([put("a", "1"), put("b", "2"), put("c", "3"), put("d", "4")])).unwrap();
    engine.write(&batch([Mutation::Delete(b("b"))])).unwrap();
    let forward = all(engine, b"a", b"d", Order::Forward);
    assert_eq!(forward, [(b("a"), b("1")), (b("c"), b("3"))]);
    let mut backward = all(engine, b"a", b"d", Order::Backward);
    backward.reverse();
    assert_eq!(backward, forward);
    assert_eq!(all(engine, b"x", b"z", Order::Forward), []);
    assert_eq!(all(engine, b"d", b"a", Order::Backward), []);
    let mut seen = 0;
    engine
        .scan(b"", b"z", Order::Backward, &mut |key, _| {
            assert_eq!(key, b"d");
            seen += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(seen, 1, "Break ends the scan");
}

fn snapshots_do_not_move(engine: &impl Engine) {
    engine.write(&batch([put("a", "1"), put("b", "1")])).unwrap();
    let snapshot = engine.snapshot().unwrap();
    engine.write(&batch([put("a", "2"), Mutation::DeleteRange(b("b"), b("c")), put("c", "2")])).unwrap();
    engine.flush().unwrap();
    engine.ingest(&[(b("a"), b("z"))], &mut [Ok((b("z1"), b("3")))].into_iter()).unwrap();
    assert_eq!(snapshot.get(b"a"), Ok(Some(b("1"))));
    assert_eq!(all(&*snapshot, b"", b"zz", Order::Forward), [(b("a"), b("1")), (b("b"), b("1"))]);
    assert_eq!(all(engine, b"", b"zz", Order::Forward), [(b("z1"), b("3"))]);
}

fn flushed_is_persisted(engine: &impl Engine) {
    engine.write(&batch([put("a", "1")])).unwrap();
    engine.flush().unwrap();
    assert_eq!(engine.get_persisted(b"a"), Ok(Some(b("1"))));
    engine.write(&batch([put("a", "2"), put("b", "2")])).unwrap();
    assert_eq!(engine.get_persisted(b"a"), Ok(Some(b("1"))), "what is not flushed is not promised");
    assert_eq!(engine.get_persisted(b"b"), Ok(None));
    assert_eq!(engine.get(b"a"), Ok(Some(b("2"))));
    engine.flush().unwrap();
    engine.flush().unwrap();
    assert_eq!(engine.get_persisted(b"a"), Ok(Some(b("2"))));
    engine.write(&batch([Mutation::DeleteRange(b("a"), b("c"))])).unwrap();
    assert_eq!(engine.get_persisted(b"b"), Ok(Some(b("2"))));
    engine.flush().unwrap();
    assert_eq!(engine.get_persisted(b"b"), Ok(None));
}

fn ingest_replaces_ranges(engine: &impl Engine) {
    engine.write(&batch([put("a", "1"), put("b1", "1"), put("b2", "1"), put("m1", "1"), put("z", "1")])).unwrap();
    engine.flush().unwrap();
    engine.write(&batch([put("b3", "2"), put("m2", "2"), put("y", "2")])).unwrap();
    let records = [Ok((b("b2"), b("new"))), Ok((b("b9"), b("new"))), Ok((b("m1"), b("new")))];
    engine.ingest(&[(b("b"), b("c")), (b("m"), b("n"))], &mut records.into_iter()).unwrap();
    let expected = [("a", "1"), ("b2", "new"), ("b9", "new"), ("m1", "new"), ("y", "2"), ("z", "1")];
    let expected: Vec<_> = expected.into_iter().map(|(key, value)| (b(key), b(value))).collect();
    assert_eq!(all(engine, b"", b"zz", Order::Forward), expected);
    assert_eq!(engine.get(b"b1"), Ok(None));
    for (key, value) in expected {
        assert_eq!(engine.get_persisted(&key), Ok(Some(value)), "ingesting makes what was before it durable too");
    }
    assert_eq!(engine.get_persisted(b"b3"), Ok(None));
    engine.write(&batch([put("b1", "later")])).unwrap();
    assert_eq!(engine.get(b"b1"), Ok(Some(b("later"))), "a write after it is not hidden by the cleared range");
}

fn ingest_takes_any_order_and_no_records(engine: &impl Engine) {
    engine.write(&batch([put("a", "1")])).unwrap();
    let records = [Ok((b("c"), b("1"))), Ok((b("b"), b("1"))), Ok((b("d"), b("1"))), Ok((b("b"), b("2")))];
    engine.ingest(&[], &mut records.into_iter()).unwrap();
    let expected = [(b("a"), b("1")), (b("b"), b("2")), (b("c"), b("1")), (b("d"), b("1"))];
    assert_eq!(all(engine, b"", b"z", Order::Forward), expected);
    engine.ingest(&[(b("a"), b("z"))], &mut std::iter::empty()).unwrap();
    assert_eq!(all(engine, b"", b"z", Order::Forward), []);
    engine.ingest(&[], &mut std::iter::empty()).unwrap();
    let broken = [Ok((b("a"), b("1"))), Err(super::Error::Corrupt("chunk".into()))];
    assert!(engine.ingest(&[], &mut broken.into_iter()).is_err());
    assert_eq!(engine.get(b"a"), Ok(None), "a snapshot that breaks off leaves nothing");
}

fn follows_a_plain_map(engine: &impl Engine) {
    let mut rng = Rng::new(7);
    let mut model: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    for step in 0..400 {
        let batch = random_batch(&mut rng, step);
        engine.write(&batch).unwrap();
        apply(&mut model, &batch);
        match rng.below(40) {
            0 => engine.flush().unwrap(),
            1 => {
                let (start, end) = (random_key(&mut rng), random_key(&mut rng));
                let records = [(start.clone(), Bytes::from(step.to_string()))];
                engine.ingest(&[(start.clone(), end.clone())], &mut records.iter().cloned().map(Ok)).unwrap();
                apply(&mut model, &self::batch([Mutation::DeleteRange(start, end)]));
                model.extend(records);
            }
            2 => {
                let (start, end) = (random_key(&mut rng), random_key(&mut rng));
                let mut expected: Vec<_> =
                    if start < end { model.range(start.clone()..end.clone()).collect() } else { Vec::new() };
                expected.reverse();
                let found = all(engine, &start, &end, Order::Backward);
                assert_eq!(found.iter().map(|(key, value)| (key, value)).collect::<Vec<_>>(), expected);
            }
            _ => {
                let key = random_key(&mut rng);
                assert_eq!(engine.get(&key).unwrap().as_ref(), model.get(&key), "step {step}");
            }
        }
    }
    assert_eq!(all(engine, b"", b"\xff", Order::Forward), model.into_iter().collect::<Vec<_>>());
}

pub fn random_key(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("{:03}", rng.below(150)))
}

pub fn random_batch(rng: &mut Rng, step: u64) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..rng.range(1, 6) {
        match rng.below(12) {
            0..8 => batch.put(random_key(rng), step.to_string()),
            8..11 => batch.delete(random_key(rng)),
            _ => batch.delete_range(random_key(rng), random_key(rng)),
        }
    }
    batch
}

pub fn apply(model: &mut BTreeMap<Bytes, Bytes>, batch: &Batch) {
    for mutation in batch.mutations.clone() {
        match mutation {
            Mutation::Put(key, value) => drop(model.insert(key, value)),
            Mutation::Delete(key) => drop(model.remove(&key)),
            Mutation::DeleteRange(start, end) => model.retain(|key, _| *key < start || *key >= end),
        }
    }
}

/// Runs every test of the log suite over the logs that `make` gives; each must be empty.
pub fn log_suite<L: Log>(make: impl Fn() -> L) {
    a_log_grows_and_is_read(&make());
    an_overwritten_tail_is_gone(&make());
    rule_04_hard_state_and_entries_go_together(&make());
    a_cut_log_keeps_its_hard_state(&make());
    a_reset_log_goes_on_after_the_snapshot(&make());
    groups_do_not_mix(&make());
}

pub const GROUP: GroupId = GroupId(1);

pub fn records(term: u64, indices: std::ops::RangeInclusive<u64>) -> Vec<LogRecord> {
    indices
        .map(|index| LogRecord {
            index: LogIndex(index),
            term: Term(term),
            data: Bytes::from(format!("entry {index} of term {term}")),
        })
        .collect()
}

pub fn hard_state(term: u64, commit: u64) -> HardState {
    HardState { term: Term(term), vote: 7, commit: LogIndex(commit) }
}

pub fn grow(group: GroupId, term: u64, indices: std::ops::RangeInclusive<u64>) -> LogWrite {
    LogWrite { group, records: records(term, indices), hard_state: Some(hard_state(term, 0)), ..LogWrite::default() }
}

fn read(log: &impl Log, low: u64, high: u64) -> super::Result<Vec<LogRecord>> {
    log.records(GROUP, LogIndex(low), LogIndex(high), u64::MAX)
}

fn state(log: &impl Log) -> LogState {
    *log.load().unwrap().iter().find(|state| state.group == GROUP).unwrap()
}

fn a_log_grows_and_is_read(log: &impl Log) {
    assert_eq!(log.load().unwrap(), []);
    log.append(&[]).unwrap();
    log.append(&[grow(GROUP, 1, 1..=3), grow(GROUP, 1, 4..=5)]).unwrap();
    assert_eq!(read(log, 1, 6).unwrap(), records(1, 1..=5));
    assert_eq!(read(log, 2, 4).unwrap(), records(1, 2..=3));
    assert_eq!(read(log, 3, 3).unwrap(), []);
    let one = log.records(GROUP, LogIndex(2), LogIndex(6), 1).unwrap();
    assert_eq!(one, records(1, 2..=2), "at least one entry, whatever the bound");
    let size = records(1, 1..=1)[0].data.len() as u64;
    assert_eq!(log.records(GROUP, LogIndex(1), LogIndex(6), 2 * size).unwrap(), records(1, 1..=2));
    assert!(read(log, 0, 2).is_err() && read(log, 1, 7).is_err(), "what is not stored is an error");
    assert!(log.records(GroupId(9), LogIndex(1), LogIndex(2), 1).is_err());
    let expected = LogState { group: GROUP, hard_state: hard_state(1, 0), last: LogIndex(5), ..LogState::default() };
    assert_eq!(log.load().unwrap(), [expected]);
}

fn an_overwritten_tail_is_gone(log: &impl Log) {
    log.append(&[grow(GROUP, 1, 1..=9)]).unwrap();
    log.append(&[grow(GROUP, 2, 4..=5)]).unwrap();
    assert_eq!(state(log).last, LogIndex(5));
    assert_eq!(read(log, 3, 6).unwrap(), [records(1, 3..=3), records(2, 4..=5)].concat());
    assert!(read(log, 6, 7).is_err());
    log.append(&[grow(GROUP, 2, 6..=6)]).unwrap();
    assert_eq!(read(log, 6, 7).unwrap(), records(2, 6..=6));
}

fn rule_04_hard_state_and_entries_go_together(log: &impl Log) {
    let vote = LogWrite { group: GROUP, hard_state: Some(hard_state(3, 0)), ..LogWrite::default() };
    log.append(&[vote]).unwrap();
    assert_eq!(state(log), LogState { group: GROUP, hard_state: hard_state(3, 0), ..LogState::default() });
    let mut write = grow(GROUP, 4, 1..=2);
    write.hard_state = Some(hard_state(4, 1));
    log.append(&[write]).unwrap();
    assert_eq!(state(log).hard_state, hard_state(4, 1));
    assert_eq!(state(log).last, LogIndex(2));
    let entries = LogWrite { group: GROUP, records: records(4, 3..=3), ..LogWrite::default() };
    log.append(&[entries]).unwrap();
    assert_eq!(state(log).hard_state, hard_state(4, 1));
}

fn a_cut_log_keeps_its_hard_state(log: &impl Log) {
    log.append(&[grow(GROUP, 2, 1..=8)]).unwrap();
    let cut = |index| LogWrite { group: GROUP, cut: Some((LogIndex(index), Term(2))), ..LogWrite::default() };
    log.append(&[cut(5)]).unwrap();
    log.append(&[cut(3)]).unwrap();
    let expected = LogState {
        group: GROUP,
        hard_state: hard_state(2, 0),
        before_first: (LogIndex(5), Term(2)),
        last: LogIndex(8),
    };
    assert_eq!(state(log), expected);
    assert!(read(log, 5, 7).is_err());
    assert_eq!(read(log, 6, 9).unwrap(), records(2, 6..=8));
    log.append(&[cut(8)]).unwrap();
    assert_eq!(state(log).before_first, (LogIndex(8), Term(2)));
    assert_eq!(state(log).last, LogIndex(8), "a log without entries remembers where it ends");
    log.append(&[grow(GROUP, 2, 9..=9)]).unwrap();
    assert_eq!(read(log, 9, 10).unwrap(), records(2, 9..=9));
}

fn a_reset_log_goes_on_after_the_snapshot(log: &impl Log) {
    log.append(&[grow(GROUP, 1, 1..=4)]).unwrap();
    let reset = LogWrite {
        group: GROUP,
        reset: Some((LogIndex(100), Term(5))),
        records: records(6, 101..=102),
        hard_state: Some(hard_state(6, 100)),
        ..LogWrite::default()
    };
    log.append(&[reset]).unwrap();
    let expected = LogState {
        group: GROUP,
        hard_state: hard_state(6, 100),
        before_first: (LogIndex(100), Term(5)),
        last: LogIndex(102),
    };
    assert_eq!(state(log), expected);
    assert!(read(log, 1, 2).is_err());
    assert_eq!(read(log, 101, 103).unwrap(), records(6, 101..=102));
    // A log may also be reset backwards, to the place of the state.
    let back = LogWrite {
        group: GROUP,
        reset: Some((LogIndex(50), Term(5))),
        hard_state: Some(hard_state(6, 50)),
        ..LogWrite::default()
    };
    log.append(&[back]).unwrap();
    assert_eq!((state(log).before_first.0, state(log).last), (LogIndex(50), LogIndex(50)));
    assert!(read(log, 101, 102).is_err());
}

fn groups_do_not_mix(log: &impl Log) {
    log.append(&[grow(GROUP, 1, 1..=3), grow(GroupId(2), 1, 1..=5), grow(GroupId(256), 1, 1..=1)]).unwrap();
    log.append(&[LogWrite { group: GroupId(2), destroy: true, ..LogWrite::default() }]).unwrap();
    let groups: Vec<GroupId> = log.load().unwrap().into_iter().map(|state| state.group).collect();
    assert_eq!(groups, [GROUP, GroupId(256)]);
    assert_eq!(read(log, 1, 4).unwrap(), records(1, 1..=3));
    log.append(&[grow(GroupId(2), 1, 1..=1)]).unwrap();
    assert_eq!(log.load().unwrap().len(), 3, "a destroyed group may begin anew");
}

mod memory {
    use super::*;
    use crate::store::memory::{Fault, MemoryEngine, MemoryLog, Operation};

    #[test]
    fn the_memory_engine_keeps_the_promises() {
        engine_suite(MemoryEngine::new);
    }

    #[test]
    fn the_memory_log_keeps_the_promises() {
        log_suite(MemoryLog::new);
    }

    /// The state after a crash is the state after some batch, not before the last flushed one; flushing again and
    /// going on from there works, over several lives.
    #[test]
    fn rule_17_a_crash_leaves_a_prefix_of_batches() {
        for seed in 0..40 {
            let mut rng = Rng::new(seed);
            let engine = MemoryEngine::new();
            let mut states = vec![BTreeMap::new()];
            let mut flushed = 0;
            for step in 0..200 {
                let mut model = states[states.len() - 1].clone();
                match rng.below(30) {
                    0 => {
                        engine.flush().unwrap();
                        flushed = states.len() - 1;
                    }
                    1 => {
                        engine.crash(&mut rng);
                        let left: BTreeMap<_, _> = all(&engine, b"", b"\xff", Order::Forward).into_iter().collect();
                        let at = states.iter().rposition(|state| *state == left).expect("a state that once was");
                        assert!(at >= flushed, "seed {seed}: flushed batches are gone");
                        states.truncate(at + 1);
                        flushed = at;
                    }
                    2 => {
                        let record = (random_key(&mut rng), Bytes::from(step.to_string()));
                        let (start, end) = (random_key(&mut rng), random_key(&mut rng));
                        engine.ingest(&[(start.clone(), end.clone())], &mut [Ok(record.clone())].into_iter()).unwrap();
                        apply(&mut model, &batch([Mutation::DeleteRange(start, end)]));
                        model.insert(record.0, record.1);
                        states.push(model);
                        flushed = states.len() - 1;
                    }
                    _ => {
                        let batch = random_batch(&mut rng, step);
                        engine.write(&batch).unwrap();
                        apply(&mut model, &batch);
                        states.push(model);
                    }
                }
                for (key, value) in &states[flushed] {
                    assert_eq!(engine.get_persisted(key).unwrap().as_ref(), Some(value), "seed {seed} step {step}");
                }
            }
        }
    }

    #[test]
    fn replaced_values_are_forgotten() {
        let engine = MemoryEngine::new();
        let snapshot = engine.snapshot().unwrap();
        for i in 0..100 {
            engine.write(&batch([Mutation::Put(b("a"), Bytes::from(i.to_string()))])).unwrap();
            engine.write(&batch([put("b", "1"), Mutation::Delete(b("b"))])).unwrap();
        }
        engine.flush().unwrap();
        assert_eq!(snapshot.get(b"a"), Ok(None));
        drop(snapshot);
        engine.write(&batch([put("c", "1")])).unwrap();
        assert_eq!(engine.figures().records, 2, "the deleted record leaves no trace once nothing can show it");
        assert_eq!(engine.unflushed_batches(), 1);
    }

    #[test]
    fn a_snapshot_does_not_survive_a_crash() {
        let engine = MemoryEngine::new();
        engine.write(&batch([put("a", "1")])).unwrap();
        let snapshot = engine.snapshot().unwrap();
        engine.crash(&mut Rng::new(1));
        assert!(snapshot.get(b"a").is_err());
        let newer = engine.snapshot().unwrap();
        drop(snapshot);
        engine.write(&batch([put("a", "2")])).unwrap();
        engine.flush().unwrap();
        assert_ne!(newer.get(b"a"), Ok(Some(b("2"))));
    }

    #[test]
    fn injected_failures_answer_once_or_until_healed() {
        let engine = MemoryEngine::new();
        engine.fail_next(Operation::Write, Fault::no_space());
        assert_eq!(engine.write(&batch([put("a", "1")])), Err(Fault::no_space().error));
        assert_eq!(engine.get(b"a"), Ok(None));
        engine.fail_next(Operation::Ingest, Fault::io().but_done());
        assert!(engine.ingest(&[], &mut [Ok((b("a"), b("2")))].into_iter()).is_err());
        assert_eq!(engine.get_persisted(b"a"), Ok(Some(b("2"))));
        engine.fail_until_healed(Operation::Read, Fault::io());
        assert!(engine.get(b"a").is_err() && engine.snapshot().is_err());
        engine.heal();
        assert_eq!(engine.get(b"a"), Ok(Some(b("2"))));
        engine.set_cold(Some(Rng::new(1)));
        let answers: Vec<_> = (0..20).map(|_| engine.get_in_memory(b"a")).collect();
        assert!(answers.contains(&Err(crate::store::Error::WouldBlock)) && answers.contains(&Ok(Some(b("2")))));
    }

    #[test]
    fn rule_05_a_failed_log_takes_no_more_writes() {
        for operation in [Operation::Write, Operation::Sync] {
            for fault in [Fault::io(), Fault::no_space()] {
                let log = MemoryLog::new();
                log.append(&[grow(GROUP, 1, 1..=1)]).unwrap();
                log.fail_next(operation, fault.clone());
                assert_eq!(log.append(&[grow(GROUP, 1, 2..=2)]), Err(fault.error));
                assert!(log.append(&[grow(GROUP, 1, 2..=2)]).is_err() && log.sync().is_err());
                log.crash(&mut Rng::new(1));
                assert!(read(&log, 1, 2).is_ok());
                let last = state(&log).last.get();
                log.append(&[grow(GROUP, 1, last + 1..=last + 1)]).unwrap();
            }
        }
    }

    #[test]
    fn rule_06_a_torn_tail_is_cut_and_damage_before_it_is_an_error() {
        let mut lengths = std::collections::BTreeSet::new();
        let mut torn = false;
        for seed in 0..50 {
            let log = MemoryLog::new();
            log.append(&[grow(GROUP, 1, 1..=2)]).unwrap();
            log.stage(&[grow(GROUP, 1, 3..=4)]).unwrap();
            log.stage(&[grow(GROUP, 1, 5..=5)]).unwrap();
            assert_eq!((state(&log).last, log.unsynced_writes()), (LogIndex(5), 2));
            log.crash(&mut Rng::new(seed));
            lengths.insert(state(&log).last.get());
            torn |= log.was_torn();
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [2, 4, 5], "a prefix of whole writes is left");
        assert!(torn);

        let log = MemoryLog::new();
        let mut write = grow(GROUP, 1, 1..=3);
        write.hard_state = Some(hard_state(1, 3));
        log.append(&[write]).unwrap();
        assert!(log.damage(GROUP, LogIndex(2)) && !log.damage(GROUP, LogIndex(4)));
        assert!(log.load().is_err() && read(&log, 1, 3).is_err());
        assert!(read(&log, 3, 4).is_ok());

        let log = MemoryLog::new();
        let mut write = grow(GROUP, 1, 1..=3);
        write.hard_state = Some(hard_state(1, 3));
        log.append(&[write]).unwrap();
        log.lose_tail(GROUP, LogIndex(2));
        let error = log.load().unwrap_err().to_string();
        assert!(error.contains("ends at 2 although 3 was committed"), "{error}");
    }

    #[test]
    #[should_panic(expected = "do not follow")]
    fn a_gap_is_refused() {
        let log = MemoryLog::new();
        let _ = log.append(&[grow(GROUP, 1, 2..=2)]);
    }
}
