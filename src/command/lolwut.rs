//! LOLWUT: which version this claims to be. The pictures of versions 5 and 6 are Redis's own and not drawn here.

use bytes::Bytes;

use super::REDIS_VERSION;
use super::args::{integer, is};
use super::context::Context;
use super::error::Result;
use crate::resp::Value;

/// `LOLWUT [VERSION version [...]]`
pub(super) fn lolwut(_context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    if let [_, word, version, ..] = args
        && is(word, "version")
    {
        integer(version)?;
    }
    Ok(Value::Verbatim("txt", format!("Redis ver. {REDIS_VERSION}\n").into()))
}
