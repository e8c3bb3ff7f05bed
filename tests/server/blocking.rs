//! Clients that wait for keys, at real nodes: each of three nodes, in time, over kills of leaders.

use std::time::{Duration, Instant};

use crate::nodes::Nodes;
use crate::resp::{Client, PATIENCE, Reply};
use crate::{reply, resp3};

fn connect(address: &str) -> Client {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    Client::connect(port).expect("a connection")
}

fn ask(client: &mut Client, line: &str) -> Reply {
    say(client, line);
    hear(client)
}

fn say(client: &mut Client, line: &str) {
    client.say(&line.split(' ').collect::<Vec<_>>()).expect("the server reads");
}

fn hear(client: &mut Client) -> Reply {
    client.reply().expect("a reply")
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(Some(text.as_bytes().to_vec()))
}

fn array(texts: &[&str]) -> Reply {
    Reply::Array(Some(texts.iter().map(|text| bulk(text)).collect()))
}

fn number(reply: &Reply) -> i64 {
    match reply {
        Reply::Integer(number) => *number,
        other => panic!("not a number: {other:?}"),
    }
}

/// Waits until so many clients of a node wait for keys.
#[expect(clippy::disallowed_methods, reason = "other processes work in real time; the wait has a deadline")]
fn until_blocked(client: &mut Client, count: usize) {
    let (wanted, deadline) = (format!("blocked_clients:{count}\r\n"), Instant::now() + PATIENCE);
    loop {
        let Reply::Bulk(Some(text)) = ask(client, "INFO clients") else { panic!("INFO answers with text") };
        if String::from_utf8_lossy(&text).contains(&wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "not {count} clients wait: {}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn first_come_first_served_through_every_node() {
    let nodes = Nodes::start(3, &[]);
    let addresses = nodes.addresses();
    let mut others: Vec<Client> = addresses.iter().map(|address| connect(address)).collect();
    let mut waiting: Vec<Client> = (0..6).map(|n| connect(&addresses[n % 3])).collect();
    for (n, client) in waiting.iter_mut().enumerate() {
        say(client, "BLPOP nothing queue 0");
        // The next one comes when the leader has this one: what goes through the same node afterwards follows it.
        until_blocked(&mut others[n % 3], n / 3 + 1);
        ask(&mut others[n % 3], "SET order x");
    }
    assert_eq!(ask(&mut others[1], "RPUSH queue a b"), Reply::Integer(2));
    ask(&mut others[2], "MULTI");
    ask(&mut others[2], "RPUSH queue c d e");
    ask(&mut others[2], "LPOP queue");
    assert_eq!(ask(&mut others[2], "EXEC"), Reply::Array(Some(vec![Reply::Integer(3), bulk("c")])));
    assert_eq!(ask(&mut others[0], "RPUSH queue f g h"), Reply::Integer(3));
    for (client, element) in waiting.iter_mut().zip(["a", "b", "d", "e", "f", "g"]) {
        assert_eq!(hear(client), array(&["queue", element]));
    }
    assert_eq!(ask(&mut others[0], "LRANGE queue 0 -1"), array(&["h"]));
    for node in &mut others {
        until_blocked(node, 0);
    }
    nodes.stop();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a client waits is real time")]
fn every_command_waits_and_its_time_ends() {
    let nodes = Nodes::start(1, &[]);
    let address = &nodes.addresses()[0];
    let mut other = connect(address);
    ask(&mut other, "XGROUP CREATE stream group $ MKSTREAM");
    let entry = |key: &str| {
        let fields = Reply::Array(Some(vec![bulk("f"), bulk("v")]));
        let entry = Reply::Array(Some(vec![bulk("9-1"), fields]));
        Reply::Array(Some(vec![Reply::Array(Some(vec![bulk(key), Reply::Array(Some(vec![entry]))]))]))
    };
    let scored = |key: &str| Reply::Array(Some(vec![bulk(key), bulk("m"), bulk("1.5")]));
    let many = |key: &str, what| Reply::Array(Some(vec![bulk(key), Reply::Array(Some(vec![what]))]));
    for (line, in_millis, push, wanted) in [
        ("BLPOP k T", false, "RPUSH k x", array(&["k", "x"])),
        ("BRPOP k T", false, "RPUSH k x", array(&["k", "x"])),
        ("BLMOVE k to LEFT RIGHT T", false, "RPUSH k x", bulk("x")),
        ("BRPOPLPUSH k to T", false, "RPUSH k x", bulk("x")),
        ("BLMPOP T 2 none k LEFT", false, "RPUSH k x", many("k", bulk("x"))),
        ("BZPOPMIN k T", false, "ZADD k 1.5 m", scored("k")),
        ("BZPOPMAX k T", false, "ZADD k 1.5 m", scored("k")),
        ("BZMPOP T 1 k MAX", false, "ZADD k 1.5 m", many("k", array(&["m", "1.5"]))),
        ("XREAD BLOCK T STREAMS none k 5 $", true, "XADD k 9-1 f v", entry("k")),
        ("XREADGROUP GROUP group c BLOCK T STREAMS stream >", true, "XADD stream 9-1 f v", entry("stream")),
    ] {
        let timed = |millis: u64| {
            let word = if in_millis { millis.to_string() } else { (millis as f64 / 1000.0).to_string() };
            line.split(' ').map(|part| if part == "T" { word.as_str() } else { part }).collect::<Vec<_>>().join(" ")
        };
        let mut client = connect(address);
        let begun = Instant::now();
        assert_eq!(ask(&mut client, &timed(80)), Reply::Array(None), "{line}");
        assert!(begun.elapsed() >= Duration::from_millis(80), "{line} ended after {:?}", begun.elapsed());
        say(&mut client, &timed(0));
        until_blocked(&mut other, 1);
        let pushed = ask(&mut other, push);
        assert!(!matches!(pushed, Reply::Error(_)), "{push}: {pushed:?}");
        assert_eq!(hear(&mut client), wanted, "{line}");
        ask(&mut other, "DEL k to");
    }
    nodes.stop();
}

#[test]
fn what_is_asked_before_is_answered_before_and_what_is_asked_behind_runs_later() {
    let nodes = Nodes::start(1, &[]);
    let address = &nodes.addresses()[0];
    let (mut client, mut other) = (connect(address), connect(address));
    for line in ["SET k 1", "BLPOP l 0", "INCR k", "BLPOP l 0", "GET k"] {
        say(&mut client, line);
    }
    assert_eq!(hear(&mut client), Reply::Simple("OK".into()), "although the next command waits");
    until_blocked(&mut other, 1);
    assert_eq!(ask(&mut other, "GET k"), bulk("1"));
    ask(&mut other, "RPUSH l a");
    assert_eq!([hear(&mut client), hear(&mut client)], [array(&["l", "a"]), Reply::Integer(2)]);
    ask(&mut other, "RPUSH l b");
    assert_eq!([hear(&mut client), hear(&mut client)], [array(&["l", "b"]), bulk("2")]);
    nodes.stop();
}

#[test]
fn a_wait_is_ended_by_whoever_may() {
    let nodes = Nodes::start(1, &[]);
    let address = &nodes.addresses()[0];
    let (mut client, mut other) = (connect(address), connect(address));
    let id = number(&ask(&mut client, "CLIENT ID"));
    assert_eq!(ask(&mut other, &format!("CLIENT UNBLOCK {id}")), Reply::Integer(0), "it does not wait");
    for (reason, wanted) in [
        ("", Reply::Array(None)),
        (" TIMEOUT", Reply::Array(None)),
        (" ERROR", Reply::Error("UNBLOCKED client unblocked via CLIENT UNBLOCK".into())),
    ] {
        say(&mut client, "BLMOVE l m LEFT LEFT 0");
        until_blocked(&mut other, 1);
        let Reply::Bulk(Some(list)) = ask(&mut other, "CLIENT LIST") else { panic!("CLIENT LIST answers with text") };
        let list = String::from_utf8_lossy(&list).into_owned();
        assert!(list.contains(" flags=b ") && list.contains(" cmd=blmove "), "{list}");
        assert_eq!(ask(&mut other, &format!("CLIENT UNBLOCK {id}{reason}")), Reply::Integer(1));
        assert_eq!(hear(&mut client), wanted);
    }
    say(&mut client, "BLPOP l 0");
    until_blocked(&mut other, 1);
    assert_eq!(ask(&mut other, &format!("CLIENT KILL ID {id}")), Reply::Integer(1));
    assert!(client.reply().is_err(), "killed");
    until_blocked(&mut other, 0);
    // One that hung up is given nothing.
    let mut client = connect(address);
    say(&mut client, "BLPOP l 0");
    until_blocked(&mut other, 1);
    drop(client);
    until_blocked(&mut other, 0);
    assert_eq!(ask(&mut other, "RPUSH l a"), Reply::Integer(1));
    assert_eq!(ask(&mut other, "LLEN l"), Reply::Integer(1));
    nodes.stop();
}

#[test]
fn the_leader_may_die_and_nobody_who_waits_notices() {
    let mut nodes = Nodes::start(3, &[]);
    let addresses = nodes.addresses();
    let (mut pushed, mut taken) = (0, Vec::new());
    for killed in 0..3 {
        let survivors: Vec<&String> = (0..3).filter(|n| *n != killed).map(|n| &addresses[n]).collect();
        let mut waiting: Vec<Client> = (0..8).map(|n| connect(survivors[n % 2])).collect();
        waiting.iter_mut().for_each(|client| say(client, "BLPOP queue 0"));
        let mut other = connect(survivors[0]);
        for address in &survivors {
            until_blocked(&mut connect(address), 4);
        }
        for _ in 0..3 {
            pushed += 1;
            assert!(matches!(ask(&mut other, &format!("RPUSH queue {pushed}")), Reply::Integer(_)));
        }
        nodes.kill(killed);
        for _ in 0..5 {
            pushed += 1;
            assert!(matches!(ask(&mut other, &format!("RPUSH queue {pushed}")), Reply::Integer(_)));
        }
        for client in &mut waiting {
            match hear(client) {
                Reply::Array(Some(pair)) => match &pair[1] {
                    Reply::Bulk(Some(text)) => {
                        taken.push(String::from_utf8_lossy(text).parse::<u64>().expect("a number"))
                    }
                    other => panic!("not an element: {other:?}"),
                },
                other => panic!("a client of a surviving node was told {other:?}"),
            }
        }
        assert_eq!(ask(&mut other, "LLEN queue"), Reply::Integer(0));
        nodes.restart(killed);
    }
    taken.sort_unstable();
    assert_eq!(taken, (1..=pushed).collect::<Vec<u64>>(), "each element was given to one client");
    nodes.stop();
}

#[test]
fn messages_come_while_a_client_waits() {
    let nodes = Nodes::start(1, &[]);
    let port = nodes.addresses()[0].rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let (mut waiting, mut other) =
        (resp3::Client::connect(port).expect("a connection"), connect(&nodes.addresses()[0]));
    waiting.say("SUBSCRIBE news").expect("the server reads");
    let confirmation = waiting.push().expect("a confirmation");
    assert_eq!(confirmation[0], reply::Reply::Bulk("subscribe".into()));
    waiting.say("BLPOP queue 0").expect("the server reads");
    until_blocked(&mut other, 1);
    for text in ["one", "two"] {
        assert_eq!(ask(&mut other, &format!("PUBLISH news {text}")), Reply::Integer(1));
        let message = waiting.push().expect("a message");
        assert_eq!(message.last(), Some(&reply::Reply::Bulk(text.into())));
    }
    ask(&mut other, "RPUSH queue a");
    let element = ["queue", "a"].map(|text| reply::Reply::Bulk(text.into()));
    assert_eq!(waiting.reply().expect("an answer"), reply::Reply::Array(element.to_vec()));
    nodes.stop();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "other processes work in real time; the wait has a deadline")]
fn who_loses_the_right_to_a_key_while_it_waits_gets_nothing_of_it() {
    let nodes = Nodes::start(3, &[]);
    let addresses = nodes.addresses();
    let ok = Reply::Simple("OK".into());
    for address in &addresses {
        let (mut admin, mut alice) = (connect(address), connect(address));
        assert_eq!(ask(&mut admin, "ACL SETUSER alice on nopass allkeys +@all"), ok);
        assert_eq!(ask(&mut alice, "AUTH alice any"), ok);
        // The leader hears of it a moment after ACL SETUSER was answered: a push may come before that.
        let deadline = Instant::now() + PATIENCE;
        loop {
            say(&mut alice, "BLPOP other list 0");
            until_blocked(&mut admin, 1);
            assert_eq!(ask(&mut admin, "ACL SETUSER alice resetkeys"), ok);
            assert_eq!(ask(&mut admin, "RPUSH list x"), Reply::Integer(1));
            let heard = hear(&mut alice);
            if heard == Reply::Error("NOPERM No permissions to access a key".into()) {
                break;
            }
            assert_eq!(heard, array(&["list", "x"]));
            assert_eq!(ask(&mut admin, "ACL SETUSER alice allkeys"), ok);
            assert!(Instant::now() < deadline, "she is served all the same");
        }
        assert_eq!(ask(&mut admin, "LRANGE list 0 -1"), array(&["x"]));
        assert_eq!(ask(&mut admin, "DEL list"), Reply::Integer(1));
        let Reply::Bulk(Some(stats)) = ask(&mut admin, "INFO commandstats") else { panic!("no text") };
        let stats = String::from_utf8_lossy(&stats).into_owned();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_blpop:")).expect("it was asked for");
        assert!(line.contains("rejected_calls=1,failed_calls=0"), "{line}");
        // Who has the right again waits as before; the push may come while the leader has heard of the loss only.
        loop {
            assert_eq!(ask(&mut admin, "ACL SETUSER alice allkeys"), ok);
            say(&mut alice, "BLPOP list 0");
            until_blocked(&mut admin, 1);
            assert_eq!(ask(&mut admin, "ACL SETUSER alice resetkeys"), ok);
            assert_eq!(ask(&mut admin, "ACL SETUSER alice allkeys"), ok);
            assert_eq!(ask(&mut admin, "RPUSH list x"), Reply::Integer(1));
            let heard = hear(&mut alice);
            if heard == array(&["list", "x"]) {
                break;
            }
            assert_eq!(heard, Reply::Error("NOPERM No permissions to access a key".into()));
            assert_eq!(ask(&mut admin, "DEL list"), Reply::Integer(1));
            assert!(Instant::now() < deadline, "she is refused all the same");
        }
        // Without a user there is no connection.
        say(&mut alice, "BLPOP list 0");
        until_blocked(&mut admin, 1);
        assert_eq!(ask(&mut admin, "ACL DELUSER alice"), Reply::Integer(1));
        alice.reply().expect_err("the connection is closed");
        until_blocked(&mut admin, 0);
    }
    nodes.stop();
}
