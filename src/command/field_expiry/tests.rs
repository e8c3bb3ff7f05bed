//! Deadlines of fields against a model that is a map, with time passing; and what other commands make of them.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::base::{Millis, Rng};
use crate::command::testing::Session;
use crate::command::{Call, Error, execute_encoded};
use crate::data::Mode;
use crate::resp::Protocol;

const KEYS: [&str; 3] = ["k1", "k2", "k3"];
const FIELDS: [&str; 9] = ["f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9"];
const STEPS: usize = 4_000;

/// Value and deadline.
type Field = (i64, Option<u64>);

/// A hash as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Hash {
    deadline: Option<u64>,
    fields: BTreeMap<&'static str, Field>,
}

impl Hash {
    /// What is left of it at a moment.
    fn at(&self, now: u64) -> Hash {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Hash::default();
        }
        let lives = |(_, (_, end)): &(_, &Field)| end.is_none_or(|end| end > now);
        let fields: BTreeMap<_, _> = self.fields.iter().filter(lives).map(|(name, field)| (*name, *field)).collect();
        Hash { deadline: self.deadline.filter(|_| !fields.is_empty()), fields }
    }
}

/// A client, and what it should see.
struct Twin {
    session: Session,
    rng: Rng,
    hashes: BTreeMap<&'static str, Hash>,
}

impl Twin {
    fn new(seed: u64, entries_max: usize) -> Twin {
        let mut session = Session::new();
        session.world.thresholds.hash_entries_max = entries_max;
        Twin { session, rng: Rng::new(seed), hashes: KEYS.map(|key| (key, Hash::default())).into() }
    }

    fn now(&self) -> u64 {
        self.session.now()
    }

    /// The words of a reply, without marks and lengths.
    #[track_caller]
    fn words(&mut self, call: &[&str]) -> Vec<String> {
        let reply = self.session.run(call);
        assert!(!reply.starts_with('-'), "{call:?}: {reply}");
        reply.split(' ').filter(|word| !word.starts_with(['*', '$', '+'])).map(str::to_owned).collect()
    }

    #[track_caller]
    fn expect(&mut self, call: &[&str], expected: &str) {
        let now = self.now();
        assert_eq!(self.session.run(call), expected, "{call:?} at {now}");
    }

    /// A moment around now, mostly ahead.
    fn moment(&mut self) -> u64 {
        self.now() + self.rng.below(60) - 5
    }

    fn hash(&mut self, key: &'static str) -> &mut Hash {
        let now = self.session.now();
        let hash = self.hashes.entry(key).or_default();
        *hash = hash.at(now);
        hash
    }

    fn step(&mut self) {
        let (key, other) = (*self.rng.pick(&KEYS), *self.rng.pick(&KEYS));
        let field = *self.rng.pick(&FIELDS);
        let (value, at) = (self.rng.below(100) as i64, self.moment());
        let (text, at_text) = (value.to_string(), at.to_string());
        let now = self.now();
        let before = self.hash(key).clone();
        let old = before.fields.get(field).copied();
        let put = |twin: &mut Twin, ends: Option<u64>| match ends {
            Some(end) if end <= now => drop(twin.hash(key).fields.remove(field)),
            ends => drop(twin.hash(key).fields.insert(field, (value, ends))),
        };
        match self.rng.below(24) {
            0..4 => {
                self.expect(&["HSET", key, field, &text], if old.is_some() { ":0" } else { ":1" });
                put(self, None);
            }
            4 | 5 => {
                self.expect(&["HSETEX", key, "PXAT", &at_text, "FIELDS", "1", field, &text], ":1");
                put(self, Some(at));
            }
            6 => {
                self.expect(&["HSETEX", key, "KEEPTTL", "FIELDS", "1", field, &text], ":1");
                put(self, old.and_then(|(_, end)| end));
            }
            7 => {
                let met = old.is_none();
                self.expect(&["HSETEX", key, "FNX", "FIELDS", "1", field, &text], if met { ":1" } else { ":0" });
                if met {
                    put(self, None);
                }
            }
            8..12 => {
                let condition = *self.rng.pick(&["", "NX", "XX", "GT", "LT"]);
                let end = old.and_then(|(_, end)| end);
                let met = match condition {
                    "NX" => end.is_none(),
                    "XX" => end.is_some(),
                    "GT" => end.is_some_and(|end| at > end),
                    "LT" => end.is_none_or(|end| at < end),
                    _ => true,
                };
                let reply = match old {
                    None => "-2",
                    Some(_) if !met => "0",
                    Some(_) if at <= now => "2",
                    Some(_) => "1",
                };
                let words = ["HPEXPIREAT", key, &at_text, condition, "FIELDS", "1", field];
                let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
                self.expect(&words, &format!("*1 :{reply}"));
                match (reply, old) {
                    ("1", Some((value, _))) => drop(self.hash(key).fields.insert(field, (value, Some(at)))),
                    ("2", _) => drop(self.hash(key).fields.remove(field)),
                    _ => {}
                }
            }
            12 => {
                let reply = old.map_or("-2", |(_, end)| if end.is_some() { "1" } else { "-1" });
                self.expect(&["HPERSIST", key, "FIELDS", "1", field], &format!("*1 :{reply}"));
                if let Some((value, _)) = old {
                    self.hash(key).fields.insert(field, (value, None));
                }
            }
            13 => {
                self.expect(&["HDEL", key, field], if old.is_some() { ":1" } else { ":0" });
                self.hash(key).fields.remove(field);
            }
            14 => {
                let reply = old.map_or("*1 $-1".to_owned(), |(value, _)| {
                    let text = value.to_string();
                    format!("*1 ${} {text}", text.len())
                });
                if self.rng.chance(1, 2) {
                    self.expect(&["HGETDEL", key, "FIELDS", "1", field], &reply);
                    self.hash(key).fields.remove(field);
                } else {
                    self.expect(&["HGETEX", key, "PXAT", &at_text, "FIELDS", "1", field], &reply);
                    match old {
                        Some(_) if at <= now => drop(self.hash(key).fields.remove(field)),
                        Some((value, _)) => drop(self.hash(key).fields.insert(field, (value, Some(at)))),
                        None => {}
                    }
                }
            }
            15 => {
                let sum = value + old.map_or(0, |(value, _)| value);
                self.expect(&["HINCRBY", key, field, &text], &format!(":{sum}"));
                self.hash(key).fields.insert(field, (sum, old.and_then(|(_, end)| end)));
            }
            16 if key != other && !before.fields.is_empty() => {
                if self.rng.chance(1, 2) {
                    self.expect(&["RENAME", key, other], "+OK");
                    self.hashes.insert(key, Hash::default());
                } else {
                    self.expect(&["COPY", key, other, "REPLACE"], ":1");
                }
                self.hashes.insert(other, before);
            }
            17 if !before.fields.is_empty() => {
                self.dump_and_restore(key, other);
                self.hashes.insert(other, Hash { deadline: None, ..before });
            }
            18 if self.rng.chance(1, 3) => {
                self.expect(&["DEL", key], if before.fields.is_empty() { ":0" } else { ":1" });
                self.hashes.insert(key, Hash::default());
            }
            19 if !before.fields.is_empty() => {
                if self.rng.chance(1, 2) {
                    self.expect(&["PEXPIREAT", key, &at_text], ":1");
                    self.hash(key).deadline = Some(at);
                } else {
                    self.expect(&["PERSIST", key], if before.deadline.is_some() { ":1" } else { ":0" });
                    self.hash(key).deadline = None;
                }
            }
            20 => {
                let limit = self.rng.below(4) as usize;
                self.session.world.keys(|keys| keys.expire_due(limit)).unwrap();
            }
            _ => {
                let passed = self.rng.below(8);
                let moment = &mut self.session.world.moment;
                moment.stamp.0 += passed;
                moment.clock = moment.stamp;
            }
        }
        self.look(key, field);
    }

    /// A value on its way through bytes; `RESTORE` over whatever is at the other key.
    fn dump_and_restore(&mut self, key: &str, other: &str) {
        let run = |twin: &mut Twin, args: Vec<Bytes>| {
            let mut out = BytesMut::new();
            let call = Call::new(0, Protocol::Resp2, args);
            twin.session.world.keys(|keys| execute_encoded(keys, None, &call, &mut out)).unwrap();
            out.freeze()
        };
        let word = |word: &str| Bytes::copy_from_slice(word.as_bytes());
        let dumped = run(self, vec![word("DUMP"), word(key)]);
        let start = dumped.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let payload = dumped.slice(start..dumped.len() - 2);
        let reply = run(self, vec![word("RESTORE"), word(other), word("0"), payload, word("REPLACE")]);
        assert_eq!(reply, "+OK\r\n");
    }

    /// Everything that reads says what the model says.
    fn look(&mut self, key: &'static str, field: &'static str) {
        let hash = self.hash(key).clone();
        let fields = &hash.fields;
        self.expect(&["HLEN", key], &format!(":{}", fields.len()));
        self.expect(&["EXISTS", key], if fields.is_empty() { ":0" } else { ":1" });
        self.expect(
            &["PEXPIRETIME", key],
            &match (fields.is_empty(), hash.deadline) {
                (true, _) => ":-2".to_owned(),
                (_, deadline) => format!(":{}", deadline.map_or(-1, |deadline| deadline as i64)),
            },
        );
        let end = fields.get(field).map_or(-2, |(_, end)| end.map_or(-1, |end| end as i64));
        self.expect(&["HPEXPIRETIME", key, "FIELDS", "1", field], &format!("*1 :{end}"));
        let mut pairs = self.words(&["HGETALL", key]).as_chunks::<2>().0.to_vec();
        pairs.sort();
        let expected: Vec<_> = fields.iter().map(|(name, (value, _))| [name.to_string(), value.to_string()]).collect();
        assert_eq!(pairs, expected, "HGETALL {key}");
        let (mut cursor, mut scanned) = ("0".to_owned(), Vec::new());
        loop {
            let mut part = self.words(&["HSCAN", key, &cursor, "COUNT", "2"]);
            cursor = part.remove(0);
            scanned.extend_from_slice(part.as_chunks::<2>().0);
            if cursor == "0" {
                break;
            }
        }
        scanned.sort();
        assert_eq!(scanned, expected, "HSCAN {key}");
        let mut drawn = self.words(&["HRANDFIELD", key, "100"]);
        drawn.sort();
        assert!(drawn.iter().eq(fields.keys()), "{drawn:?}");
        let drawn = self.words(&["HRANDFIELD", key, "-3"]);
        assert_eq!(drawn.len(), if fields.is_empty() { 0 } else { 3 });
        assert!(drawn.iter().all(|name| fields.contains_key(&name[..])), "{drawn:?}");
    }

    /// A local read with a clock ahead of the stamp is right, or goes through the log where it would not be.
    fn look_aside(&mut self) {
        let (key, field) = (*self.rng.pick(&KEYS), *self.rng.pick(&FIELDS));
        let (stamp, clock) = (self.now(), self.now() + self.rng.below(10));
        let (by_stamp, by_clock) = (self.hashes[key].at(stamp), self.hashes[key].at(clock));
        let figures = [
            ("HLEN", by_stamp.fields.len() as i64, by_clock.fields.len() as i64),
            ("HEXISTS", by_stamp.fields.contains_key(field).into(), by_clock.fields.contains_key(field).into()),
            ("EXISTS", (!by_stamp.fields.is_empty()).into(), (!by_clock.fields.is_empty()).into()),
        ];
        let world = &mut self.session.world;
        (world.mode, world.moment.clock) = (Mode::Local, Millis(clock));
        for (name, expected, later) in figures {
            let words = if name == "HEXISTS" { &[name, key, field][..] } else { &[name, key] };
            let args = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
            let (call, mut out) = (Call::new(0, Protocol::Resp2, args), BytesMut::new());
            let before = world.store.len();
            match world.keys(|keys| execute_encoded(keys, None, &call, &mut out)) {
                Ok(()) => {
                    assert_eq!(out, format!(":{expected}\r\n"), "{words:?} at {stamp}, {clock} by the clock");
                    assert_eq!(expected, later, "{words:?} showed what has ended by the clock");
                }
                // The whole key may be due, whatever the field.
                Err(error) => assert!(error == Error::NeedsLog && by_stamp != by_clock, "{words:?}: {error}"),
            }
            assert_eq!(world.store.len(), before, "a local read writes nothing");
        }
        (world.mode, world.moment.clock) = (Mode::Leader, world.moment.stamp);
    }
}

#[test]
fn fields_are_what_the_model_says_whenever_one_looks() {
    for (seed, entries_max) in [(1, 0), (2, 3), (3, 100), (4, 5)] {
        let mut twin = Twin::new(seed, entries_max);
        for _ in 0..STEPS {
            twin.look_aside();
            twin.step();
            twin.session.world.audit();
        }
        // When everything has been deleted, nothing is left behind.
        twin.session.world.moment.stamp.0 += 1_000;
        twin.session.world.moment.clock = twin.session.world.moment.stamp;
        twin.session.world.keys(|keys| keys.expire_due(1_000)).unwrap();
        for key in KEYS {
            twin.words(&["DEL", key]);
        }
        assert_eq!((twin.session.world.store.len(), &twin.session.world.counts), (0, &Default::default()));
    }
}

#[test]
fn a_hash_without_deadlines_has_none_of_their_records() {
    for entries_max in [0, 100] {
        let mut session = Session::new();
        session.world.thresholds.hash_entries_max = entries_max;
        session.check(&[("HSET h a 1 b 2", ":2")]);
        let before = session.world.store.clone();
        session.check(&[
            ("HPEXPIRE h 100 FIELDS 1 a", "*1 :1"),
            ("HPERSIST h FIELDS 1 a", "*1 :1"),
            ("HGETEX h PERSIST FIELDS 2 a b", "*2 $1 1 $1 2"),
            ("HGET h a", "$1 1"),
        ]);
        assert!(session.world.store.iter().eq(before.iter()), "what came with a deadline goes with it");
        session.check(&[("HPEXPIRE h 100 FIELDS 1 a", "*1 :1"), ("SET h x", "+OK"), ("DEL h", ":1")]);
        assert_eq!(session.world.store.len(), 0);
    }
}

#[test]
fn many_dead_fields_go_in_portions_and_count_for_nothing_before() {
    let mut session = Session::new();
    let names: Vec<String> = (0..1_000).map(|number| format!("f{number}")).collect();
    let numfields = names.len().to_string();
    let mut words = vec!["HSETEX", "h", "PX", "50", "FIELDS", &numfields];
    words.extend(names.iter().flat_map(|name| [&name[..], "v"]));
    assert_eq!(session.run(&words), ":1");
    session.check(&[("HSET h stays v", ":1"), ("HLEN h", ":1001")]);
    session.world.moment.stamp.0 += 50;
    session.world.moment.clock = session.world.moment.stamp;
    let before = session.world.store.len();
    session.check(&[
        ("HLEN h", ":1"),
        ("HKEYS h", "*1 $5 stays"),
        ("HRANDFIELD h 5", "*1 $5 stays"),
        ("HSCAN h 0", "*2 $1 0 *2 $5 stays $1 v"),
        ("HGET h f999", "$-1"),
    ]);
    assert!(session.world.store.len() > before / 3, "not all of them in one entry");
    let deleted = session.world.keys(|keys| keys.expire_due(100)).unwrap();
    assert_eq!(deleted, 100);
    session.world.audit();
    while session.world.keys(|keys| keys.expire_due(100)).unwrap() > 0 {}
    assert_eq!(session.world.store.len(), 2);
    session.check(&[("HGETALL h", "*2 $5 stays $1 v")]);
    session.world.audit();
}

#[test]
fn emptied_databases_keep_no_deadline() {
    for flush in ["FLUSHDB", "FLUSHALL"] {
        let mut session = Session::new();
        session.world.thresholds.hash_entries_max = 1;
        session.check(&[("HSETEX h PX 50 FIELDS 2 a 1 b 2", ":1"), ("HSETEX g PX 50 FIELDS 1 a 1", ":1")]);
        session.check(&[("COPY h h DB 3", ":1"), (flush, "+OK")]);
        session.world.audit();
        let left = u64::from(flush == "FLUSHDB");
        assert_eq!(session.world.counts.field_expires.iter().sum::<u64>(), left);
    }
}

#[test]
fn a_local_read_sees_a_hash_as_it_will_be_without_its_dead_fields() {
    let mut session = Session::new();
    session.check(&[
        ("HSETEX h PX 10 FIELDS 1 a 1", ":1"),
        ("HSET h b 2", ":1"),
        ("OBJECT ENCODING h", "$10 listpackex"),
    ]);
    session.world.moment.stamp.0 += 10;
    session.world.moment.clock = session.world.moment.stamp;
    session.world.mode = Mode::Local;
    let before = session.world.store.clone();
    session.check(&[("OBJECT ENCODING h", "$8 listpack"), ("HGETALL h", "*2 $1 b $1 2")]);
    let dumped = session.run(&["DUMP", "h"]);
    assert!(session.world.store.iter().eq(before.iter()), "and leaves it as it is");
    session.world.mode = Mode::Leader;
    assert_eq!(session.run(&["DUMP", "h"]), dumped);
}
