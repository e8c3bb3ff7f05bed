//! A small ext4 in a file: it can be filled until nothing fits any more.
//!
//! Its files have block maps instead of extents. So nobody can reserve room in advance (`fallocate`), as RocksDB does for more
//! than its log writes in minutes: on a full disk a node would have gone on in what it had reserved.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::net::namespaces::run;

/// Takes up all room while there is no room to be.
const BALLOON: &str = "balloon";

/// A mounted file system; it is unmounted at the end.
pub struct LoopFs {
    mount: PathBuf,
}

impl LoopFs {
    /// Makes a file system of so many bytes in `directory` and mounts it there. Needs root.
    pub fn create(directory: &Path, name: &str, bytes: u64) -> Result<LoopFs, String> {
        let image = directory.join(format!("{name}.ext4"));
        let mount = directory.join(name);
        let failed = |why: io::Error| format!("{}: {why}", image.display());
        File::create(&image).and_then(|file| file.set_len(bytes)).map_err(failed)?;
        fs::create_dir_all(&mount).map_err(|why| format!("{}: {why}", mount.display()))?;
        let (image, mounted) = (image.display().to_string(), mount.display().to_string());
        // No blocks kept for root: the node may be root.
        run("mkfs.ext4", &["-q", "-F", "-m", "0", "-O", "^extent,^64bit", &image])?;
        run("mount", &["-o", "loop", &image, &mounted])?;
        Ok(LoopFs { mount })
    }

    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Takes what room there is.
    pub fn fill(&self) -> io::Result<()> {
        let mut balloon = OpenOptions::new().create(true).append(true).open(self.mount.join(BALLOON))?;
        // The last block is taken by itself, and so is what somebody else gave back meanwhile.
        for bytes in [1 << 20, 4096] {
            let piece = vec![0u8; bytes];
            loop {
                match balloon.write_all(&piece) {
                    Ok(()) => {}
                    Err(why) if why.kind() == io::ErrorKind::StorageFull => break,
                    Err(why) => return Err(why),
                }
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn empty(&self) -> io::Result<()> {
        match fs::remove_file(self.mount.join(BALLOON)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        // The loop device goes with the mount. Lazily: a process that is about to end may still have a file open.
        let _ = run("umount", &["-l", &self.mount.display().to_string()]);
    }
}
