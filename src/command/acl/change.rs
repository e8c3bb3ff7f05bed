//! A change of users: how it travels to the one place that decides, and the decision, a function of what is kept.
//!
//! ```text
//! change    version u8 = 1 | 0 | name | words (the user where it is not kept) | words (the rules)    SETUSER
//!           version u8 = 1 | 1 | names                                                               DELUSER
//!           version u8 = 1 | 2 | count u32 | (name | words)...                                       the first users
//! answer    version u8 = 1 | 0 | revision u64 | count u64          done; how many users it was about
//!           version u8 = 1 | 1 | place u32 | mistake u8            a rule is none
//!           version u8 = 1 | 2                                     too many users
//!           version u8 = 1 | 3                                     a user with too many bytes
//!           version u8 = 1 | 4                                     a change of a later version
//! kept      version u8 = 1 | words                                 a user
//! words     count u32 | (length u32 | so many bytes)...
//! ```
//!
//! Numbers are big-endian. Invariants: a change that is refused changes nothing; making a change again that was made
//! leads to the same users.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};

use super::{DEFAULT, Mistake, User};
use crate::base::limits::{USER_BYTES_MAX, USERS_MAX};

const VERSION: u8 = 1;

/// What somebody wants the users to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `ACL SETUSER`: rules upon the user as it is.
    Set {
        /// Whom.
        name: Bytes,
        /// What the user is where nothing is kept of it: the default user is in the settings until then.
        otherwise: Vec<Bytes>,
        /// The rules, selectors merged and passwords hidden.
        rules: Vec<Bytes>,
    },
    /// `ACL DELUSER`.
    Remove(Vec<Bytes>),
    /// The first users, if there never were any: of each its name and its rules.
    Begin(Vec<(Bytes, Vec<Bytes>)>),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is made, or was before.
    Done {
        /// Users of this revision or a later one show it.
        revision: u64,
        /// How many users there were to change.
        count: u64,
    },
    /// Nothing was changed.
    Refused(Refusal),
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The rule at this place.
    Rule(usize, Mistake),
    /// There may be no more users.
    TooManyUsers,
    /// The user would take too many bytes.
    TooLong,
    /// Whoever decides does not know this kind of change.
    Unknown,
}

/// What is to be kept of a user from now on: its words, or nothing.
pub type Record = (Bytes, Option<Vec<Bytes>>);

/// Decides about a change: what is to be kept, and how many users it was about. `kept` is what is kept of each user now.
pub fn decide(change: &Change, kept: &BTreeMap<Bytes, Vec<Bytes>>) -> Result<(Vec<Record>, u64), Refusal> {
    match change {
        Change::Set { name, otherwise, rules } => {
            let words = kept.get(name).unwrap_or(otherwise);
            let after = ruled(name, words, rules)?;
            if !kept.contains_key(name) && kept.len() >= USERS_MAX {
                return Err(Refusal::TooManyUsers);
            }
            let changes = kept.get(name) != Some(&after);
            Ok((changes.then(|| (name.clone(), Some(after))).into_iter().collect(), 1))
        }
        Change::Remove(names) => {
            let mut found: Vec<&Bytes> =
                names.iter().filter(|name| kept.contains_key(*name) && **name != DEFAULT).collect();
            found.sort_unstable();
            found.dedup();
            let count = found.len() as u64;
            Ok((found.into_iter().map(|name| (name.clone(), None)).collect(), count))
        }
        Change::Begin(users) => {
            if users.len() > USERS_MAX {
                return Err(Refusal::TooManyUsers);
            }
            let mut records: BTreeMap<Bytes, Vec<Bytes>> = BTreeMap::new();
            for (name, rules) in users {
                let before = records.remove(name).unwrap_or_default();
                records.insert(name.clone(), ruled(name, &before, rules)?);
            }
            let count = records.len() as u64;
            Ok((records.into_iter().map(|(name, words)| (name, Some(words))).collect(), count))
        }
    }
}

/// The words of a user after these rules.
fn ruled(name: &Bytes, words: &[Bytes], rules: &[Bytes]) -> Result<Vec<Bytes>, Refusal> {
    let weight = |words: &[Bytes]| name.len() + words.iter().map(|word| word.len() + 4).sum::<usize>();
    if weight(rules) > USER_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let mut user = User::from_words(name.clone(), words);
    user.apply(rules).map_err(|(at, mistake)| Refusal::Rule(at, mistake))?;
    let words = user.words();
    if weight(&words) > USER_BYTES_MAX { Err(Refusal::TooLong) } else { Ok(words) }
}

impl Change {
    /// For the way to whoever decides.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Change::Set { name, otherwise, rules } => {
                out.put_u8(0);
                put_bytes(&mut out, name);
                put_words(&mut out, otherwise);
                put_words(&mut out, rules);
            }
            Change::Remove(names) => {
                out.put_u8(1);
                put_words(&mut out, names);
            }
            Change::Begin(users) => {
                out.put_u8(2);
                out.put_u32(users.len() as u32);
                for (name, rules) in users {
                    put_bytes(&mut out, name);
                    put_words(&mut out, rules);
                }
            }
        }
        out.into()
    }

    /// `None` for what this version does not know.
    pub fn decode(change: &[u8]) -> Option<Change> {
        let mut rest = change;
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let change = match rest.try_get_u8().ok()? {
            0 => Change::Set {
                name: take_bytes(&mut rest)?,
                otherwise: take_words(&mut rest)?,
                rules: take_words(&mut rest)?,
            },
            1 => Change::Remove(take_words(&mut rest)?),
            2 => {
                let count = rest.try_get_u32().ok()?;
                // A lying count runs into the end of what is there.
                let user = |_| Some((take_bytes(&mut rest)?, take_words(&mut rest)?));
                Change::Begin((0..count).map(user).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        rest.is_empty().then_some(change)
    }
}

impl Answer {
    /// For the way back.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Answer::Done { revision, count } => {
                out.put_u8(0);
                out.put_u64(*revision);
                out.put_u64(*count);
            }
            Answer::Refused(Refusal::Rule(at, mistake)) => {
                out.put_u8(1);
                out.put_u32(*at as u32);
                out.put_u8(mistake.code());
            }
            Answer::Refused(Refusal::TooManyUsers) => out.put_u8(2),
            Answer::Refused(Refusal::TooLong) => out.put_u8(3),
            Answer::Refused(Refusal::Unknown) => out.put_u8(4),
        }
        out.into()
    }

    /// `None` for what this version does not know.
    pub fn decode(answer: &[u8]) -> Option<Answer> {
        let mut rest = answer;
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let answer = match rest.try_get_u8().ok()? {
            0 => Answer::Done { revision: rest.try_get_u64().ok()?, count: rest.try_get_u64().ok()? },
            1 => {
                let at = usize::try_from(rest.try_get_u32().ok()?).ok()?;
                Answer::Refused(Refusal::Rule(at, Mistake::from_code(rest.try_get_u8().ok()?)?))
            }
            2 => Answer::Refused(Refusal::TooManyUsers),
            3 => Answer::Refused(Refusal::TooLong),
            4 => Answer::Refused(Refusal::Unknown),
            _ => return None,
        };
        rest.is_empty().then_some(answer)
    }
}

/// What is kept of a user.
pub fn encode_kept(words: &[Bytes]) -> Bytes {
    let mut out = vec![VERSION];
    put_words(&mut out, words);
    out.into()
}

/// Reads what is kept of a user; `None` for what this version does not know.
pub fn decode_kept(kept: &[u8]) -> Option<Vec<Bytes>> {
    let (version, mut rest) = kept.split_first()?;
    let words = take_words(&mut rest)?;
    (*version == VERSION && rest.is_empty()).then_some(words)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

fn put_words(out: &mut Vec<u8>, words: &[Bytes]) {
    out.put_u32(words.len() as u32);
    words.iter().for_each(|word| put_bytes(out, word));
}

fn take_bytes(rest: &mut &[u8]) -> Option<Bytes> {
    let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Bytes::copy_from_slice(bytes))
}

fn take_words(rest: &mut &[u8]) -> Option<Vec<Bytes>> {
    let count = rest.try_get_u32().ok()?;
    (0..count).map(|_| take_bytes(rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Bytes> {
        line.split_whitespace().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    fn set(name: &'static str, otherwise: &str, rules: &str) -> Change {
        Change::Set { name: Bytes::from_static(name.as_bytes()), otherwise: words(otherwise), rules: words(rules) }
    }

    /// Makes a change; how many users it was about.
    fn make(kept: &mut BTreeMap<Bytes, Vec<Bytes>>, change: &Change) -> Result<u64, Refusal> {
        let (records, count) = decide(change, kept)?;
        for (name, words) in records {
            match words {
                Some(words) => kept.insert(name, words),
                None => kept.remove(&name),
            };
        }
        Ok(count)
    }

    #[test]
    fn a_change_is_made_upon_what_is_kept_or_else_upon_what_the_asker_knows() {
        let mut kept = BTreeMap::new();
        assert_eq!(make(&mut kept, &set("default", "on #nonsense", "+get")), Ok(1));
        assert_eq!(kept[&DEFAULT], words("off sanitize-payload resetchannels -@all +get"), "it fails closed");
        let open = "on nopass sanitize-payload ~* &* +@all";
        kept.clear();
        assert_eq!(make(&mut kept, &set("default", open, "-get")), Ok(1));
        assert_eq!(kept[&DEFAULT], words("on nopass sanitize-payload ~* &* +@all -get"));
        assert_eq!(make(&mut kept, &set("default", open, "-set")), Ok(1));
        assert_eq!(kept[&DEFAULT], words("on nopass sanitize-payload ~* &* +@all -get -set"));
        assert_eq!(make(&mut kept, &set("a", "", "on")), Ok(1));
        assert_eq!(make(&mut kept, &Change::Remove(words("default b a a"))), Ok(1));
        assert_eq!(kept.len(), 1);
    }

    #[test]
    fn what_is_refused_or_known_changes_nothing() {
        let mut kept = BTreeMap::new();
        make(&mut kept, &set("a", "", "on ~x")).unwrap();
        let before = kept.clone();
        let refused = Err(Refusal::Rule(1, Mistake::UnknownName));
        assert_eq!(make(&mut kept, &set("a", "", "off +nosuch")), refused);
        let long = format!("~{}", "x".repeat(USER_BYTES_MAX));
        assert_eq!(make(&mut kept, &set("a", "", &long)), Err(Refusal::TooLong));
        let half = format!("~{}", "y".repeat(USER_BYTES_MAX / 2));
        let other = format!("~{}", "z".repeat(USER_BYTES_MAX / 2));
        make(&mut kept, &set("b", "", &half)).unwrap();
        assert_eq!(make(&mut kept, &set("b", "", &other)), Err(Refusal::TooLong));
        kept.remove(&b"b"[..]);
        assert_eq!(kept, before);
        assert_eq!(decide(&set("a", "", "on"), &kept), Ok((vec![], 1)));
        let many = (0..USERS_MAX).map(|at| (Bytes::from(format!("u{at}")), vec![])).collect();
        assert_eq!(decide(&set("b", "", ""), &many), Err(Refusal::TooManyUsers));
        assert!(decide(&set("u1", "", ""), &many).is_ok());
    }

    #[test]
    fn changes_and_answers_survive_the_wire_and_forged_ones_do_not() {
        let begin = Change::Begin(vec![("a".into(), words("on nopass")), ("b".into(), vec![])]);
        for change in [set("a", "on", "+get ~x"), Change::Remove(words("a b")), begin] {
            let bytes = change.encode();
            assert_eq!(Change::decode(&bytes), Some(change));
            for length in 0..bytes.len() {
                assert_eq!(Change::decode(&bytes[..length]), None, "cut at {length}");
            }
            assert_eq!(Change::decode(&[&bytes[..], b"\0"].concat()), None);
        }
        assert_eq!(Change::decode(b"\x01\x02\xff\xff\xff\xff"), None, "a lying count reserves nothing");
        for answer in [
            Answer::Done { revision: 7, count: 2 },
            Answer::Refused(Refusal::Rule(3, Mistake::FirstArgument)),
            Answer::Refused(Refusal::TooManyUsers),
            Answer::Refused(Refusal::TooLong),
            Answer::Refused(Refusal::Unknown),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        assert_eq!(Answer::decode(b"\x01\x09"), None);
    }

    #[test]
    fn the_bytes_are_golden() {
        let golden = b"\x01\0\0\0\0\x01a\0\0\0\0\0\0\0\x01\0\0\0\x02on";
        assert_eq!(&set("a", "", "on").encode()[..], golden);
        let kept = b"\x01\0\0\0\x02\0\0\0\x02on\0\0\0\x02~x";
        assert_eq!(&encode_kept(&words("on ~x"))[..], kept);
        assert_eq!(decode_kept(kept), Some(words("on ~x")));
        assert_eq!(decode_kept(b"\x02\0\0\0\0"), None);
    }
}
