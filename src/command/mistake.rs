//! What is wrong with a call wherever its keys are and whatever they hold: the error that an empty keyspace answers.
//!
//! A call over keys of several groups cannot run, but one that is also malformed is told of its own mistake first, as
//! by a Redis that has all keys.

use bytes::Bytes;

use super::script::eval::NO_SCRIPT;
use super::{Call, Failure, execute};
use crate::base::{GroupId, Nobody, Rng, SlotRange};
use crate::data::{Counts, Keyspace, Mode, Moment, Thresholds, Usage};
use crate::resp::{Protocol, Value};
use crate::store::Records;

/// The error line of a call that is wrong in itself.
pub fn mistake(args: &[Bytes]) -> Option<Value> {
    let call = Call::new(0, Protocol::Resp2, args.to_vec());
    let mut keyspace = Keyspace {
        store: &mut Records::default(),
        group: GroupId::META,
        slots: SlotRange::ALL,
        moment: Moment::default(),
        mode: Mode::Leader,
        counts: &mut Counts::default(),
        touched: &mut Vec::new(),
        events: &mut Default::default(),
        rng: &mut Rng::new(0),
        thresholds: Thresholds::default(),
        usage: &Usage::default(),
        audience: &Nobody,
        manner: Default::default(),
        named: Bytes::new(),
    };
    let reply = execute(&mut keyspace, &call).ok()?;
    // That a key or a script is missing is the keyspace's fault.
    let is_missing = |what: Failure| Ok(&reply) == what.into_reply().as_ref();
    let is_of_keyspace = is_missing(Failure::NO_SUCH_KEY) || is_missing(NO_SCRIPT);
    (reply.is_error() && !is_of_keyspace).then_some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_in_itself() {
        let mistake = |line: &str| {
            let words: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
            mistake(&words)
        };
        let arity = |name: &str| Some(Value::error(format!("ERR wrong number of arguments for '{name}' command")));
        assert_eq!(mistake("MSET a 1 b"), arity("mset"));
        assert_eq!(mistake("MSETNX a 1 b"), arity("msetnx"));
        assert_eq!(mistake("COPY a b DB x"), Some(Value::error("ERR value is not an integer or out of range")));
        assert_eq!(mistake("LCS a b FOO"), Some(Value::error("ERR syntax error")));
        assert_eq!(
            mistake("EVAL x 3 a b"),
            Some(Value::error("ERR Number of keys can't be greater than number of args"))
        );
        let digest = "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 2 a b";
        for fine in
            [digest, "EVAL x 2 a b", "MSET a 1 b 2", "RENAME a b", "DEL a b", "COPY a b", "MGET a b", "LCS a b LEN"]
        {
            assert_eq!(mistake(fine), None, "{fine}");
        }
    }
}
