//! Where scripts are kept: records of the group, outside of all databases, so that they are replicated, survive
//! restarts and travel in snapshots, and neither FLUSHALL nor DBSIZE knows them.
//!
//! ```text
//! script record   format u8 = 1 | loaded u8: 1 by SCRIPT LOAD, 0 by EVAL | source text
//! order record    format u8 = 1 | digests of scripts that EVAL brought, oldest first, 20 bytes each
//! ```
//!
//! Invariant: at most [`EVALUATED_MAX`] scripts are there that nobody loaded: clients that write their arguments into
//! their scripts cannot fill the store. The oldest one goes; its EVALSHA is answered like that of any unknown script.

use bytes::{BufMut, Bytes, BytesMut};

use super::sha1::BYTES;
use crate::data::Keyspace;
use crate::store::keys::{self, GroupKind};
use crate::store::{Error, Result};

/// Scripts that EVAL may bring (the number is that of Redis 7.4, which forgets them likewise).
const EVALUATED_MAX: usize = 500;
const FORMAT: u8 = 1;

/// The source text of a script.
pub fn get(keyspace: &Keyspace<'_>, digest: &[u8; BYTES]) -> Result<Option<Bytes>> {
    Ok(record(keyspace, digest)?.map(|(_, source)| source))
}

/// Keeps a script that SCRIPT LOAD brought.
pub fn load(keyspace: &mut Keyspace<'_>, digest: &[u8; BYTES], source: &[u8]) -> Result<()> {
    if !record(keyspace, digest)?.is_some_and(|(loaded, _)| loaded) {
        put(keyspace, digest, true, source);
    }
    Ok(())
}

/// Keeps a script that EVAL brought and that is not there.
pub fn evaluated(keyspace: &mut Keyspace<'_>, digest: &[u8; BYTES], source: &[u8]) -> Result<()> {
    let key = keys::script(keyspace.group, &[]);
    let mut order = match keyspace.store.get(&key)? {
        Some(order) if order.first() == Some(&FORMAT) && order.len() % BYTES == 1 => BytesMut::from(&order[..]),
        Some(_) => return Err(damaged()),
        None => BytesMut::from(&[FORMAT][..]),
    };
    if order.len() / BYTES >= EVALUATED_MAX {
        let oldest: [u8; BYTES] = std::array::from_fn(|at| order[1 + at]);
        // It may have been loaded since.
        if record(keyspace, &oldest)?.is_some_and(|(loaded, _)| !loaded) {
            keyspace.store.delete(keys::script(keyspace.group, &oldest));
        }
        let rest = order.split_off(1 + BYTES);
        order.truncate(1);
        order.extend_from_slice(&rest);
    }
    order.put_slice(digest);
    keyspace.store.put(key, order.freeze());
    put(keyspace, digest, false, source);
    Ok(())
}

/// Forgets all scripts.
pub fn flush(keyspace: &mut Keyspace<'_>) {
    let (start, end) = keys::group_kind(keyspace.group, GroupKind::Script);
    keyspace.store.delete_range(start, end);
}

fn record(keyspace: &Keyspace<'_>, digest: &[u8; BYTES]) -> Result<Option<(bool, Bytes)>> {
    let Some(record) = keyspace.store.get(&keys::script(keyspace.group, digest))? else { return Ok(None) };
    match record[..] {
        [FORMAT, loaded, ..] => Ok(Some((loaded == 1, record.slice(2..)))),
        _ => Err(damaged()),
    }
}

fn put(keyspace: &mut Keyspace<'_>, digest: &[u8; BYTES], loaded: bool, source: &[u8]) {
    let mut record = BytesMut::with_capacity(2 + source.len());
    record.put_u8(FORMAT);
    record.put_u8(u8::from(loaded));
    record.put_slice(source);
    keyspace.store.put(keys::script(keyspace.group, digest), record.freeze());
}

fn damaged() -> Error {
    Error::Corrupt("the record of a script has an unknown form".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::World;

    fn digest(number: usize) -> [u8; BYTES] {
        std::array::from_fn(|at| (number >> (8 * at.min(7))) as u8)
    }

    #[test]
    fn golden_bytes() {
        let mut world = World::new(1);
        world.keys(|keys| {
            evaluated(keys, &[7; BYTES], b"one").unwrap();
            load(keys, &[8; BYTES], b"two").unwrap();
        });
        let records: Vec<_> = world.store.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(records, [[&[1][..], &[7; BYTES]].concat(), b"\x01\x00one".to_vec(), b"\x01\x01two".to_vec()]);
    }

    #[test]
    fn what_was_only_evaluated_is_forgotten_and_what_was_loaded_stays() {
        let mut world = World::new(1);
        world.keys(|keys| {
            for number in 0..EVALUATED_MAX {
                evaluated(keys, &digest(number), b"x").unwrap();
            }
            load(keys, &digest(0), b"x").unwrap();
            load(keys, &digest(1_000_000), b"y").unwrap();
            for number in 0..2 {
                evaluated(keys, &digest(2_000 + number), b"z").unwrap();
            }
            assert!(get(keys, &digest(0)).unwrap().is_some(), "it was loaded since");
            assert_eq!(get(keys, &digest(1)).unwrap(), None);
            assert!(get(keys, &digest(2)).unwrap().is_some());
            assert!(get(keys, &digest(1_000_000)).unwrap().is_some());
        });
        assert_eq!(world.store.len(), EVALUATED_MAX + 3);
        world.keys(flush);
        assert!(world.store.is_empty());
    }
}
