//! DEBUG, as far as it looks at keys: OBJECT, and the digests by which test suites compare data sets. What DEBUG does
//! to a connection is answered by the service.
//!
//! A digest is Redis's own, so that a data set has the same one here and there: SHA-1 of each part, mixed in order
//! where the value has one and added without order where it has none.

use bytes::Bytes;

use super::args::is;
use super::context::Context;
use super::dump;
use super::error::{Failure, Result};
use super::object;
use super::script::sha1;
use crate::base::limits::DATABASES;
use crate::base::{Millis, double};
use crate::rdb::{self, Object};
use crate::resp::Value;

/// Asks for the parts of a digest, a row per database: what the service asks several groups for.
pub const PARTS: &str = "parts";
/// Bytes of a payload of DUMP that are not the value: its type, version and checksum.
const PAYLOAD_FRAME_BYTES: usize = 11;
/// What is added for a key that ends.
const ENDS: &[u8] = b"!!expire!!";

/// What stands for a value, or for many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; sha1::BYTES]);

impl Digest {
    /// Adds what has no order.
    fn add(&mut self, part: &[u8]) {
        self.join(&Digest(sha1::digest(part)));
    }

    /// Adds what comes next in an order.
    fn mix(&mut self, part: &[u8]) {
        self.add(part);
        self.0 = sha1::digest(&self.0);
    }

    fn join(&mut self, other: &Digest) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, other)| *byte ^= other);
    }

    /// Adds a value, and whether it ends.
    fn value(&mut self, object: &Object, deadline: Option<Millis>) {
        let of = |parts: &[&[u8]]| {
            let mut digest = Digest::default();
            parts.iter().for_each(|part| digest.mix(part));
            digest.0
        };
        let kind: u32 = match object {
            Object::String(_) => 0,
            Object::List(_) => 1,
            Object::Set(_) => 2,
            Object::Zset(_) => 3,
            Object::Hash(_) | Object::TimedHash(_) => 4,
            Object::Stream(_) => 6,
        };
        self.mix(&kind.to_be_bytes());
        match object {
            Object::String(bytes) => self.mix(bytes),
            Object::List(elements) => elements.iter().for_each(|element| self.mix(element)),
            Object::Set(members) => members.iter().for_each(|member| self.add(member)),
            Object::Hash(pairs) => pairs.iter().for_each(|(field, value)| self.add(&of(&[field, value]))),
            Object::TimedHash(fields) => fields.iter().for_each(|(field, value, deadline)| {
                let ends = if deadline.is_some() { ENDS } else { b"" };
                self.add(&of(&[field, value, ends]));
            }),
            Object::Zset(members) => members.iter().for_each(|(member, score)| {
                self.add(&of(&[member, double::text_of_17_digits(*score).as_bytes()]));
            }),
            Object::Stream(stream) => {
                for entry in stream.pages.iter().flatten().filter(|entry| !entry.is_dead) {
                    self.mix(format!("{}.{}", entry.id.0, entry.id.1).as_bytes());
                    entry.words.iter().for_each(|word| self.mix(word));
                }
            }
        }
        if deadline.is_some() {
            self.add(ENDS);
        }
    }

    /// That of a data set, from those of its databases; one without keys has no part in it.
    fn of_databases(databases: &[Option<Digest>]) -> Digest {
        let mut whole = Digest::default();
        for (db, digest) in (0u32..).zip(databases) {
            if let Some(digest) = digest {
                whole.mix(&db.to_be_bytes());
                whole.join(digest);
            }
        }
        whole
    }

    fn reply(&self) -> Value {
        Value::Simple(sha1::hex(&self.0).into())
    }
}

/// `DEBUG DIGEST [PARTS]`: of the keys of this group.
pub(super) fn digest(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let mut databases = Vec::new();
    for db in 0..DATABASES {
        context.db = db;
        let keys = context.keys.matching(db, None)?;
        let mut sum = Digest::default();
        for key in &keys {
            let Some(head) = context.lookup(key)? else { continue };
            let object = dump::object(context, key, &head)?;
            let mut digest = Digest::default();
            digest.mix(key);
            digest.value(&object, head.deadline);
            sum.add(&digest.0);
        }
        databases.push((!keys.is_empty()).then_some(sum));
    }
    match args.get(2) {
        None => Ok(Digest::of_databases(&databases).reply()),
        Some(word) if is(word, PARTS) => {
            let row = |digest: &Option<Digest>| digest.map_or(Value::Null, |digest| Value::bulk(sha1::hex(&digest.0)));
            Ok(Value::Array(databases.iter().map(row).collect()))
        }
        Some(_) => Err(unknown(args)),
    }
}

/// The digest of all groups, from what each answered to `DEBUG DIGEST PARTS`; `None` if one of them answered otherwise.
pub fn join_digests(groups: &[Value]) -> Option<Value> {
    let mut databases = vec![None; usize::from(DATABASES)];
    for group in groups {
        let Value::Array(rows) = group else { return None };
        for (database, row) in databases.iter_mut().zip(rows) {
            match row {
                Value::Bulk(hex) => database.get_or_insert_with(Digest::default).join(&Digest(sha1::parse(hex)?)),
                Value::Null => {}
                _ => return None,
            }
        }
    }
    Some(Digest::of_databases(&databases).reply())
}

/// `DEBUG DIGEST-VALUE key [key ...]`
pub(super) fn digest_value(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let mut digests = Vec::new();
    for key in &args[2..] {
        let mut digest = Digest::default();
        if let Some(head) = context.lookup(key)? {
            let object = dump::object(context, key, &head)?;
            digest.value(&object, head.deadline);
        }
        digests.push(digest.reply());
    }
    Ok(Value::Array(digests))
}

/// `DEBUG OBJECT key`. There is no address to tell.
pub(super) fn object_facts(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let key = &args[2];
    let idle = context.keys.idle_seconds(context.db, key);
    let Some(head) = context.lookup(key)? else { return Err(Failure::NO_SUCH_KEY) };
    let encoding = object::encoding_name(&head, context.keys.thresholds.list_size)?;
    let references = object::references(&head);
    let value = dump::object(context, key, &head)?;
    let length = rdb::dump(&value, head.is_one_piece()).len().saturating_sub(PAYLOAD_FRAME_BYTES);
    let clock = (context.now().0 / 1000).saturating_sub(idle.into()) % (1 << 24);
    Ok(Value::Simple(
        format!(
            "Value at:0x0 refcount:{references} encoding:{encoding} serializedlength:{length} lru:{clock} \
             lru_seconds_idle:{idle}"
        )
        .into(),
    ))
}

/// What is left of a call of DEBUG with words that no form of it has.
fn unknown(args: &[Bytes]) -> Failure {
    let given = args.get(1).map(|word| &word[..word.len().min(128)]).unwrap_or_default();
    let head = b"ERR unknown subcommand or wrong number of arguments for '";
    Failure::Reply([&head[..], given, b"'. Try DEBUG HELP."].concat().into())
}
