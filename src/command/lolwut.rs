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
        // What the pictures are told of their size is checked without drawing them.
        let sizes = match integer(version)? as u32 {
            5 => 3,
            6 => 2,
            _ => 0,
        };
        args[3..].iter().take(sizes).try_for_each(|size| integer(size).map(|_| ()))?;
    }
    Ok(Value::Verbatim("txt", format!("Redis ver. {REDIS_VERSION}\n").into()))
}
