//! The two CLUSTER words that look at keys. The service sends them to the group that owns the slot.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::args::integer;
use super::context::Context;
use super::error::{Failure, Result};
use crate::base::Slot;
use crate::data::peek;
use crate::resp::Value;
use crate::store::{Order, keys};

pub(super) fn count_keys_in_slot(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let slot = slot(&args[2]).ok_or(Failure::line("ERR Invalid slot"))?;
    let mut count = 0;
    visit_keys(context, slot, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(Value::Integer(count))
}

pub(super) fn get_keys_in_slot(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let most = integer(&args[3])?;
    let (Some(slot), Ok(most)) = (slot(&args[2]), usize::try_from(most)) else {
        return Err(Failure::line("ERR Invalid slot or number of keys"));
    };
    let mut found = Vec::new();
    visit_keys(context, slot, &mut |key| {
        if found.len() == most {
            return ControlFlow::Break(());
        }
        found.push(Value::Bulk(Bytes::copy_from_slice(key)));
        ControlFlow::Continue(())
    })?;
    Ok(Value::Array(found))
}

fn slot(word: &[u8]) -> Option<Slot> {
    super::args::parse_integer(word).and_then(|number| u16::try_from(number).ok()).and_then(Slot::new)
}

/// Visits the living keys of a slot in the selected database.
fn visit_keys(
    context: &mut Context<'_, '_>,
    slot: Slot,
    visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<()> {
    let keyspace = &*context.keys;
    let (start, end) = keys::heads(slot, context.db);
    let mut failed = None;
    keyspace.store.scan(&start, &end, Order::Forward, &mut |record, value| {
        let alive = peek(value).map_err(Into::into).and_then(|(_, deadline)| keyspace.is_alive(deadline));
        match (alive, keys::parse_head(record)) {
            (Ok(true), Some(head)) => visit(head.key),
            (Ok(_), _) => ControlFlow::Continue(()),
            (Err(error), _) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}
