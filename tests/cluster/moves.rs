//! What connections that asked for it are told when leadership moves on purpose (CLIENT MAINT_NOTIFICATIONS), and that
//! nobody else is told anything.

use super::Cluster;
use super::reply::Reply;
use super::resp::info;
use super::resp3::Client;

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn ok(client: &mut Client, line: &str) {
    assert_eq!(client.call(line).expect("an answer"), Reply::Simple("OK".into()), "{line}");
}

/// A connection that wants to hear of moves.
fn listener(cluster: &Cluster, n: usize, options: &str) -> Client {
    let mut client = Client::connect(cluster.nodes[n].resp).expect("a connection");
    ok(&mut client, &format!("CLIENT MAINT_NOTIFICATIONS ON {options}"));
    client
}

/// The next thing that a listener is told: its name, its sequence and the rest.
fn told(client: &mut Client) -> (String, i64, Vec<Reply>) {
    let push = client.push().expect("it is told something");
    let (Some(Reply::Bulk(name)), Some(Reply::Integer(sequence))) = (push.first(), push.get(1)) else {
        panic!("{push:?}")
    };
    (String::from_utf8_lossy(name).into_owned(), *sequence, push[2..].to_vec())
}

/// A listener is told that leadership of group 1 begins to move, and that it has; gives the last sequence.
fn hears_a_move(client: &mut Client, before: i64) -> i64 {
    let (name, began, rest) = told(client);
    let [Reply::Integer(seconds), groups] = &rest[..] else { panic!("{name} {rest:?}") };
    assert!(name == "FAILING_OVER" && began > before && *seconds > 0, "{name} {began} {rest:?} after {before}");
    assert_eq!(*groups, bulk("[\"1\"]"));
    let (name, ended, rest) = told(client);
    assert!(name == "FAILED_OVER" && ended > began, "{name} {ended} {rest:?} after {began}");
    assert_eq!(rest, [bulk("[\"1\"]")]);
    ended
}

/// A listener was told nothing so far.
fn heard_nothing(client: &mut Client) {
    assert_eq!(client.call("PING").expect("an answer"), Reply::Simple("PONG".into()));
    assert_eq!(client.pushes(), Vec::<Vec<Reply>>::new());
}

#[test]
fn a_node_tells_before_and_after_its_leadership_moves() {
    let cluster = Cluster::start(1);
    let first = cluster.leader();
    let (second, third) = ((first + 1) % 3, (first + 2) % 3);
    let mut listeners: Vec<Client> = (0..3).map(|n| listener(&cluster, n, "")).collect();
    let mut off = listener(&cluster, first, "MOVING-ENDPOINT-TYPE none");
    ok(&mut off, "CLIENT MAINT_NOTIFICATIONS OFF");
    let say = |n: usize, line: &str| {
        let mut client = Client::connect(cluster.nodes[n].resp).expect("a connection");
        cluster.until(line, || (client.call(line).expect("an answer") == Reply::Simple("OK".into())).then_some(()));
    };
    say(first, &format!("FAILOVER TO 127.0.0.1 {}", cluster.nodes[second].resp));
    let last = hears_a_move(&mut listeners[first], 0);
    cluster.until("the second one leads", || (cluster.leader() == second).then_some(()));
    assert_eq!(listeners[first].call("INCR n").expect("an answer"), Reply::Integer(1), "it goes on as before");
    for n in [second, third] {
        heard_nothing(&mut listeners[n]);
    }
    // The sequence of another node is newer than that of the first one.
    say(third, "CLUSTER FAILOVER");
    hears_a_move(&mut listeners[second], last);
    cluster.until("the third one leads", || (cluster.leader() == third).then_some(()));
    for n in [first, third] {
        heard_nothing(&mut listeners[n]);
    }
    heard_nothing(&mut off);
}

#[test]
fn a_node_that_ends_tells_where_its_clients_may_go() {
    let mut cluster = Cluster::start(1);
    let leader = cluster.leader();
    for n in 0..3 {
        let (at, name) = (format!("127.0.0.1:{}", cluster.nodes[n].resp), format!("node{}", n + 1));
        let fact = |key| info(cluster.nodes[leader].resp, &name, key);
        cluster
            .until("the leader knows every node", || (fact("resp")? == at && fact("reachable")? == "1").then_some(()));
    }
    let others: Vec<Reply> =
        (0..3).filter(|n| *n != leader).map(|n| bulk(&format!("127.0.0.1:{}", cluster.nodes[n].resp))).collect();
    let mut listeners = ["", "moving-endpoint-type internal-ip", "moving-endpoint-type none"]
        .map(|kind| listener(&cluster, leader, kind));
    cluster.nodes[leader].stop();
    let mut addresses = Vec::new();
    for client in &mut listeners {
        let (name, sequence, rest) = told(client);
        let [Reply::Integer(seconds), address] = &rest[..] else { panic!("{name} {rest:?}") };
        assert!(name == "MOVING" && *seconds > 0, "{name} {rest:?}");
        addresses.push(address.clone());
        hears_a_move(client, sequence);
        client.push().expect_err("the connection is closed");
    }
    assert_eq!(addresses, [others[0].clone(), others[1].clone(), Reply::Null]);
}
