//! MEMORY USAGE: what a key takes. The words of MEMORY that tell of a node are answered by the service.

use bytes::Bytes;

use super::args::{Options, is};
use super::context::Context;
use super::error::{Failure, Result};
use crate::resp::Value;

/// How many elements are looked at unless the client says another number; 0 asks for all.
const SAMPLES: i64 = 5;

/// `MEMORY USAGE key [SAMPLES count]`
pub(super) fn usage(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let mut samples = SAMPLES;
    let mut options = Options::new(args, 3);
    while let Some(option) = options.next() {
        if !is(option, "samples") {
            return Err(Failure::SYNTAX);
        }
        samples = options.integer()?;
        if samples < 0 {
            return Err(Failure::SYNTAX);
        }
    }
    let samples = if samples == 0 { u64::MAX } else { samples.unsigned_abs() };
    let Some(head) = context.lookup(&args[2])? else { return Ok(Value::Null) };
    let bytes = context.keys.record_bytes(context.db, &args[2], &head, samples)?;
    Ok(Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX)))
}
