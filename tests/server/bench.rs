//! `holdfast bench` as scripts and people meet it: every request arrives exactly once, what a server refuses is told, and
//! figures can be read.

use std::process::{Command, Output, Stdio};

use crate::nodes::Nodes;
use crate::resp::{Client, Reply};

fn bench(flags: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let Output { status, stdout, stderr } =
        command.arg("bench").args(flags).stdin(Stdio::null()).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.success(), text(stdout), text(stderr))
}

#[test]
fn a_load_is_asked_for_exactly_and_its_figures_can_be_read() {
    let nodes = Nodes::start(1, &[]);
    let address = &nodes.addresses()[0];
    let to_one_key = ["--address", address, "--commands", "incr", "--keys", "1", "--requests", "1000", "--json"];
    for more in [&["--clients", "7"][..], &["--pipeline", "16"], &["--threads", "2"], &["--rate", "5000"]] {
        let (ok, stdout, stderr) = bench(&[&to_one_key[..], more].concat());
        assert!(ok, "{more:?}: {stderr}");
        let figures: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        assert_eq!(figures["requests"], 1_000, "{more:?}: {stdout}");
        let figure = |name: &str| figures[name].as_f64().expect("a number");
        assert!(figure("per_second") > 0.0 && figure("p50_us") <= figure("p999_us"), "{more:?}: {stdout}");
    }
    // Each try-out adds one.
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let mut client = Client::connect(port).expect("a connection");
    let mut ask = |line: &str| client.call(&line.split(' ').collect::<Vec<_>>()).expect("a reply");
    assert_eq!(ask("GET counter:000000000000"), Reply::Bulk(Some(b"4004".to_vec())));

    let fill = ["--commands", "set,mset", "--distribution", "sequence", "--keys", "300", "--requests", "600"];
    let (ok, stdout, stderr) = bench(&[&["--address", address][..], &fill].concat());
    assert!(ok && stdout.contains("requests per second (600 in"), "{stdout}{stderr}");
    assert_eq!(ask("STRLEN key:000000000000"), Reply::Integer(100));

    let own =
        ["--requests", "50", "--keys", "5", "--value-size", "3", "--", "HSET", "cart:__rand_int__", "item", "__data__"];
    let (ok, _, stderr) = bench(&[&["--address", address][..], &own].concat());
    assert!(ok, "{stderr}");
    assert_eq!(ask("HGET cart:000000000000 item"), Reply::Bulk(Some(b"xxx".to_vec())));

    let (ok, _, stderr) = bench(&["--address", address, "--", "NOSUCH", "x"]);
    assert!(!ok && stderr.contains("NOSUCH: it answers -ERR unknown command 'NOSUCH'"), "{stderr}");

    let (ok, stdout, stderr) = bench(&["idle", "--address", address, "--clients", "100"]);
    assert!(ok && stdout.ends_with("100 connections still answer\n"), "{stdout}{stderr}");
}

#[test]
fn what_makes_no_sense_is_said() {
    for (flags, complaint) in [
        (&["--commands", "sett"][..], "no command is called sett"),
        (&["--address", "127.0.0.1:1"], "no connection to 127.0.0.1:1"),
        (&["--seconds=-1"], "-1 is no number of seconds"),
        (&["--requests", "1", "--seconds", "1"], "cannot be used with"),
        (&["etcd", "--commands", "incr"], "etcd is asked by --commands set or get"),
        (&["plot", "--title", "t", "--x", "x", "--output", "/nowhere"], "nothing to draw"),
    ] {
        let (ok, _, stderr) = bench(flags);
        assert!(!ok && stderr.contains(complaint), "{flags:?}: {stderr}");
    }
}
