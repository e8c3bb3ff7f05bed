//! Counts everything anew: whether the counts, the expiry index and the elements are those of the heads. For tests and
//! the simulator; no node has to.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{Counts, Head};
use crate::base::{GroupId, SlotRange};
use crate::store::keys::{self, GroupKind};
use crate::store::{Error, Order, Read, Result};

/// What is wrong with a group's records, one line each; `counts` are what the group believes.
pub fn audit(view: &dyn Read, group: GroupId, slots: SlotRange, counts: &Counts) -> Result<Vec<String>> {
    let mut counted = Counts::default();
    let (mut due, mut indexed, mut spread) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut elements = Vec::new();
    let mut damaged = None;
    let (start, end) = keys::slots(slots);
    view.scan(&start, &end, Order::Forward, &mut |record, value| {
        if let Some(place) = keys::parse_head(record) {
            match Head::decode(&bytes::Bytes::copy_from_slice(value)) {
                Ok(head) => {
                    counted.keys[usize::from(place.db)] += 1;
                    counted.expires[usize::from(place.db)] += u64::from(head.deadline.is_some());
                    due.extend(head.deadline.map(|deadline| (deadline, record.to_vec())));
                    if head.spread {
                        spread.insert((place.db, place.key.to_vec()));
                    }
                }
                Err(error) => damaged = Some(error),
            }
        } else if let Some(element) = keys::parse_element(record) {
            elements.push((element.db, element.key.to_vec()));
        }
        ControlFlow::Continue(())
    })?;
    let (start, end) = keys::group_kind(group, GroupKind::Expiry);
    view.scan(&start, &end, Order::Forward, &mut |record, _| {
        match keys::parse_expiry(record) {
            Ok((deadline, head)) => drop(indexed.insert((deadline, head.to_vec()))),
            Err(error) => damaged = Some(error),
        }
        ControlFlow::Continue(())
    })?;
    damaged.map_or(Ok::<_, Error>(()), Err)?;
    let mut wrong = Vec::new();
    if *counts != counted {
        wrong.push(format!("the group counts {counts:?}, there are {counted:?}"));
    }
    for (deadline, head) in due.symmetric_difference(&indexed).take(10) {
        wrong.push(format!("deadline {deadline} of {}: in the index or at the key alone", head.escape_ascii()));
    }
    elements.dedup();
    for (db, key) in elements.iter().filter(|element| !spread.contains(*element)).take(10) {
        wrong.push(format!("database {db}: elements without their head at {}", key.escape_ascii()));
    }
    for (db, key) in spread.iter().filter(|head| !elements.contains(head)).take(10) {
        wrong.push(format!("database {db}: {} has a record per element, but no element", key.escape_ascii()));
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::Millis;
    use crate::data::Kind;
    use crate::data::testing::World;
    use crate::store::keys::ElementKind;
    use crate::store::{Records, Write};

    fn audited(records: &Records, counts: &Counts) -> usize {
        audit(records, GroupId(1), SlotRange::ALL, counts).unwrap().len()
    }

    #[test]
    fn each_disagreement_is_told() {
        let mut world = World::new(100);
        let key = Bytes::from("k");
        world.keys(|keys| keys.set(3, &key, None, Head::string("v").with_deadline(Some(Millis(200)))));
        assert_eq!(audited(&world.store, &world.counts), 0);
        let mut counts = world.counts.clone();
        counts.expires[3] = 0;
        assert_eq!(audited(&world.store, &counts), 1);
        let mut records = world.store.clone();
        records.delete(keys::expiry(GroupId(1), Millis(200), &keys::head(3, b"k")));
        assert_eq!(audited(&records, &world.counts), 1, "a deadline without its entry");
        records.put(keys::expiry(GroupId(1), Millis(201), &keys::head(3, b"k")), Bytes::new());
        assert_eq!(audited(&records, &world.counts), 2, "and an entry without its deadline");
        let mut records = world.store.clone();
        records.put(keys::element(3, b"k", ElementKind::Field, b"f"), Bytes::from("v"));
        assert_eq!(audited(&records, &world.counts), 1, "an element of a string");
        let mut records = Records::default();
        records.put(keys::head(0, b"h"), Head { spread: true, ..Head::new(Kind::Hash, "1") }.encode());
        let mut counts = Counts::default();
        counts.keys[0] = 1;
        assert_eq!(audited(&records, &counts), 1, "a hash without elements");
    }
}
