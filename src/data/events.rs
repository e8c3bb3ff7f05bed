//! Keyspace events: which of them are told (`notify-keyspace-events`), and telling them.
//!
//! An event is decided where the change is, at the leader, and is a publication of the entry that makes the change: it
//! is heard exactly if the change happens, once, at every node. The classes are a record of the group, so every command
//! is evaluated under the classes that were set before it, whoever leads. Names of events and their order are
//! Redis's.
//!
//! ```text
//! record   format u8 = 1 | bits u16
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use super::Keyspace;
use crate::base::{ChannelKind, Publication};
use crate::store::{self, Read, keys};

const FORMAT: u8 = 1;

/// Letters of classes, in the order of their bits, which is that in which Redis shows them.
const LETTERS: &[u8; 14] = b"g$lshzxetdnKEm";
/// What `A` stands for: the first ten letters.
const ALL: u16 = (1 << 10) - 1;
const KEYSPACE: u16 = 1 << 11;
const KEYEVENT: u16 = 1 << 12;

/// A kind of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Class {
    /// `g`: DEL, EXPIRE, RENAME and whatever else does not ask for a type.
    Generic = 1 << 0,
    /// `$`
    String = 1 << 1,
    /// `l`
    List = 1 << 2,
    /// `s`
    Set = 1 << 3,
    /// `h`
    Hash = 1 << 4,
    /// `z`
    Zset = 1 << 5,
    /// `x`: a key ended by its deadline.
    Expired = 1 << 6,
    /// `t`
    Stream = 1 << 8,
    /// `n`: there is a key that there was not.
    New = 1 << 10,
    /// `m`: a key was read that there is not.
    Miss = 1 << 13,
}

/// The classes of events that are told, and on which channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u16);

impl Events {
    /// Reads the letters of a client; `None` if one of them is none.
    pub fn parse(letters: &[u8]) -> Option<Events> {
        letters.iter().try_fold(Events::default(), |events, letter| {
            let bits = match letter {
                b'A' => ALL,
                letter => 1 << LETTERS.iter().position(|known| known == letter)?,
            };
            Some(Events(events.0 | bits))
        })
    }

    /// The letters as Redis shows them: `A` in the place of all types, and of `n` beside them.
    pub fn letters(self) -> String {
        let all = self.0 & ALL == ALL;
        let shown = |place: usize| self.0 & 1 << place != 0 && !(all && place <= 10);
        let letters = LETTERS.iter().enumerate().filter(|(place, _)| shown(*place)).map(|(_, letter)| *letter as char);
        all.then_some('A').into_iter().chain(letters).collect()
    }

    /// Whether events of a class are told on any channel.
    #[inline]
    pub fn tells(self, class: Class) -> bool {
        self.0 & class as u16 != 0 && self.0 & (KEYSPACE | KEYEVENT) != 0
    }

    /// The same without a class.
    pub fn without(self, class: Class) -> Events {
        Events(self.0 & !(class as u16))
    }

    /// The classes of a group; none if nobody ever asked for any.
    pub fn load(view: &dyn Read, group: crate::base::GroupId) -> store::Result<Events> {
        view.get(&keys::events(group))?.map_or(Ok(Events::default()), |record| Events::decode(&record))
    }

    /// The record.
    pub fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(3);
        out.put_u8(FORMAT);
        out.put_u16(self.0);
        out.freeze()
    }

    /// Reads the record.
    pub fn decode(record: &[u8]) -> store::Result<Events> {
        match record {
            [FORMAT, bits @ ..] if bits.len() == 2 => Ok(Events(u16::from_be_bytes([bits[0], bits[1]]))),
            _ => Err(store::Error::Corrupt("the record of a group's classes of events has an unknown form".into())),
        }
    }

    /// The bits, for an atomic that several threads look at.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The same back.
    pub fn of_bits(bits: u16) -> Events {
        Events(bits)
    }
}

impl Keyspace<'_> {
    /// Tells of an event, if its class is told. With no classes set it costs a comparison.
    #[inline]
    pub fn notify(&mut self, class: Class, event: &'static str, db: u8, key: &[u8]) {
        if self.events.tells(class) {
            self.publish_event(event, db, key);
        }
    }

    /// Sets the classes of the group, in this entry: what comes after it is evaluated under them.
    pub fn set_events(&mut self, events: Events) {
        if *self.events != events {
            *self.events = events;
            self.store.put(keys::events(self.group), events.encode());
        }
    }

    /// Lets `act` make a key in the place of one that it removes: to who hears of new keys that is none.
    pub fn replacing<T>(&mut self, act: impl FnOnce(&mut Keyspace<'_>) -> T) -> T {
        let told = *self.events;
        *self.events = told.without(Class::New);
        let result = act(self);
        *self.events = told;
        result
    }

    #[cold]
    fn publish_event(&mut self, event: &'static str, db: u8, key: &[u8]) {
        let channel = |space: &str, name: &[u8]| {
            let mut channel = BytesMut::from(format!("__{space}@{db}__:").as_bytes());
            channel.put_slice(name);
            channel.freeze()
        };
        let told = *self.events;
        let kind = ChannelKind::Plain;
        if told.0 & KEYSPACE != 0 {
            let (channel, message) = (channel("keyspace", key), Bytes::from_static(event.as_bytes()));
            self.store.publish(Publication { kind, channel, message });
        }
        if told.0 & KEYEVENT != 0 {
            let (channel, message) = (channel("keyevent", event.as_bytes()), Bytes::copy_from_slice(key));
            self.store.publish(Publication { kind, channel, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_shown_as_redis_shows_them() {
        for (told, shown) in [
            ("KEA", "AKE"),
            ("An", "A"),
            ("Kn", "nK"),
            ("nKEm", "nKEm"),
            ("AKEmn", "AKEm"),
            ("gn", "gn"),
            ("g$lshzxetdK", "AK"),
            ("Kxg", "gxK"),
            ("", ""),
        ] {
            assert_eq!(Events::parse(told.as_bytes()).map(Events::letters).as_deref(), Some(shown), "{told}");
        }
        assert_eq!(Events::parse(b"KQ"), None);
    }

    #[test]
    fn nothing_is_told_without_a_channel_and_a_class() {
        let tells = |letters: &[u8], class| Events::parse(letters).unwrap().tells(class);
        assert!(tells(b"Kg", Class::Generic) && tells(b"Eg", Class::Generic) && tells(b"KA", Class::Stream));
        assert!(!tells(b"A", Class::Generic) && !tells(b"KE", Class::Generic) && !tells(b"K$", Class::Generic));
        assert!(!tells(b"KEA", Class::New) && !tells(b"KEA", Class::Miss), "A is neither n nor m");
        assert!(tells(b"KEAmn", Class::New) && tells(b"KEAmn", Class::Miss));
    }

    #[test]
    fn golden_bytes() {
        let events = Events::parse(b"KEAnm").unwrap();
        assert_eq!(&events.encode()[..], b"\x01\x3f\xff");
        assert_eq!(Events::decode(&events.encode()), Ok(events));
        for wrong in [&b""[..], b"\x01\0", b"\x02\0\0", b"\x01\0\0\0"] {
            assert!(Events::decode(wrong).is_err());
        }
    }
}
