//! Sorted sets against plain maps.

use std::collections::BTreeMap;

use super::*;
use crate::base::Rng;
use crate::data::testing::World;

fn key() -> Bytes {
    Bytes::from("z")
}

fn find(world: &mut World) -> Zset {
    world.keys(|keys| Zset::find(keys, 0, &key()).unwrap()).unwrap_or_else(|| Zset::new(0, &key()))
}

fn add(keys: &mut Keyspace<'_>, mut zset: Zset, member: &Bytes, score: f64) {
    let before = zset.score(keys, member).unwrap();
    zset.set(keys, member, score, before).unwrap();
    zset.save(keys);
}

#[test]
fn golden_payloads() {
    let mut world = World::new(1);
    for (member, score) in [("b", 1.5), ("a", -0.0)] {
        let zset = find(&mut world);
        world.keys(|keys| add(keys, zset, &Bytes::from(member), score));
    }
    let payload = |world: &mut World| {
        let head = world.keys(|keys| keys.lookup(0, b"z")).unwrap().unwrap();
        head.payload.escape_ascii().to_string()
    };
    assert_eq!(payload(&mut world), r"\x01a\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01b\x08?\xf8\x00\x00\x00\x00\x00\x00");
    let zset = find(&mut world);
    world.keys(|keys| add(keys, zset, &vec![b'c'; 65].into(), 2.0));
    assert_eq!(payload(&mut world), r"\x00\x01\x03[");
    let values: Vec<Bytes> = world.store.iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(values.len(), 5, "a head, a node and three members");
    assert!(values.contains(&encode_score(1.5)) && values.iter().any(|value| value.starts_with(b"\0\x09\0\0")));
    let separator = |left: Bytes, right: Bytes| split(&separator(&left, &right)).1.escape_ascii().to_string();
    assert_eq!(separator(entry(b"abcd", 1.0), entry(b"abef", 1.0)), "abe");
    assert_eq!(separator(entry(b"a", 1.0), entry(b"abc", 1.0)), "ab");
    assert_eq!(separator(entry(b"abcd", -1.0), entry(b"abef", 1.0)), "");
}

#[test]
fn a_sorted_set_is_what_a_model_is() {
    for (seed, entries_max, record_bytes) in [(1, 0, 0), (2, 3, 0), (3, 8, 0), (4, 1_000, usize::MAX), (5, 1_000, 200)]
    {
        let (mut world, mut rng) = (World::new(1), Rng::new(seed));
        let mut model = BTreeMap::<Bytes, f64>::new();
        world.thresholds.zset_entries_max = entries_max;
        world.thresholds.record_entries_max = 4;
        world.thresholds.record_bytes_max = record_bytes;
        world.thresholds.node_entries_max = entries_max.clamp(4, 16);
        for step in 0..3_000 {
            let zset = find(&mut world);
            let member = Bytes::from(format!("m{}", rng.below(if step % 1_000 < 700 { 300 } else { 5 })));
            let scores = [-1.5, -0.0, 0.0, 1.0, 7.0, f64::INFINITY, f64::NEG_INFINITY];
            let score = if rng.chance(1, 2) { *rng.pick(&scores) } else { rng.below(1_000) as f64 / 8.0 };
            let mut sorted: Vec<Scored> = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
            sorted.sort_by(|(one, first), (other, second)| compare((*first, one), (*second, other)));
            world.keys(|keys| {
                assert_eq!(zset.count(), model.len() as u64);
                assert_eq!(zset.score(keys, &member).unwrap(), model.get(&member).copied());
                match rng.below(10) {
                    0..6 => {
                        add(keys, zset, &member, score);
                        model.insert(member, score + 0.0);
                    }
                    6 => {
                        let mut zset = zset;
                        assert_eq!(zset.remove(keys, &member).unwrap(), model.remove(&member).is_some());
                        zset.save(keys);
                    }
                    7 if rng.chance(1, 8) => {
                        let (mut zset, len) = (zset, sorted.len() as u64);
                        let from = rng.below(len + 1);
                        let to = from + rng.below(len - from + 1);
                        let removed = zset.remove_ranks(keys, from, to).unwrap();
                        assert_eq!(removed, sorted[from as usize..to as usize]);
                        removed.iter().for_each(|(member, _)| assert!(model.remove(member).is_some()));
                        zset.save(keys);
                    }
                    _ => {
                        let rank =
                            sorted.partition_point(|(other, known)| compare((*known, other), (score, &member)).is_lt());
                        assert_eq!(zset.rank(keys, &member, score).unwrap(), rank as u64);
                        assert_eq!(
                            zset.range(keys, rank as u64, rank as u64 + 5).unwrap(),
                            sorted[rank..sorted.len().min(rank + 5)]
                        );
                        let drawn = zset.random(keys, 3, false).unwrap();
                        assert_eq!(drawn.len(), sorted.len().min(3));
                        assert!(drawn.iter().all(|(member, score)| model.get(member) == Some(score)));
                    }
                }
            });
            if step % 20 == 0 {
                world.audit();
            }
        }
        let members: Vec<Scored> = model.into_iter().collect();
        world.keys(|keys| Zset::replace(keys, 0, &key(), members.clone()).unwrap());
        world.audit();
        let zset = find(&mut world);
        assert_eq!(zset.count(), members.len() as u64);
        world.keys(|keys| Zset::replace(keys, 0, &key(), Vec::new()).unwrap());
        assert_eq!(world.store.len(), 0);
    }
}

#[test]
fn many_words_make_a_large_sorted_set_even_of_one_member() {
    let mut world = World::new(1);
    let zset = find(&mut world);
    world.keys(|keys| add(keys, zset, &Bytes::from("a"), 1.0));
    let mut zset = find(&mut world);
    world.keys(|keys| {
        zset.expect(keys, 129, 1).unwrap();
        zset.save(keys);
    });
    world.audit();
    assert_eq!(world.store.len(), 3);
    let mut empty = Zset::new(0, &Bytes::from("none"));
    world.keys(|keys| {
        empty.expect(keys, 129, 1).unwrap();
        empty.save(keys);
    });
    assert_eq!(world.store.len(), 3);
}

#[test]
fn what_outgrows_a_record_is_one_piece_until_it_outgrows_that_too() {
    let mut world = World::new(1);
    let head = |world: &mut World| world.keys(|keys| keys.lookup(0, b"z")).unwrap().unwrap();
    let fill = |world: &mut World, numbers: std::ops::Range<u64>| {
        for number in numbers {
            let zset = find(world);
            world.keys(|keys| add(keys, zset, &Bytes::from(format!("{number:040}")), number as f64));
        }
    };
    fill(&mut world, 0..64);
    assert!(!head(&mut world).spread);
    fill(&mut world, 64..128);
    assert!(head(&mut world).spread && head(&mut world).is_one_piece());
    let zset = find(&mut world);
    world.keys(|keys| add(keys, zset, &Bytes::from(format!("{:040}", 5)), 700.0));
    assert!(head(&mut world).is_one_piece(), "it has as many members as before");
    fill(&mut world, 128..129);
    assert!(!head(&mut world).is_one_piece());
    let mut zset = find(&mut world);
    world.keys(|keys| {
        zset.remove_ranks(keys, 0, 100).unwrap();
        zset.save(keys);
    });
    fill(&mut world, 200..210);
    assert!(!head(&mut world).is_one_piece(), "it never turns back");
    // Short members are one record, however many a Redis keeps in one piece.
    let short = (0..128).map(|number| (Bytes::from(number.to_string()), 0.0)).collect();
    world.keys(|keys| Zset::replace(keys, 0, &key(), short).unwrap());
    assert!(!head(&mut world).spread);
    world.audit();
}

#[test]
fn a_large_sorted_set_changes_little_per_member() {
    let mut world = World::new(1);
    let member = |number: u64| Bytes::from(format!("member:{number}"));
    let members = (0..100_000).map(|number| (member(number * 7_919 % 100_000), number as f64)).collect();
    world.keys(|keys| Zset::replace(keys, 0, &key(), members).unwrap());
    let mut written = 0;
    for number in 0..1_000 {
        let zset = find(&mut world);
        written += world.written(|keys| add(keys, zset, &member(200_000 + number), (number * 97) as f64 + 0.5));
    }
    // A head, the member, and a node per level.
    assert!(written / 1_000 < 3_000, "{} bytes per member", written / 1_000);
    world.audit();
}

#[test]
fn a_million_members_are_ranked_by_few_reads_and_deleted_by_few_writes() {
    let mut world = World::new(1);
    let member = |number: u64| Bytes::from(format!("member:{number}"));
    let members = (0..1_000_000).map(|number| (member(number * 7_919 % 1_000_000), number as f64)).collect();
    world.keys(|keys| Zset::replace(keys, 0, &key(), members).unwrap());
    let rank = world.costs(|keys| {
        let zset = Zset::find(keys, 0, &key()).unwrap().unwrap();
        let score = zset.score(keys, &member(7_919 * 500_000 % 1_000_000)).unwrap().unwrap();
        assert_eq!(zset.rank(keys, &member(7_919 * 500_000 % 1_000_000), score).unwrap(), 500_000);
    });
    // The head, the member, and a node per level.
    assert!(rank.reads <= 12 && rank.writes == 0, "{rank:?}");
    let range = world.costs(|keys| {
        let zset = Zset::find(keys, 0, &key()).unwrap().unwrap();
        assert_eq!(zset.range(keys, 700_000, 700_010).unwrap().len(), 10);
    });
    assert!(range.reads <= 16, "{range:?}");
    let delete = world.costs(|keys| {
        let head = keys.lookup(0, &key()).unwrap().unwrap();
        keys.remove(0, &key(), &head);
    });
    assert!(delete.reads <= 2 && delete.writes <= 2, "{delete:?}");
    assert_eq!(world.store.len(), 0);
}

#[test]
fn damage_is_told() {
    let mut world = World::new(1);
    world.thresholds.zset_entries_max = 0;
    world.keys(|keys| Zset::replace(keys, 0, &key(), vec![("a".into(), 1.0), ("b".into(), 2.0)]).unwrap());
    let head = world.keys(|keys| keys.lookup(0, b"z")).unwrap().unwrap();
    let told = |world: &World, records| audit(&world.store, 0, &key(), &head, records).unwrap().len();
    assert_eq!((told(&world, 2), told(&world, 3)), (0, 1));
    let elements = Elements { db: 0, key: b"z", kind: ElementKind::Score };
    world.keys(|keys| keys.store.put(elements.record(b"b"), encode_score(3.0)));
    assert_eq!(told(&world, 2), 1);
    let mut zset = find(&mut world);
    assert!(world.keys(|keys| zset.remove(keys, b"b")).is_err());
}
