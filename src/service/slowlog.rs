//! What took long: a bounded list of slow commands, newest first, as SLOWLOG shows it.
//!
//! A duration here is what the client waited for once its request was complete: it includes the majority's fsync,
//! which Redis's does not. The lock is taken only by commands that were slow.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;

use super::words::is;
use crate::resp::Value;

/// Arguments that an entry keeps, as Redis does.
const ARGUMENTS_MAX: usize = 32;
/// Bytes of one argument that an entry keeps.
const ARGUMENT_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Clone, Debug)]
struct Entry {
    id: u64,
    /// Seconds since the Unix epoch.
    at: u64,
    micros: u64,
    args: Vec<Bytes>,
    address: String,
    name: Bytes,
}

/// The list.
#[derive(Debug, Default)]
pub(super) struct SlowLog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    entries: VecDeque<Entry>,
}

impl SlowLog {
    /// Adds a command and forgets the oldest beyond `length_max`.
    pub fn record(&self, args: &[Bytes], at: u64, micros: u64, address: &str, name: Bytes, length_max: usize) {
        let entry = Entry { id: 0, at, micros, args: trim(args), address: address.to_string(), name };
        let mut state = self.0.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.entries.push_front(Entry { id, ..entry });
        state.entries.truncate(length_max);
    }

    /// The newest `count` entries, all for `None`.
    pub fn get(&self, count: Option<usize>) -> Value {
        let state = self.0.lock();
        let entries = state.entries.iter().take(count.unwrap_or(usize::MAX));
        Value::Array(entries.map(Entry::value).collect())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.lock().entries.len()
    }

    /// Forgets all entries; ids go on.
    pub fn reset(&self) {
        self.0.lock().entries.clear();
    }
}

impl Entry {
    fn value(&self) -> Value {
        Value::Array(vec![
            Value::Integer(self.id as i64),
            Value::Integer(self.at as i64),
            Value::Integer(self.micros as i64),
            Value::Array(self.args.iter().cloned().map(Value::Bulk).collect()),
            Value::bulk(self.address.clone()),
            Value::Bulk(self.name.clone()),
        ])
    }
}

/// Words of a connection without passwords: what follows AUTH, or HELLO's, new values of secret parameters, rules of a user.
pub(super) fn without_secrets(args: &[Bytes]) -> Vec<Bytes> {
    let is_word = |at: usize, word: &str| args.get(at).is_some_and(|arg| is(arg, word));
    let secret = |at: usize| {
        let hello = is_word(0, "hello") && (1..=2).any(|back| at >= 2 + back && is_word(at - back, "auth"));
        let parameter = at >= 3 && at % 2 == 1 && (is_word(at - 1, "requirepass") || is_word(at - 1, "masterauth"));
        let auth = at >= 1 && is_word(0, "auth");
        // As Redis does: who it is about, and none of the rules.
        let user = at >= 3 && is_word(0, "acl") && is_word(1, "setuser");
        auth || hello || user || (is_word(0, "config") && is_word(1, "set") && parameter)
    };
    let show = |(at, arg): (usize, &Bytes)| if secret(at) { Bytes::from_static(b"(redacted)") } else { arg.clone() };
    args.iter().enumerate().map(show).collect()
}

/// A short copy, so that the log neither keeps large values nor pins read buffers.
fn trim(args: &[Bytes]) -> Vec<Bytes> {
    let shown = if args.len() > ARGUMENTS_MAX { ARGUMENTS_MAX - 1 } else { args.len() };
    let mut copy: Vec<Bytes> = args[..shown].iter().map(|arg| trim_argument(arg)).collect();
    if shown < args.len() {
        copy.push(format!("... ({} more arguments)", args.len() - shown).into());
    }
    copy
}

fn trim_argument(arg: &[u8]) -> Bytes {
    if arg.len() <= ARGUMENT_BYTES_MAX {
        return Bytes::copy_from_slice(arg);
    }
    let more = format!("... ({} more bytes)", arg.len() - ARGUMENT_BYTES_MAX);
    [&arg[..ARGUMENT_BYTES_MAX], more.as_bytes()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_kept() {
        let show = |line: &str| {
            let args: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
            without_secrets(&args)
                .iter()
                .map(|arg| String::from_utf8_lossy(arg).into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (said, kept) in [
            ("hello 3 AUTH default pw setname x", "hello 3 AUTH (redacted) (redacted) setname x"),
            ("auth pw", "auth (redacted)"),
            ("AUTH user pw", "AUTH (redacted) (redacted)"),
            ("CONFIG SET timeout 5 RequirePass pw", "CONFIG SET timeout 5 RequirePass (redacted)"),
            ("CONFIG GET requirepass", "CONFIG GET requirepass"),
            ("client setname auth", "client setname auth"),
            ("acl SetUser bob on >pw", "acl SetUser bob (redacted) (redacted)"),
            ("acl getuser bob", "acl getuser bob"),
        ] {
            assert_eq!(show(said), kept);
        }
    }

    #[test]
    fn keeps_the_newest_and_short_copies() {
        let log = SlowLog::default();
        for number in 0..5 {
            log.record(&[Bytes::from(format!("cmd{number}"))], 7, 11, "a:1", Bytes::new(), 3);
        }
        assert_eq!(log.len(), 3);
        let Value::Array(entries) = log.get(Some(1)) else { panic!("no array") };
        let Value::Array(fields) = &entries[0] else { panic!("no array") };
        assert_eq!(fields[0], Value::Integer(4));
        assert_eq!(fields[3], Value::Array(vec![Value::bulk("cmd4")]));
        log.reset();
        assert_eq!(log.len(), 0);
        let many = vec![Bytes::from(vec![b'x'; 1000]); 40];
        let short = trim(&many);
        assert_eq!((short.len(), &short[31][..]), (32, &b"... (9 more arguments)"[..]));
        assert!(short[0].ends_with(b"... (872 more bytes)"));
    }
}
