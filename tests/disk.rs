//! Real processes on disks that are full or that fail: the node says so, ends with an error, and has lost nothing once
//! there is room again. Every wait polls for what it needs and has a deadline.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes are polled on the real clock, each wait with a deadline"
)]

#[path = "support/ports.rs"]
mod ports;
#[path = "support/resp.rs"]
#[expect(dead_code, reason = "a node on a failed disk is asked for nothing but data")]
mod resp;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ports::free_ports;
use resp::{Client, PATIENCE, Reply};

/// What a write carries: large, so that a disk is full soon.
const VALUE_BYTES: usize = 64 << 10;
/// More writes than any disk here takes.
const WRITES_MAX: usize = 3_000;

/// A single node, its files in `home/disk/data`, its log lines in `home/log-<start>`, which is another disk.
struct Server {
    child: Child,
    resp: u16,
    log: PathBuf,
}

impl Server {
    /// Starts the program. `file_bytes_max`: no file may grow beyond this (`RLIMIT_FSIZE`), writing fails there.
    fn start(home: &Path, file_bytes_max: Option<u64>) -> Server {
        let ports = free_ports(3);
        let at = |port: u16| format!("127.0.0.1:{port}");
        let starts = (0..).find(|n| !home.join(format!("log-{n}")).exists()).expect("a number");
        let log = home.join(format!("log-{starts}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.arg("server").arg("--data-dir").arg(home.join("disk/data"));
        command.args(["--resp", &at(ports[0]), "--peer", &at(ports[1]), "--http", &at(ports[2])]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).expect("a log file"));
        if let Some(bytes) = file_bytes_max {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            // SAFETY: both calls may be made between fork and exec, and touch nothing of this process.
            unsafe {
                command.pre_exec(move || {
                    // Without the signal the write fails, as on a disk, with an error.
                    libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                    if libc::setrlimit(libc::RLIMIT_FSIZE, &limit) == 0 {
                        Ok(())
                    } else {
                        Err(io::Error::last_os_error())
                    }
                });
            }
        }
        Server { child: command.spawn().expect("the program starts"), resp: ports[0], log }
    }

    /// A connection to a node that takes writes.
    fn client(&mut self) -> Client {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(mut client) = Client::connect(self.resp)
                && client.call(&["SET", "ready", "yes"]).is_ok_and(|reply| reply == Reply::Simple("OK".into()))
            {
                return client;
            }
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none() && Instant::now() < deadline, "no node, {ended:?}:\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes until the node does not answer any more. How many writes it acknowledged.
    fn write_until_it_ends(&mut self) -> usize {
        let mut client = self.client();
        for n in 0..WRITES_MAX {
            match client.call(&["SET", &key(n), &value(n)]) {
                Ok(Reply::Simple(_)) => {}
                Ok(Reply::Error(why)) => panic!("write {n}: a node on a failed disk answered: {why}"),
                Ok(other) => panic!("write {n}: {other:?}"),
                Err(_) => return n,
            }
        }
        panic!("the disk took everything:\n{}", self.said());
    }

    /// Waits for the process to end by itself.
    fn ended(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return (status, self.said());
            }
            assert!(Instant::now() < deadline, "the node goes on:\n{}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn key(n: usize) -> String {
    format!("key-{n}")
}

fn value(n: usize) -> String {
    format!("{n:08}").repeat(VALUE_BYTES / 8)
}

/// The node has every acknowledged write, and takes more.
fn has_everything(home: &Path, acknowledged: usize) {
    let mut server = Server::start(home, None);
    let mut client = server.client();
    for n in 0..acknowledged {
        let found = client.call(&["GET", &key(n)]).expect("a reply");
        assert!(found == Reply::Bulk(Some(value(n).into_bytes())), "write {n} of {acknowledged} is not there");
    }
    let last = client.call(&["SET", "after", "yes"]).expect("a reply");
    assert_eq!(last, Reply::Simple("OK".into()));
}

/// Contents of the facts file and of the two FORMAT files: what names the directory's owner and layout.
fn identity(home: &Path) -> Vec<Vec<u8>> {
    ["holdfast.facts", "raft/FORMAT", "state/FORMAT"]
        .map(|name| fs::read(home.join("disk/data").join(name)).unwrap())
        .into()
}

#[test]
fn rule_05_a_disk_that_fails_ends_the_process_and_nothing_is_lost() {
    let home = tempfile::tempdir().expect("a directory");
    fs::create_dir(home.path().join("disk")).expect("a directory");
    let mut server = Server::start(home.path(), Some(6 << 20));
    let acknowledged = server.write_until_it_ends();
    let (status, said) = server.ended();
    assert!(acknowledged > 20, "{acknowledged} writes before the disk failed:\n{said}");
    assert!(!status.success());
    assert!(said.contains("the raft log could not be written, stopping at once"), "{said}");
    assert!(said.contains("File too large"), "{said}");
    let before = identity(home.path());

    // The disk is no better: the node says so and leaves everything as it is.
    let (status, said) = Server::start(home.path(), Some(1 << 20)).ended();
    assert_eq!(status.code(), Some(74), "{said}");
    assert!(said.contains("holdfast: storage: ") && said.contains("File too large"), "{said}");
    assert_eq!(identity(home.path()), before);

    has_everything(home.path(), acknowledged);
}

/// Mounts a file system in memory that only this thread and its children see. False without the right to do so.
fn mount_small(at: &Path, bytes: u64, flags: libc::c_ulong) -> bool {
    let text = |text: &str| CString::new(text).expect("no NUL");
    let (kind, target) = (text("tmpfs"), CString::new(at.as_os_str().as_encoded_bytes()).expect("no NUL"));
    let options = text(&format!("size={bytes}"));
    // SAFETY: the arguments are NUL-terminated and outlive the call.
    let mounted = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    mounted == 0
}

/// A mount namespace for this thread, whose mounts nobody else sees.
fn own_mounts() -> bool {
    let root = CString::new("/").expect("no NUL");
    // SAFETY: the namespace of this thread only is changed; the paths outlive the calls.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                root.as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
    }
}

/// Needs the right to mount; without it, only the test above speaks for rule 5.
#[test]
fn rule_05_a_full_disk_ends_the_process_and_nothing_is_lost() {
    let scene = || {
        let home = tempfile::tempdir().expect("a directory");
        let disk = home.path().join("disk");
        fs::create_dir(&disk).expect("a directory");
        if !own_mounts() || !mount_small(&disk, 48 << 20, 0) {
            eprintln!("skipped: this user may not mount a file system");
            return;
        }
        let mut server = Server::start(home.path(), None);
        let acknowledged = server.write_until_it_ends();
        let (status, said) = server.ended();
        assert!(acknowledged > 20, "{acknowledged} writes before the disk was full:\n{said}");
        assert!(!status.success());
        assert!(said.contains("stopping at once") || said.contains("stops at once"), "{said}");
        assert!(said.contains("no space left on the device"), "{said}");
        let before = identity(home.path());

        let (status, said) = Server::start(home.path(), None).ended();
        assert!(!status.success());
        assert!(said.contains("holdfast: ") && said.to_lowercase().contains("no space left"), "{said}");
        assert_eq!(identity(home.path()), before);

        assert!(mount_small(&disk, 400 << 20, libc::MS_REMOUNT), "{}", io::Error::last_os_error());
        has_everything(home.path(), acknowledged);
    };
    // A thread of its own: it leaves this process's view of the mounts for good.
    let result = thread::spawn(scene).join();
    result.unwrap_or_else(|why| std::panic::resume_unwind(why));
}
