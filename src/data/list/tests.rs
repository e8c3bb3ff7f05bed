//! Lists against plain sequences.

use super::*;
use crate::base::Rng;
use crate::data::testing::World;

fn key() -> Bytes {
    Bytes::from("l")
}

fn find(world: &mut World) -> List {
    world.keys(|keys| List::find_or_new(keys, 0, &key()).unwrap())
}

fn elements(numbers: std::ops::Range<u64>) -> Vec<Bytes> {
    numbers.map(|number| Bytes::from(format!("element {number}"))).collect()
}

#[test]
fn golden_payloads() {
    let mut world = World::new(1);
    world.thresholds.node_entries_max = 4;
    let list = find(&mut world);
    world.keys(|keys| list.push(keys, End::Right, &["a", "", "bc"].map(Bytes::from)).unwrap());
    let payload = |world: &mut World| {
        let head = world.keys(|keys| keys.lookup(0, b"l")).unwrap().unwrap();
        head.payload.escape_ascii().to_string()
    };
    assert_eq!(payload(&mut world), r"\x01a\x00\x02bc");
    let list = find(&mut world);
    world.keys(|keys| list.push(keys, End::Right, &["d", "e"].map(Bytes::from)).unwrap());
    assert_eq!(payload(&mut world), r"\x00\x01\x03\x03\x00\x01d\x01e");
    let list = find(&mut world);
    world.keys(|keys| list.push(keys, End::Left, &["f"].map(Bytes::from)).unwrap());
    assert_eq!(payload(&mut world), r"\x00\x01\x03\x03\x02\x01f\x01d\x01e");
}

#[test]
fn a_list_is_what_a_model_is() {
    for (seed, entries_max) in [(1, 2), (2, 3), (3, 4), (4, 8), (5, 64)] {
        let (mut world, mut rng, mut model) = (World::new(1), Rng::new(seed), VecDeque::<Bytes>::new());
        world.thresholds.node_entries_max = entries_max;
        for step in 0..3_000 {
            let len = model.len() as u64;
            let list = find(&mut world);
            assert_eq!(list.len(), len);
            let grows = step % 500 < 300;
            let long = if rng.chance(1, 60) { 1_500 } else { 12 };
            let most = if rng.chance(1, 20) { 100 } else { 4 };
            let count = 1 + rng.below(most);
            let some: Vec<Bytes> = (0..count).map(|_| vec![b'x'; rng.below(long) as usize].into()).collect();
            let end = *rng.pick(&[End::Left, End::Right]);
            let from = rng.below(len + 1);
            world.keys(|keys| match (rng.below(10), grows) {
                (0..4, true) | (0, false) => {
                    list.push(keys, end, &some).unwrap();
                    for element in some {
                        if end == End::Left { model.push_front(element) } else { model.push_back(element) }
                    }
                }
                (0..4, false) | (4, true) => {
                    let popped = list.pop(keys, end, count).unwrap();
                    let expected = (0..count.min(len))
                        .map(|_| if end == End::Left { model.pop_front() } else { model.pop_back() });
                    assert!(popped.into_iter().map(Some).eq(expected));
                }
                (4..7, _) => {
                    let to = (from + rng.below(4)).min(len);
                    let new = if len > 0 { some[..1].to_vec() } else { Vec::new() };
                    list.splice(keys, (from, to), new.clone()).unwrap();
                    splice_some(&mut model, (from, to), new);
                }
                (7, _) if rng.chance(1, 10) => {
                    let to = from + rng.below(len - from + 1);
                    list.trim(keys, from, to).unwrap();
                    model.truncate(to as usize);
                    model.drain(..(from as usize).min(model.len()));
                }
                (8, false) if len > 5 => {
                    list.remove(keys, &[1, 2, len - 1]).unwrap();
                    [len - 1, 2, 1].iter().for_each(|index| drop(model.remove(*index as usize)));
                }
                _ => {
                    let to = (from + 10).min(len);
                    let expected = model.range(from as usize..to as usize);
                    assert!(list.range(keys, from, to).unwrap().iter().eq(expected));
                    let mut seen = Vec::new();
                    let visit = &mut |element| {
                        seen.push(element);
                        ControlFlow::Continue(())
                    };
                    list.visit(keys, from, Order::Backward, visit).unwrap();
                    assert!(seen.iter().eq(model.iter().rev().skip(from as usize)));
                }
            });
            if step % 20 == 0 {
                let list = find(&mut world);
                world.keys(|keys| assert!(list.range(keys, 0, u64::MAX).unwrap().iter().eq(&model)));
                world.audit();
            }
        }
    }
}

#[test]
fn sizes_are_told_without_the_elements() {
    let mut world = World::new(1);
    for (until, bytes) in [(10, 10 * 11 + 7), (200, 10 * 11 + 90 * 12 + 100 * 13 + 7)] {
        let list = find(&mut world);
        let from = list.len();
        world.keys(|keys| list.push(keys, End::Right, &elements(from..until)).unwrap());
        let head = world.keys(|keys| keys.lookup(0, b"l")).unwrap().unwrap();
        assert_eq!(size(&head), Ok((until, bytes)));
    }
}

#[test]
fn a_queue_changes_little_per_element() {
    let mut world = World::new(1);
    let list = find(&mut world);
    world.keys(|keys| list.push(keys, End::Right, &elements(0..100_000)).unwrap());
    let mut written = 0;
    for number in 0..2_000 {
        let new = elements(number..number + 1);
        let list = find(&mut world);
        written += world.written(|keys| assert!(list.push(keys, End::Right, &new).is_ok()));
        let list = find(&mut world);
        written += world.written(|keys| assert!(list.pop(keys, End::Left, 1).is_ok()));
    }
    // Two heads with half a node at either end, and the way to a leaf once per leaf.
    assert!(written / 4_000 < 1_000, "{} bytes per call", written / 4_000);
}
