//! The nodes' wall clocks: a small library, compiled here and loaded into each node, adds an offset that the runner keeps in
//! a file. Monotonic clocks stay what they are, as they do when an operator or NTP sets a clock.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::net::namespaces::run;

const SHIM: &str = include_str!("clock_shim.c");

/// How far clocks are moved at most: one of these in each run, so that the judge of deadlines is sharp in some.
pub const OFFSETS: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(5)];
/// By how much clocks of one machine may differ where nobody moves them: it is adjusted, and times are rounded.
const ADJUSTED: Duration = Duration::from_millis(50);

/// The library and where its offsets are.
pub struct Clocks {
    library: PathBuf,
    directory: PathBuf,
    pub offset_max: Duration,
}

/// By how much a deadline may be off where clocks are moved so far at most. One leader may give it while its clock is
/// ahead and another one judge it while its own is behind, or the other way round.
pub fn slack(offset_max: Option<Duration>) -> Duration {
    2 * offset_max.unwrap_or_default() + ADJUSTED
}

impl Clocks {
    /// Compiles the library in `directory` and tries it. Needs `cc` and a dynamic linker.
    pub fn create(directory: &Path, offset_max: Duration) -> Result<Clocks, String> {
        let source = directory.join("clock_shim.c");
        let library = directory.join("clock_shim.so");
        fs::write(&source, SHIM).map_err(|why| format!("{}: {why}", source.display()))?;
        let (from, to) = (source.display().to_string(), library.display().to_string());
        run("cc", &["-O2", "-shared", "-fPIC", "-o", &to, &from, "-ldl"])?;
        let clocks = Clocks { library, directory: directory.to_owned(), offset_max };
        clocks.prove()?;
        Ok(clocks)
    }

    /// Another program must see the offset.
    fn prove(&self) -> Result<(), String> {
        const OFFSET: u64 = 100_000;
        self.set(0, OFFSET as i64 * 1_000_000_000).map_err(|why| format!("the file of an offset: {why}"))?;
        let output = std::process::Command::new("date").arg("+%s").envs(self.environment(0)).output();
        let output = output.map_err(|why| format!("date: {why}"))?;
        let shown: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0);
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        if shown.abs_diff(real + OFFSET) < 60 {
            Ok(())
        } else {
            Err("a library loaded with LD_PRELOAD does not move a program's clock".into())
        }
    }

    fn file(&self, node: usize) -> PathBuf {
        self.directory.join(format!("clock{node}"))
    }

    /// What a node's process needs in its environment. The file must be there when it starts.
    pub fn environment(&self, node: usize) -> [(&'static str, OsString); 2] {
        [("LD_PRELOAD", self.library.clone().into()), ("CHAOS_CLOCK", self.file(node).into())]
    }

    /// Moves a node's wall clock to so many nanoseconds from the real time.
    pub fn set(&self, node: usize, offset_ns: i64) -> io::Result<()> {
        // In place: the node has this very file mapped.
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(self.file(node))?;
        file.write_all(&offset_ns.to_ne_bytes())
    }
}
