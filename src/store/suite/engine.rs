//! What every engine does.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{all, apply, b, batch, put, random_batch, random_key, record, stored};
use crate::base::Rng;
use crate::store::{Batch, Engine, Error, Mutation, Order};

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
    engine.ingest(&[(b("a"), b("z"))], &mut [record("z1", "3")].into_iter()).unwrap();
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
    let records = [record("b2", "new"), record("b9", "new"), record("m1", "new")];
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
    let records = [record("c", "1"), record("b", "1"), record("d", "1"), record("b", "2")];
    engine.ingest(&[], &mut records.into_iter()).unwrap();
    let expected = [(b("a"), b("1")), (b("b"), b("2")), (b("c"), b("1")), (b("d"), b("1"))];
    assert_eq!(all(engine, b"", b"z", Order::Forward), expected);
    engine.ingest(&[(b("a"), b("z"))], &mut std::iter::empty()).unwrap();
    assert_eq!(all(engine, b"", b"z", Order::Forward), []);
    engine.ingest(&[], &mut std::iter::empty()).unwrap();
    engine.write(&batch([put("b", "1")])).unwrap();
    engine.flush().unwrap();
    engine.ingest(&[], &mut [record("c", "1"), Ok((b("b"), None)), Ok((b("x"), None))].into_iter()).unwrap();
    assert_eq!(all(engine, b"", b"z", Order::Forward), [(b("c"), b("1"))], "a record can be removed");
    assert_eq!(engine.get_persisted(b"b"), Ok(None));
    engine.ingest(&[(b("a"), b("z"))], &mut std::iter::empty()).unwrap();
    let broken = [record("a", "1"), Err(Error::Corrupt("chunk".into()))];
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
                engine.ingest(&[(start.clone(), end.clone())], &mut records.iter().cloned().map(stored)).unwrap();
                apply(&mut model, &super::batch([Mutation::DeleteRange(start, end)]));
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
