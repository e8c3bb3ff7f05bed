//! Where libraries of functions are kept: records of the group, like scripts.
//!
//! ```text
//! library record    format u8 = 1 | count u32 | functions | source text, its first line included
//! function          name | flags u8 | described u8 | description; name and description with their length u32 in front
//! function record   format u8 = 1 | name of its library
//! ```
//!
//! Invariant: a library's record and those of its functions change together, and a function is in one library only.

use std::ops::ControlFlow;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::data::Keyspace;
use crate::store::keys::{self, GroupKind};
use crate::store::{Error, Order, Result};

const FORMAT: u8 = 1;

/// Flags of a function, in the order of their bits.
pub const FLAGS: [&str; 5] = ["no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"];
/// The bit of `no-writes`.
pub const NO_WRITES: u8 = 1;

/// What a library registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its name.
    pub name: Bytes,
    /// Bits of [`FLAGS`].
    pub flags: u8,
    /// What its author says.
    pub description: Option<Bytes>,
}

/// A library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name.
    pub name: Bytes,
    /// What it registered, in order.
    pub functions: Vec<Registered>,
    /// Source text.
    pub code: Bytes,
}

/// A library by its name.
pub fn get(keyspace: &Keyspace<'_>, name: &[u8]) -> Result<Option<Library>> {
    let record = keyspace.store.get(&keys::library(keyspace.group, name))?;
    record.map(|record| decode(Bytes::copy_from_slice(name), record)).transpose()
}

/// The name of the library that has this function.
pub fn owner(keyspace: &Keyspace<'_>, function: &[u8]) -> Result<Option<Bytes>> {
    match keyspace.store.get(&function_key(keyspace, function))? {
        Some(record) if record.first() == Some(&FORMAT) => Ok(Some(record.slice(1..))),
        Some(_) => Err(damaged()),
        None => Ok(None),
    }
}

/// All libraries, by name.
pub fn all(keyspace: &Keyspace<'_>) -> Result<Vec<Library>> {
    let mut found = Vec::new();
    let (start, end) = keys::group_kind(keyspace.group, GroupKind::Library);
    keyspace.store.scan(&start, &end, Order::Forward, &mut |record, value| {
        found.push((Bytes::copy_from_slice(&record[start.len()..]), Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    })?;
    found.into_iter().map(|(name, record)| decode(name, record)).collect()
}

/// Keeps a library; there is none of this name.
pub fn put(keyspace: &mut Keyspace<'_>, library: &Library) {
    let mut record = BytesMut::new();
    record.put_u8(FORMAT);
    record.put_u32(library.functions.len() as u32);
    let put = |record: &mut BytesMut, bytes: &[u8]| {
        record.put_u32(bytes.len() as u32);
        record.put_slice(bytes);
    };
    for Registered { name, flags, description } in &library.functions {
        put(&mut record, name);
        record.put_u8(*flags);
        record.put_u8(u8::from(description.is_some()));
        put(&mut record, description.as_deref().unwrap_or_default());
        let own = [&[FORMAT][..], &library.name].concat();
        keyspace.store.put(function_key(keyspace, name), own.into());
    }
    record.put_slice(&library.code);
    keyspace.store.put(keys::library(keyspace.group, &library.name), record.freeze());
}

/// Forgets a library.
pub fn delete(keyspace: &mut Keyspace<'_>, library: &Library) {
    for function in &library.functions {
        keyspace.store.delete(function_key(keyspace, &function.name));
    }
    keyspace.store.delete(keys::library(keyspace.group, &library.name));
}

/// Forgets all of them.
pub fn flush(keyspace: &mut Keyspace<'_>) {
    for kind in [GroupKind::Library, GroupKind::Function] {
        let (start, end) = keys::group_kind(keyspace.group, kind);
        keyspace.store.delete_range(start, end);
    }
}

/// Functions are found in either case.
fn function_key(keyspace: &Keyspace<'_>, name: &[u8]) -> Bytes {
    keys::function(keyspace.group, &name.to_ascii_lowercase())
}

fn decode(name: Bytes, mut record: Bytes) -> Result<Library> {
    let (format, count) = (byte(&mut record)?, length(&mut record)?);
    if format != FORMAT {
        return Err(damaged());
    }
    let mut functions = Vec::new();
    for _ in 0..count {
        let name = string(&mut record)?;
        let (flags, described) = (byte(&mut record)?, byte(&mut record)?);
        let description = string(&mut record)?;
        functions.push(Registered { name, flags, description: (described == 1).then_some(description) });
    }
    Ok(Library { name, functions, code: record })
}

fn byte(record: &mut Bytes) -> Result<u8> {
    record.try_get_u8().map_err(|_| damaged())
}

fn length(record: &mut Bytes) -> Result<usize> {
    record.try_get_u32().map(|length| length as usize).map_err(|_| damaged())
}

fn string(record: &mut Bytes) -> Result<Bytes> {
    let length = length(record)?;
    if length > record.len() { Err(damaged()) } else { Ok(record.split_to(length)) }
}

fn damaged() -> Error {
    Error::Corrupt("the record of a library has an unknown form".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::World;

    #[test]
    fn golden_bytes() {
        let mut world = World::new(1);
        let function = |name: &'static str, description: Option<&'static str>| Registered {
            name: name.into(),
            flags: 1,
            description: description.map(Bytes::from),
        };
        let functions = vec![function("f", None), function("g", Some("d"))];
        let library = Library { name: "lib".into(), functions, code: "code".into() };
        world.keys(|keys| {
            put(keys, &library);
            assert_eq!(get(keys, b"lib"), Ok(Some(library.clone())));
            assert_eq!(all(keys), Ok(vec![library.clone()]));
            assert_eq!(owner(keys, b"g"), Ok(Some("lib".into())));
        });
        let records: Vec<_> = world.store.iter().map(|(_, value)| value.clone()).collect();
        let first = b"\x01\0\0\0\x02\0\0\0\x01f\x01\0\0\0\0\0\0\0\0\x01g\x01\x01\0\0\0\x01dcode";
        assert_eq!(records, [&first[..], b"\x01lib", b"\x01lib"]);
        for end in 0..first.len() - 4 {
            assert!(decode("lib".into(), Bytes::from_static(&first[..end])).is_err(), "cut at {end}");
        }
        world.keys(|keys| delete(keys, &library));
        assert!(world.store.is_empty());
    }
}
