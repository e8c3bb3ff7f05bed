//! What the operating system knows of this process: memory, processor time, open files.

use std::io;

/// Descriptors beside those of clients: listeners, peers, HTTP, files of the two databases.
const OTHER_FILES: u64 = 1024;

/// Memory of the process and the machine, in bytes; 0 where `/proc` does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// In memory now.
    pub resident: u64,
    /// The most that it ever was.
    pub peak: u64,
    /// What the machine has.
    pub system: u64,
}

/// Seconds of processor time since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Processor {
    /// In the kernel.
    pub system: f64,
    /// In the program.
    pub user: f64,
}

/// Memory as of now.
pub fn memory() -> Memory {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Memory { resident: line(&status, "VmRSS"), peak: line(&status, "VmHWM"), system: line(&machine, "MemTotal") }
}

/// Bytes of a line such as `VmRSS:     1234 kB`.
fn line(text: &str, name: &str) -> u64 {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Processor time of the process, or of the calling thread alone.
pub fn processor(of_thread: bool) -> Processor {
    let who = if of_thread { libc::RUSAGE_THREAD } else { libc::RUSAGE_SELF };
    // SAFETY: all zeros is a valid rusage, and the call writes nothing else.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Processor { system: seconds(usage.ru_stime), user: seconds(usage.ru_utime) }
}

/// Asks the system to schedule the calling thread in batches (`SCHED_BATCH`, sched(7)): when it is woken it waits for its turn
/// instead of interrupting whoever runs, often the one that woke it. A policy that the process was started with stays.
pub fn work_in_batches() -> io::Result<()> {
    // SAFETY: all zeros is a valid parameter, the call reads just that, and 0 is the calling thread.
    let refused = unsafe {
        let parameters: libc::sched_param = std::mem::zeroed();
        libc::sched_getscheduler(0) == libc::SCHED_OTHER
            && libc::sched_setscheduler(0, libc::SCHED_BATCH, &parameters) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes room for so many clients: raises this process's limit of open files as far as it may. Returns how many
/// clients fit in the end, which is what was asked for unless the system's own limit is too low.
pub fn reserve_files(clients: usize) -> io::Result<usize> {
    let wanted = clients as u64 + OTHER_FILES;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write just the struct they are given.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        if limit.rlim_cur >= wanted {
            return Ok(clients);
        }
        // A privileged process may raise the hard limit as well.
        let all = libc::rlimit { rlim_cur: wanted, rlim_max: limit.rlim_max.max(wanted) };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &all) == 0 {
            return Ok(clients);
        }
        limit.rlim_cur = wanted.min(limit.rlim_max);
        if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // Where not even half is left for clients, the others must do with the other half.
    let fit = limit.rlim_cur.saturating_sub(OTHER_FILES).max(limit.rlim_cur / 2);
    Ok(clients.min(fit as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let text = "VmHWM:\t   20 kB\nVmRSS:\t   10 kB\n";
        assert_eq!((line(text, "VmRSS"), line(text, "VmHWM"), line(text, "Vm")), (10 << 10, 20 << 10, 0));
        let memory = memory();
        assert!(memory.resident > 0 && memory.peak >= memory.resident / 2 && memory.system > memory.resident);
    }

    #[test]
    fn a_thread_works_in_batches_and_others_do_not() {
        // SAFETY: the call reads nothing of ours.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let before = policy();
        let worked = std::thread::spawn(move || {
            work_in_batches().unwrap();
            policy()
        });
        assert_eq!((worked.join().unwrap(), policy()), (libc::SCHED_BATCH, before));
    }

    #[test]
    fn files_are_reserved_as_far_as_the_system_allows() {
        assert_eq!(reserve_files(1).unwrap(), 1);
        let fit = reserve_files(usize::MAX / 4).unwrap();
        assert!(fit >= 1);
    }
}
