//! `holdfast check` as scripts and people meet it: exit codes, and which stream says what.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

fn check(contents: &[u8], flags: &[&str]) -> (Option<i32>, String, String) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("history.jsonl");
    fs::write(&file, contents).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let Output { status, stdout, stderr } = command.arg("check").arg(&file).args(flags).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn line(op: &str, arg: &str, time: u64, outcome: &str, reply: &str) -> String {
    format!(
        "{{\"client\":1,\"op\":\"{op}\",\"key\":\"k\",\"arg\":{arg},\"start\":{time},\"end\":{},\"outcome\":\"{outcome}\",\"reply\":{reply}}}\n",
        time + 1
    )
}

#[test]
fn the_exit_code_of_check_tells_the_verdict() {
    let write = line("set", "\"v\"", 1, "ok", "\"OK\"");
    let (code, stdout, _) = check((write.clone() + &line("get", "null", 5, "ok", "\"v\"")).as_bytes(), &[]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.ends_with("verdict: valid\n"), "{stdout}");

    let (code, stdout, stderr) = check((write.clone() + &line("get", "null", 5, "ok", "null")).as_bytes(), &[]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.starts_with("VIOLATION of linearizability: key \"k\"\n") && stderr.is_empty(), "{stdout}{stderr}");

    for (contents, complaint) in [
        ((write.clone() + "{\"client\":1}\n").into_bytes(), "line 2: there is no field"),
        ([write.as_bytes(), b"\xff\n"].concat(), "line 2: this is no UTF-8"),
        ((write + &line("sadd", "1", 5, "ok", "1")).into_bytes(), "line 2: key \"k\" is used as a set here"),
    ] {
        let (code, stdout, stderr) = check(&contents, &[]);
        assert_eq!(code, Some(2), "{stdout}{stderr}");
        assert!(stderr.contains(complaint) && stdout.is_empty(), "{stdout}{stderr}");
    }

    // Which of forty unknown increments make this sum? One step is not enough to tell.
    let mut hard: String =
        (0..40).map(|at| line("incrby", &(1000 + at * at).to_string(), 1, "unknown", "null")).collect();
    hard += &line("get", "null", 5, "ok", "\"20321\"");
    let (code, stdout, _) = check(hard.as_bytes(), &["--million-steps", "0"]);
    assert_eq!(code, Some(3), "{stdout}");
    assert!(stdout.contains("GAVE UP on key \"k\"") && stdout.ends_with("verdict: not decided\n"), "{stdout}");
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = command.args(["check", "no-such-file.jsonl"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-file.jsonl: cannot be read"));
}
