//! Sets against plain ones, in all forms.

use std::collections::BTreeSet;

use super::*;
use crate::base::Rng;
use crate::data::testing::World;

fn words(text: &str) -> Vec<Bytes> {
    text.split_whitespace().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn key() -> Bytes {
    Bytes::from("s")
}

fn add(world: &mut World, members: &str) -> u64 {
    world.keys(|keys| Set::find_or_new(keys, 0, &key()).unwrap().add(keys, &words(members)).unwrap())
}

fn members(world: &mut World) -> Vec<Bytes> {
    world.keys(|keys| Set::find(keys, 0, &key()).unwrap().unwrap().members(keys).unwrap())
}

#[test]
fn golden_payloads() {
    let mut world = World::new(1);
    let payload = |world: &mut World| {
        let head = world.keys(|keys| keys.lookup(0, b"s")).unwrap().unwrap();
        head.payload.escape_ascii().to_string()
    };
    assert_eq!(add(&mut world, "10 9 -1 9"), 3);
    assert_eq!(payload(&mut world), r"\x01\x02-1\x019\x0210");
    assert_eq!(add(&mut world, "b a 1"), 3);
    assert_eq!(payload(&mut world), r"\x00\x02-1\x019\x0210\x01b\x01a\x011");
    add(&mut world, &"v".repeat(65));
    assert_eq!(payload(&mut world), r"\x00\x00\x00\x00\x00\x00\x00\x07");
    assert_eq!(world.store.len(), 8);
}

#[test]
fn a_set_of_either_form_is_what_a_model_is() {
    for (entries, integers, record) in [(0, 0, 64), (2, 5, 64), (5, 2, 64), (100, 100, 64), (8, 10, 2), (4, 9, 3)] {
        let mut world = World::new(1);
        world.thresholds.record_entries_max = record;
        world.thresholds.record_bytes_max = 0;
        world.thresholds.set_entries_max = entries;
        world.thresholds.set_integers_max = integers;
        let (mut model, mut rng) = (BTreeSet::new(), Rng::new(1));
        for _ in 0..2_000 {
            let few = if rng.chance(1, 2) { "0 1 2 3 4 5 6 7" } else { "a b 3 4 x y z w" };
            let some: Vec<Bytes> = words(few).into_iter().filter(|_| rng.chance(1, 3)).collect();
            if rng.chance(1, 2) {
                let added = world.keys(|keys| Set::find_or_new(keys, 0, &key()).unwrap().add(keys, &some).unwrap());
                let expected = some.iter().filter(|member| model.insert((*member).clone())).count();
                assert_eq!(added, expected as u64);
            } else if let Some(set) = world.keys(|keys| Set::find(keys, 0, &key()).unwrap()) {
                let removed = world.keys(|keys| set.remove(keys, &some).unwrap());
                assert_eq!(removed, some.iter().filter(|member| model.remove(*member)).count() as u64);
            }
            let set = world.keys(|keys| Set::find(keys, 0, &key()).unwrap());
            assert_eq!(set.is_some(), !model.is_empty());
            let Some(set) = set else { continue };
            assert_eq!(set.count(), model.len() as u64);
            world.keys(|keys| {
                let found: BTreeSet<Bytes> = set.members(keys).unwrap().into_iter().collect();
                assert_eq!(found, model);
                assert_eq!(set.contains(keys, b"3").unwrap(), model.contains(&b"3"[..]));
                let drawn: BTreeSet<Bytes> = set.random(keys, 3, false).unwrap().into_iter().collect();
                assert!(drawn.len() == model.len().min(3) && drawn.is_subset(&model));
            });
            world.audit();
        }
    }
}

#[test]
fn many_words_make_a_large_set_even_of_one_member() {
    let mut world = World::new(1);
    for (members, added) in [("1", 1), ("1 ".repeat(513).as_str(), 0)] {
        assert_eq!(add(&mut world, members), added);
        world.audit();
    }
    assert!(world.keys(|keys| keys.lookup(0, b"s")).unwrap().unwrap().spread);
}

#[test]
fn what_outgrows_a_record_is_one_piece_until_it_outgrows_that_too() {
    let mut world = World::new(1);
    world.thresholds = Thresholds { record_entries_max: 2, record_bytes_max: 0, ..Thresholds::REDIS };
    (world.thresholds.set_entries_max, world.thresholds.set_integers_max) = (5, 7);
    let told = |world: &mut World| {
        let head = world.keys(|keys| keys.lookup(0, b"s")).unwrap().unwrap();
        (head.spread, head.is_one_piece(), has_integers_only(&head))
    };
    add(&mut world, "20 3");
    assert_eq!(told(&mut world), (false, true, true));
    add(&mut world, "100 -4");
    assert_eq!(told(&mut world), (true, true, true));
    assert_eq!(members(&mut world), words("-4 3 20 100"), "integers are ascending");
    add(&mut world, "b");
    assert_eq!(told(&mut world), (true, true, false));
    add(&mut world, "c");
    assert!(!told(&mut world).1);
    world.keys(|keys| {
        Set::find(keys, 0, &key()).unwrap().unwrap().remove(keys, &words("b c 3 20")).unwrap();
    });
    assert!(!told(&mut world).1, "it never turns back");
    world.keys(|keys| Set::replace(keys, 0, &key(), &words("1 2 3 4 5 6 7")).unwrap());
    assert_eq!(told(&mut world), (true, true, true));
    add(&mut world, "x");
    assert!(!told(&mut world).1, "as many words are too many");
    world.keys(|keys| Set::replace(keys, 0, &key(), &words("1 2 3")).unwrap());
    add(&mut world, &"v".repeat(65));
    assert!(!told(&mut world).1, "a long word");
    world.keys(|keys| Set::replace(keys, 0, &key(), &words("1 2 3")).unwrap());
    assert_eq!(add(&mut world, &"1 ".repeat(8)), 0);
    assert!(!told(&mut world).1, "many words, whether or not they are new");
    world.audit();
}

#[test]
fn results_are_in_the_order_of_a_small_set() {
    let mut world = World::new(1);
    for text in ["3 1 2", "3 1 b 2", "b a 1 0", "5 4 4 z 5 1"] {
        let mut collected = Collected::default();
        words(text).into_iter().for_each(|word| collected.add(word));
        world.keys(|keys| Set::replace(keys, 0, &key(), &words(text)).unwrap());
        assert_eq!(collected.into_members(), members(&mut world), "{text}");
    }
    world.keys(|keys| Set::replace(keys, 0, &key(), &[]).unwrap());
    assert_eq!(world.store.len(), 0);
}
