//! Users of a real cluster: made on one node, known to all, kept over restarts, and what a script may do when it runs on
//! another machine than the one that its caller is connected to.

use std::time::{Duration, Instant};

use crate::nodes::Nodes;
use crate::resp::{Client, PATIENCE, Reply};

fn connect(nodes: &Nodes, n: usize) -> Client {
    let addresses = nodes.addresses();
    let port = addresses[n].rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    Client::connect(port).expect("connected")
}

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

/// Waits until a call gets this answer: the other nodes hear of a change a little later.
#[expect(clippy::disallowed_methods, reason = "other processes work in real time; the wait has a deadline")]
fn until(client: &mut Client, call: &[&str], wanted: &Reply) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.call(call).expect("a reply");
        if reply == *wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{call:?}: {reply:?} instead of {wanted:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a node refuses this login. Every attempt has a connection of its own: one that came before the news is logged
/// in, and is closed, perhaps before its answer, when the news comes.
#[expect(clippy::disallowed_methods, reason = "other processes work in real time; the wait has a deadline")]
fn until_refused(nodes: &Nodes, n: usize, login: &[&str], wanted: &Reply) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = connect(nodes, n).call(login);
        if reply.as_ref().is_ok_and(|reply| reply == wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{login:?}: {reply:?} instead of {wanted:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[expect(clippy::disallowed_methods, reason = "other processes work in real time; the wait has a deadline")]
fn until_closed(client: &mut Client) {
    let deadline = Instant::now() + PATIENCE;
    while client.call(&["PING"]).is_ok() {
        assert!(Instant::now() < deadline, "the connection of a removed user lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn error(line: &str) -> Reply {
    Reply::Error(line.into())
}

#[test]
fn users_are_those_of_the_cluster() {
    let mut nodes = Nodes::start(3, &[]);
    let mut admins: Vec<Client> = (0..3).map(|n| connect(&nodes, n)).collect();
    let call = ["ACL", "SETUSER", "alice", "on", ">pw", "~a*", "+@all", "-acl"];
    assert_eq!(admins[0].call(&call).expect("a reply"), ok());
    // Whoever asked finds it at once.
    assert_eq!(connect(&nodes, 0).call(&["AUTH", "alice", "pw"]).expect("a reply"), ok());
    let list = admins[0].call(&["ACL", "LIST"]).expect("a reply");
    admins.iter_mut().for_each(|admin| until(admin, &["ACL", "LIST"], &list));

    // One of the three leads, the others forward.
    for n in 0..3 {
        let mut alice = connect(&nodes, n);
        let dialogue: [(&[&str], Reply); 4] = [
            (&["AUTH", "alice", "pw"], ok()),
            (&["SET", "a", "1"], ok()),
            (&["SET", "x", "1"], error("NOPERM No permissions to access a key")),
            (&["EVAL", "return redis.call('SET', 'ab', '1')", "0"], ok()),
        ];
        for (call, reply) in dialogue {
            assert_eq!(alice.call(call).expect("a reply"), reply, "{call:?} at node {}", n + 1);
        }
        let script = "return redis.pcall('SET', 'x', '1').err";
        let Reply::Bulk(Some(told)) = alice.call(&["EVAL", script, "0"]).expect("a reply") else { panic!("no text") };
        assert_eq!(&told[..], b"NOPERM ACL failure in script: No permissions to access a key");
        assert_eq!(alice.call(&["MULTI"]).expect("a reply"), ok());
        alice.call(&["EVAL", script, "0"]).expect("a reply");
        let block = alice.call(&["EXEC"]).expect("a reply");
        assert_eq!(block, Reply::Array(Some(vec![Reply::Bulk(Some(told))])), "at node {}", n + 1);
    }

    // Two change the same user at the same time, from different nodes: both count.
    std::thread::scope(|scope| {
        for (admin, rule) in admins.iter_mut().zip(["-get", "-del", "-incr"]) {
            scope.spawn(move || assert_eq!(admin.call(&["ACL", "SETUSER", "alice", rule]).expect("a reply"), ok()));
        }
    });
    let denied = |command: &str| {
        let line = format!("User alice has no permissions to run the '{command}' command");
        Reply::Bulk(Some(line.into_bytes()))
    };
    for command in ["get", "del", "incr"] {
        until(&mut admins[0], &["ACL", "DRYRUN", "alice", command, "a"], &denied(command));
    }

    // After a crash a node knows them still.
    let mut idle = connect(&nodes, 1);
    until(&mut idle, &["AUTH", "alice", "pw"], &ok());
    nodes.kill(0);
    nodes.restart(0);
    admins[0] = connect(&nodes, 0);
    until(&mut admins[0], &["ACL", "DRYRUN", "alice", "get", "a"], &denied("get"));
    assert_eq!(admins[0].call(&["ACL", "DELUSER", "alice"]).expect("a reply"), Reply::Integer(1));
    until_closed(&mut idle);
    let gone = error("WRONGPASS invalid username-password pair or user is disabled.");
    until_refused(&nodes, 2, &["AUTH", "alice", "pw"], &gone);

    // The password of default is that of the cluster.
    assert_eq!(admins[2].call(&["CONFIG", "SET", "requirepass", "secret"]).expect("a reply"), ok());
    until(&mut connect(&nodes, 1), &["AUTH", "secret"], &ok());
    let login = error("NOAUTH Authentication required.");
    assert_eq!(connect(&nodes, 1).call(&["GET", "a"]).expect("a reply"), login);
    nodes.stop();
}

#[test]
fn a_new_cluster_begins_with_the_users_of_its_settings() {
    let users = "user admin on >secret ~* &* +@all\n\ndefault on nopass ~public:* -@all +get\n";
    let mut nodes = Nodes::start(1, &[("CLIENTS__USERS", users)]);
    let mut stranger = connect(&nodes, 0);
    assert_eq!(stranger.call(&["GET", "public:a"]).expect("a reply"), Reply::Bulk(None));
    assert_eq!(stranger.call(&["GET", "a"]).expect("a reply"), error("NOPERM No permissions to access a key"));
    let mut admin = connect(&nodes, 0);
    until(&mut admin, &["AUTH", "admin", "secret"], &ok());
    assert_eq!(admin.call(&["ACL", "SETUSER", "default", "reset", "off"]).expect("a reply"), ok());
    assert_eq!(admin.call(&["ACL", "SETUSER", "admin", ">other", "<secret"]).expect("a reply"), ok());
    // They are not read again.
    nodes.kill(0);
    nodes.restart(0);
    // It is ready when it has replayed what it knew to be committed: the newest change may come a moment later.
    let mut admin = connect(&nodes, 0);
    until(&mut admin, &["PING"], &error("NOAUTH Authentication required."));
    until(&mut admin, &["AUTH", "admin", "other"], &ok());
    nodes.stop();
}

#[test]
fn who_may_not_listen_any_more_is_ended() {
    let nodes = Nodes::start(1, &[]);
    let mut admin = connect(&nodes, 0);
    let call = ["ACL", "SETUSER", "bob", "on", "nopass", "allchannels", "+@all"];
    assert_eq!(admin.call(&call).expect("a reply"), ok());
    let listen = |call: &[&str]| {
        let mut client = connect(&nodes, 0);
        assert_eq!(client.call(&["AUTH", "bob", "any"]).expect("a reply"), ok());
        client.call(call).expect("a confirmation");
        client
    };
    let mut stays = [listen(&["SUBSCRIBE", "a"]), listen(&["PSUBSCRIBE", "a*"])];
    let goes = [listen(&["SUBSCRIBE", "a", "b"]), listen(&["PSUBSCRIBE", "a?"]), listen(&["SSUBSCRIBE", "c"])];
    assert_eq!(admin.call(&["ACL", "SETUSER", "bob", "resetchannels", "&a*"]).expect("a reply"), ok());
    for mut client in goes {
        while client.reply().is_ok() {}
    }
    until(&mut admin, &["PUBLISH", "a", "x"], &Reply::Integer(2));
    for client in &mut stays {
        assert!(matches!(client.reply(), Ok(Reply::Array(Some(parts))) if parts.len() > 2));
    }
    nodes.stop();
}
