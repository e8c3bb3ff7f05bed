//! Patterns of SORT: which key, or which field of a hash, belongs to an element.
//!
//! ```text
//! #               the element itself
//! price_*         the string at this key, the element in the place of the first star
//! item_*->price   the field of the hash at this key
//! ```
//!
//! A word without a star names nothing. Redis reads patterns as C does: what follows a NUL has neither star nor arrow,
//! though it belongs to the name.
//!
//! Invariant: no key of another group is looked up. With several groups a pattern must say by a hash tag in front of
//! its star that all its keys are this group's.

use bytes::{Bytes, BytesMut};

use crate::base::slot::hash_tag;
use crate::base::{Slot, SlotRange};
use crate::command::context::Context;
use crate::command::error::{CROSS_SLOT, Failure, Result};
use crate::data::Kind;
use crate::data::hash::Hash;
use crate::resp::c_string;

/// A pattern as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The element itself.
    Element,
    /// No key.
    Nothing,
    /// A key for each element.
    Key {
        /// What comes before the element.
        prefix: Bytes,
        /// What comes behind it.
        suffix: Bytes,
        /// The field, if the key is a hash.
        field: Option<Bytes>,
    },
}

impl Pattern {
    /// Reads a pattern.
    pub fn read(word: &Bytes) -> Pattern {
        let text = c_string(word);
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = text.iter().position(|&byte| byte == b'*') else { return Pattern::Nothing };
        let (prefix, rest) = (word.slice(..star), word.slice(star + 1..));
        // An arrow with nothing behind it is part of the name.
        let arrow = text[star + 1..].windows(2).position(|pair| pair == b"->");
        match arrow.filter(|arrow| star + 1 + arrow + 2 < text.len()) {
            Some(arrow) => Pattern::Key { prefix, suffix: rest.slice(..arrow), field: Some(rest.slice(arrow + 2..)) },
            None => Pattern::Key { prefix, suffix: rest, field: None },
        }
    }

    /// Whether each element has a key of its own.
    pub fn has_keys(&self) -> bool {
        matches!(self, Pattern::Key { .. })
    }

    /// Refuses a pattern that may name keys of another group. `option` is the word in front of it.
    pub fn check(&self, slots: SlotRange, option: &str) -> Result<()> {
        let Pattern::Key { prefix, .. } = self else { return Ok(()) };
        if slots == SlotRange::ALL {
            return Ok(());
        }
        if hash_tag(prefix).len() == prefix.len() {
            // Behind the star a tag is no promise: the element may bring another one.
            return Err(Failure::line(format!(
                "ERR {option} option of SORT denied in cluster mode: keys are in several groups, and only a hash tag \
                 in front of the * tells that all keys of the pattern are in that of the sorted key"
            )));
        }
        if slots.contains(Slot::of(prefix)) { Ok(()) } else { Err(Failure::line(CROSS_SLOT)) }
    }

    /// What belongs to an element; nothing if there is no such key, or one of another type.
    pub fn find(&self, context: &mut Context<'_, '_>, element: &Bytes) -> Result<Option<Bytes>> {
        let (prefix, suffix, field) = match self {
            Pattern::Element => return Ok(Some(element.clone())),
            Pattern::Nothing => return Ok(None),
            Pattern::Key { prefix, suffix, field } => (prefix, suffix, field),
        };
        let mut key = BytesMut::with_capacity(prefix.len() + element.len() + suffix.len());
        [prefix, element, suffix].into_iter().for_each(|part| key.extend_from_slice(part));
        let key = key.freeze();
        let Some(head) = context.lookup(&key)? else { return Ok(None) };
        match (head.kind, field) {
            (Kind::String, None) => Ok(Some(head.payload)),
            (Kind::Hash, Some(field)) => {
                let hash = Hash::of_head(context.db, &key, head)?;
                Ok(hash.get(context.keys, field)?)
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static [u8]) -> Pattern {
        Pattern::read(&Bytes::from_static(text))
    }

    fn key(prefix: &'static [u8], suffix: &'static [u8], field: Option<&'static [u8]>) -> Pattern {
        let bytes = Bytes::from_static;
        Pattern::Key { prefix: bytes(prefix), suffix: bytes(suffix), field: field.map(bytes) }
    }

    #[test]
    fn patterns_are_read_as_c_reads_them() {
        assert_eq!(read(b"#"), Pattern::Element);
        assert_eq!(read(b"#\0*"), Pattern::Element);
        for word in [&b""[..], b"nosort", b"##", b"a->b", b"a\0*"] {
            assert_eq!(read(word), Pattern::Nothing, "{}", word.escape_ascii());
        }
        assert_eq!(read(b"*"), key(b"", b"", None));
        assert_eq!(read(b"w_*_x*"), key(b"w_", b"_x*", None));
        assert_eq!(read(b"w_*->f->g"), key(b"w_", b"", Some(b"f->g")));
        assert_eq!(read(b"w->x*y->f*"), key(b"w->x", b"y", Some(b"f*")));
        assert_eq!(read(b"w_*->"), key(b"w_", b"->", None));
        assert_eq!(read(b"w_*->\0x"), key(b"w_", b"->\0x", None));
        assert_eq!(read(b"w_*->f\0x"), key(b"w_", b"", Some(b"f\0x")));
        assert_eq!(read(b"w_*\0->f"), key(b"w_", b"\0->f", None));
    }

    #[test]
    fn keys_of_other_groups_are_out_of_reach() {
        // foo: 12182, bar: 5061.
        let halves = SlotRange::divide(2);
        let check = |text, half: usize| read(text).check(halves[half], "BY");
        let line = |result: Result<()>| match result {
            Err(Failure::Reply(line)) => String::from_utf8_lossy(&line).into_owned(),
            other => panic!("{other:?}"),
        };
        for half in [0, 1] {
            for word in [&b"#"[..], b"nosort", b"{foo}"] {
                assert_eq!(check(word, half), Ok(()));
            }
            for word in [&b"w_*"[..], b"*{foo}", b"{*}", b"{foo*}", b"{}{foo}*", b"}{*"] {
                assert!(line(check(word, half)).starts_with("ERR BY option of SORT denied in cluster mode: "));
            }
        }
        assert_eq!((check(b"{bar}w_*->f", 0), check(b"w_{foo}*", 1)), (Ok(()), Ok(())));
        assert_eq!(line(check(b"{bar}w_*", 1)), CROSS_SLOT);
        assert_eq!(read(b"w_*").check(SlotRange::ALL, "GET"), Ok(()));
    }
}
