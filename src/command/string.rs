//! String commands.

use bytes::Bytes;

use super::context::Context;
use super::error::Result;
use crate::resp::Value;

pub(super) fn get(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(context.string(&args[1])?.map_or(Value::Null, |head| Value::Bulk(head.payload)))
}
