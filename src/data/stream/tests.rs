//! Streams against plain maps.

use std::collections::BTreeMap;

use super::*;
use crate::base::{Millis, Rng};
use crate::data::testing::World;

fn key() -> Bytes {
    Bytes::from("s")
}

fn at(ms: u64) -> Id {
    Id { ms, seq: 0 }
}

fn words(number: u64) -> Vec<Bytes> {
    vec![Bytes::from(format!("f{}", number % 3)), Bytes::from("v".repeat((number % 7) as usize))]
}

fn find(keys: &mut Keyspace<'_>) -> Stream {
    Stream::find(keys, 0, &key()).unwrap().unwrap_or_else(|| Stream::new(0, &key()))
}

/// A world with a stream of entries 1-0, 2-0 and so on.
fn filled(count: u64) -> World {
    let mut world = World::new(1);
    world.keys(|keys| {
        let mut stream = find(keys);
        (1..=count).for_each(|ms| stream.append(keys, at(ms), &words(ms)));
        stream.save(keys);
    });
    world
}

#[test]
fn golden_records() {
    let mut world = World::new(1);
    world.thresholds.stream_node_entries_max = 1;
    world.keys(|keys| {
        let mut stream = find(keys);
        for ms in [3, 300] {
            stream.append(keys, Id { ms, seq: 1 }, &["f".into(), "v".into()]);
        }
        assert!(stream.create_group(keys, &"g".into(), at(2), Some(1)).unwrap());
        stream.save(keys);
        let stream = find(keys);
        let mut group = stream.group(keys, b"g").unwrap().unwrap();
        group.consumer_or_new(keys, &"c".into(), Millis(5)).unwrap();
        let pending = Pending { consumer: "c".into(), delivered: Millis(7), deliveries: 2 };
        group.give(keys, Id { ms: 3, seq: 1 }, None, &pending).unwrap();
        group.save(keys);
    });
    let told = |(record, value): (&Bytes, &Bytes)| format!("{} {}", record[2..].escape_ascii(), value.escape_ascii());
    let records: Vec<String> = world.store.iter().map(told).collect();
    let (place, checksum) = (r"\x80\x1b\x0e\xcf\x0b\x00\x00\x00\x01s", r"\x00\x00\x00\x00");
    let three = r"\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x01";
    let number = r"\x00\x00\x00\x00\x00\x00\x00\x00";
    // Live, dead, bytes, and the checksum of the fields.
    let page = r"\x01\x00\x19\x82\xc3\x8f\xde\x05";
    let expected = [
        format!(
            r"\x00\x1b\x0e\xcf\x0bs %\x02\x02\xac\x02\x01\x00\x00\x03\x01\xac\x02\x01\x01\x01\x02\xac\x02\x01\xac\x02\x01{page}"
        ),
        format!(r"{place}\x05{checksum}{three} \x01f\x01v"),
        format!(r"{place}\x05{checksum}\x00\x00\x00\x00\x00\x00\x01,\x00\x00\x00\x00\x00\x00\x00\x01 \x01f\x01v"),
        format!(r"{place}\x06{checksum}{three} \x03\x01{page}"),
        format!(r"{place}\x07{checksum}g \x00\x02\x00\x02\x01\x01\x01"),
        format!(r"{place}\x08{checksum}{number}c \x00\x05\x00\x01"),
        format!(r"{place}\t{checksum}{number}{three} \x07\x02c"),
        format!(r"{place}\n{checksum}{number}{number}{three} "),
    ];
    assert_eq!(records, expected);
}

#[test]
fn a_stream_is_what_a_model_is() {
    for (seed, entries_max) in [(1, 1), (2, 3), (3, 100)] {
        let (mut world, mut rng) = (World::new(1), Rng::new(seed));
        world.thresholds.stream_node_entries_max = entries_max;
        let mut model = BTreeMap::<Id, Vec<Bytes>>::new();
        let (mut last, mut added) = (0u64, 0);
        for step in 0..3_000 {
            let near = at(last.saturating_sub(rng.below(30)));
            world.keys(|keys| {
                let mut stream = find(keys);
                match rng.below(10) {
                    0..6 => {
                        last += 1 + rng.below(2);
                        added += 1;
                        stream.append(keys, at(last), &words(last));
                        model.insert(at(last), words(last));
                    }
                    6 => assert_eq!(stream.remove(keys, near).unwrap(), model.remove(&near).is_some()),
                    7 if rng.chance(1, 3) => {
                        let bound = if rng.chance(1, 2) { Bound::Id(near) } else { Bound::Length(rng.below(30)) };
                        let before = model.len();
                        let removed = stream.trim(keys, Trim { bound, by_pages: false, limit: None }).unwrap();
                        match bound {
                            Bound::Id(least) => model.retain(|id, _| *id >= least),
                            Bound::Length(max) => {
                                while model.len() as u64 > max {
                                    model.pop_first();
                                }
                            }
                        }
                        assert_eq!(removed as usize, before - model.len());
                    }
                    8 if rng.chance(1, 3) => {
                        let most = rng.below(30);
                        let trim = Trim { bound: Bound::Length(most), by_pages: true, limit: Some(1_000) };
                        let removed = stream.trim(keys, trim).unwrap();
                        (0..removed).for_each(|_| drop(model.pop_first()));
                        let pages = entries_max as u64;
                        assert!(removed == 0 || model.len() as u64 >= most);
                        // Pages may hold entries that are gone.
                        assert!((model.len() as u64) < most.max(1) + 2 * pages, "{} of {most}", model.len());
                    }
                    _ => {
                        let to = at(near.ms + rng.below(20));
                        for order in [Order::Forward, Order::Backward] {
                            let mut found = Vec::new();
                            stream
                                .visit(keys, near, to, order, &mut |id, words| {
                                    found.push((id, words));
                                    ControlFlow::Continue(())
                                })
                                .unwrap();
                            if order == Order::Backward {
                                found.reverse();
                            }
                            let expected: Vec<_> =
                                model.range(near..=to).map(|(id, words)| (*id, words.clone())).collect();
                            assert_eq!(found, expected);
                        }
                        assert_eq!(stream.entry(keys, near).unwrap(), model.get(&near).cloned());
                    }
                }
                let facts = stream.facts();
                assert_eq!((facts.length, facts.added, facts.last_id), (model.len() as u64, added, at(last)));
                assert_eq!(stream.pages(keys).unwrap().len() as u64, facts.pages);
                stream.save(keys);
            });
            if step % 20 == 0 {
                world.audit();
            }
        }
        world.audit();
    }
}

#[test]
fn a_group_is_what_a_model_is() {
    let (mut world, mut rng) = (filled(40), Rng::new(7));
    let name = Bytes::from("g");
    world.keys(|keys| {
        let mut stream = find(keys);
        for other in ["g", "another"] {
            assert!(stream.create_group(keys, &other.into(), Id::MIN, None).unwrap());
        }
        assert!(!stream.create_group(keys, &name, Id::MIN, None).unwrap());
        stream.save(keys);
    });
    let mut model = BTreeMap::<Id, Pending>::new();
    for step in 0..3_000 {
        let (id, consumer) = (at(1 + rng.below(40)), Bytes::from(format!("c{}", rng.below(4))));
        world.keys(|keys| {
            let stream = find(keys);
            let mut group = stream.group(keys, &name).unwrap().unwrap();
            let before = group.pending(keys, id).unwrap();
            assert_eq!(before.as_ref(), model.get(&id));
            match rng.below(10) {
                0..5 => {
                    group.consumer_or_new(keys, &consumer, Millis(step)).unwrap();
                    let after = Pending { consumer, delivered: Millis(step), deliveries: rng.below(3) };
                    group.give(keys, id, before.as_ref(), &after).unwrap();
                    model.insert(id, after);
                }
                5 | 6 => {
                    if let Some(before) = before {
                        group.acknowledge(keys, id, &before).unwrap();
                        model.remove(&id);
                    }
                }
                7 if rng.chance(1, 4) => {
                    let count = model.values().filter(|pending| pending.consumer == consumer).count() as u64;
                    assert_eq!(group.remove_consumer(keys, &consumer).unwrap(), count);
                    model.retain(|_, pending| pending.consumer != consumer);
                }
                _ => {
                    let mut found = Vec::new();
                    group
                        .visit_pending(keys, (id, at(20)), &mut |id, pending| {
                            found.push((id, pending));
                            ControlFlow::Continue(())
                        })
                        .unwrap();
                    let range = || model.iter().filter(|(known, _)| (id..=at(20)).contains(known));
                    let all: Vec<_> = range().map(|(id, pending)| (*id, pending.clone())).collect();
                    assert_eq!(found, all);
                    if let Some(owner) = group.consumer(keys, &consumer).unwrap().cloned() {
                        let owned = group.owned(keys, &owner, (id, at(20)), 3).unwrap();
                        let mut expected = all;
                        expected.retain(|(_, pending)| pending.consumer == consumer);
                        expected.truncate(3);
                        assert_eq!(owned, expected);
                    }
                    let ends = model.keys().next().copied().zip(model.keys().next_back().copied());
                    assert_eq!(group.pending_ends(keys).unwrap(), ends);
                }
            }
            assert_eq!(group.pending, model.len() as u64);
            group.save(keys);
        });
        if step % 50 == 0 {
            world.audit();
        }
    }
    let before = world.store.len();
    world.keys(|keys| {
        let mut stream = find(keys);
        let group = stream.group(keys, &name).unwrap().unwrap();
        stream.destroy_group(keys, &group).unwrap();
        stream.save(keys);
        assert_eq!(find(keys).groups(keys).unwrap().len(), 1);
    });
    world.audit();
    assert!(world.store.len() < before && world.store.len() < 45, "nothing of the group is left");
}

#[test]
fn what_a_change_writes_does_not_depend_on_the_length() {
    let mut world = filled(50_000);
    let written = world.written(|keys| {
        let mut stream = find(keys);
        stream.append(keys, at(60_000), &words(1));
        stream.save(keys);
    });
    assert!(written < 200, "{written} bytes for an entry");
    let written = world.written(|keys| {
        let mut stream = find(keys);
        let trim = Trim { bound: Bound::Length(100), by_pages: false, limit: None };
        assert_eq!(stream.trim(keys, trim).unwrap(), 49_901);
        stream.save(keys);
    });
    assert!(written < 5_000, "{written} bytes for a trim");
    world.audit();
    let written = world.written(|keys| {
        let head = keys.lookup(0, b"s").unwrap().unwrap();
        keys.remove(0, &key(), &head);
    });
    assert!(written < 100, "{written} bytes for the end");
    assert_eq!(world.store.len(), 0);
}

#[test]
fn a_trim_by_pages_has_a_limit() {
    let mut world = filled(1_000);
    let mut trim = |bound, limit| {
        world.keys(|keys| {
            let mut stream = find(keys);
            let removed = stream.trim(keys, Trim { bound, by_pages: true, limit }).unwrap();
            stream.save(keys);
            removed
        })
    };
    assert_eq!(trim(Bound::Length(450), Some(250)), 200);
    assert_eq!(trim(Bound::Length(450), None), 300);
    assert_eq!(trim(Bound::Length(450), None), 0);
    assert_eq!(trim(Bound::Id(at(750)), None), 200);
    assert_eq!(trim(Bound::Id(at(2_000)), Some(50)), 0);
    assert_eq!(trim(Bound::Id(at(2_000)), None), 300);
    world.audit();
    assert_eq!(world.store.len(), 1, "an empty stream is a head");
}

#[test]
fn damage_is_told() {
    let mut world = filled(3);
    let head = world.keys(|keys| keys.lookup(0, b"s")).unwrap().unwrap();
    let told = |world: &World| audit(&world.store, 0, &key(), &head).unwrap().len();
    assert_eq!(told(&world), 0);
    let place = Place { db: 0, key: key() };
    let record = |kind, name: &[u8]| place.record(kind, name);
    for (kind, name, value) in [
        (ElementKind::Entry, at(2).bytes().to_vec(), &b"\x01f"[..]),
        (ElementKind::Entry, at(9).bytes().to_vec(), b""),
        (ElementKind::Readers, b"g".to_vec(), &[0; 7]),
        (ElementKind::Pending, [&[0; 8][..], &at(1).bytes()].concat(), b"\0\0c"),
        (ElementKind::Owned, [&[0; 16][..], &at(1).bytes()].concat(), b""),
    ] {
        let mut damaged = World::new(1);
        damaged.store = world.store.clone();
        damaged.keys(|keys| keys.store.put(record(kind, &name), Bytes::copy_from_slice(value)));
        assert!(told(&damaged) > 0, "{kind:?}");
    }
    world.keys(|keys| keys.store.delete(record(ElementKind::Entry, &at(1).bytes())));
    assert_eq!(told(&world), 2, "the head and the page");
    assert!(Facts::decode(&head.payload[1..]).is_err() && Facts::decode(&[&head.payload[..], b"x"].concat()).is_err());
}
