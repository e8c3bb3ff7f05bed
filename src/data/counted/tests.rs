//! Trees against plain sequences.

use std::collections::{BTreeSet, VecDeque};

use super::*;
use crate::base::Rng;
use crate::store::Records;

fn no_separator(_: &[u8], _: &[u8]) -> Bytes {
    Bytes::new()
}

/// The shortest start of the second that is above the first.
fn shortest(left: &[u8], right: &[u8]) -> Bytes {
    let common = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    Bytes::copy_from_slice(&right[..common + 1])
}

fn tree(separator: Separator, entries_max: usize) -> Tree {
    Tree::new(0, &Bytes::from("k"), separator, entries_max)
}

#[track_caller]
fn check<'a>(tree: &Tree, records: &Records, model: impl Iterator<Item = &'a Bytes>) {
    let (wrong, entries) = tree.audit(records).unwrap();
    assert_eq!(wrong, Vec::<String>::new());
    assert!(entries.iter().eq(model));
    assert_eq!(entries.len() as u64, tree.count());
}

#[test]
fn golden_bytes() {
    let mut records = Records::default();
    let mut tree = tree(shortest, 2);
    let words = ["a", "bb", "bcd"].map(Bytes::from).to_vec();
    tree.splice(&mut records, (0, 0), words, &|_| false).unwrap();
    let values: Vec<String> = records.iter().map(|(_, value)| value.escape_ascii().to_string()).collect();
    let expected = [r"\x00\x01a\x02bb", r"\x00\x03bcd", r"\x01\x00\x02\x00\x01\x01\x02bc"];
    assert_eq!(BTreeSet::from_iter(values.iter().map(String::as_str)), BTreeSet::from(expected));
    let mut facts = BytesMut::new();
    tree.encode(&mut facts);
    assert_eq!(facts.escape_ascii().to_string(), r"\x02\x03\x03\x06");
    assert_eq!(tree.clone().decode(&mut &facts[..]).unwrap().facts, tree.facts);
    for damaged in [&b""[..], b"\x02", b"\x01", b"\x00\x02a"] {
        assert!(Node::decode(&Bytes::copy_from_slice(damaged)).is_err(), "{}", damaged.escape_ascii());
    }
}

#[test]
fn splices_by_rank_are_those_of_a_sequence() {
    for (seed, entries_max) in [(1, 2), (2, 3), (3, 4), (4, 8), (5, 64)] {
        let mut rng = Rng::new(seed);
        let (mut records, mut tree, mut model) = (Records::default(), tree(no_separator, entries_max), VecDeque::new());
        for step in 0..3_000 {
            let len = model.len() as u64;
            // Grows for a while, then shrinks, and so on.
            let grows = step % 600 < 400;
            let from = match rng.below(4) {
                0 => 0,
                1 => len,
                _ => rng.below(len + 1),
            };
            let longest = if rng.chance(1, 20) { len } else { 3 };
            let to =
                if rng.chance(if grows { 1 } else { 3 }, 4) { (from + rng.below(longest + 1)).min(len) } else { from };
            let count = if rng.chance(if grows { 3 } else { 1 }, 4) { rng.below(if grows { 8 } else { 3 }) } else { 0 };
            let long = if rng.chance(1, 50) { 700 } else { 20 };
            let new: Vec<Bytes> = (0..count).map(|_| vec![b'x'; rng.below(long) as usize].into()).collect();
            let tail = model.split_off(to as usize);
            model.truncate(from as usize);
            model.extend(new.iter().cloned());
            model.extend(tail);
            tree.splice(&mut records, (from, to), new, &|_| false).unwrap();
            if step % 10 == 0 {
                check(&tree, &records, model.iter());
                let rank = rng.below(len + 2);
                assert_eq!(tree.get(&records, rank).unwrap().as_ref(), model.get(rank as usize));
                let (mut seen, mut left) = (Vec::new(), 5);
                tree.visit(&records, rank, Order::Backward, &mut |entry| {
                    seen.push(entry);
                    left -= 1;
                    if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .unwrap();
                assert!(seen.iter().eq(model.iter().rev().skip(rank as usize).take(5)));
            }
        }
        let len = tree.count();
        tree.splice(&mut records, (0, len), Vec::new(), &|_| false).unwrap();
        assert!(records.is_empty() && tree.bytes() == 0, "nothing is left behind");
    }
}

#[test]
fn entries_are_found_by_their_order() {
    for (seed, entries_max) in [(1, 2), (2, 3), (3, 5), (4, 64)] {
        let mut rng = Rng::new(seed);
        let (mut records, mut tree, mut model) = (Records::default(), tree(shortest, entries_max), BTreeSet::new());
        for step in 0..4_000 {
            let longest = 1 + rng.below(6);
            let word: Bytes = (0..longest).map(|_| *rng.pick(b"abc")).collect();
            let rank = tree.partition(&records, &|entry| entry < &word[..]).unwrap();
            assert_eq!(rank, model.range::<Bytes, _>(..&word).count() as u64, "step {step}");
            let is_in = tree.get(&records, rank).unwrap().as_ref() == Some(&word);
            assert_eq!(is_in, model.contains(&word));
            if is_in && step % 1_000 > 500 {
                tree.splice(&mut records, (rank, rank + 1), Vec::new(), &|_| false).unwrap();
                model.remove(&word);
            } else if !is_in {
                tree.splice(&mut records, (rank, rank), vec![word.clone()], &|separator| separator <= &word[..])
                    .unwrap();
                model.insert(word);
            }
            if step % 20 == 0 {
                check(&tree, &records, model.iter());
            }
        }
    }
}

#[test]
fn leaves_are_taken_from_both_ends() {
    let (mut records, mut tree) = (Records::default(), tree(no_separator, 4));
    let mut model: VecDeque<Bytes> = (0..1_000).map(|number| Bytes::from(number.to_string())).collect();
    tree.splice(&mut records, (0, 0), model.iter().cloned().collect(), &|_| false).unwrap();
    let mut rng = Rng::new(1);
    while tree.count() > 0 {
        let (order, entries) = if rng.chance(1, 2) {
            let entries = tree.take_leaf(&mut records, Order::Forward).unwrap();
            assert!(entries.iter().eq(model.drain(..entries.len()).collect::<Vec<_>>().iter()));
            (Order::Forward, entries)
        } else {
            let entries = tree.take_leaf(&mut records, Order::Backward).unwrap();
            assert!(entries.iter().eq(model.split_off(model.len() - entries.len()).iter()));
            (Order::Backward, entries)
        };
        assert!(!entries.is_empty() && entries.len() <= 4, "{order:?}");
        check(&tree, &records, model.iter());
    }
    assert!(records.is_empty());
}

#[test]
fn a_large_tree_is_full_where_it_grows_at_its_end() {
    let (mut records, mut tree) = (Records::default(), tree(no_separator, 64));
    for number in 0..10_000u64 {
        tree.splice(&mut records, (number, number), vec![number.to_string().into()], &|_| false).unwrap();
    }
    // 157 full leaves and what is above them.
    assert!(records.len() <= 165, "{} nodes", records.len());
}

#[test]
fn damage_is_told() {
    let (mut records, mut tree) = (Records::default(), tree(no_separator, 4));
    tree.splice(&mut records, (0, 0), vec![Bytes::from("x"); 40], &|_| false).unwrap();
    let mut wrong = tree.clone();
    wrong.facts.count = 41;
    wrong.facts.next = 3;
    assert!(wrong.audit(&records).unwrap().0.len() >= 2);
    let stray = keys::element(0, b"k", ElementKind::Node, &1_000u64.to_be_bytes());
    records.put(stray, Bytes::from_static(b"\0\x01x"));
    assert_eq!(tree.audit(&records).unwrap().0.len(), 1);
    // A circle of nodes ends, for whoever knows none of them yet.
    tree.known.take();
    records.put(
        tree.record(tree.facts.root),
        Node::Inner(vec![Child { id: tree.facts.root, count: 40, ..Child::default() }]).encode(),
    );
    assert!(tree.get(&records, 7).is_err() && tree.partition(&records, &|_| true).is_err());
    assert!(tree.splice(&mut records, (7, 9), Vec::new(), &|_| false).is_err());
}
