//! Counts a stream anew: whether head, pages and groups tell what there is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Facts, Id, Page, Place, damaged};
use crate::data::{Head, Result, packed};
use crate::store::Read;
use crate::store::keys::ElementKind;

/// What is wrong with the records of a stream.
pub(in crate::data) fn audit(view: &dyn Read, db: u8, key: &Bytes, head: &Head) -> Result<Vec<String>> {
    let facts = Facts::decode(&head.payload)?;
    let place = Place { db, key: key.clone() };
    let mut wrong = Vec::new();
    entries(view, &place, &facts, &mut wrong)?;
    groups(view, &place, &facts, &mut wrong)?;
    Ok(wrong)
}

fn entries(view: &dyn Read, place: &Place, facts: &Facts, wrong: &mut Vec<String>) -> Result<()> {
    let mut pages = Vec::new();
    place.visit(view, ElementKind::Page, &[], &mut |name, mut value| {
        pages.push((Page::take(Id::at_end_of(name).ok_or_else(damaged)?, &mut value)?, 0));
        Ok(ControlFlow::Continue(()))
    })?;
    pages.extend(facts.open.map(|page| (page, 0)));
    let mut ids = Vec::new();
    place.visit(view, ElementKind::Entry, &[], &mut |name, value| {
        let id = Id::at_end_of(name).ok_or_else(damaged)?;
        let page = pages.partition_point(|(page, _)| page.first <= id);
        match pages[..page].last_mut() {
            Some((page, live)) if id <= page.last => *live += 1,
            _ => wrong.push(format!("{id} is in no page")),
        }
        if packed::words(value).try_fold(0, |count, word| word.map(|_| count + 1))? % 2 != 0 {
            wrong.push(format!("{id} has a field without a value"));
        }
        ids.push(id);
        Ok(ControlFlow::Continue(()))
    })?;
    for (page, live) in &pages {
        if page.live != *live {
            wrong.push(format!("page {} counts {} entries, there are {live}", page.first, page.live));
        }
    }
    let ends = (ids.first().copied().unwrap_or(Id::MIN), ids.last().copied().unwrap_or(Id::MIN));
    let found = (ids.len() as u64, pages.len() as u64, ends);
    let told = (facts.length, facts.pages, (facts.first, facts.top));
    if told != found || facts.top > facts.last_id {
        wrong.push(format!("a stream of {found:?} says {told:?}, and {} is its last id", facts.last_id));
    }
    Ok(())
}

fn groups(view: &dyn Read, place: &Place, facts: &Facts, wrong: &mut Vec<String>) -> Result<()> {
    let mut groups = BTreeMap::new();
    place.visit(view, ElementKind::Readers, &[], &mut |name, mut value| {
        let number = packed::take_number(&mut value)?;
        Id::take(&mut value)?;
        packed::take_number(&mut value)?;
        let counts = (packed::take_number(&mut value)?, packed::take_number(&mut value)?);
        groups.insert(number.to_be_bytes(), (name.escape_ascii().to_string(), counts, (0, 0)));
        Ok(ControlFlow::Continue(()))
    })?;
    if groups.len() as u64 != facts.groups || groups.keys().any(|number| *number >= facts.next_group.to_be_bytes()) {
        wrong.push(format!("a stream says that it has {} groups, there are {}", facts.groups, groups.len()));
    }
    let mut strangers = 0;
    // Names of consumers with their number, what they say that they own, and what they own.
    let mut consumers = BTreeMap::new();
    place.visit(view, ElementKind::Consumer, &[], &mut |name, mut value| {
        let (group, name) = name.split_first_chunk::<8>().ok_or_else(damaged)?;
        groups.get_mut(group).map_or_else(|| strangers += 1, |(_, _, found)| found.1 += 1);
        let number = packed::take_number(&mut value)?;
        packed::take_number(&mut value)?;
        packed::take_number(&mut value)?;
        let pending = packed::take_number(&mut value)?;
        consumers.insert((*group, number.to_be_bytes()), (name.to_vec(), pending, 0u64));
        Ok(ControlFlow::Continue(()))
    })?;
    let mut owners = BTreeMap::new();
    place.visit(view, ElementKind::Owned, &[], &mut |name, _| {
        let (group, rest) = name.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (consumer, id) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        match consumers.get_mut(&(*group, *consumer)) {
            Some((name, _, found)) => {
                *found += 1;
                owners.insert((*group, id.to_vec()), name.clone());
            }
            None => strangers += 1,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    place.visit(view, ElementKind::Pending, &[], &mut |name, mut value| {
        let (group, id) = name.split_first_chunk::<8>().ok_or_else(damaged)?;
        groups.get_mut(group).map_or_else(|| strangers += 1, |(_, _, found)| found.0 += 1);
        packed::take_number(&mut value)?;
        packed::take_number(&mut value)?;
        if owners.remove(&(*group, id.to_vec())).as_deref() != Some(value) {
            wrong.push(format!("a pending entry is not owned by {}", value.escape_ascii()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if strangers > 0 || !owners.is_empty() {
        wrong.push(format!("{strangers} records of no group, {} owned entries that are not pending", owners.len()));
    }
    for (name, told, found) in groups.values() {
        if told != found {
            wrong.push(format!("group {name} counts {told:?} entries and consumers, there are {found:?}"));
        }
    }
    for (name, told, found) in consumers.values() {
        if told != found {
            wrong.push(format!("consumer {} counts {told} entries, there are {found}", name.escape_ascii()));
        }
    }
    Ok(())
}
