//! Long histories, and many unknown outcomes, within a bounded number of steps: steps are counted instead of seconds, so
//! that these tests say the same on every machine. One asks the program itself, by the processor time that it took.

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast::check::{Limits, Verdict, check, parse};

use super::generate::{Run, text, valid, valid_after, workload};

const HEADER: &str = r#"{"history":1,"workload":"speed"}"#;
/// As the issue asks: 100,000 operations of 10 clients.
const LONG: Run = Run { clients: 10, operations: 100_000, unknown_permille: 3, delay: 5_000, pause: 500 };

#[track_caller]
fn valid_within(steps: u64, text: &str) {
    let history = parse(text).expect("usable");
    let report = check(&history, Limits { steps, ..Limits::default() }).expect("usable");
    assert!(report.is_valid(), "{report}");
}

#[test]
fn a_hundred_thousand_operations_on_one_key_with_hundreds_of_unknown_outcomes() {
    let operations = valid(1, LONG, workload::plain(1));
    let unknown = operations.iter().filter(|operation| operation.end.is_none()).count();
    assert!(unknown > 200, "{unknown} unknown outcomes");
    valid_within(4_000_000, &text(HEADER, &operations));
}

#[test]
fn a_hundred_thousand_operations_of_all_kinds() {
    valid_within(10_000_000, &text(HEADER, &valid(2, LONG, workload::mixed(40))));
}

#[test]
fn counters_sets_and_lists_of_the_same_length() {
    for seed in 0..2 {
        valid_within(0, &text(HEADER, &valid(seed, LONG, workload::counter(3))));
    }
    let run = Run { operations: 5_000, ..LONG };
    valid_within(0, &text(HEADER, &valid(3, run, workload::grow())));
    valid_within(0, &text(HEADER, &valid(4, LONG, workload::lists(5))));
}

#[test]
fn a_bank_of_ten_thousand_transfers() {
    let accounts = (0..8).map(|account| (format!("a{account}"), 100)).collect();
    let open = holdfast::check::history::Action::Open { bank: "bank".to_owned(), accounts };
    let run = Run { operations: 10_000, unknown_permille: 2, ..LONG };
    valid_within(20_000_000, &text(HEADER, &valid_after(vec![open], 5, run, workload::bank(8))));
}

/// What a process needed until it ended well: processor time, and mebibytes at most.
fn cost(child: &Child) -> (Duration, i64) {
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are to memory of this function, and an all-zero rusage is one.
    let (pid, usage) = unsafe {
        let pid = libc::wait4(child.id().cast_signed(), &raw mut status, 0, usage.as_mut_ptr());
        (pid, usage.assume_init())
    };
    assert_eq!((pid, status), (child.id().cast_signed(), 0), "{}", io::Error::last_os_error());
    let time =
        |time: libc::timeval| Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1000);
    (time(usage.ru_utime) + time(usage.ru_stime), usage.ru_maxrss >> 10)
}

#[test]
fn the_program_judges_a_hundred_thousand_operations_of_ten_clients_in_ten_seconds() {
    let histories = [
        ("reads and writes of one key", valid(1, LONG, workload::plain(1))),
        ("all commands on strings but deadlines", valid(2, LONG, workload::mixed(40))),
        ("counters", valid(0, LONG, workload::counter(3))),
        ("transactions over lists", valid(4, LONG, workload::lists(5))),
    ];
    for (name, operations) in histories {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text(HEADER, &operations)).expect("room for a history");
        let program =
            Command::new(env!("CARGO_BIN_EXE_holdfast")).arg("check").arg(file.path()).stdout(Stdio::null()).spawn();
        let (took, mebibytes) = cost(&program.expect("the program starts"));
        println!("{name}: {:.1} s, {mebibytes} MiB", took.as_secs_f64());
        assert!(took < Duration::from_secs(10), "{name} took {took:?} of one core");
    }
}

#[test]
fn too_hard_is_said_and_not_guessed() {
    // Increments by different amounts of unknown outcome, and a sum that some of them make: subset sum.
    let mut text = String::from(HEADER) + "\n";
    for at in 0..40 {
        let by = 1_000_003 + 7 * at * at * at + 1009 * at;
        text += &format!(
            "{{\"client\":{at},\"op\":\"incrby\",\"key\":\"n\",\"arg\":{by},\"start\":1,\"outcome\":\"unknown\"}}\n"
        );
    }
    text += "{\"client\":99,\"op\":\"get\",\"key\":\"n\",\"arg\":null,\"start\":2,\"end\":3,\"outcome\":\"ok\",\"reply\":\"20123457\"}\n";
    let history = parse(&text).expect("usable");
    let limits = Limits { steps: 200_000, configurations: 50_000 };
    let report = check(&history, limits).expect("usable");
    assert!(matches!(report.judged[0].verdict, Verdict::GaveUp(_)), "{report}");
    assert!(!report.is_valid() && report.violations().next().is_none());
    assert!(report.to_string().ends_with("verdict: not decided"), "{report}");
}
