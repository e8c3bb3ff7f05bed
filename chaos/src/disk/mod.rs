//! What a node's data lies on: an ordinary directory, a small file system in a file that can be filled, or an own file
//! system that knows what was synced.

mod cut;
pub mod fuse;
pub mod image;
pub mod layout;
pub mod loop_fs;
pub mod pace;
pub mod strace;

use std::io;
use std::path::{Path, PathBuf};

use crate::net::namespaces::run;
use fuse::Fuse;
use loop_fs::LoopFs;

/// A node's disk. Mounts end with it.
pub enum Disk {
    Plain(PathBuf),
    Loop(LoopFs),
    Fuse(Fuse),
}

/// Below the temporary directory, followed by the runner's process id: where a run's files are by default.
pub const WORK_PREFIX: &str = "holdfast-chaos-";

/// Unmounts what runners that were killed left mounted.
pub fn remove_leftovers() {
    let Ok(mounts) = std::fs::read_to_string("/proc/mounts") else { return };
    let parent = std::env::temp_dir();
    for target in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        let Ok(rest) = Path::new(target).strip_prefix(&parent) else { continue };
        let first = rest.components().next().and_then(|first| first.as_os_str().to_str());
        let pid = first.and_then(|name| name.strip_prefix(WORK_PREFIX)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Only tidiness: a mount that stays does no harm.
            let _ = run("umount", &["-l", target]);
        }
    }
}

impl Disk {
    /// Where the node's data directory is.
    pub fn path(&self) -> &Path {
        match self {
            Disk::Plain(path) => path,
            Disk::Loop(disk) => disk.path(),
            Disk::Fuse(disk) => disk.path(),
        }
    }

    /// Takes what room there is, where that can be done.
    pub fn fill(&self) -> io::Result<()> {
        match self {
            Disk::Plain(_) => Ok(()),
            Disk::Loop(disk) => disk.fill(),
            Disk::Fuse(disk) => {
                disk.set_full(true);
                Ok(())
            }
        }
    }

    /// Gives the room back.
    pub fn empty(&self) -> io::Result<()> {
        match self {
            Disk::Plain(_) => Ok(()),
            Disk::Loop(disk) => disk.empty(),
            Disk::Fuse(disk) => {
                disk.set_full(false);
                Ok(())
            }
        }
    }

    /// The own file system, if it is one.
    pub fn fuse(&self) -> Option<&Fuse> {
        match self {
            Disk::Fuse(disk) => Some(disk),
            Disk::Plain(_) | Disk::Loop(_) => None,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Disk::Plain(_) => "directory",
            Disk::Loop(_) => "loop",
            Disk::Fuse(_) => "fuse",
        }
    }
}
