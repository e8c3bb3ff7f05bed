//! Counts a hash anew: whether its head says what its fields and their records do. For tests and the simulator.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::field::{self, Field, Numbers};
use crate::base::Millis;
use crate::data::{FieldEnds, Head, Result};
use crate::store::keys::{self, ElementKind};
use crate::store::{Order, Read};

/// What is wrong with a hash, one line each.
pub(in crate::data) fn audit(view: &dyn Read, db: u8, key: &[u8], head: &Head) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    if !head.spread {
        let mut fields = Vec::new();
        for entry in field::entries(&head.payload, head.fields.is_some()) {
            let entry = entry?;
            fields.push(Field { name: Bytes::copy_from_slice(entry.name), value: Bytes::new(), end: entry.end });
        }
        compare_ends(head, field::ends(&fields), &mut wrong);
        return Ok(wrong);
    }
    let numbers = Numbers::decode(&head.payload, head.fields.is_some())?;
    let fields = records(view, db, key, ElementKind::Field)?;
    let deadlines = records(view, db, key, ElementKind::Deadline)?;
    let mut due = BTreeMap::new();
    for name in records(view, db, key, ElementKind::Due)?.keys() {
        let (end, name) = name.split_first_chunk::<8>().ok_or_else(field::damaged)?;
        due.insert(name.to_vec(), u64::from_be_bytes(*end));
    }
    let told = (numbers.fields, numbers.deadlines);
    let found = (fields.len() as u64, deadlines.len() as u64);
    if told != found || found.0 == 0 {
        wrong.push(format!("the head counts {told:?} fields and deadlines, there are {found:?}"));
    }
    let mut ends = BTreeMap::new();
    for (name, value) in &deadlines {
        ends.insert(name.clone(), field::decode_end(value)?.0);
    }
    if ends != due {
        wrong.push("deadlines by name and by time differ".to_owned());
    }
    wrong.extend(
        ends.keys()
            .find(|name| !fields.contains_key(*name))
            .map(|name| format!("a deadline of no field: {}", name.escape_ascii())),
    );
    let first = ends.values().min().map(|first| Millis(*first));
    let last = ends.values().max().filter(|_| ends.len() == fields.len()).map(|last| Millis(*last));
    compare_ends(head, first.map(|first| FieldEnds { first, last }), &mut wrong);
    Ok(wrong)
}

fn compare_ends(head: &Head, found: Option<FieldEnds>, wrong: &mut Vec<String>) {
    if head.fields != found {
        wrong.push(format!("the head says that fields end {:?}, they do {found:?}", head.fields));
    }
}

/// Names and values of a key's records of one kind.
fn records(view: &dyn Read, db: u8, key: &[u8], kind: ElementKind) -> Result<BTreeMap<Vec<u8>, Bytes>> {
    let (start, end) = keys::elements_of(db, key, kind);
    let (mut records, mut damaged) = (BTreeMap::new(), None);
    view.scan(&start, &end, Order::Forward, &mut |record, value| match keys::parse_element(record) {
        Some(element) => {
            records.insert(element.element.to_vec(), Bytes::copy_from_slice(value));
            ControlFlow::Continue(())
        }
        None => {
            damaged = Some(field::damaged());
            ControlFlow::Break(())
        }
    })?;
    damaged.map_or(Ok(records), Err)
}
