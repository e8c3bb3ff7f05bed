//! Counts everything anew: whether the counts, the indexes of deadlines and the elements are those of the heads. For tests and
//! the simulator; no node has to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Counts, Head, Kind, hash, list, set, stream, zset};
use crate::base::{GroupId, Millis, SlotRange};
use crate::data;
use crate::store::keys::{self, ElementKind, GroupKind};
use crate::store::{Error, Order, Read, Result};

/// Database and key.
type Place = (u8, Bytes);

/// What is wrong with a group's records, one line each; `counts` are what the group believes.
pub fn audit(view: &dyn Read, group: GroupId, slots: SlotRange, counts: &Counts) -> Result<Vec<String>> {
    let mut counted = Counts::default();
    let (mut due, mut fields_due, mut audited) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    let mut elements = BTreeMap::<Place, BTreeMap<u8, u64>>::new();
    let mut damaged = None;
    let (start, end) = keys::slots(slots);
    view.scan(&start, &end, Order::Forward, &mut |record, value| {
        if let Some(place) = keys::parse_head(record) {
            match Head::decode(&Bytes::copy_from_slice(value)) {
                Ok(head) => {
                    counted.keys[usize::from(place.db)] += 1;
                    counted.expires[usize::from(place.db)] += u64::from(head.deadline.is_some());
                    counted.field_expires[usize::from(place.db)] += u64::from(head.fields.is_some());
                    due.extend(head.deadline.map(|deadline| (deadline, record.to_vec())));
                    fields_due.extend(head.fields.map(|ends| (ends.first, record.to_vec())));
                    if head.spread || head.kind == Kind::Hash {
                        audited.insert((place.db, Bytes::copy_from_slice(place.key)), head);
                    }
                }
                Err(error) => damaged = Some(error),
            }
        } else if let Some(element) = keys::parse_element(record) {
            let kinds = elements.entry((element.db, Bytes::copy_from_slice(element.key))).or_default();
            *kinds.entry(element.kind).or_default() += 1;
        }
        ControlFlow::Continue(())
    })?;
    damaged.map_or(Ok::<_, Error>(()), Err)?;
    let mut wrong = Vec::new();
    if *counts != counted {
        wrong.push(format!("the group counts {counts:?}, there are {counted:?}"));
    }
    let indexed = index(view, group, GroupKind::Expiry, keys::parse_expiry)?;
    for (deadline, head) in due.symmetric_difference(&indexed).take(10) {
        wrong.push(format!("deadline {deadline} of {}: in the index or at the key alone", head.escape_ascii()));
    }
    let indexed = index(view, group, GroupKind::FieldExpiry, keys::parse_field_expiry)?;
    for (first, head) in fields_due.symmetric_difference(&indexed).take(10) {
        wrong.push(format!("first deadline {first} of {}: in the index or at the hash alone", head.escape_ascii()));
    }
    let is_spread = |place: &Place| audited.get(place).is_some_and(|head| head.spread);
    for (db, key) in elements.keys().filter(|place| !is_spread(place)).take(10) {
        wrong.push(format!("database {db}: elements without their head at {}", key.escape_ascii()));
    }
    for (place, head) in &audited {
        let kinds = elements.remove(place).unwrap_or_default();
        let tell = |told: String| format!("database {}: {}: {told}", place.0, place.1.escape_ascii());
        wrong.extend(value(view, place, head, &kinds)?.into_iter().take(10).map(tell));
    }
    Ok(wrong)
}

/// Reads an entry of an index of deadlines.
type ParseDeadline = fn(&[u8]) -> Result<(Millis, &[u8])>;

/// The entries of an index of deadlines: deadline and head record.
fn index(
    view: &dyn Read,
    group: GroupId,
    kind: GroupKind,
    parse: ParseDeadline,
) -> Result<BTreeSet<(Millis, Vec<u8>)>> {
    let (mut indexed, mut damaged) = (BTreeSet::new(), None);
    let (start, end) = keys::group_kind(group, kind);
    view.scan(&start, &end, Order::Forward, &mut |record, _| {
        match parse(record) {
            Ok((deadline, head)) => drop(indexed.insert((deadline, head.to_vec()))),
            Err(error) => damaged = Some(error),
        }
        ControlFlow::Continue(())
    })?;
    damaged.map_or(Ok(indexed), Err)
}

/// What is wrong with a hash, or a value that has records beside its head; `kinds` says how many of each kind.
fn value(view: &dyn Read, (db, key): &Place, head: &Head, kinds: &BTreeMap<u8, u64>) -> Result<Vec<String>> {
    let told = match head.kind {
        Kind::Hash => hash::audit(view, *db, key, head).map(|mut wrong| {
            use ElementKind::{Deadline, Due, Field};
            wrong.extend(only(if head.spread { &[Field, Deadline, Due] } else { &[] }, kinds));
            wrong
        }),
        Kind::Set => set::record_count(head).map(|count| counted(count, ElementKind::Member, kinds)),
        Kind::List => list::audit(view, *db, key, head).map(|mut wrong| {
            wrong.extend(only(&[ElementKind::Node], kinds));
            wrong
        }),
        Kind::Zset => {
            let members = kinds.get(&(ElementKind::Score as u8)).copied().unwrap_or(0);
            zset::audit(view, *db, key, head, members).map(|mut wrong| {
                wrong.extend(only(&[ElementKind::Node, ElementKind::Score], kinds));
                wrong
            })
        }
        Kind::Stream => stream::audit(view, *db, key, head).map(|mut wrong| {
            use ElementKind::{Consumer, Entry, Owned, Page, Pending, Readers};
            wrong.extend(only(&[Entry, Page, Readers, Consumer, Pending, Owned], kinds));
            wrong
        }),
        Kind::String => Ok(vec![format!("a {} with element records", head.kind.name())]),
    };
    told.map_err(|error| match error {
        data::Error::Store(error) => error,
        other => Error::Corrupt(other.to_string().into()),
    })
}

/// So many records of a kind, and no others.
fn counted(count: u64, kind: ElementKind, kinds: &BTreeMap<u8, u64>) -> Vec<String> {
    let found = kinds.get(&(kind as u8)).copied().unwrap_or(0);
    let mut wrong = only(&[kind], kinds);
    if count != found || count == 0 {
        wrong.push(format!("the head counts {count} elements, there are {found}"));
    }
    wrong
}

fn only(known: &[ElementKind], kinds: &BTreeMap<u8, u64>) -> Vec<String> {
    let strangers = kinds.keys().filter(|kind| known.iter().all(|known| *known as u8 != **kind));
    strangers.map(|kind| format!("element records of kind {kind}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Millis;
    use crate::data::testing::World;
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
        records.put(
            keys::head(0, b"h"),
            Head { spread: true, ..Head::new(Kind::Hash, &[0, 0, 0, 0, 0, 0, 0, 1][..]) }.encode(),
        );
        let mut counts = Counts::default();
        counts.keys[0] = 1;
        assert_eq!(audited(&records, &counts), 1, "a hash without elements");
        records.put(keys::element(0, b"h", ElementKind::Field, b"f"), Bytes::from("v"));
        assert_eq!(audited(&records, &counts), 0);
        records.put(keys::element(0, b"h", ElementKind::Node, b"n"), Bytes::from("v"));
        assert_eq!(audited(&records, &counts), 1, "a node in a hash");
    }
}
