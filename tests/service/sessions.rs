//! What a session says, word for word as Redis 7.2 says it, over a node that is a table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::table::{TableNode, Talk, service};
use holdfast::base::GroupId;
use holdfast::service::node::Outcome;
use holdfast::service::{Flow, Options, Service};

fn start(groups: u16) -> (Arc<TableNode>, Arc<Service>) {
    let node = TableNode::new(groups);
    let service = service(&node, Options::default());
    (node, service)
}

fn talk() -> Talk {
    Talk::new(&start(1).1)
}

#[test]
fn connection_words() {
    talk().check(&[
        ("ping", "+PONG"),
        ("PING hi", "$2 hi"),
        ("ping a b", "-ERR wrong number of arguments for 'ping' command"),
        ("echo hi", "$2 hi"),
        ("echo", "-ERR wrong number of arguments for 'echo' command"),
        ("select 15", "+OK"),
        ("select 16", "-ERR DB index is out of range"),
        ("select -1", "-ERR DB index is out of range"),
        ("select x", "-ERR value is not an integer or out of range"),
        ("nosuch x y", "-ERR unknown command 'nosuch', with args beginning with: 'x' 'y' "),
        ("client nosuch", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP."),
        ("client id", ":1"),
        ("client getname", "$-1"),
        ("client setname \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters."),
        ("client setname bob", "+OK"),
        ("client getname", "$3 bob"),
        ("client setinfo lib-name redis-py", "+OK"),
        ("client setinfo LIB-VER \"1 2\"", "-ERR LIB-VER cannot contain spaces, newlines or special characters."),
        ("client setinfo x y", "-ERR Unrecognized option 'x'"),
        ("client list type foo", "-ERR Unknown client type 'foo'"),
        ("client list id x", "-ERR Invalid client ID"),
        ("client list id 77", "$0 "),
        ("client list foo", "-ERR syntax error"),
        ("client kill 1.2.3.4:5", "-ERR No such client"),
        ("client kill id 100", ":0"),
        ("client kill id 0", "-ERR client-id should be greater than 0"),
        ("client kill user nobody", "-ERR No such user 'nobody'"),
        ("client kill skipme maybe", "-ERR syntax error"),
        ("client kill", "-ERR wrong number of arguments for 'client|kill' command"),
        ("client no-evict on", "+OK"),
        ("client no-touch maybe", "-ERR syntax error"),
        ("client unblock 3", ":0"),
        ("client unblock x", "-ERR value is not an integer or out of range"),
        ("client unblock 3 foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("client getredir", ":-1"),
        ("client trackinginfo", "*6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0"),
        ("wait 0 0", ":0"),
        ("wait x 0", "-ERR value is not an integer or out of range"),
        ("wait 1 -1", "-ERR timeout is negative"),
        ("wait 1 x", "-ERR timeout is not an integer or out of range"),
        ("time", "*2 $4 1000 $1 0"),
        ("lastsave", ":1000"),
        ("command getkeys set a b", "*1 $1 a"),
        ("command info nosuch", "*1 $-1"),
        ("role", "*3 $6 master :9 *0"),
        ("reset", "+RESET"),
        ("client getname", "$-1"),
    ]);
}

#[test]
fn client_lines_have_all_fields() {
    let mut talk = talk();
    talk.check(&[("client setname bob", "+OK"), ("client setinfo lib-ver 1.0", "+OK"), ("select 3", "+OK")]);
    let line = talk.say("client list");
    let names: Vec<&str> = line.split(' ').skip(1).filter_map(|field| field.split('=').next()).collect();
    let wanted = "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp \
                  obl oll omem tot-mem events cmd user redir resp lib-name lib-ver";
    assert_eq!(names.join(" ").trim(), wanted);
    for field in ["name=bob", "db=3", "cmd=client|list", "flags=N", "multi=-1", "resp=2", "lib-ver=1.0"] {
        assert!(line.contains(&format!(" {field}")), "{field} in {line}");
    }
}

#[test]
fn marks_of_a_connection_are_shown_and_end_with_reset() {
    let mut talk = talk();
    let flags = |talk: &mut Talk| {
        let line = talk.say("client list");
        line.split(" flags=").nth(1).and_then(|rest| rest.split(' ').next()).map(String::from)
    };
    assert_eq!(flags(&mut talk).as_deref(), Some("N"));
    talk.check(&[("client no-evict on", "+OK"), ("client no-touch ON", "+OK")]);
    assert_eq!(flags(&mut talk).as_deref(), Some("eT"));
    talk.check(&[("client no-evict OFF", "+OK")]);
    assert_eq!(flags(&mut talk).as_deref(), Some("T"));
    talk.check(&[("client no-evict on", "+OK"), ("reset", "+RESET")]);
    assert_eq!(flags(&mut talk).as_deref(), Some("N"));
    // New in 7.2 as well.
    assert!(talk.say("cluster myshardid").starts_with("$40 "));
}

#[test]
fn hello_switches_the_protocol() {
    let mut talk = talk();
    talk.check(&[
        ("hello 4", "-NOPROTO unsupported protocol version"),
        ("hello 1", "-NOPROTO unsupported protocol version"),
        ("hello x", "-ERR Protocol version is not an integer or out of range"),
        ("hello 3 auth", "-ERR Syntax error in HELLO option 'auth'"),
        ("hello 3 auth a b", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("hello 3 setname", "-ERR Syntax error in HELLO option 'setname'"),
        ("hello 3 setname \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters."),
        ("hello 3 foo", "-ERR Syntax error in HELLO option 'foo'"),
        ("hello 3 setname bob foo", "-ERR Syntax error in HELLO option 'foo'"),
        ("hello 3 setname bob auth a b", "-WRONGPASS invalid username-password pair or user is disabled."),
        // What failed changed nothing.
        ("client getname", "$-1"),
        ("get nothing", "$-1"),
        (
            "hello 3 setname bob",
            "%7 $6 server $5 redis $7 version $5 7.2.4 $5 proto :3 $2 id :1 $4 mode $10 standalone $4 role $6 master $7 \
             modules *0",
        ),
        ("get nothing", "_"),
        ("client getname", "$3 bob"),
        ("set k v", "+OK"),
        ("get nothing", "_"),
    ]);
    assert!(talk.say("hello 2").starts_with("*14 $6 server"));
    talk.check(&[("get nothing", "$-1")]);
}

#[test]
fn a_password_gates_everything_but_the_door() {
    let node = TableNode::new(1);
    let service = service(&node, Options { password: Some("secret".into()), ..Options::default() });
    let mut talk = Talk::new(&service);
    talk.check(&[
        ("get a", "-NOAUTH Authentication required."),
        ("ping", "-NOAUTH Authentication required."),
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
        ("get", "-ERR wrong number of arguments for 'get' command"),
        ("exec", "-EXECABORT Transaction discarded because of: NOAUTH Authentication required."),
        (
            "hello 3",
            "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ),
        ("auth wrong", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("auth somebody secret", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("auth a b c", "-ERR syntax error"),
        ("auth secret", "+OK"),
        ("ping", "+PONG"),
        ("reset", "+RESET"),
        ("ping", "-NOAUTH Authentication required."),
    ]);
    assert!(talk.say("hello 2 auth default secret").starts_with("*14"));
    talk.check(&[("config set requirepass \"\"", "+OK"), ("ping", "+PONG")]);
    talk.check(&[(
        "auth x",
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?",
    )]);
}

#[test]
fn pipelines_keep_their_order_and_share_a_submission() {
    let (node, service) = start(1);
    let mut talk = Talk::new(&service);
    let replies = talk.pipeline(&["get a", "set a 1", "get a", "ping", "nosuch", "incr a", "get a", "quit", "ping"]);
    let unknown = "-ERR unknown command 'nosuch', with args beginning with: ";
    assert_eq!(replies, ["$-1", "+OK", "$1 1", "+PONG", unknown, ":2", "$1 2", "+OK"]);
    assert_eq!(talk.flow, Flow::Close);
    assert_eq!(*node.submissions.lock().unwrap(), [(GroupId(1), 4)], "one submission, the reads after the write in it");
    assert_eq!(node.reads.load(Relaxed), 1, "the read before the first write needs no submission");
}

#[test]
fn groups_run_side_by_side_and_replies_stay_in_order() {
    let (node, service) = start(2);
    let mut talk = Talk::new(&service);
    // foo and a are in the upper half, bar in the lower.
    let replies =
        talk.pipeline(&["set foo 1", "set bar 2", "get foo", "ping", "get bar", "mget foo a", "mget foo bar"]);
    let refused = "-CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(replies, ["+OK", "+OK", "$1 1", "+PONG", "$1 2", "*2 $1 1 $-1", refused]);
    assert_eq!(*node.submissions.lock().unwrap(), [(GroupId(2), 3), (GroupId(1), 2)]);
}

#[test]
fn failures_are_told_and_the_connection_lives() {
    let (node, service) = start(1);
    let mut talk = Talk::new(&service);
    for (outcome, reply) in [
        (Outcome::Down, "-CLUSTERDOWN The cluster is down"),
        (Outcome::Loading, "-LOADING Redis is loading the dataset in memory"),
        (Outcome::Overloaded, "-TRYAGAIN Too many requests wait already; the command did not run"),
        (Outcome::Unknown, "-UNKNOWNOUTCOME the outcome of this command is unknown: it may have run, or may still run"),
    ] {
        node.failures.lock().unwrap().push_back(outcome);
        assert_eq!(talk.pipeline(&["set a 1", "ping", "get a"]), [reply, "+PONG", reply]);
        assert_eq!(talk.flow, Flow::Continue);
    }
    node.failures.lock().unwrap().push_back(Outcome::Unknown);
    assert_eq!(talk.pipeline(&["multi", "set a 1", "exec"])[2].split(' ').next(), Some("-UNKNOWNOUTCOME"));
}

#[test]
fn reads_go_to_the_leader_when_this_node_does_not_lead() {
    let (node, service) = start(1);
    node.leads.store(false, Relaxed);
    let mut talk = Talk::new(&service);
    assert_eq!(talk.pipeline(&["get a", "get b"]), ["$-1", "$-1"]);
    assert_eq!(*node.submissions.lock().unwrap(), [(GroupId(1), 2)]);
}

#[test]
fn transactions() {
    talk().check(&[
        ("exec", "-ERR EXEC without MULTI"),
        ("discard", "-ERR DISCARD without MULTI"),
        ("multi", "+OK"),
        ("multi", "-ERR MULTI calls can not be nested"),
        ("watch a", "-ERR WATCH inside MULTI is not allowed"),
        ("set a 1", "+QUEUED"),
        ("incr a", "+QUEUED"),
        ("setrange a -1 x", "+QUEUED"),
        ("exec", "*3 +OK :2 -ERR offset is out of range"),
        ("multi", "+OK"),
        ("exec", "*0"),
        ("multi", "+OK"),
        ("set a", "-ERR wrong number of arguments for 'set' command"),
        ("set a 3", "+QUEUED"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("get a", "$1 2"),
        ("multi", "+OK"),
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("multi", "+OK"),
        ("exec extra", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"),
        ("exec", "-ERR EXEC without MULTI"),
        ("multi", "+OK"),
        ("set a 9", "+QUEUED"),
        ("discard", "+OK"),
        ("get a", "$1 2"),
        ("multi", "+OK"),
        ("set a 9", "+QUEUED"),
        ("reset", "+RESET"),
        ("exec", "-ERR EXEC without MULTI"),
        ("get a", "$1 2"),
    ]);
}

#[test]
fn words_of_the_session_inside_a_block() {
    let mut talk = talk();
    talk.check(&[
        ("set a zero", "+OK"),
        ("multi", "+OK"),
        ("get a", "+QUEUED"),
        ("select 3", "+QUEUED"),
        ("set a three", "+QUEUED"),
        ("select 99", "+QUEUED"),
        ("client setname bob", "+QUEUED"),
        ("ping", "+QUEUED"),
        ("get a", "+QUEUED"),
        ("exec", "*7 $4 zero +OK +OK -ERR DB index is out of range +OK +PONG $5 three"),
        ("get a", "$5 three"),
        ("client getname", "$3 bob"),
        ("multi", "+OK"),
        ("ping", "+QUEUED"),
        ("exec", "*1 +PONG"),
        ("multi", "+OK"),
        ("get b", "+QUEUED"),
        ("hello 3", "+QUEUED"),
        ("get b", "+QUEUED"),
    ]);
    let reply = talk.say("exec");
    assert!(reply.starts_with("*3 $-1 %7 $6 server") && reply.ends_with(" _"), "{reply}");
}

#[test]
fn hello_inside_a_block_counts_from_its_place_if_it_succeeds() {
    let mut talk = talk();
    talk.check(&[("multi", "+OK"), ("hello 3 setname bob", "+QUEUED"), ("get b", "+QUEUED")]);
    let reply = talk.say("exec");
    assert!(reply.starts_with("*2 %7 $6 server") && reply.ends_with(" _"), "{reply}");
    talk.check(&[("client getname", "$3 bob"), ("multi", "+OK")]);
    talk.check(&[("hello 2 auth default", "+QUEUED"), ("hello 2 auth nobody x", "+QUEUED"), ("get b", "+QUEUED")]);
    talk.check(&[(
        "exec",
        "*3 -ERR Syntax error in HELLO option 'auth' -WRONGPASS invalid username-password pair or user is disabled. _",
    )]);
}

#[test]
fn replies_turned_off_and_on_inside_a_block() {
    // Byte for byte what a redis-server sends.
    let mut talk = talk();
    let block = ["multi", "set a 1", "client reply off", "get a", "exec", "ping", "client reply on", "ping"];
    assert_eq!(talk.raw(&block), "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n+OK\r\n+PONG\r\n");
    let block = ["multi", "client reply skip", "get a", "exec", "ping", "echo x"];
    assert_eq!(talk.raw(&block), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n$1\r\nx\r\n");
    let block = ["client reply off", "multi", "get a", "client reply on", "get a", "exec", "ping"];
    assert_eq!(talk.raw(&block), "+OK\r\n$1\r\n1\r\n+PONG\r\n");
    let block = ["client reply skip", "multi", "get a", "client reply foo", "exec", "ping"];
    let wanted = "+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n-ERR syntax error\r\n+PONG\r\n";
    assert_eq!(talk.raw(&block), wanted);
    // Refused blocks are as silent as others.
    let block = ["client reply off", "watch a", "set a 2", "multi", "client reply on", "exec", "client reply on"];
    assert_eq!(talk.raw(&block), "+OK\r\n");
}

#[test]
fn words_that_are_no_text_come_back_byte_for_byte() {
    let mut talk = talk();
    let mut say = |line: &str| talk.raw(&[line]);
    assert_eq!(
        &say("\"\\xff\\xfe\" \"\\x80\"")[..],
        b"-ERR unknown command '\xff\xfe', with args beginning with: '\x80' \r\n"
    );
    assert_eq!(&say("client \"\\xffx\"")[..], b"-ERR unknown subcommand '\xffx'. Try CLIENT HELP.\r\n");
    assert_eq!(&say("hello 3 \"\\xff\"")[..], b"-ERR Syntax error in HELLO option '\xff'\r\n");
    assert_eq!(&say("expire k 1 \"\\xff\"")[..], b"-ERR Unsupported option \xff\r\n");
    assert_eq!(
        &say("config set \"\\xff\" 1")[..],
        b"-ERR Unknown option or number of arguments for CONFIG SET - '\xff'\r\n"
    );
}

#[test]
fn a_whole_transaction_in_one_pipeline() {
    let mut talk = talk();
    let replies =
        talk.pipeline(&["watch a", "multi", "set a 1", "select 1", "set a 2", "exec", "get a", "select 0", "get a"]);
    assert_eq!(replies, ["+OK", "+OK", "+QUEUED", "+QUEUED", "+QUEUED", "*3 +OK +OK +OK", "$1 2", "+OK", "$1 1"]);
}

#[test]
fn watches() {
    let (node, service) = start(1);
    let (mut one, mut two) = (Talk::new(&service), Talk::new(&service));
    one.check(&[("watch a b", "+OK"), ("multi", "+OK"), ("set a 1", "+QUEUED")]);
    two.check(&[("set b 7", "+OK")]);
    one.check(&[("exec", "*-1"), ("get a", "$-1")]);
    // Only once, and not after UNWATCH, DISCARD or for another database.
    one.check(&[("multi", "+OK"), ("set a 1", "+QUEUED"), ("exec", "*1 +OK")]);
    one.check(&[("watch b", "+OK"), ("unwatch", "+OK"), ("multi", "+OK"), ("ping", "+QUEUED")]);
    two.check(&[("set b 8", "+OK")]);
    one.check(&[("exec", "*1 +PONG"), ("watch b", "+OK"), ("multi", "+OK"), ("discard", "+OK"), ("multi", "+OK")]);
    two.check(&[("set b 9", "+OK")]);
    one.check(&[("exec", "*0"), ("watch b", "+OK")]);
    two.check(&[("select 1", "+OK"), ("set b 9", "+OK")]);
    one.check(&[("multi", "+OK"), ("get b", "+QUEUED"), ("exec", "*1 $1 9")]);
    // A failed watch guards nothing: the block does not run.
    node.failures.lock().unwrap().push_back(Outcome::Down);
    one.check(&[
        ("watch b", "-CLUSTERDOWN The cluster is down"),
        ("multi", "+OK"),
        ("set b 1", "+QUEUED"),
        ("exec", "*-1"),
        ("get b", "$1 9"),
    ]);
}

#[test]
fn blocks_stay_in_one_group() {
    let (_, service) = start(2);
    let mut talk = Talk::new(&service);
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot";
    talk.check(&[
        ("watch foo bar", cross),
        ("multi", "+OK"),
        ("set foo 1", "+QUEUED"),
        ("set bar 1", cross),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("watch bar", "+OK"),
        ("multi", "+OK"),
        ("set foo 1", "+QUEUED"),
        ("exec", cross),
        ("get foo", "$-1"),
        ("multi", "+OK"),
        ("set foo 1", "+QUEUED"),
        ("set a 2", "+QUEUED"),
        ("exec", "*2 +OK +OK"),
        // What is wrong in itself belongs to no group, before and after a call that does.
        ("multi", "+OK"),
        ("mset bar 1 foo", "+QUEUED"),
        ("set foo 1", "+QUEUED"),
        ("mset bar 1 foo", "+QUEUED"),
        (
            "exec",
            "*3 -ERR wrong number of arguments for 'mset' command +OK -ERR wrong number of arguments for 'mset' command",
        ),
        ("multi", "+OK"),
        ("mset bar 1 foo", "+QUEUED"),
        ("exec", "*1 -ERR wrong number of arguments for 'mset' command"),
        // Nor does what has no keys.
        ("multi", "+OK"),
        ("object help", "+QUEUED"),
        ("get foo", "+QUEUED"),
    ]);
    let reply = talk.say("exec");
    assert!(reply.starts_with("*2 *15 +OBJECT <subcommand>") && reply.ends_with(" $1 1"), "{reply}");
}

#[test]
fn replies_can_be_turned_off() {
    let mut talk = talk();
    assert_eq!(talk.pipeline(&["client reply skip", "set a 1", "get a"]), ["$1 1"]);
    assert_eq!(talk.pipeline(&["client reply off", "set a 2", "get a", "nosuch", "ping"]), [] as [&str; 0]);
    assert_eq!(talk.pipeline(&["client reply skip", "get a", "client reply on", "get a"]), ["+OK", "$1 2"]);
    talk.check(&[("client reply foo", "-ERR syntax error")]);
}

#[test]
fn a_client_kills_another_and_itself() {
    let (_, service) = start(1);
    let (mut one, mut two) = (Talk::new(&service), Talk::new(&service));
    one.check(&[("client kill id 2", ":1"), ("client kill id 1", ":0")]);
    two.say("ping");
    assert_eq!(two.flow, Flow::Close);
    one.check(&[("client kill id 1 skipme no", ":1")]);
    assert_eq!(one.flow, Flow::Close);
    drop(two);
    assert_eq!(service.clients().count(), 1);
}

#[test]
fn too_many_clients_are_refused() {
    let node = TableNode::new(1);
    let service = service(&node, Options { clients_max: 1, ..Options::default() });
    let first = Talk::new(&service);
    assert!(service.connect("a:1".into(), "b:1".into()).is_none());
    drop(first);
    assert!(service.connect("a:1".into(), "b:1".into()).is_some());
}

#[test]
fn configuration() {
    let mut talk = talk();
    talk.check(&[
        ("config get maxclients", "*2 $10 maxclients $5 10000"),
        ("config get nosuch", "*0"),
        ("config get", "-ERR wrong number of arguments for 'config|get' command"),
        ("config set nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
        ("config set timeout 5 maxclients", "-ERR syntax error"),
        ("config set timeout", "-ERR wrong number of arguments for 'config|set' command"),
        (
            "config set maxclients 0",
            "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 and \
             4294967295 inclusive",
        ),
        ("config set notify-keyspace-events KEA", "+OK"),
        ("config get notify-keyspace-events", "*2 $22 notify-keyspace-events $3 AKE"),
        ("config resetstat", "+OK"),
        ("config set client-output-buffer-limit \"normal 2mb 1mb 10\"", "+OK"),
        (
            "config set client-query-buffer-limit 1kb proto-max-bulk-len 2kb",
            "-ERR CONFIG SET failed (possibly related to argument \
         'client-query-buffer-limit') - argument must be between 1048576 and 4294967296 inclusive",
        ),
        ("config set client-query-buffer-limit 2mb proto-max-bulk-len 2kb", "+OK"),
        ("config get proto-max-bulk-len", "*2 $18 proto-max-bulk-len $4 2048"),
        ("config rewrite", "-ERR The server is running without a config file"),
        ("config foo", "-ERR unknown subcommand 'foo'. Try CONFIG HELP."),
    ]);
    let all = talk.say("config get *");
    let count: usize = all[1..].split(' ').next().and_then(|count| count.parse().ok()).unwrap();
    assert!(count > 380, "{count}");
}

#[test]
fn slow_commands_are_kept() {
    let (node, service) = start(1);
    let mut talk = Talk::new(&service);
    talk.check(&[
        ("slowlog get", "*0"),
        ("slowlog len", ":0"),
        ("slowlog get x", "-ERR count should be greater than or equal to -1"),
        ("slowlog get 1 2", "-ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP."),
        ("slowlog foo", "-ERR unknown subcommand 'foo'. Try SLOWLOG HELP."),
        ("config set slowlog-log-slower-than 0", "+OK"),
        ("slowlog reset", "+OK"),
        ("set a 1", "+OK"),
    ]);
    let newest = talk.say("slowlog get 1");
    assert!(newest.contains("*3 $3 set $1 a $1 1 $14 127.0.0.1:5000 $0 "), "{newest}");
    talk.check(&[("config set slowlog-log-slower-than -1", "+OK"), ("slowlog reset", "+OK"), ("set a 1", "+OK")]);
    talk.check(&[
        ("slowlog len", ":0"),
        ("latency latest", "*0"),
        ("latency reset", ":0"),
        ("latency history x", "*0"),
    ]);
    assert!(talk.say("latency histogram set").starts_with("*2 $3 set *4 $5 calls :2 $14 histogram_usec *2 :1 :2"));
    node.clock.fetch_add(1, Relaxed);
}

#[test]
fn cluster_words() {
    let (_, service) = start(2);
    let mut talk = Talk::new(&service);
    let id = "0000000000000007000000000000000000000001";
    talk.check(&[
        ("cluster keyslot foo", ":12182"),
        ("cluster myid", &format!("$40 {id}")),
        (
            "cluster nodes",
            &format!("$112 {id} 127.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-8191 8192-16383\n"),
        ),
        ("cluster replicas x", "-ERR Unknown node x"),
        ("cluster links", "*0"),
        ("cluster foo", "-ERR unknown subcommand 'foo'. Try CLUSTER HELP."),
        ("cluster keyslot", "-ERR wrong number of arguments for 'cluster|keyslot' command"),
        ("cluster countkeysinslot x", "-ERR value is not an integer or out of range"),
        ("cluster countkeysinslot 99999", "-ERR Invalid slot"),
        ("set foo 1", "+OK"),
        ("cluster countkeysinslot 12182", ":1"),
        ("cluster countkeysinslot 0", ":0"),
        ("cluster getkeysinslot 12182 10", "*1 $3 foo"),
        ("readonly", "+OK"),
        ("readwrite", "+OK"),
    ]);
    assert!(talk.say("cluster info").contains("cluster_state:ok cluster_slots_assigned:16384"));
    assert!(talk.say("cluster slots").starts_with("*2 *3 :0 :8191 *4 $9 127.0.0.1 :6379 $40"));
    assert!(talk.say("cluster shards").starts_with("*2 *4 $5 slots *2 :0 :8191 $5 nodes *1 *14 $2 id $40"));
}

#[test]
fn info_sections() {
    let mut talk = talk();
    let info = talk.say("info");
    for part in [
        "redis_version:7.2.4",
        "holdfast_version:",
        "used_memory:123",
        "role:master",
        "loading:0",
        "db0:keys=1",
        "# Raft",
    ] {
        assert!(info.contains(part), "{part}");
    }
    assert!(!info.contains("# Commandstats"));
    assert!(talk.say("info commandstats").contains("cmdstat_info:calls=1,"));
    assert_eq!(talk.say("info nosuch"), "$0 ");
    assert!(talk.say("info server clients").contains("# Clients connected_clients:1"));
    talk.check(&[("nosuch", "-ERR unknown command 'nosuch', with args beginning with: ")]);
    assert!(talk.say("info errorstats").contains("errorstat_ERR:count=1"));
    assert!(talk.say("info latencystats").contains("latency_percentiles_usec_info:p50=1.000,p99=1.000,p99.9=1.000"));
}

/// Items of an array reply, told apart by their lengths.
fn items(reply: &str) -> BTreeSet<String> {
    reply.split(' ').skip(1).filter(|word| !word.starts_with('$')).map(str::to_string).collect()
}

#[test]
fn words_of_administrators() {
    let mut talk = talk();
    talk.check(&[
        ("acl whoami", "$7 default"),
        ("acl users", "*1 $7 default"),
        ("acl cat nosuch", "-ERR Unknown category 'nosuch'"),
        ("acl foo", "-ERR unknown subcommand 'foo'. Try ACL HELP."),
        ("module list", "*0"),
        ("waitaof 1 0 0", "*2 :1 :0"),
        ("waitaof 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
        ("waitaof 0 -1 0", "-ERR value is out of range, must be positive"),
        ("waitaof 0 0 -1", "-ERR timeout is negative"),
        ("multi", "+OK"),
        ("save", "-ERR Command not allowed inside a transaction"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
    assert!(talk.say("acl cat").starts_with("*21 $8 keyspace $4 read"));
    assert!(talk.say("acl cat transaction").contains("$4 exec"));
}

#[test]
fn replies_before_hello_keep_their_protocol() {
    let mut talk = talk();
    let replies = talk.pipeline(&["set a 1", "getset b x", "hello 3", "get nothing"]);
    assert_eq!((replies[1].as_str(), replies[3].as_str()), ("$-1", "_"));
}

#[test]
fn scripts_are_known_to_all_groups_and_run_in_one() {
    let (_, service) = start(6);
    let mut talk = Talk::new(&service);
    let digest = "a79a73d4efb6d4d8861290b54f6770d6422c2144";
    let evalsha = |keys: &str| format!("evalsha {digest} {keys}");
    let bulk = format!("$40 {digest}");
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot";
    let unknown = "-NOSCRIPT No matching script. Please use EVAL.";
    let idle = "-NOTBUSY No scripts in execution right now.";
    talk.check(&[
        (&evalsha("1 foo"), unknown),
        ("script load \"return(redis.call('incr',KEYS[1]))\"", &bulk),
        (&evalsha("1 foo"), ":1"),
        (&evalsha("1 bar"), ":1"),
        (&evalsha("2 foo bar"), cross),
        (&evalsha("3 foo bar"), "-ERR Number of keys can't be greater than number of args"),
        (&format!("script exists {digest} x"), "*2 :1 :0"),
        ("multi", "+OK"),
        (&evalsha("1 foo"), "+QUEUED"),
        ("get foo", "+QUEUED"),
        ("exec", "*2 :2 $1 2"),
        (
            "eval \"return(redis.call('get','bar'))\" 1 foo",
            "-ERR Script attempted to access a non local key in a cluster node script: \
             9f0869b353c0d4f50b4461a657ff88cd079e20d3, on @user_script:1.",
        ),
        ("script kill", idle),
        ("function kill", idle),
        ("script debug no", "+OK"),
        ("script debug maybe", "-ERR Use SCRIPT DEBUG YES/SYNC/NO"),
        ("script flush", "+OK"),
        (&evalsha("1 bar"), unknown),
    ]);
}

#[test]
fn commands_over_all_groups() {
    let (node, service) = start(6);
    let mut talk = Talk::new(&service);
    let keys: BTreeSet<String> = (0..200).map(|number| format!("key:{number}")).collect();
    let lines: Vec<String> = keys.iter().map(|key| format!("set {key} 1")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert!(talk.pipeline(&lines).iter().all(|reply| reply == "+OK"));
    assert_eq!(node.submissions.lock().unwrap().len(), 6, "one per group");
    talk.check(&[
        ("select 1", "+OK"),
        ("set other 1", "+OK"),
        ("dbsize", ":1"),
        ("select 0", "+OK"),
        ("dbsize", ":200"),
    ]);
    assert_eq!(items(&talk.say("keys *")), keys);
    assert_eq!(
        items(&talk.say("keys key:1?9")),
        items("* key:109 key:119 key:129 key:139 key:149 key:159 key:169 key:179 key:189 key:199")
    );
    // SCAN goes from group to group by itself and ends with 0.
    let (mut cursor, mut seen, mut steps) = ("0".to_string(), BTreeSet::new(), 0);
    loop {
        let reply = talk.say(&format!("scan {cursor} count 7"));
        let (head, rest) = reply.strip_prefix("*2 $").and_then(|rest| rest.split_once(" *")).expect("cursor and keys");
        cursor = head.split(' ').nth(1).expect("a cursor").to_string();
        seen.extend(items(rest));
        steps += 1;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, keys);
    assert!(steps > 20, "{steps}");
    talk.check(&[("scan x", "-ERR invalid cursor"), ("scan 99999999999999999", "*2 $1 0 *0")]);
    let random: BTreeSet<String> = (0..100).map(|_| talk.say("randomkey")).collect();
    assert!(random.len() > 30, "{} different keys of 100", random.len());
    // A pipeline sees its own writes in what is asked of all groups.
    assert_eq!(talk.pipeline(&["del key:1", "dbsize", "set key:1 1", "dbsize"]), [":1", ":199", "+OK", ":200"]);
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot";
    let aborted = "-EXECABORT Transaction discarded because of previous errors.";
    talk.check(&[("multi", "+OK"), ("dbsize", cross), ("exec", aborted)]);
    talk.check(&[("flushdb foo", "-ERR syntax error"), ("flushdb", "+OK"), ("dbsize", ":0"), ("randomkey", "$-1")]);
    talk.check(&[("select 1", "+OK"), ("dbsize", ":1"), ("flushall async", "+OK"), ("dbsize", ":0")]);
    // What only some groups may have done is unknown.
    node.failures.lock().unwrap().push_back(Outcome::Down);
    assert!(talk.say("flushall").starts_with("-UNKNOWNOUTCOME "));
    node.failures.lock().unwrap().extend(std::iter::repeat_n(Outcome::Down, 6));
    talk.check(&[("flushall", "-CLUSTERDOWN The cluster is down"), ("dbsize", ":0")]);
}

#[test]
fn one_group_needs_no_merging() {
    let mut talk = talk();
    let replies = talk.pipeline(&["set a 1", "dbsize", "multi", "dbsize", "flushall", "dbsize", "exec", "scan 0"]);
    assert_eq!(replies, ["+OK", ":1", "+OK", "+QUEUED", "+QUEUED", "+QUEUED", "*3 :1 +OK :0", "*2 $1 0 *0"]);
}
