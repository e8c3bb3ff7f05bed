//! Words about the scripts and functions that run: SCRIPT KILL, FUNCTION KILL, FUNCTION STATS. A script runs on the node
//! that leads its group, which the client does not know: all nodes are asked, and answer as one.
//!
//! Invariant: a node that does not answer in time is left out, and none of these words waits for a script.

use bytes::Bytes;

use super::Service;
use super::node::{AboutScripts, Outcome, ScriptsTold};
use super::session::Session;
use super::words::is;
use crate::command::script::function::stats;
use crate::command::script::{Killed, Kind};
use crate::resp::Value;

impl Service {
    /// `SCRIPT KILL`, or `FUNCTION KILL`: what counts most of what came of it on all nodes.
    pub(super) async fn kill_scripts(&self, functions: bool) -> Value {
        let told = self.ask_all(AboutScripts::Kill { functions }).await;
        let killed = told.iter().map(|told| told.killed).max().unwrap_or(Killed::Nothing);
        killed.reply(functions)
    }

    /// `FUNCTION STATS`. The libraries are counted where they are kept; while a function holds that up, they are those
    /// that this node knows.
    pub(super) async fn function_stats(&self, session: &mut Session) -> Value {
        let words = ["FUNCTION", "STATS"].map(|word| Bytes::from_static(word.as_bytes())).to_vec();
        let counts = match self.ask_first(session.call(words)).await {
            Ok(reply) => match counts(&reply) {
                Some(counts) => counts,
                None => return reply,
            },
            Err(Outcome::Busy(Kind::Function)) => {
                let figures = self.node.scripts();
                (figures.libraries, figures.functions)
            }
            Err(outcome) => return Value::error(super::batch::failure(&outcome)),
        };
        let told = self.ask_all(AboutScripts::Look).await;
        let longest = told.iter().filter_map(|told| told.called.as_ref()).max_by_key(|(_, millis)| *millis);
        stats(longest.map(|(called, millis)| (called, *millis)), counts)
    }

    /// The answers of all nodes, this one first.
    async fn ask_all(&self, about: AboutScripts) -> Vec<ScriptsTold> {
        let mut told = vec![ScriptsTold::by(&self.node.running(), about, self.node.now())];
        told.extend(self.node.ask_others(about).await);
        told
    }
}

/// Libraries and functions in the reply of a group; `None` if it is another one.
fn counts(reply: &Value) -> Option<(usize, usize)> {
    // In RESP2 a map is an array, in which each value follows its name.
    fn find<'a>(reply: &'a Value, name: &str) -> Option<&'a Value> {
        let is_it = |value: &Value| matches!(value, Value::Bulk(word) if is(word, name));
        match reply {
            Value::Map(pairs) => pairs.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value),
            Value::Array(items) => items.chunks_exact(2).find(|pair| is_it(&pair[0])).map(|pair| &pair[1]),
            _ => None,
        }
    }
    let engine = find(find(reply, "engines")?, "lua")?;
    let count = |name| match find(engine, name)? {
        Value::Integer(count) => usize::try_from(*count).ok(),
        _ => None,
    };
    Some((count("libraries_count")?, count("functions_count")?))
}

/// `SCRIPT DEBUG YES|SYNC|NO`: there is no debugger to switch on.
pub(super) fn debug(mode: &[u8]) -> Value {
    match mode {
        mode if is(mode, "no") => Value::OK,
        mode if is(mode, "yes") || is(mode, "sync") => Value::error("ERR scripts cannot be debugged here"),
        _ => Value::error("ERR Use SCRIPT DEBUG YES/SYNC/NO"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_in_both_protocols() {
        let Value::Map(pairs) = stats(None, (2, 5)) else { panic!("a map") };
        let flat = |pairs: &[(Value, Value)]| {
            Value::Array(pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect())
        };
        assert_eq!(counts(&Value::Map(pairs.clone())), Some((2, 5)));
        let inner = match &pairs[1].1 {
            Value::Map(engines) => match &engines[0].1 {
                Value::Map(counts) => Value::Array(vec![engines[0].0.clone(), flat(counts)]),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let outer = flat(&[pairs[0].clone(), (pairs[1].0.clone(), inner)]);
        assert_eq!(counts(&outer), Some((2, 5)));
        assert_eq!(counts(&Value::error("ERR x")), None);
    }
}
