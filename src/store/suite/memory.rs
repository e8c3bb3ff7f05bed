//! What only the twins in memory can show: crashes and failures on demand.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    GROUP, all, apply, b, batch, engine_suite, grow, hard_state, log_suite, put, random_batch, random_key, read,
    record, state, stored,
};
use crate::base::{LogIndex, Rng};
use crate::store::memory::{Fault, MemoryEngine, MemoryLog, Operation};
use crate::store::{Engine, Log, Mutation, Order, Read};

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
                    engine.ingest(&[(start.clone(), end.clone())], &mut [stored(record.clone())].into_iter()).unwrap();
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
    assert!(engine.ingest(&[], &mut [record("a", "2")].into_iter()).is_err());
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
    let mut lengths = BTreeSet::new();
    let mut torn = false;
    for seed in 0..50 {
        let log = MemoryLog::new();
        log.append(&[grow(GROUP, 1, 1..=2)]).unwrap();
        log.write(&[grow(GROUP, 1, 3..=4)]).unwrap();
        log.write(&[grow(GROUP, 1, 5..=5)]).unwrap();
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
