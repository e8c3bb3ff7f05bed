//! Words of administrators on real nodes: what they do to others, and what they leave.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::nodes::Nodes;
use crate::resp::{Client, PATIENCE, Reply};

fn port(address: &str) -> u16 {
    address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("an address")
}

fn connect(nodes: &Nodes, n: usize) -> Client {
    Client::connect(port(&nodes.addresses()[n])).expect("a connection")
}

fn say(client: &mut Client, line: &str) -> Reply {
    client.call(&line.split(' ').collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

fn text(reply: Reply) -> String {
    match reply {
        Reply::Bulk(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// Says a line on a connection of its own; the answer comes when it comes.
fn say_aside(mut client: Client, line: &'static str) -> mpsc::Receiver<Reply> {
    let (answer, answered) = mpsc::channel();
    thread::spawn(move || {
        let reply = say(&mut client, line);
        // Nobody listens any more if the test failed.
        let _ = answer.send(reply);
    });
    answered
}

#[test]
fn a_sleeping_connection_and_a_pause_stop_nobody_else() {
    let nodes = Nodes::start(1, &[("CLIENTS__DEBUG_COMMAND", "local")]);
    let mut other = connect(&nodes, 0);
    let sleeper = say_aside(connect(&nodes, 0), "DEBUG SLEEP 600");
    for number in 1..=50 {
        assert_eq!(say(&mut other, "INCR n"), Reply::Integer(number));
    }
    assert!(sleeper.try_recv().is_err(), "it sleeps for longer than a test may take");

    assert_eq!(say(&mut other, "CLIENT PAUSE 600000 WRITE"), ok());
    let writer = say_aside(connect(&nodes, 0), "INCR n");
    assert_eq!(say(&mut other, "GET n"), Reply::Bulk(Some(b"50".to_vec())));
    assert!(writer.recv_timeout(Duration::from_millis(200)).is_err(), "it waits");
    assert_eq!(say(&mut other, "GET n"), Reply::Bulk(Some(b"50".to_vec())));
    assert_eq!(say(&mut other, "CLIENT UNPAUSE"), ok());
    assert_eq!(writer.recv_timeout(PATIENCE), Ok(Reply::Integer(51)));
    // Who sleeps or waits is no reason to go on.
    assert_eq!(say(&mut other, "CLIENT PAUSE 600000 WRITE"), ok());
    let _writer = say_aside(connect(&nodes, 0), "INCR n");
    nodes.stop();
}

#[test]
fn a_save_is_told_of_and_shutdown_ends_in_order() {
    let mut nodes = Nodes::start(1, &[]);
    let mut client = connect(&nodes, 0);
    let field = |client: &mut Client, name: &str| {
        let info = text(say(client, "INFO persistence"));
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name} in {info}")).to_owned()
    };
    let saves: u64 = field(&mut client, "rdb_saves").parse().expect("a number");
    assert_eq!(say(&mut client, "SET k v"), ok());
    assert_eq!(say(&mut client, "SAVE"), ok());
    assert_eq!(field(&mut client, "rdb_saves"), (saves + 1).to_string());
    assert_eq!(field(&mut client, "rdb_last_bgsave_status"), "ok");
    let Reply::Integer(last) = say(&mut client, "LASTSAVE") else { panic!("no time") };
    assert_eq!(field(&mut client, "rdb_last_save_time"), last.to_string());
    for line in ["SHUTDOWN NOSAVE NOW", "SHUTDOWN"] {
        assert!(client.call(&line.split(' ').collect::<Vec<_>>()).is_err(), "the connection ends without an answer");
        nodes.until_ended(0);
        nodes.restart(0);
        client = connect(&nodes, 0);
        assert_eq!(say(&mut client, "GET k"), Reply::Bulk(Some(b"v".to_vec())), "after {line}");
    }
    nodes.stop();
}

/// The node that every node counts as the master.
#[expect(clippy::disallowed_methods, reason = "leadership moves in real time; the wait has a deadline")]
fn leader(nodes: &Nodes, of: &[usize], wanted: impl Fn(usize) -> bool) -> usize {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let leads = |n: &usize| {
            let lines = text(say(&mut connect(nodes, *n), "CLUSTER NODES"));
            lines.lines().any(|line| line.contains("myself,master"))
        };
        let leaders: Vec<usize> = of.iter().copied().filter(leads).collect();
        match leaders[..] {
            [one] if wanted(one) => return one,
            _ => assert!(Instant::now() < deadline, "led by {leaders:?}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Nodes know each other's addresses a moment after they are ready.
#[expect(clippy::disallowed_methods, reason = "nodes register in real time; the wait has a deadline")]
fn know_each_other(nodes: &Nodes) {
    let deadline = Instant::now() + PATIENCE;
    let is_told = |n: usize| !text(say(&mut connect(nodes, n), "CLUSTER NODES")).contains("noaddr");
    while !(0..3).all(is_told) {
        assert!(Instant::now() < deadline, "some address is not known");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn leadership_moves_when_it_is_asked_to() {
    let mut nodes = Nodes::start(3, &[]);
    know_each_other(&nodes);
    let all = [0, 1, 2];
    let mut number = 0;
    let mut write = |nodes: &Nodes, n: usize| {
        number += 1;
        assert_eq!(say(&mut connect(nodes, n), "INCR n"), Reply::Integer(number));
    };
    let first = leader(&nodes, &all, |_| true);
    let third = (first + 1) % 3;
    write(&nodes, third);
    // By the leader, to somebody.
    let to = format!("FAILOVER TO 127.0.0.1 {}", port(&nodes.addresses()[third]));
    assert_eq!(say(&mut connect(&nodes, first), &to), ok());
    assert_eq!(leader(&nodes, &all, |n| n != first), third);
    write(&nodes, first);
    let replica = Reply::Error("ERR FAILOVER is not valid when server is a replica.".into());
    assert_eq!(say(&mut connect(&nodes, first), "FAILOVER"), replica);
    // By a follower.
    assert_eq!(say(&mut connect(&nodes, first), "CLUSTER FAILOVER"), ok());
    assert_eq!(leader(&nodes, &all, |n| n != third), first);
    write(&nodes, third);
    // By the end of the leader.
    assert!(connect(&nodes, first).call(&["SHUTDOWN"]).is_err());
    nodes.until_ended(first);
    let others: Vec<usize> = all.into_iter().filter(|n| *n != first).collect();
    leader(&nodes, &others, |_| true);
    write(&nodes, third);
    nodes.restart(first);
    nodes.stop();
}

#[test]
fn a_monitor_is_shown_what_others_ask_for() {
    let nodes = Nodes::start(1, &[]);
    let (mut watcher, mut other) = (connect(&nodes, 0), connect(&nodes, 0));
    assert_eq!(say(&mut watcher, "MONITOR"), ok());
    for number in 0..100 {
        assert_eq!(say(&mut other, &format!("SET k {number}")), ok());
        let Reply::Simple(line) = watcher.reply().expect("a line") else { panic!("no line") };
        let (time, call) = line.split_once(' ').expect("a time");
        assert!(time.parse::<f64>().is_ok_and(|seconds| seconds > 1e9), "{line}");
        assert!(call.starts_with("[0 127.0.0.1:") && call.ends_with(&format!("\"SET\" \"k\" \"{number}\"")), "{line}");
    }
    assert_eq!(say(&mut watcher, "RESET"), Reply::Simple("RESET".into()));
    assert_eq!(say(&mut other, "SET k 7"), ok());
    assert_eq!(say(&mut watcher, "GET k"), Reply::Bulk(Some(b"7".to_vec())));
    nodes.stop();
}
