//! What HyperLogLogs say to a client. They are strings, in Redis's bytes; [`crate::data::hyperloglog`] knows them.

use bytes::Bytes;

use super::args::is;
use super::context::Context;
use super::error::{Error, Failure, Result};
use crate::data::hyperloglog::{self, Corrupt, HyperLogLog, Union};
use crate::data::{Class, Mode};
use crate::resp::Value;

impl From<Corrupt> for Failure {
    fn from(_: Corrupt) -> Failure {
        Failure::line("INVALIDOBJ Corrupted HLL object detected")
    }
}

pub(super) fn pfadd(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let before = context.string(&args[1])?;
    let mut changed = before.is_none();
    let mut sketch = before.as_ref().map_or(Ok(HyperLogLog::default()), |head| parse(&head.payload))?;
    for element in &args[2..] {
        changed |= sketch.add(element, context.keys.thresholds.hll_sparse_bytes_max)?;
    }
    if changed {
        sketch.forget_count();
    }
    context.set_built(&args[1], before.as_ref(), sketch.into_bytes().freeze());
    if changed {
        context.notify(Class::String, "pfadd", &args[1]);
    }
    Ok(Value::Integer(changed.into()))
}

/// `PFCOUNT key [key ...]`
///
/// The estimate of one sketch is kept in it, for all replicas: the first PFCOUNT after a change goes through the log.
pub(super) fn pfcount(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    if args.len() > 2 {
        let union = union(context, &args[1..])?.0;
        return Ok(Value::Integer(union.count() as i64));
    }
    let Some(head) = context.string(&args[1])? else { return Ok(Value::Integer(0)) };
    let mut sketch = parse(&head.payload)?;
    if let Some(count) = sketch.cached_count() {
        return Ok(Value::Integer(count as i64));
    }
    let count = sketch.count()?;
    if context.keys.mode == Mode::Local {
        return Err(Failure::Abort(Error::NeedsLog));
    }
    context.set_built(&args[1], Some(&head), sketch.into_bytes().freeze());
    Ok(Value::Integer(count as i64))
}

/// `PFMERGE destination [source ...]`; what is at the destination stays in it.
pub(super) fn pfmerge(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    context.keys.manner.counts = true;
    let (union, any_dense) = union(context, &args[1..])?;
    context.keys.manner.counts = false;
    let before = context.string(&args[1])?;
    let mut sketch = before.as_ref().map_or(Ok(HyperLogLog::default()), |head| parse(&head.payload))?;
    if any_dense {
        sketch.make_dense()?;
    }
    sketch.merge(&union, context.keys.thresholds.hll_sparse_bytes_max)?;
    sketch.forget_count();
    context.set_built(&args[1], before.as_ref(), sketch.into_bytes().freeze());
    // Redis tells watchers even if the union was there already.
    context.keys.touch(context.db, &args[1]);
    context.notify(Class::String, "pfadd", &args[1]);
    Ok(Value::OK)
}

/// The union of what is at some keys, and whether one of them is dense.
fn union(context: &mut Context<'_, '_>, keys: &[Bytes]) -> Result<(Union, bool)> {
    let (mut union, mut any_dense) = (Union::default(), false);
    for key in keys {
        if let Some(head) = context.string(key)? {
            let sketch = parse(&head.payload)?;
            any_dense |= sketch.is_dense();
            union.add(&sketch)?;
        }
    }
    Ok((union, any_dense))
}

fn parse(payload: &[u8]) -> Result<HyperLogLog> {
    HyperLogLog::parse(payload).ok_or(Failure::line("WRONGTYPE Key is not a valid HyperLogLog string value."))
}

/// `PFDEBUG GETREG | DECODE | ENCODING | TODENSE key`
pub(super) fn pfdebug(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (word, key) = (&args[1], &args[2]);
    let Some(before) = context.lookup(key)? else {
        return Err(Failure::line("ERR The specified key does not exist"));
    };
    let mut sketch = context.string(key)?.map_or(Ok(HyperLogLog::default()), |head| parse(&head.payload))?;
    let reply = if is(word, "getreg") {
        sketch.make_dense()?;
        let registers = sketch.registers()?;
        Value::Array(registers.registers().iter().map(|value| Value::Integer((*value).into())).collect())
    } else if is(word, "decode") {
        if sketch.is_dense() {
            return Err(Failure::line("ERR HLL encoding is not sparse"));
        }
        Value::bulk(hyperloglog::describe(sketch.body()))
    } else if is(word, "encoding") {
        Value::Simple(if sketch.is_dense() { "dense" } else { "sparse" }.into())
    } else if is(word, "todense") {
        Value::Integer(sketch.make_dense()?.into())
    } else {
        return Ok(Value::error_with(&[b"ERR Unknown PFDEBUG subcommand '", word, b"'"]));
    };
    context.set_built(key, Some(&before), sketch.into_bytes().freeze());
    Ok(reply)
}

/// Elements that PFSELFTEST adds; it looks at the estimate whenever their number has doubled.
const SELF_TEST_ELEMENTS: u64 = 1 << 10;
/// Four times the standard error, 1.04 / sqrt(16384), as a fraction of this.
const SELF_TEST_TOLERANCE: u64 = 30;

/// Adds known elements to a sketch of each form: both must tell the same number, and about the right one.
pub(super) fn pfselftest(_context: &mut Context<'_, '_>, _args: &[Bytes]) -> Result<Value> {
    let (mut growing, mut dense) = (HyperLogLog::default(), HyperLogLog::default());
    dense.make_dense()?;
    for added in 1..=SELF_TEST_ELEMENTS {
        growing.add(&added.to_be_bytes(), usize::MAX / 2 * usize::from(added < 500))?;
        dense.add(&added.to_be_bytes(), 0)?;
        if added.is_power_of_two() {
            let (count, other) = (growing.count()?, dense.count()?);
            if count != other || count.abs_diff(added) > added / SELF_TEST_TOLERANCE + 1 {
                return Err(Failure::line(format!("ERR TESTFAILED {added} elements, estimates {count} and {other}")));
            }
        }
    }
    Ok(Value::OK)
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use crate::command::testing::Session;
    use crate::command::{Call, Error, execute_encoded};
    use crate::data::{Mode, Touched};
    use crate::resp::Protocol;

    #[test]
    fn an_estimate_is_written_by_the_leader_and_read_by_all() {
        let mut session = Session::new();
        let local = |session: &mut Session| {
            let args = ["PFCOUNT", "k"].map(|word| Bytes::from_static(word.as_bytes())).to_vec();
            let mut out = BytesMut::new();
            session.world.mode = Mode::Local;
            let call = Call::new(0, Protocol::Resp2, args);
            let result = session.world.keys(|keys| execute_encoded(keys, None, &call, &mut out));
            session.world.mode = Mode::Leader;
            result.map(|()| out.freeze())
        };
        session.check(&[("PFADD k a b c", ":1")]);
        let before = session.world.store.clone();
        assert_eq!(local(&mut session), Err(Error::NeedsLog));
        assert_eq!(session.world.store, before);
        session.check(&[("PFCOUNT k", ":3")]);
        assert_ne!(session.world.store, before);
        assert_eq!(local(&mut session), Ok(Bytes::from_static(b":3\r\n")));
        session.check(&[("PFADD k a", ":0")]);
        assert_eq!(local(&mut session), Ok(Bytes::from_static(b":3\r\n")));
    }

    #[test]
    fn watchers_hear_of_a_union_that_was_there_already() {
        let mut session = Session::new();
        session.check(&[("PFADD k a b", ":1")]);
        let before = session.world.store.clone();
        session.world.touched.clear();
        session.check(&[("PFMERGE k k", "+OK")]);
        session.check(&[("PFMERGE k", "+OK")]);
        assert_eq!(session.world.touched, [Touched::Key(0, "k".into()), Touched::Key(0, "k".into())]);
        assert_eq!(session.world.store, before);
    }
}
