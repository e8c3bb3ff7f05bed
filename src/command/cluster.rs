//! The two CLUSTER words that look at keys. The service sends them to the group that owns the slot.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::args::integer;
use super::context::Context;
use super::error::{Failure, Result};
use crate::base::Slot;
use crate::resp::Value;

pub(super) fn count_keys_in_slot(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let slot = slot(integer(&args[2])?).ok_or(Failure::line("ERR Invalid slot"))?;
    let mut count = 0;
    context.keys.visit_slot(context.db, slot, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(Value::Integer(count))
}

pub(super) fn get_keys_in_slot(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (number, most) = (integer(&args[2])?, integer(&args[3])?);
    let (Some(slot), Ok(most)) = (slot(number), usize::try_from(most)) else {
        return Err(Failure::line("ERR Invalid slot or number of keys"));
    };
    let mut found = Vec::new();
    context.keys.visit_slot(context.db, slot, &mut |key| {
        if found.len() == most {
            return ControlFlow::Break(());
        }
        found.push(Value::Bulk(Bytes::copy_from_slice(key)));
        ControlFlow::Continue(())
    })?;
    Ok(Value::Array(found))
}

fn slot(number: i64) -> Option<Slot> {
    u16::try_from(number).ok().and_then(Slot::new)
}

#[cfg(test)]
mod tests {
    use crate::base::Slot;
    use crate::command::testing::Session;

    #[test]
    fn keys_of_a_slot() {
        let mut session = Session::new();
        let slot = Slot::of(b"tag").get();
        session.check(&[("MSET {tag}a 1 {tag}b 2 other 3", "+OK"), ("SET {tag}c 3 PX 1", "+OK")]);
        let count = format!("CLUSTER COUNTKEYSINSLOT {slot}");
        session.check(&[(&count, ":3"), ("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot")]);
        session.world.moment.stamp.0 += 1;
        session.world.moment.clock.0 += 1;
        session.check(&[(&count, ":2")]);
        let some = session.run(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "1"]);
        assert!(some == "*1 $6 {tag}a" || some == "*1 $6 {tag}b", "{some}");
        session.check(&[
            ("CLUSTER GETKEYSINSLOT 5 10", "*0"),
            ("CLUSTER GETKEYSINSLOT 5 -1", "-ERR Invalid slot or number of keys"),
            ("CLUSTER GETKEYSINSLOT x 1", "-ERR value is not an integer or out of range"),
        ]);
    }
}
