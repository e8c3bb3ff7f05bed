//! Tests of both forms, with and without deadlines.

use super::*;
use crate::data::testing::World;

fn pair(field: &str, value: &str) -> Pair {
    (Bytes::copy_from_slice(field.as_bytes()), Bytes::copy_from_slice(value.as_bytes()))
}

fn numbered(count: usize) -> impl Iterator<Item = Pair> {
    (0..count).map(|number| pair(&format!("f{number}"), &number.to_string()))
}

fn key() -> Bytes {
    Bytes::from("h")
}

fn set(world: &mut World, pairs: impl IntoIterator<Item = Pair>) -> u64 {
    world.keys(|keys| Hash::find_or_new(keys, 0, &key()).unwrap().set(keys, pairs).unwrap())
}

#[test]
fn golden_payloads() {
    let mut world = World::new(1);
    set(&mut world, [pair("b", "1"), pair("a", "22")]);
    let payload = |world: &mut World| world.keys(|keys| keys.lookup(0, b"h")).unwrap().unwrap().payload;
    assert_eq!(payload(&mut world).escape_ascii().to_string(), r"\x01b\x011\x01a\x0222");
    set(&mut world, [pair("c", &"v".repeat(65))]);
    assert_eq!(payload(&mut world)[..], [0, 0, 0, 0, 0, 0, 0, 3]);
}

#[test]
fn both_forms_behave_alike() {
    for hash_entries_max in [0, 1, 3, 100] {
        let mut world = World::new(1);
        world.thresholds.hash_entries_max = hash_entries_max;
        assert_eq!(set(&mut world, numbered(3)), 3);
        assert_eq!(set(&mut world, [pair("f1", "x"), pair("f9", "9"), pair("f9", "10")]), 1);
        assert_eq!(world.counts.keys[0], 1);
        world.keys(|keys| {
            let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
            assert_eq!(hash.count(keys).unwrap(), 4);
            assert_eq!(hash.get(keys, b"f1").unwrap().unwrap(), "x");
            assert_eq!(hash.get(keys, b"f8").unwrap(), None);
            let mut pairs = hash.pairs(keys).unwrap();
            pairs.sort();
            assert_eq!(pairs, [pair("f0", "0"), pair("f1", "x"), pair("f2", "2"), pair("f9", "10")]);
            let fields = ["f0", "f8", "f0", "f1"].map(Bytes::from);
            assert_eq!(hash.remove(keys, &fields).unwrap(), 2);
            let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
            assert_eq!(hash.count(keys).unwrap(), 2);
            assert_eq!(hash.remove(keys, &["f2", "f9"].map(Bytes::from)).unwrap(), 2);
            assert!(Hash::find(keys, 0, &key()).unwrap().is_none());
        });
        assert_eq!((world.store.len(), world.counts.keys[0]), (0, 0), "nothing is left behind");
    }
}

#[test]
fn the_form_changes_at_the_thresholds_and_never_back() {
    let mut world = World::new(1);
    world.thresholds.hash_entries_max = 3;
    set(&mut world, numbered(3));
    assert_eq!(world.store.len(), 1);
    set(&mut world, [pair("f3", "")]);
    assert_eq!(world.store.len(), 5);
    world.keys(|keys| {
        let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
        hash.remove(keys, &["f0", "f1", "f2"].map(Bytes::from)).unwrap();
        assert!(keys.lookup(0, b"h").unwrap().unwrap().spread);
    });
    assert_eq!(world.store.len(), 2);

    let mut world = World::new(1);
    set(&mut world, [pair("f", &"v".repeat(64))]);
    assert_eq!(world.store.len(), 1);
    set(&mut world, [pair("f", &"v".repeat(65))]);
    assert_eq!(world.store.len(), 2);
}

#[test]
fn what_outgrows_a_record_is_one_piece_until_it_outgrows_that_too() {
    let mut world = World::new(1);
    let told = |world: &mut World| {
        let head = world.keys(|keys| keys.lookup(0, b"h")).unwrap().unwrap();
        (head.spread, head.is_one_piece())
    };
    set(&mut world, numbered(200));
    assert_eq!(told(&mut world), (false, true), "short fields are one record");
    set(&mut world, numbered(500));
    assert_eq!(told(&mut world), (true, true));
    set(&mut world, numbered(512));
    assert_eq!(told(&mut world), (true, true));
    world.audit();
    set(&mut world, [pair("f512", "")]);
    assert_eq!(told(&mut world), (true, false));
    world.keys(|keys| {
        let names: Vec<Bytes> = numbered(500).map(|(name, _)| name).collect();
        Hash::find(keys, 0, &key()).unwrap().unwrap().remove(keys, &names).unwrap();
    });
    set(&mut world, [pair("f1", "")]);
    assert_eq!(told(&mut world), (true, false), "it never turns back");
    world.audit();
    let mut world = World::new(1);
    set(&mut world, numbered(400));
    set(&mut world, [pair("f1", &"v".repeat(65))]);
    assert_eq!(told(&mut world), (true, false), "a long value");
    world.audit();
}

#[test]
fn a_scan_reports_every_field_once() {
    let mut world = World::new(1);
    set(&mut world, numbered(1000));
    world.keys(|keys| {
        let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
        let (mut cursor, mut seen) = (0, Vec::new());
        loop {
            let part = hash.scan(keys, cursor, 10).unwrap();
            assert!(part.pairs.len() >= 10 || part.cursor == 0);
            seen.extend(part.pairs);
            cursor = part.cursor;
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, hash.pairs(keys).unwrap());
        assert_eq!(hash.scan(keys, u64::MAX, 10).unwrap().pairs, []);
    });
}

#[test]
fn random_fields_are_uniform() {
    for hash_entries_max in [0, 100] {
        let mut world = World::new(1);
        world.thresholds.hash_entries_max = hash_entries_max;
        set(&mut world, numbered(10));
        world.keys(|keys| {
            let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
            let mut seen = [0; 10];
            for (_, value) in hash.random(keys, 10_000, true).unwrap() {
                seen[std::str::from_utf8(&value).unwrap().parse::<usize>().unwrap()] += 1;
            }
            // 1,000 expected, with a standard deviation of 30.
            assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
            for count in 0..12 {
                let mut drawn = hash.random(keys, count, false).unwrap();
                drawn.sort();
                drawn.dedup();
                assert_eq!(drawn.len() as u64, count.min(10));
            }
        });
    }
}
