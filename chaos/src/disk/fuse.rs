//! [`Image`] as a mounted file system. It sees every write at once (no page cache above it), so at a kill it knows
//! exactly what was never synced.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::image::{Content, Image, Inode, Loss, Refusal};
use crate::dice::Dice;
use crate::history::lock;

/// The kernel asks again each time: a power cut changes what is true.
const TTL: Duration = Duration::ZERO;
/// Size that the file system says it has.
const BLOCK: u64 = 4096;
const BLOCKS: u64 = (8 << 30) / BLOCK;
/// Threads that answer, so that a slow sync does not hold up everything else.
const THREADS: usize = 4;

/// What the file system and the runner share.
#[derive(Debug)]
struct Shared {
    image: Mutex<Image>,
    /// Microseconds that every sync takes.
    sync_delay: AtomicU64,
    syncs: AtomicU64,
    /// Nothing becomes durable any more.
    power_fails: AtomicBool,
}

/// A mounted file system; it is unmounted at the end.
pub struct Fuse {
    shared: Arc<Shared>,
    path: PathBuf,
    _session: BackgroundSession,
}

impl Fuse {
    /// Mounts an empty file system. Needs /dev/fuse and the right to mount, or `fusermount3`.
    pub fn mount(path: &Path) -> io::Result<Fuse> {
        std::fs::create_dir_all(path)?;
        let shared = Shared {
            image: Mutex::new(Image::new()),
            sync_delay: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            power_fails: AtomicBool::new(false),
        };
        let shared = Arc::new(shared);
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("holdfast-chaos".into()), MountOption::NoAtime];
        config.n_threads = Some(THREADS);
        let session = fuser::spawn_mount(Files(shared.clone()), path, &config)?;
        Ok(Fuse { shared, path: path.to_owned(), _session: session })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs that are on their way come too late. Whoever waits for one must have been killed already: the kernel lets it die
    /// only after the answer, which it then never sees. Without this every sync that a kill meets would still be done.
    pub fn fail_power(&self) {
        self.shared.power_fails.store(true, Ordering::SeqCst);
    }

    /// Loses what was not synced, or some of it. Nobody may have the file system open. The power is back afterwards.
    pub fn power_cut(&self, dice: &mut Dice) -> Loss {
        let loss = lock(&self.shared.image).power_cut(dice);
        self.shared.power_fails.store(false, Ordering::SeqCst);
        loss
    }

    /// How long every sync takes from now on.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.shared.sync_delay.store(delay.as_micros() as u64, Ordering::Relaxed);
    }

    /// Whether there is room for more.
    pub fn set_full(&self, is_full: bool) {
        lock(&self.shared.image).is_full = is_full;
    }

    /// Syncs so far.
    pub fn syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::Relaxed)
    }
}

struct Files(Arc<Shared>);

impl Files {
    fn with<T>(&self, act: impl FnOnce(&mut Image) -> Result<T, Refusal>) -> Result<T, Errno> {
        act(&mut lock(&self.0.image)).map_err(Errno::from_i32)
    }

    fn sync(&self, number: INodeNo) -> Result<(), Errno> {
        // Before it is durable: a kill that comes while a slow disk works loses what was to be synced.
        let delay = Duration::from_micros(self.0.sync_delay.load(Ordering::Relaxed));
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        if self.0.power_fails.load(Ordering::SeqCst) {
            return Err(Errno::EIO);
        }
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        self.with(|image| image.sync(number.0))
    }

    fn opened(&self, number: INodeNo) -> Result<(), Errno> {
        self.with(|image| {
            image.inode_mut(number.0)?.open += 1;
            Ok(())
        })
    }

    fn make(&self, parent: INodeNo, name: &OsStr, directory: bool, mode: u32) -> Result<FileAttr, Errno> {
        self.with(|image| {
            let number = image.create(parent.0, name, directory, (mode & 0o7777) as u16)?;
            Ok(attributes(number, image.inode(number)?))
        })
    }
}

fn done(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn attributes(number: u64, inode: &Inode) -> FileAttr {
    let (kind, size) = match &inode.content {
        Content::File { bytes, .. } => (FileType::RegularFile, bytes.len() as u64),
        Content::Directory(_) => (FileType::Directory, 0),
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: inode.modified,
        mtime: inode.modified,
        ctime: inode.modified,
        crtime: inode.modified,
        kind,
        perm: inode.permissions,
        nlink: inode.names,
        // SAFETY: these only read, and cannot fail.
        uid: unsafe { libc::geteuid() },
        gid: unsafe { libc::getegid() },
        rdev: 0,
        blksize: BLOCK as u32,
        flags: 0,
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.with(|image| {
            let number = image.lookup(parent.0, name)?;
            Ok(attributes(number, image.inode(number)?))
        });
        entry(reply, found);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.with(|image| Ok(attributes(number.0, image.inode(number.0)?))) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changed = self.with(|image| {
            if let Some(size) = size {
                image.set_length(number.0, size)?;
            }
            if let Some(mode) = mode {
                image.inode_mut(number.0)?.permissions = (mode & 0o7777) as u16;
            }
            Ok(attributes(number.0, image.inode(number.0)?))
        });
        match changed {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        entry(reply, self.make(parent, name, true, mode & !umask));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.make(parent, name, false, mode & !umask).and_then(|attributes| {
            self.opened(attributes.ino)?;
            Ok(attributes)
        });
        match made {
            Ok(attributes) => {
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.with(|image| image.remove(parent.0, name, false)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.with(|image| image.remove(parent.0, name, true)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        done(reply, self.with(|image| image.rename((parent.0, name), (new_parent.0, new_name))));
    }

    fn link(&self, _: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.with(|image| {
            image.link(number.0, parent.0, name)?;
            Ok(attributes(number.0, image.inode(number.0)?))
        });
        entry(reply, linked);
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let truncated = self.opened(number).and_then(|()| {
            let truncates = flags.0 & libc::O_TRUNC != 0;
            if truncates { self.with(|image| image.set_length(number.0, 0)) } else { Ok(()) }
        });
        match truncated {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.with(|image| image.read(number.0, offset, size as usize).map(<[u8]>::to_vec)) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.with(|image| image.write(number.0, offset, data)).and_then(|()| {
            // Opened so that every write is durable when it returns.
            if flags.0 & libc::O_DSYNC != 0 { self.sync(number) } else { Ok(()) }
        });
        match written {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        // A power cut closed everything already, and may have removed the file.
        let _ = self.with(|image| {
            let inode = image.inode_mut(number.0)?;
            inode.open = inode.open.saturating_sub(1);
            image.forget(number.0);
            Ok(())
        });
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(reply, self.sync(number));
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(reply, self.sync(number));
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.with(|image| {
            let kind = |inode: u64| match image.inode(inode).map(|inode| &inode.content) {
                Ok(Content::Directory(_)) => FileType::Directory,
                _ => FileType::RegularFile,
            };
            let itself = [".", ".."].map(|name| (number.0, FileType::Directory, name.into()));
            let entries = image.entries(number.0)?.iter().map(|(name, inode)| (*inode, kind(*inode), name.clone()));
            Ok(itself.into_iter().chain(entries).collect::<Vec<_>>())
        });
        match listed {
            Ok(entries) => {
                for (at, (inode, kind, name)) in entries.into_iter().enumerate().skip(offset as usize) {
                    if reply.add(INodeNo(inode), at as u64 + 1, kind, &name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let used = lock(&self.0.image).bytes().div_ceil(BLOCK).min(BLOCKS);
        reply.statfs(BLOCKS, BLOCKS - used, BLOCKS - used, 1 << 20, 1 << 20, BLOCK as u32, 255, BLOCK as u32);
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let end = offset + length;
        let result = self.with(|image| match image.inode(number.0)?.content {
            Content::File { .. } if image.is_full => Err(libc::ENOSPC),
            // Nothing is kept for later here: only the length can change.
            Content::File { ref bytes, .. } if mode == 0 && (bytes.len() as u64) < end => {
                image.set_length(number.0, end)
            }
            Content::File { .. } if mode == 0 || mode == libc::FALLOC_FL_KEEP_SIZE => Ok(()),
            _ => Err(libc::EOPNOTSUPP),
        });
        done(reply, result);
    }
}
