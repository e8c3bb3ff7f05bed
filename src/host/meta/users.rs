//! Users as facts: what is kept of each, and how many changes led there.
//!
//! Invariant: the revision grows with every change that writes, so a node that has applied a revision shows everything
//! that was decided up to it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::{Buf, BufMut, Bytes};

use super::{damaged, versioned};
use crate::command::acl::{self, Answer, Change, Users};
use crate::store::{self, Order, Read, Write, keys};

const USER: &[u8] = b"user/";
const REVISION: &[u8] = b"users";
const VERSION: u8 = 1;

/// What is kept of all users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptUsers {
    /// Counts the changes.
    pub revision: u64,
    /// Words by name.
    pub words: BTreeMap<Bytes, Vec<Bytes>>,
}

impl KeptUsers {
    /// Reads what a state keeps; nothing if there never was a user.
    pub fn read(state: &dyn Read) -> store::Result<KeptUsers> {
        let revision = revision(state)?;
        let (start, end) = keys::facts(USER);
        let mut words = BTreeMap::new();
        let mut failure = None;
        state.scan(&start, &end, Order::Forward, &mut |key, value| {
            let name = keys::parse_fact(key).ok().and_then(|name| name.strip_prefix(USER));
            match name.zip(acl::decode_kept(value)) {
                Some((name, kept)) => {
                    words.insert(Bytes::copy_from_slice(name), kept);
                    ControlFlow::Continue(())
                }
                None => {
                    failure = Some(damaged("a user"));
                    ControlFlow::Break(())
                }
            }
        })?;
        failure.map_or(Ok(KeptUsers { revision, words }), Err)
    }

    /// The users.
    pub fn users(self) -> Users {
        Users::new(self.revision, self.words)
    }
}

/// How many changes of users a state has seen.
pub fn revision(state: &dyn Read) -> store::Result<u64> {
    let Some(value) = state.get(&keys::fact(REVISION))? else { return Ok(0) };
    let number = versioned(&value).and_then(|mut value| (value.len() == 8).then(|| value.get_u64()));
    number.ok_or_else(|| damaged("the revision of users"))
}

/// Decides about a change, and writes what follows.
pub fn decide(state: &mut dyn Write, change: &Change) -> store::Result<Answer> {
    let kept = KeptUsers::read(&*state)?;
    if matches!(change, Change::Begin(_)) && kept.revision > 0 {
        return Ok(Answer::Done { revision: kept.revision, count: 0 });
    }
    let (records, count) = match acl::decide(change, &kept.words) {
        Ok(decided) => decided,
        Err(refusal) => return Ok(Answer::Refused(refusal)),
    };
    let mut revision = kept.revision;
    if !records.is_empty() {
        revision += 1;
        let mut value = vec![VERSION];
        value.put_u64(revision);
        state.put(keys::fact(REVISION), value.into());
    }
    for (name, words) in records {
        let key = keys::fact(&[USER, &name].concat());
        match words {
            Some(words) => state.put(key, acl::encode_kept(&words)),
            None => state.delete(key),
        }
    }
    Ok(Answer::Done { revision, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryEngine;
    use crate::store::overlay::{Overlay, OverlayView};

    fn words(line: &str) -> Vec<Bytes> {
        line.split_whitespace().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    fn set(name: &'static str, rules: &str) -> Change {
        Change::Set { name: Bytes::from_static(name.as_bytes()), otherwise: vec![], rules: words(rules) }
    }

    #[test]
    fn a_change_sees_those_before_it_and_the_revision_counts_what_was_written() {
        let (engine, mut overlay) = (MemoryEngine::new(), Overlay::default());
        overlay.begin(1);
        let mut state = OverlayView::new(&engine, &mut overlay);
        let mut ask = |change: &Change| decide(&mut state, change).expect("memory never fails");
        let done = |revision, count| Answer::Done { revision, count };
        assert_eq!(ask(&set("a", "on ~x")), done(1, 1));
        assert_eq!(ask(&set("a", "on ~x")), done(1, 1), "nothing new");
        assert_eq!(ask(&set("a", "+nosuch")), Answer::Refused(acl::Refusal::Rule(0, acl::Mistake::UnknownName)));
        assert_eq!(ask(&set("b\u{c3}\u{a9}", "+get")), done(2, 1));
        assert_eq!(ask(&Change::Begin(vec![("c".into(), words("on"))])), done(2, 0), "there were users before");
        assert_eq!(ask(&Change::Remove(words("a nosuch"))), done(3, 1));
        let kept = KeptUsers::read(&OverlayView::new(&engine, &mut overlay)).unwrap();
        let wanted = words("off sanitize-payload resetchannels -@all +get");
        assert_eq!(kept.words, BTreeMap::from([(Bytes::from_static("b\u{c3}\u{a9}".as_bytes()), wanted)]));
        assert_eq!(kept.revision, 3);
        assert!(kept.users().get("b\u{c3}\u{a9}".as_bytes()).is_some());
    }

    #[test]
    fn the_first_users_are_taken_once() {
        let (engine, mut overlay) = (MemoryEngine::new(), Overlay::default());
        overlay.begin(1);
        let mut state = OverlayView::new(&engine, &mut overlay);
        let begin = Change::Begin(vec![("a".into(), words("on nopass")), ("b".into(), words("off"))]);
        for _ in 0..2 {
            let answer = decide(&mut state, &begin).expect("memory never fails");
            assert!(matches!(answer, Answer::Done { revision: 1, .. }), "{answer:?}");
        }
        assert_eq!(KeptUsers::read(&state).unwrap().words.len(), 2);
    }

    #[test]
    fn damaged_records_are_an_error() {
        for (name, value) in
            [(REVISION, &b"\x02"[..]), (&b"user/a"[..], &b"\x01\0\0\0\x01"[..]), (&b"user/a"[..], &b""[..])]
        {
            let (engine, mut overlay) = (MemoryEngine::new(), Overlay::default());
            overlay.begin(1);
            let mut state = OverlayView::new(&engine, &mut overlay);
            state.put(keys::fact(name), Bytes::copy_from_slice(value));
            assert!(matches!(KeptUsers::read(&state), Err(store::Error::Corrupt(_))));
        }
    }
}
