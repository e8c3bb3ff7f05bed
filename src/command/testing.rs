//! Calls and replies as lines, for the tests of handlers.

use bytes::{Bytes, BytesMut};

use super::{Call, Scripts, execute_encoded};
use crate::data::testing::World;
use crate::data::{Head, Kind};
use crate::resp::Protocol;

/// A client of an empty keyspace in database 0.
pub struct Session {
    pub world: World,
    pub protocol: Protocol,
    pub scripts: Scripts,
}

impl Session {
    pub fn new() -> Session {
        let scripts = Scripts::new(Default::default());
        Session { world: World::new(1_700_000_000_000), protocol: Protocol::Resp2, scripts }
    }

    pub fn now(&self) -> u64 {
        self.world.moment.stamp.0
    }

    /// Runs calls and compares their replies: the lines of the encoding, with spaces between them.
    #[track_caller]
    pub fn check(&mut self, dialogue: &[(&str, &str)]) {
        for (call, reply) in dialogue {
            let words: Vec<&str> = call.split(' ').collect();
            assert_eq!(self.run(&words), *reply, "{call}");
        }
    }

    /// The same for words that hold spaces, or nothing.
    #[track_caller]
    pub fn check_words(&mut self, dialogue: &[(&str, &[&str], &str)]) {
        for (name, words, reply) in dialogue {
            let words: Vec<&str> = [name].into_iter().chain(*words).copied().collect();
            assert_eq!(self.run(&words), *reply, "{words:?}");
        }
    }

    /// One reply, without its last line end.
    pub fn run(&mut self, words: &[&str]) -> String {
        let args = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let call = Call::new(0, self.protocol, args);
        let mut out = BytesMut::new();
        let scripts = &mut self.scripts;
        self.world.keys(|keys| execute_encoded(keys, Some(scripts), &call, &mut out)).unwrap();
        let text = String::from_utf8_lossy(&out).into_owned();
        text.strip_suffix("\r\n").unwrap().replace("\r\n", " ")
    }

    /// Puts a value that is no string at a key.
    pub fn hash(&mut self, key: &str) {
        let head = Head::new(Kind::Hash, "");
        self.world.keys(|keys| keys.set(0, &Bytes::copy_from_slice(key.as_bytes()), None, head));
    }

    /// The deadline of a key, in milliseconds.
    pub fn deadline(&mut self, key: &str) -> Option<u64> {
        let head = self.world.keys(|keys| keys.lookup(0, key.as_bytes())).unwrap();
        head.and_then(|head| head.deadline).map(|deadline| deadline.0)
    }
}
