//! `CONFIG GET` and `CONFIG SET notify-keyspace-events`, as far as a group is asked: which events it tells is a record of
//! the group. The service takes the words apart and asks every group.

use bytes::Bytes;

use super::args::is;
use super::context::Context;
use super::error::{Failure, Result};
use super::spec::{Run, Spec};
use crate::data::Events;
use crate::resp::Value;

/// The parameter.
pub const PARAMETER: &str = "notify-keyspace-events";

/// Letters of classes as CONFIG GET shows them, or Redis's words for why they are none.
pub fn canonical(letters: &[u8]) -> std::result::Result<String, &'static str> {
    let events = Events::parse(letters).ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
    Ok(events.letters())
}

/// The words that ask a group for its classes.
pub fn get_words() -> Vec<Bytes> {
    [&b"CONFIG"[..], b"GET", PARAMETER.as_bytes()].map(Bytes::from_static).to_vec()
}

/// The words that set the classes of a group.
pub fn set_words(letters: Bytes) -> Vec<Bytes> {
    let [config, set, parameter] = [&b"CONFIG"[..], b"SET", PARAMETER.as_bytes()].map(Bytes::from_static);
    vec![config, set, parameter, letters]
}

/// What a keyspace does with a command that is the session's otherwise; `None` for all but these two.
pub(super) fn handler(spec: &Spec, args: &[Bytes]) -> Option<Run> {
    if !args.get(2).is_some_and(|name| is(name, PARAMETER)) {
        return None;
    }
    match (spec.name, args.len()) {
        ("config|get", 3) => Some(get),
        ("config|set", 4) => Some(set),
        _ => None,
    }
}

fn get(context: &mut Context<'_, '_>, _: &[Bytes]) -> Result<Value> {
    // Asked of the records: a local read shall see what is applied, whatever it was told beside them.
    let events = Events::load(&*context.keys.store, context.keys.group)?;
    Ok(Value::bulk(events.letters()))
}

fn set(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    match Events::parse(&args[3]) {
        Some(events) => {
            context.keys.set_events(events);
            Ok(Value::OK)
        }
        None => Err(Failure::SYNTAX),
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Session;

    #[test]
    fn a_group_tells_what_it_is_told_to_tell() {
        let mut session = Session::new();
        session.check(&[
            ("CONFIG GET notify-keyspace-events", "$0 "),
            ("SET k v", "+OK"),
            ("CONFIG SET notify-keyspace-events Eg$x", "+OK"),
            ("CONFIG GET notify-keyspace-events", "$4 g$xE"),
            ("CONFIG SET notify-keyspace-events Q", "-ERR syntax error"),
            ("CONFIG GET maxmemory", "-ERR 'config|get' is not a command on keys"),
        ]);
        let kept = session.world.store.clone();
        session.check(&[("CONFIG SET notify-keyspace-events xg$E", "+OK")]);
        assert_eq!(session.world.store, kept, "nothing is written where nothing changes");
    }
}
