//! CLIENT TRACKING and CACHING, as far as they can be kept without notices of changed keys (which are not built yet).
//!
//! In mode OPTIN nothing is tracked before CLIENT CACHING YES announces a read. So the mode is accepted, which lets
//! libraries connect that always ask for it, and CACHING YES is refused: no client ever waits for a notice that does not
//! come. Texts are Redis's where it would refuse as well.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::session::Session;
use super::words::{is, syntax_error};
use crate::resp::Value;

const NOT_YET: &str = "ERR notices of changed keys are not supported yet: tracking is possible in mode OPTIN only, without \
                       CLIENT CACHING YES";

/// `CLIENT TRACKING ON|OFF [options]`
pub(super) fn tracking(session: &Session, mode: &Bytes, options: &[Bytes]) -> Value {
    let is_on = is(mode, "on");
    if !is_on && !is(mode, "off") {
        return syntax_error();
    }
    let mut opt_in = false;
    let mut rest = options;
    loop {
        rest = match rest {
            [] => break,
            [option, rest @ ..] if is(option, "optin") => {
                opt_in = true;
                rest
            }
            [option, rest @ ..] if is(option, "noloop") => rest,
            [option, ..] if is(option, "bcast") || is(option, "optout") => return Value::error(NOT_YET),
            [option, _, ..] if is(option, "redirect") || is(option, "prefix") => return Value::error(NOT_YET),
            _ => return syntax_error(),
        };
    }
    if is_on && !opt_in {
        return Value::error(NOT_YET);
    }
    session.client.tracking.store(is_on, Relaxed);
    Value::OK
}

/// `CLIENT CACHING YES|NO`
pub(super) fn caching(session: &Session, mode: &Bytes) -> Value {
    match () {
        () if !session.client.tracking.load(Relaxed) => Value::error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ),
        () if is(mode, "yes") => Value::error(NOT_YET),
        () if is(mode, "no") => {
            Value::error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
        }
        () => syntax_error(),
    }
}

/// `CLIENT TRACKINGINFO`
pub(super) fn info(session: &Session) -> Value {
    let flags: &[&str] = if session.client.tracking.load(Relaxed) { &["on", "optin"] } else { &["off"] };
    Value::Map(vec![
        (Value::bulk("flags"), Value::Set(flags.iter().map(|flag| Value::bulk(*flag)).collect())),
        (Value::bulk("redirect"), redirection(session)),
        (Value::bulk("prefixes"), Value::Array(Vec::new())),
    ])
}

/// `CLIENT GETREDIR`: nobody else gets the notices of this connection.
pub(super) fn redirection(session: &Session) -> Value {
    Value::Integer(if session.client.tracking.load(Relaxed) { 0 } else { -1 })
}
