//! Generations change no answer: the suites over them, views that stay as they were, crashes that leave a prefix.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::cached::nothing_newer_is_followed_by_something_older;
use super::{all, apply, b, batch, engine_suite, put, random_batch};
use crate::base::Rng;
use crate::store::cached::{CachedEngine, Policy};
use crate::store::generation::Generations;
use crate::store::memory::{Fault, MemoryEngine, Operation};
use crate::store::rocks::{RocksEngine, StateOptions};
use crate::store::{Batch, Engine, Mutation, Order, Read, Snapshot, keys};

/// Every write waits for a flush, a few do, none does.
const SIZES: [u64; 3] = [1, 2_000, u64::MAX];

type Model = BTreeMap<Bytes, Bytes>;

fn over(below: impl Engine + 'static, bytes: u64) -> Generations {
    Generations::new(Arc::new(below), bytes)
}

fn cached(below: impl Engine + 'static) -> CachedEngine {
    CachedEngine::new(Arc::new(below), 64 << 10, Policy::TinyLfu)
}

fn rocks(directory: &tempfile::TempDir) -> RocksEngine {
    let options = StateOptions { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, ..StateOptions::default() };
    RocksEngine::open(directory.path(), &options).unwrap()
}

#[test]
fn generations_keep_the_promises() {
    for bytes in SIZES {
        engine_suite(|| over(MemoryEngine::new(), bytes));
        engine_suite(|| over(cached(MemoryEngine::new()), bytes));
    }
    let directories: Vec<_> = (0..7).map(|_| tempfile::tempdir().unwrap()).collect();
    let next = std::cell::Cell::new(0);
    engine_suite(|| over(cached(rocks(&directories[next.replace(next.get() + 1)])), 2_000));
}

#[test]
fn rule_38_concurrent_readers_of_generations_never_step_back_in_time() {
    for bytes in SIZES {
        nothing_newer_is_followed_by_something_older(&over(cached(MemoryEngine::new()), bytes), 2_000);
    }
    let directory = tempfile::tempdir().unwrap();
    nothing_newer_is_followed_by_something_older(&over(cached(rocks(&directory)), 5_000), 500);
}

/// Batches like those of a group: heads of many slots, elements of one, group records, now and then a whole range.
fn group_batch(rng: &mut Rng, step: u64) -> Batch {
    let key = |rng: &mut Rng| match rng.below(4) {
        0 => keys::head(0, format!("k{}", rng.below(60)).as_bytes()),
        1 => keys::head(1, format!("{{one}}{}", rng.below(60)).as_bytes()),
        2 => keys::element(0, b"large", keys::ElementKind::Field, &rng.below(300).to_be_bytes()),
        _ => Bytes::from(format!("\u{ff}\u{ff}{:02}", rng.below(60))),
    };
    let mut batch = Batch::default();
    for _ in 0..rng.range(1, 12) {
        match rng.below(40) {
            0 => {
                let (start, end) = keys::elements(0, b"large");
                batch.delete_range(start, end);
            }
            1 => {
                let (one, other) = (key(rng), key(rng));
                batch.delete_range(one.clone().min(other.clone()), one.max(other));
            }
            2..12 => batch.delete(key(rng)),
            _ => batch.put(key(rng), step.to_string()),
        }
    }
    batch
}

fn assert_shows(view: &dyn Read, model: &Model, rng: &mut Rng, told: &str) {
    let expected: Vec<_> = model.clone().into_iter().collect();
    assert_eq!(all(view, b"", b"\xff\xff\xff\xff\xff", Order::Forward), expected, "{told}");
    let mut keys: Vec<Bytes> = model.keys().cloned().collect();
    keys.sort_by_key(|_| rng.next());
    for pair in keys.chunks(2).take(5) {
        let (start, end) = (&pair[0], pair.last().unwrap_or(&pair[0]));
        assert_eq!(view.get(start).unwrap().as_ref(), model.get(start), "{told}");
        if start < end {
            let mut expected: Vec<_> =
                model.range(start.clone()..end.clone()).map(|(key, value)| (key.clone(), value.clone())).collect();
            expected.reverse();
            assert_eq!(all(view, start, end, Order::Backward), expected, "{told}");
        }
    }
}

#[test]
fn views_stay_as_they_were_whatever_is_written_removed_flushed_and_ingested() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let engine = over(MemoryEngine::new(), *rng.pick(&SIZES));
        let mut model = Model::new();
        let mut views: Vec<(Snapshot, Model)> = Vec::new();
        for step in 0..200 {
            let told = format!("seed {seed}, step {step}");
            match rng.below(12) {
                0 => views.push((engine.snapshot().unwrap(), model.clone())),
                1 if !views.is_empty() => {
                    let at = rng.below(views.len() as u64) as usize;
                    let (view, model) = views.swap_remove(at);
                    assert_shows(&*view, &model, &mut rng, &told);
                }
                2 => engine.flush().unwrap(),
                3 => {
                    let (start, end) = keys::elements(0, b"large");
                    engine.ingest(&[(start.clone(), end.clone())], &mut std::iter::empty()).unwrap();
                    apply(&mut model, &batch([Mutation::DeleteRange(start, end)]));
                }
                _ => {
                    let batch = group_batch(&mut rng, step);
                    engine.write(&batch).unwrap();
                    apply(&mut model, &batch);
                }
            }
            if step % 20 == 0 {
                assert_shows(&engine, &model, &mut rng, &told);
            }
        }
        for (view, model) in views {
            assert_shows(&*view, &model, &mut rng, &format!("seed {seed}, at the end"));
        }
    }
}

#[test]
fn rule_17_a_crash_leaves_a_prefix_of_the_batches() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let below = MemoryEngine::new();
        let mut engine = over(below.clone(), 500);
        // What was after each batch, and which of it is flushed at least.
        let mut states = vec![Model::new()];
        let mut flushed = 0;
        for step in 0..200 {
            let mut model = states.last().cloned().unwrap_or_default();
            match rng.below(30) {
                0 => {
                    engine.flush().unwrap();
                    flushed = states.len() - 1;
                }
                1 => {
                    drop(engine);
                    below.crash(&mut rng);
                    engine = over(below.clone(), 500);
                    let left: Model = all(&engine, b"", b"\xff", Order::Forward).into_iter().collect();
                    let at = states.iter().rposition(|state| *state == left).expect("a state that once was");
                    assert!(at >= flushed, "seed {seed}: flushed batches are gone");
                    states.truncate(at + 1);
                    flushed = at;
                }
                2 => {
                    // A disk that fails for a while changes nothing of what is read; later everything goes down.
                    below.fail_next(
                        Operation::Ingest,
                        if rng.chance(1, 2) { Fault::io() } else { Fault::io().but_done() },
                    );
                    let _ = engine.flush();
                    below.heal();
                }
                _ => {
                    let batch = random_batch(&mut rng, step);
                    engine.write(&batch).unwrap();
                    apply(&mut model, &batch);
                    states.push(model);
                }
            }
            let shown: Model = all(&engine, b"", b"\xff", Order::Forward).into_iter().collect();
            assert_eq!(Some(&shown), states.last(), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn rule_40_writes_wait_for_a_flush_once_several_generations_are_unflushed() {
    let below = MemoryEngine::new();
    let engine = over(below.clone(), 1_000);
    let fill = || engine.write(&batch([Mutation::Put(b("a"), Bytes::from(vec![0; 500]))]));
    assert!(!engine.wants_flush());
    fill().unwrap();
    fill().unwrap();
    assert!(engine.wants_flush(), "replaced values count: their log entries are still in memory");
    below.fail_until_healed(Operation::Ingest, Fault::no_space());
    let before_refusal = (0..20).take_while(|_| fill().is_ok()).count();
    assert!((2..8).contains(&before_refusal), "{before_refusal}");
    assert!(engine.figures().unflushed_bytes < 6_000);
    below.heal();
    fill().unwrap();
    assert!(engine.figures().unflushed_bytes < 1_000);
    assert_eq!(engine.get_persisted(b"a").unwrap().map(|value| value.len()), Some(500));
}

#[test]
fn many_writes_of_a_record_reach_the_engine_below_as_one() {
    let below = MemoryEngine::new();
    let engine = over(below.clone(), u64::MAX);
    for value in ["1", "2", "3"] {
        engine.write(&batch([put("a", value), put("b", value), Mutation::Delete(b("b"))])).unwrap();
    }
    assert_eq!(below.get(b"a"), Ok(None));
    engine.flush().unwrap();
    assert_eq!((below.get(b"a"), below.get(b"b")), (Ok(Some(b("3"))), Ok(None)));
    let figures = engine.figures();
    assert_eq!((figures.unflushed_bytes, figures.records), (0, 1));
}
