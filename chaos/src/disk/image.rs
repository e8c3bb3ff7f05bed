//! A file system in memory that knows which of its changes were synced, and can lose the others.
//!
//! Every change that is not synced yet has an undo. A power cut takes back what it likes of a file's content ([`super::cut`])
//! and, per directory, all names from some point on. What is promised to be durable: a file's bytes and length after fsync
//! or fdatasync of it; a name after fsync of its directory or (as every journaling file system does) of the file itself.
//! Nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use super::cut::{self, Undo, put};
use crate::dice::Dice;

/// Number of the root directory, as FUSE has it.
pub const ROOT: u64 = 1;

/// How many of a hundred power cuts take every name that was not synced.
const ALL_NAMES_PERCENT: u64 = 30;

/// Names of files in which RocksDB tells its story begin so. Nobody reads them again, so what is lost of them proves nothing.
const STORY: &[u8] = b"LOG";

/// What a call can be refused for, as error numbers of the system.
pub type Refusal = i32;

/// A file or a directory.
#[derive(Debug)]
pub struct Inode {
    pub content: Content,
    pub permissions: u16,
    pub modified: SystemTime,
    /// Names that lead here.
    pub names: u32,
    /// Open handles.
    pub open: u32,
}

#[derive(Debug)]
pub enum Content {
    File { bytes: Vec<u8>, unsynced: Vec<Undo> },
    Directory(BTreeMap<OsString, u64>),
}

/// Takes back one change of a directory.
#[derive(Debug)]
enum NameUndo {
    /// `name` led nowhere, or to `before`, and now to `after`.
    Set {
        parent: u64,
        name: OsString,
        before: Option<u64>,
        after: u64,
    },
    Removed {
        parent: u64,
        name: OsString,
        before: u64,
    },
    /// One step: a rename is never half done.
    Renamed {
        from: (u64, OsString),
        to: (u64, OsString),
        inode: u64,
        replaced: Option<u64>,
    },
}

impl NameUndo {
    fn parents(&self) -> [u64; 2] {
        match self {
            NameUndo::Set { parent, .. } | NameUndo::Removed { parent, .. } => [*parent, *parent],
            NameUndo::Renamed { from, to, .. } => [from.0, to.0],
        }
    }

    fn refers_to(&self, inode: u64) -> bool {
        match self {
            NameUndo::Set { before, after, .. } => *before == Some(inode) || *after == inode,
            NameUndo::Removed { before, .. } => *before == inode,
            NameUndo::Renamed { inode: moved, replaced, .. } => *moved == inode || *replaced == Some(inode),
        }
    }
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Changes of files from some point on, and how many bytes they had brought.
    pub writes: u64,
    pub bytes: u64,
    /// Writes and blocks of which a part is left.
    pub torn: u64,
    /// Blocks that were overwritten in place and are not what they were last.
    pub stale: u64,
    pub names: u64,
}

impl Loss {
    /// Something is not what it was.
    pub fn is_any(&self) -> bool {
        self.writes + self.stale + self.names > 0
    }
}

/// The file system.
#[derive(Debug)]
pub struct Image {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    names: Vec<NameUndo>,
    /// There is no room for anything more.
    pub is_full: bool,
}

impl Image {
    pub fn new() -> Image {
        let mut image = Image { inodes: BTreeMap::new(), next: ROOT, names: Vec::new(), is_full: false };
        let root = image.make(Content::Directory(BTreeMap::new()), 0o755);
        image.inodes.get_mut(&root).expect("just made").names = 1;
        image
    }

    fn make(&mut self, content: Content, permissions: u16) -> u64 {
        let number = self.next;
        self.next += 1;
        let inode = Inode { content, permissions, modified: SystemTime::now(), names: 0, open: 0 };
        self.inodes.insert(number, inode);
        number
    }

    pub fn inode(&self, number: u64) -> Result<&Inode, Refusal> {
        self.inodes.get(&number).ok_or(libc::ENOENT)
    }

    pub fn inode_mut(&mut self, number: u64) -> Result<&mut Inode, Refusal> {
        self.inodes.get_mut(&number).ok_or(libc::ENOENT)
    }

    pub fn entries(&self, number: u64) -> Result<&BTreeMap<OsString, u64>, Refusal> {
        match &self.inode(number)?.content {
            Content::Directory(entries) => Ok(entries),
            Content::File { .. } => Err(libc::ENOTDIR),
        }
    }

    fn entries_mut(&mut self, number: u64) -> Result<&mut BTreeMap<OsString, u64>, Refusal> {
        match &mut self.inode_mut(number)?.content {
            Content::Directory(entries) => Ok(entries),
            Content::File { .. } => Err(libc::ENOTDIR),
        }
    }

    pub fn lookup(&self, parent: u64, name: &OsStr) -> Result<u64, Refusal> {
        self.entries(parent)?.get(name).copied().ok_or(libc::ENOENT)
    }

    /// Makes a file or an empty directory.
    pub fn create(&mut self, parent: u64, name: &OsStr, directory: bool, permissions: u16) -> Result<u64, Refusal> {
        if self.entries(parent)?.contains_key(name) {
            return Err(libc::EEXIST);
        }
        if self.is_full {
            return Err(libc::ENOSPC);
        }
        let content = if directory {
            Content::Directory(BTreeMap::new())
        } else {
            Content::File { bytes: Vec::new(), unsynced: Vec::new() }
        };
        let number = self.make(content, permissions);
        self.set_name(parent, name, Some(number))?;
        self.names.push(NameUndo::Set { parent, name: name.into(), before: None, after: number });
        Ok(number)
    }

    /// A second name for a file.
    pub fn link(&mut self, inode: u64, parent: u64, name: &OsStr) -> Result<(), Refusal> {
        if self.entries(parent)?.contains_key(name) {
            return Err(libc::EEXIST);
        }
        if matches!(self.inode(inode)?.content, Content::Directory(_)) {
            return Err(libc::EPERM);
        }
        self.set_name(parent, name, Some(inode))?;
        self.names.push(NameUndo::Set { parent, name: name.into(), before: None, after: inode });
        Ok(())
    }

    pub fn remove(&mut self, parent: u64, name: &OsStr, directory: bool) -> Result<(), Refusal> {
        let before = self.lookup(parent, name)?;
        match &self.inode(before)?.content {
            Content::Directory(_) if !directory => return Err(libc::EISDIR),
            Content::Directory(entries) if !entries.is_empty() => return Err(libc::ENOTEMPTY),
            Content::File { .. } if directory => return Err(libc::ENOTDIR),
            _ => {}
        }
        self.set_name(parent, name, None)?;
        self.names.push(NameUndo::Removed { parent, name: name.into(), before });
        Ok(())
    }

    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Refusal> {
        let inode = self.lookup(from.0, from.1)?;
        let replaced = self.entries(to.0)?.get(to.1).copied();
        if replaced == Some(inode) {
            return Ok(());
        }
        if let Some(replaced) = replaced
            && let Content::Directory(entries) = &self.inode(replaced)?.content
            && !entries.is_empty()
        {
            return Err(libc::ENOTEMPTY);
        }
        self.set_name(from.0, from.1, None)?;
        self.set_name(to.0, to.1, Some(inode))?;
        let (from, to) = ((from.0, from.1.into()), (to.0, to.1.into()));
        self.names.push(NameUndo::Renamed { from, to, inode, replaced });
        Ok(())
    }

    /// Lets a name lead somewhere else or nowhere, and counts.
    fn set_name(&mut self, parent: u64, name: &OsStr, to: Option<u64>) -> Result<(), Refusal> {
        let entries = self.entries_mut(parent)?;
        let before = match to {
            Some(inode) => entries.insert(name.into(), inode),
            None => entries.remove(name),
        };
        if let Some(inode) = before.and_then(|inode| self.inodes.get_mut(&inode)) {
            inode.names = inode.names.saturating_sub(1);
        }
        if let Some(inode) = to.and_then(|inode| self.inodes.get_mut(&inode)) {
            inode.names += 1;
        }
        Ok(())
    }

    pub fn read(&self, number: u64, offset: u64, length: usize) -> Result<&[u8], Refusal> {
        match &self.inode(number)?.content {
            Content::File { bytes, .. } => {
                let start = (offset as usize).min(bytes.len());
                Ok(&bytes[start..bytes.len().min(start + length)])
            }
            Content::Directory(_) => Err(libc::EISDIR),
        }
    }

    pub fn write(&mut self, number: u64, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        let is_full = self.is_full;
        let inode = self.inode_mut(number)?;
        let Content::File { bytes, unsynced } = &mut inode.content else { return Err(libc::EISDIR) };
        let offset = offset as usize;
        if is_full && offset + data.len() > bytes.len() {
            return Err(libc::ENOSPC);
        }
        unsynced.push(Undo::of_write(bytes, offset, data.len()));
        put(bytes, offset, data);
        inode.modified = SystemTime::now();
        Ok(())
    }

    pub fn set_length(&mut self, number: u64, length: u64) -> Result<(), Refusal> {
        let inode = self.inode_mut(number)?;
        let Content::File { bytes, unsynced } = &mut inode.content else { return Err(libc::EISDIR) };
        unsynced.push(Undo::of_length(bytes, length as usize));
        bytes.resize(length as usize, 0);
        inode.modified = SystemTime::now();
        Ok(())
    }

    /// Everything of a file, or of a directory's names, is durable from now on.
    pub fn sync(&mut self, number: u64) -> Result<(), Refusal> {
        match &mut self.inode_mut(number)?.content {
            Content::File { unsynced, .. } => {
                unsynced.clear();
                // The names that lead to it come along, and with them what happened in those directories before.
                let last = self.names.iter().rposition(|undo| undo.refers_to(number));
                if let Some(last) = last {
                    let parents = self.names[last].parents();
                    self.settle_names(last + 1, &parents);
                }
            }
            Content::Directory(_) => self.settle_names(self.names.len(), &[number]),
        }
        Ok(())
    }

    /// The first so many changes of names, those of these directories, cannot be lost any more.
    fn settle_names(&mut self, among: usize, parents: &[u64]) {
        let mut at = 0;
        let mut settled = Vec::new();
        self.names.retain(|undo| {
            let settles = at < among && undo.parents().iter().any(|parent| parents.contains(parent));
            at += 1;
            if let (true, NameUndo::Set { before: Some(old), .. } | NameUndo::Removed { before: old, .. }) =
                (settles, undo)
            {
                settled.push(*old);
            }
            if let (true, NameUndo::Renamed { replaced: Some(old), .. }) = (settles, undo) {
                settled.push(*old);
            }
            !settles
        });
        for inode in settled {
            self.forget(inode);
        }
    }

    /// Frees what nothing leads to any more.
    pub fn forget(&mut self, number: u64) {
        let unused = self.inodes.get(&number).is_some_and(|inode| inode.names == 0 && inode.open == 0);
        if unused && !self.names.iter().any(|undo| undo.refers_to(number)) {
            self.inodes.remove(&number);
        }
    }

    /// Loses what was not synced, or some of it.
    pub fn power_cut(&mut self, dice: &mut Dice) -> Loss {
        let (mut loss, mut of_stories) = (Loss::default(), Loss::default());
        let stories = self.stories();
        for (number, inode) in &mut self.inodes {
            if let Content::File { bytes, unsynced } = &mut inode.content
                && !unsynced.is_empty()
            {
                let loss = if stories.contains(number) { &mut of_stories } else { &mut loss };
                cut::lose(bytes, std::mem::take(unsynced), dice, loss);
            }
            inode.open = 0;
        }
        self.lose_names(dice, &mut loss);
        let unused: Vec<u64> = self.inodes.iter().filter(|(_, inode)| inode.names == 0).map(|(n, _)| *n).collect();
        for number in unused {
            self.inodes.remove(&number);
        }
        loss
    }

    /// Files that nobody reads again.
    fn stories(&self) -> BTreeSet<u64> {
        let directories = self.inodes.values().filter_map(|inode| match &inode.content {
            Content::Directory(entries) => Some(entries),
            Content::File { .. } => None,
        });
        let named = directories.flatten().filter(|(name, _)| name.as_encoded_bytes().starts_with(STORY));
        named.map(|(_, number)| *number).collect()
    }

    fn lose_names(&mut self, dice: &mut Dice, loss: &mut Loss) {
        let names = std::mem::take(&mut self.names);
        // Each directory keeps what happened before some point; a rename between two needs both to keep it.
        let mut lost_from: BTreeMap<u64, usize> = BTreeMap::new();
        let parents: Vec<u64> = names.iter().flat_map(NameUndo::parents).collect();
        // Among many names the first hardly ever goes by chance alone; yet it is the one that others stand on.
        let most = if dice.chance(ALL_NAMES_PERCENT) { 0 } else { names.len() as u64 };
        for parent in parents {
            lost_from.entry(parent).or_insert_with(|| dice.below(most + 1) as usize);
        }
        let mut lost = vec![false; names.len()];
        for (at, undo) in names.iter().enumerate() {
            let parents = undo.parents();
            lost[at] = parents.iter().any(|parent| lost_from.get(parent).is_some_and(|first| at >= *first));
            if lost[at] {
                // What comes later in the same directories builds on it.
                for parent in parents {
                    let first = lost_from.entry(parent).or_insert(at);
                    *first = (*first).min(at);
                }
            }
        }
        for (_, undo) in names.into_iter().enumerate().rev().filter(|(at, _)| lost[*at]) {
            loss.names += 1;
            // A directory that is gone itself takes its names along.
            let _ = match undo {
                NameUndo::Set { parent, name, before, .. } => self.set_name(parent, &name, before),
                NameUndo::Removed { parent, name, before } => self.set_name(parent, &name, Some(before)),
                NameUndo::Renamed { from, to, inode, replaced } => {
                    self.set_name(to.0, &to.1, replaced).and_then(|()| self.set_name(from.0, &from.1, Some(inode)))
                }
            };
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let length = |inode: &Inode| match &inode.content {
            Content::File { bytes, .. } => bytes.len() as u64,
            Content::Directory(_) => 0,
        };
        self.inodes.values().map(length).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(image: &mut Image, name: &str) -> u64 {
        image.create(ROOT, OsStr::new(name), false, 0o644).expect("a new name")
    }

    #[test]
    fn what_was_synced_survives_every_cut() {
        for seed in 0..200 {
            let mut image = Image::new();
            let log = file(&mut image, "log");
            image.write(log, 0, b"synced").unwrap();
            image.sync(log).unwrap();
            image.write(log, 6, b" and not").unwrap();
            image.write(log, 2, b"XX").unwrap();
            let loss = image.power_cut(&mut Dice::new(seed));
            let found = image.lookup(ROOT, OsStr::new("log")).expect("fsync of a file keeps its name");
            let bytes = image.read(found, 0, 100).unwrap().to_vec();
            // The overwrite came last: torn or not, it touches bytes 2 and 3 only.
            assert_eq!([&bytes[..2], &bytes[4..6]].concat(), b"syed", "seed {seed}: {bytes:?}");
            assert!([b"nc", b"XX", b"Xc", b"nX"].iter().any(|two| bytes[2..4] == **two), "seed {seed}: {bytes:?}");
            assert!(bytes.len() <= 14, "seed {seed}");
            assert_eq!(loss.names, 0, "seed {seed}");
        }
    }

    #[test]
    fn what_was_not_synced_is_lost_torn_or_kept() {
        let mut seen = [false; 4];
        for seed in 0..300 {
            let mut image = Image::new();
            let log = file(&mut image, "log");
            image.sync(log).unwrap();
            image.write(log, 0, &[7; 1000]).unwrap();
            let loss = image.power_cut(&mut Dice::new(seed));
            let bytes = image.read(log, 0, 2000).unwrap();
            let sevens = bytes.iter().take_while(|byte| **byte == 7).count();
            assert!(bytes[sevens..].iter().all(|byte| *byte == 0), "seed {seed}: nothing is made up");
            seen[0] |= bytes.is_empty() && loss.writes == 1;
            seen[1] |= bytes.len() == 1000 && sevens == 1000 && loss == Loss::default();
            seen[2] |= sevens > 0 && sevens < 1000 && loss.torn == 1;
            seen[3] |= bytes.len() == 1000 && sevens == 0 && loss.torn == 1;
        }
        assert_eq!(seen, [true; 4]);
    }

    #[test]
    fn names_are_lost_from_some_point_on_and_renames_are_whole() {
        let (mut lost_all, mut lost_some) = (false, false);
        for seed in 0..200 {
            let mut image = Image::new();
            let current = file(&mut image, "CURRENT");
            image.write(current, 0, b"1").unwrap();
            image.sync(current).unwrap();
            image.sync(ROOT).unwrap();
            let next = file(&mut image, "next");
            image.write(next, 0, b"2").unwrap();
            image.sync(next).unwrap();
            image.rename((ROOT, OsStr::new("next")), (ROOT, OsStr::new("CURRENT"))).unwrap();
            image.remove(ROOT, OsStr::new("CURRENT"), false).unwrap();
            image.power_cut(&mut Dice::new(seed));
            let names: Vec<_> =
                image.entries(ROOT).unwrap().keys().map(|name| name.to_str().unwrap().to_owned()).collect();
            let read = |name: &str| image.read(image.lookup(ROOT, OsStr::new(name)).unwrap(), 0, 9).unwrap().to_vec();
            match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                // Nothing was lost.
                [] => {}
                ["CURRENT"] => {
                    assert_eq!(read("CURRENT"), b"2", "seed {seed}");
                    lost_some = true;
                }
                ["CURRENT", "next"] => {
                    assert_eq!((read("CURRENT"), read("next")), (b"1".to_vec(), b"2".to_vec()), "seed {seed}");
                    lost_all = true;
                }
                _ => panic!("seed {seed}: {names:?}"),
            }
        }
        assert!(lost_all && lost_some);
    }

    #[test]
    fn the_oldest_of_many_names_goes_often_enough_to_be_noticed() {
        let lost = (0..100).filter(|seed| {
            let mut image = Image::new();
            image.create(ROOT, OsStr::new("raft"), true, 0o755).expect("a new name");
            for n in 0..500 {
                file(&mut image, &n.to_string());
            }
            image.power_cut(&mut Dice::new(*seed));
            image.lookup(ROOT, OsStr::new("raft")).is_err()
        });
        assert!((15..50).contains(&lost.count()));
    }

    #[test]
    fn what_is_lost_of_a_story_does_not_count() {
        let mut lost = [0, 0];
        for seed in 0..100 {
            for (n, name) in ["LOG", "000007.log"].into_iter().enumerate() {
                let mut image = Image::new();
                let number = file(&mut image, name);
                image.sync(number).unwrap();
                image.write(number, 0, &[7; 100]).unwrap();
                lost[n] += u64::from(image.power_cut(&mut Dice::new(seed)).is_any());
            }
        }
        assert!(lost[0] == 0 && lost[1] > 20, "{lost:?}");
    }

    #[test]
    fn a_full_disk_takes_nothing_but_what_has_its_room() {
        let mut image = Image::new();
        let log = file(&mut image, "log");
        image.write(log, 0, b"room").unwrap();
        image.is_full = true;
        assert_eq!(image.write(log, 2, b"more"), Err(libc::ENOSPC));
        assert_eq!(image.create(ROOT, OsStr::new("next"), false, 0o644), Err(libc::ENOSPC));
        image.write(log, 0, b"ROOM").unwrap();
        assert_eq!(image.read(log, 0, 9).unwrap(), b"ROOM");
        image.is_full = false;
        image.write(log, 4, b"more").unwrap();
    }

    #[test]
    fn a_directory_sync_keeps_its_names_and_frees_what_is_gone() {
        let mut image = Image::new();
        let a = file(&mut image, "a");
        image.sync(ROOT).unwrap();
        image.remove(ROOT, OsStr::new("a"), false).unwrap();
        assert!(image.inode(a).is_ok(), "the removal may be lost, so the file is kept");
        image.sync(ROOT).unwrap();
        assert!(image.inode(a).is_err());
        assert_eq!(image.power_cut(&mut Dice::new(1)), Loss::default());
    }
}
