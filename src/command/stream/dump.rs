//! A stream as DUMP gives it and RESTORE takes it, and back.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::find;
use crate::base::Millis;
use crate::command::context::Context;
use crate::command::error::Result;
use crate::data::stream::{self as data, Id};
use crate::data::{self as keyspace, Keyspace};
use crate::rdb::stream::{Consumer, Entry, Group, Pending, Stream};
use crate::store::Order;

/// The whole stream of a key.
pub fn object(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Stream> {
    let Some(stream) = find(context, key)? else { return Ok(Stream::default()) };
    let firsts = stream.pages(context.keys)?;
    let mut pages = vec![Vec::new(); firsts.len()];
    stream.visit(context.keys, Id::MIN, Id::MAX, Order::Forward, &mut |id, words| {
        let page = firsts.partition_point(|first| *first <= id).saturating_sub(1);
        if let Some(page) = pages.get_mut(page) {
            page.push(Entry { id: (id.ms, id.seq), words, is_dead: false });
        }
        ControlFlow::Continue(())
    })?;
    let facts = *stream.facts();
    let groups = stream.groups(context.keys)?;
    Ok(Stream {
        pages,
        last_id: (facts.last_id.ms, facts.last_id.seq),
        deleted: (facts.deleted.ms, facts.deleted.seq),
        added: Some(facts.added),
        groups: groups.iter().map(|group| group_object(context, group)).collect::<Result<_>>()?,
    })
}

fn group_object(context: &Context<'_, '_>, group: &data::Group) -> Result<Group> {
    let consumers = group.all_consumers(context.keys)?;
    let places: BTreeMap<&Bytes, usize> = consumers.iter().map(|consumer| &consumer.name).zip(0..).collect();
    let mut pending = Vec::new();
    group.visit_pending(context.keys, (Id::MIN, Id::MAX), &mut |id, entry| {
        let consumer = places.get(&entry.consumer).copied().unwrap_or(usize::MAX);
        let (delivered, deliveries) = (entry.delivered.0, entry.deliveries);
        pending.push(Pending { id: (id.ms, id.seq), delivered, deliveries, consumer });
        ControlFlow::Continue(())
    })?;
    let consumer = |consumer: &data::Consumer| Consumer {
        name: consumer.name.clone(),
        seen: consumer.seen.0,
        active: consumer.active.map(|active| active.0),
    };
    Ok(Group {
        name: group.name.clone(),
        last_id: (group.last_id.ms, group.last_id.seq),
        entries_read: group.entries_read,
        consumers: consumers.iter().map(consumer).collect(),
        pending,
    })
}

/// Stores a stream at a key that there is not.
pub fn store(keys: &mut Keyspace<'_>, db: u8, key: &Bytes, object: Stream) -> keyspace::Result<()> {
    let id = |(ms, seq)| Id { ms, seq };
    let mut stream = data::Stream::new(db, key);
    for page in object.pages {
        let entries = page.into_iter().map(|entry| (id(entry.id), entry.words, !entry.is_dead));
        stream.append_page(keys, entries.collect())?;
    }
    let length = stream.facts().length;
    stream.set_facts(id(object.last_id), Some(object.added.unwrap_or(length)), Some(id(object.deleted)));
    for group in object.groups {
        let last_id = id(group.last_id);
        let entries_read = if object.added.is_some() { group.entries_read } else { stream.read_up_to(last_id) };
        stream.create_group(keys, &group.name, last_id, entries_read)?;
        let Some(mut made) = stream.group(keys, &group.name)? else { continue };
        for consumer in &group.consumers {
            made.consumer_or_new(keys, &consumer.name, Millis(consumer.seen))?;
            if let Some(known) = made.consumer(keys, &consumer.name)? {
                known.active = consumer.active.map(Millis);
            }
        }
        for entry in &group.pending {
            let Some(consumer) = group.consumers.get(entry.consumer) else { continue };
            let (delivered, deliveries) = (Millis(entry.delivered), entry.deliveries);
            let pending = data::Pending { consumer: consumer.name.clone(), delivered, deliveries };
            made.give(keys, id(entry.id), None, &pending)?;
        }
        made.save(keys);
    }
    stream.save(keys);
    Ok(())
}
