//! A small ext4 in a file: it can be filled until nothing fits any more.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
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
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &image])?;
        run("mount", &["-o", "loop", &image, &mounted])?;
        Ok(LoopFs { mount })
    }

    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Takes what room there is.
    pub fn fill(&self) -> io::Result<()> {
        let mut balloon = OpenOptions::new().create(true).append(true).open(self.mount.join(BALLOON))?;
        let free = self.free()?;
        let length = balloon.metadata()?.len();
        // SAFETY: plain integers and an open descriptor. What it cannot take as a whole is taken in pieces below.
        unsafe { libc::fallocate(balloon.as_raw_fd(), 0, length as i64, free as i64) };
        let piece = [0u8; 4096];
        loop {
            match balloon.write_all(&piece) {
                Ok(()) => {}
                Err(why) if why.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(why) => return Err(why),
            }
        }
    }

    /// Gives the room back.
    pub fn empty(&self) -> io::Result<()> {
        match fs::remove_file(self.mount.join(BALLOON)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Bytes that still fit.
    fn free(&self) -> io::Result<u64> {
        let path = CString::new(self.mount.as_os_str().as_bytes()).map_err(io::Error::other)?;
        let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: a terminated path and room for the answer, which all zeros are a valid value of.
        let stat = unsafe {
            if libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            stat.assume_init()
        };
        Ok(stat.f_bavail * stat.f_frsize)
    }
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        // The loop device goes with the mount. Lazily: a process that is about to end may still have a file open.
        let _ = run("umount", &["-l", &self.mount.display().to_string()]);
    }
}
