//! The table: one row per command, in a file per chapter of Redis's documentation.
//!
//! [`lookup`] is on the road of every call, so its index is computed while compiling: open addressing over a fixed
//! hash of the name, without allocation, start-up work or case-folding copies.

mod absent;
mod admin;
mod bitmap;
mod cluster;
mod connection;
mod diagnosis;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod list;
mod names;
mod pubsub;
mod replication;
mod scripting;
mod server;
mod set;
mod stream;
mod string;
mod zset;

pub use absent::ABSENT;
pub use names::{COMMANDS, SUBCOMMANDS};

use super::spec::Spec;

/// Chapters, each with its rows.
const CHAPTERS: [&[Spec]; 18] = [
    connection::ROWS,
    string::ROWS,
    bitmap::ROWS,
    hyperloglog::ROWS,
    hash::ROWS,
    list::ROWS,
    set::ROWS,
    zset::ROWS,
    stream::ROWS,
    geo::ROWS,
    generic::ROWS,
    server::ROWS,
    cluster::ROWS,
    admin::ROWS,
    replication::ROWS,
    diagnosis::ROWS,
    scripting::ROWS,
    pubsub::ROWS,
];

/// Slots of the index, a power of two; at most half full, so that searches end soon.
const INDEX_SLOTS: usize = 1024;
/// No command has a longer name.
const NAME_BYTES_MAX: usize = 32;

static INDEX: [Option<Place>; INDEX_SLOTS] = index();

/// A row: chapter, place in it.
#[derive(Clone, Copy)]
struct Place(u8, u8);

/// All commands, chapter by chapter; subcommands are in their container.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    CHAPTERS.into_iter().flatten()
}

/// All names of Redis 7.2: commands, then subcommands.
pub fn redis_names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().chain(SUBCOMMANDS).copied()
}

/// Why Redis 7.2's command of this name is not in the table; `None` if it is, or if Redis has none.
pub fn absence(name: &str) -> Option<&'static str> {
    let container = name.split('|').next();
    let reason = |(absent, why): &(&str, &'static str)| (*absent == name || Some(*absent) == container).then_some(*why);
    ABSENT.iter().find_map(reason)
}

/// The command with this name, in either case.
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut slot = hash(name) % INDEX_SLOTS;
    while let Some(Place(chapter, row)) = INDEX[slot] {
        let spec = &CHAPTERS[usize::from(chapter)][usize::from(row)];
        if spec.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(spec);
        }
        slot = (slot + 1) % INDEX_SLOTS;
    }
    None
}

const fn index() -> [Option<Place>; INDEX_SLOTS] {
    let mut index = [None; INDEX_SLOTS];
    let (mut chapter, mut filled) = (0, 0);
    while chapter < CHAPTERS.len() {
        let mut row = 0;
        while row < CHAPTERS[chapter].len() {
            let name = CHAPTERS[chapter][row].name.as_bytes();
            assert!(name.len() <= NAME_BYTES_MAX && chapter < 256 && row < 256);
            let mut slot = hash(name) % INDEX_SLOTS;
            while index[slot].is_some() {
                slot = (slot + 1) % INDEX_SLOTS;
            }
            index[slot] = Some(Place(chapter as u8, row as u8));
            filled += 1;
            row += 1;
        }
        chapter += 1;
    }
    assert!(filled <= INDEX_SLOTS / 2);
    index
}

/// FNV-1a over the name in lower case. Clients cannot add names, so it needs no secret.
const fn hash(name: &[u8]) -> usize {
    let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while at < name.len() {
        hash = (hash ^ name[at].to_ascii_lowercase() as u64).wrapping_mul(0x100_0000_01b3);
        at += 1;
    }
    // The high bits are the well mixed ones.
    (hash >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name of Redis 7.2 has a row, or a reason for having none.
    #[test]
    fn no_command_of_redis_is_left_without_a_word() {
        assert_eq!((COMMANDS.len(), SUBCOMMANDS.len()), (242, 150));
        let rows: Vec<&str> =
            all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).map(|spec| spec.name).collect();
        for name in redis_names() {
            let has_row = rows.contains(&name);
            assert!(
                has_row || absence(name).is_some(),
                "{name} is neither in the table nor in the list of what is absent"
            );
            assert!(
                !has_row || absence(name).is_none(),
                "{name} is in the table: take it out of the list of what is absent"
            );
        }
        for (name, why) in ABSENT {
            assert!(redis_names().any(|known| known == *name), "Redis has no {name}");
            assert!(!why.is_empty() && !why.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn every_row_is_found_by_its_name_in_either_case() {
        for spec in all() {
            assert_eq!(lookup(spec.name.as_bytes()).unwrap().name, spec.name);
            assert_eq!(lookup(spec.name.to_ascii_uppercase().as_bytes()).unwrap().name, spec.name);
        }
        for name in [&b""[..], b"ge", b"gett", b"client|id", &[b'g'; 100], b"\xff"] {
            assert!(lookup(name).is_none());
        }
    }
}
