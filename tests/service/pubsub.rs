//! Publish and subscribe on one node: words, messages and what a client may say while it listens. The bytes are those
//! of a redis-server, but for a message that a client sends to itself: like 7.2 and unlike 7.0, behind its own reply.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use holdfast::front::resp;
use holdfast::service::Service;
use holdfast::service::node::Node;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::table::{TableNode, Talk, service};

/// How long any answer may take here.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listener on a table.
pub struct Server {
    pub node: Arc<TableNode>,
    pub service: Arc<Service>,
    address: SocketAddr,
    _stop: watch::Sender<bool>,
    _runtime: Runtime,
}

pub fn start() -> Server {
    let runtime = Runtime::new().expect("a runtime");
    let node = TableNode::new(1);
    let service = service(&node, Default::default());
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = watch::channel(false);
    runtime.spawn(resp::serve(listener, service.clone(), stopped));
    Server { node, service, address, _stop: stop, _runtime: runtime }
}

pub struct Client(TcpStream);

impl Client {
    pub fn connect(server: &Server) -> Client {
        let stream = TcpStream::connect(server.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client(stream)
    }

    pub fn say(&mut self, lines: &[&str]) {
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        self.0.write_all(text.as_bytes()).expect("the server reads");
    }

    /// Reads so much as is expected; spaces stand for line ends.
    #[track_caller]
    pub fn hear(&mut self, expected: &str) {
        let mut bytes = vec![0; expected.replace(' ', "\r\n").len()];
        self.0.read_exact(&mut bytes).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&bytes).replace("\r\n", " "), expected);
    }

    #[track_caller]
    pub fn ask(&mut self, line: &str, expected: &str) {
        self.say(&[line]);
        self.hear(expected);
    }

    /// Whether the server has closed, once everything was read.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// An answer that has spaces of its own.
fn line(talk: &mut Talk, line: &str) -> String {
    talk.say(line)
}

#[test]
fn confirmations_count_and_name_what_there_is() {
    let server = start();
    let mut client = Client::connect(&server);
    client.ask("SUBSCRIBE a b", "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 ");
    client.ask("PSUBSCRIBE p* p*", "*3 $10 psubscribe $2 p* :3 *3 $10 psubscribe $2 p* :3 ");
    client.ask("SSUBSCRIBE s", "*3 $10 ssubscribe $1 s :1 ");
    client.ask("UNSUBSCRIBE", "*3 $11 unsubscribe $1 a :2 *3 $11 unsubscribe $1 b :1 ");
    client.ask("PUNSUBSCRIBE zz p*", "*3 $12 punsubscribe $2 zz :1 *3 $12 punsubscribe $2 p* :0 ");
    client.ask("SUNSUBSCRIBE s t", "*3 $12 sunsubscribe $1 s :0 *3 $12 sunsubscribe $1 t :0 ");
    client.ask("GET x", "$-1 ");
    client.ask("UNSUBSCRIBE", "*3 $11 unsubscribe $-1 :0 ");
    client.ask("UNSUBSCRIBE x", "*3 $11 unsubscribe $1 x :0 ");
    client.ask("PUNSUBSCRIBE", "*3 $12 punsubscribe $-1 :0 ");
    client.ask("SUNSUBSCRIBE", "*3 $12 sunsubscribe $-1 :0 ");
}

#[test]
fn in_resp2_a_listener_may_say_little() {
    let node = TableNode::new(1);
    let service = service(&node, Default::default());
    let mut talk = Talk::new(&service);
    line(&mut talk, "SUBSCRIBE a");
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context"
        )
    };
    for (call, name) in [("GET x", "get"), ("HELLO 3", "hello"), ("MULTI", "multi"), ("CLIENT ID", "client|id")] {
        assert_eq!(line(&mut talk, call), refused(name));
    }
    assert_eq!(line(&mut talk, "PUBSUB CHANNELS"), refused("pubsub|channels"));
    let aborted = refused("exec").replace("-ERR ", "-EXECABORT Transaction discarded because of: ");
    assert_eq!(line(&mut talk, "EXEC"), aborted);
    assert_eq!(line(&mut talk, "GET"), "-ERR wrong number of arguments for 'get' command");
    assert_eq!(line(&mut talk, "nosuch"), "-ERR unknown command 'nosuch', with args beginning with: ");
    assert_eq!(line(&mut talk, "PING a b"), "-ERR wrong number of arguments for 'ping' command");
    assert_eq!(line(&mut talk, "PING"), "*2 $4 pong $0 ");
    assert_eq!(line(&mut talk, "PING hi"), "*2 $4 pong $2 hi");
    assert_eq!(line(&mut talk, "RESET"), "+RESET");
    assert_eq!(line(&mut talk, "PING"), "+PONG");
    assert_eq!(line(&mut talk, "PUBSUB CHANNELS"), "*0");
}

#[test]
fn in_resp3_it_may_say_everything_and_messages_are_pushes() {
    let server = start();
    let mut client = Client::connect(&server);
    client.say(&["HELLO 3"]);
    let mut hello = [0; 512];
    assert!(client.0.read(&mut hello).expect("a greeting") > 0);
    client.ask("SUBSCRIBE a b", ">3 $9 subscribe $1 a :1 >3 $9 subscribe $1 b :2 ");
    client.ask("PING", "+PONG ");
    client.ask("PING q", "$1 q ");
    client.ask("PSUBSCRIBE [a]", ">3 $10 psubscribe $3 [a] :3 ");
    let both = ">3 $7 message $1 a $2 hi >4 $8 pmessage $3 [a] $1 a $2 hi ";
    client.ask("PUBLISH a hi", &format!(":2 {both}"));
    client.say(&["SET k v", "PUBLISH a hi", "UNSUBSCRIBE a", "PUNSUBSCRIBE", "PUBLISH a hi"]);
    client.hear(&format!("+OK :2 {both}>3 $11 unsubscribe $1 a :2 >3 $12 punsubscribe $3 [a] :1 :0 "));
    client.ask("SSUBSCRIBE sh", ">3 $10 ssubscribe $2 sh :1 ");
    client.ask("SPUBLISH sh m", ":1 >3 $8 smessage $2 sh $1 m ");
    client.ask("PUBLISH sh m", ":0 ");
    client.ask("SUNSUBSCRIBE", ">3 $12 sunsubscribe $2 sh :0 ");
    client.ask("SUNSUBSCRIBE", ">3 $12 sunsubscribe _ :0 ");
    client.ask("RESET", "+RESET ");
    client.ask("PUBLISH b x", ":0 ");
}

#[test]
fn pushes_are_heard_whatever_client_reply_says() {
    let server = start();
    let mut client = Client::connect(&server);
    client.say(&["CLIENT REPLY SKIP", "SUBSCRIBE c", "PING"]);
    client.hear("*3 $9 subscribe $1 c :1 *2 $4 pong $0  ");
    let mut other = Client::connect(&server);
    other.say(&["CLIENT REPLY OFF", "SSUBSCRIBE d", "GET x"]);
    other.hear("*3 $10 ssubscribe $1 d :1 ");
    server.node.hub().deliver(
        Default::default(),
        &[holdfast::base::Publication {
            kind: holdfast::base::ChannelKind::Shard,
            channel: "d".into(),
            message: "m".into(),
        }],
    );
    other.hear("*3 $8 smessage $1 d $1 m ");
}

#[test]
fn a_block_may_listen_and_publish() {
    let server = start();
    let (mut client, mut other) = (Client::connect(&server), Client::connect(&server));
    client.say(&["MULTI", "SUBSCRIBE a b", "PING", "GET x", "EXEC"]);
    client.hear("+OK +QUEUED +QUEUED +QUEUED *3 *3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 *2 $4 pong $0  $-1 ");
    client.ask("PING", "*2 $4 pong $0  ");
    other.say(&["MULTI", "SET k v", "PUBLISH a 1", "PUBLISH none 2", "EXEC"]);
    other.hear("+OK +QUEUED +QUEUED +QUEUED *3 +OK :1 :0 ");
    client.hear("*3 $7 message $1 a $1 1 ");
    other.say(&["WATCH k", "SET k w", "MULTI", "PUBLISH a lost", "EXEC", "PUBLISH a 3"]);
    other.hear("+OK +OK +OK +QUEUED *-1 :1 ");
    client.hear("*3 $7 message $1 a $1 3 ");
    // Nothing comes inside of the array, and what was said before its end comes before it.
    let mut third = Client::connect(&server);
    third.ask("SUBSCRIBE c", "*3 $9 subscribe $1 c :1 ");
    third.ask("UNSUBSCRIBE", "*3 $11 unsubscribe $1 c :0 ");
    third.say(&["MULTI", "SUBSCRIBE c", "UNSUBSCRIBE c", "EXEC"]);
    third.hear("+OK +QUEUED +QUEUED *2 *3 $9 subscribe $1 c :1 *3 $11 unsubscribe $1 c :0 ");
}

#[test]
fn in_a_block_subscriptions_count_from_their_place_on() {
    let server = start();
    let (mut client, mut other) = (Client::connect(&server), Client::connect(&server));
    client.say(&["CLIENT REPLY SKIP", "HELLO 3"]);
    let queued = |lines: usize| format!("+OK {}", "+QUEUED ".repeat(lines));
    let message = |channel: &str, text: &str| format!(">3 $7 message ${} {channel} $1 {text} ", channel.len());
    let (begins, ends) = (">3 $9 subscribe $1 a :1 ", ">3 $11 unsubscribe $1 a :0 ");
    // What is published before SUBSCRIBE is not heard, nor counted; what follows is, behind EXEC's answer.
    client.say(&["PUBLISH a 0", "MULTI", "PUBLISH a 1", "SUBSCRIBE a", "PUBLISH a 2", "PUBLISH a 1", "EXEC"]);
    client.hear(&format!(":0 {}*4 :0 {begins}:1 :1 ", queued(4)));
    client.hear(&(message("a", "2") + &message("a", "1")));
    // The end of a subscription counts likewise, and it may begin again. What was said before is told before.
    client.say(&["MULTI", "PUBLISH a 3", "UNSUBSCRIBE a", "PUBLISH a 4", "SUBSCRIBE a", "PUBLISH a 5", "EXEC"]);
    let told = message("a", "3") + &message("a", "5");
    client.hear(&format!("{}{told}*5 :1 {ends}:0 {begins}:1 ", queued(5)));
    client.say(&["MULTI", "UNSUBSCRIBE", "PUBLISH a 6", "EXEC", "PING"]);
    client.hear(&format!("{}*2 {ends}:0 +PONG ", queued(2)));
    // Of patterns, and of what scripts publish.
    client.say(&["MULTI", "PUBLISH pa 1", "PSUBSCRIBE p*", "PUBLISH pa 2", "PUNSUBSCRIBE p*", "PUBLISH pa 3", "EXEC"]);
    let (begins, ends) = (">3 $10 psubscribe $2 p* :1 ", ">3 $12 punsubscribe $2 p* :0 ");
    client.hear(&format!("{}*5 :0 {begins}:1 {ends}:0 ", queued(5)));
    client.hear(">4 $8 pmessage $2 p* $2 pa $1 2 ");
    client.say(&["MULTI", "SUBSCRIBE s", "EVAL \"return redis.call('publish', 's', 'x')\" 0", "EXEC", "UNSUBSCRIBE"]);
    client.hear(&format!("{}*2 >3 $9 subscribe $1 s :1 :1 {}", queued(2), message("s", "x")));
    client.hear(">3 $11 unsubscribe $1 s :0 ");
    // A block that does not run leaves nothing.
    client.ask("WATCH k", "+OK ");
    other.ask("SET k v", "+OK ");
    client.say(&["MULTI", "SUBSCRIBE b", "SET k w", "PUBLISH b 1", "EXEC"]);
    client.hear(&format!("{}_ ", queued(3)));
    other.ask("PUBLISH b 2", ":0 ");
    client.ask("PING", "+PONG ");
}

#[test]
fn scripts_publish_and_ask_who_listens() {
    let server = start();
    let (mut client, mut other) = (Client::connect(&server), Client::connect(&server));
    client.ask("SUBSCRIBE a", "*3 $9 subscribe $1 a :1 ");
    other.ask("EVAL \"return redis.call('publish', 'a', 'from-lua')\" 0", ":1 ");
    client.hear("*3 $7 message $1 a $8 from-lua ");
    other.ask("EVAL \"return redis.call('pubsub', 'numsub', 'a')\" 0", "*2 $1 a :1 ");
    let mut talk = Talk::new(&server.service);
    let refused = line(&mut talk, "EVAL_RO \"return redis.call('spublish', 'a', 'b')\" 0");
    assert!(refused.starts_with("-ERR Write commands are not allowed from read-only scripts."), "{refused}");
    let refused = line(&mut talk, "EVAL \"return redis.call('subscribe', 'a')\" 0");
    assert!(refused.starts_with("-ERR This Redis command is not allowed from script"), "{refused}");
}

#[test]
fn who_listens_is_told() {
    let node = TableNode::new(1);
    let service = service(&node, Default::default());
    let (mut first, mut second) = (Talk::new(&service), Talk::new(&service));
    line(&mut first, "HELLO 3");
    first.pipeline(&["SUBSCRIBE a b a", "PSUBSCRIBE x* y*", "SSUBSCRIBE s"]);
    second.pipeline(&["HELLO 3", "SUBSCRIBE a", "PSUBSCRIBE x*"]);
    for (ask, answer) in [
        ("PUBSUB CHANNELS", "*2 $1 a $1 b"),
        ("PUBSUB CHANNELS [^a]", "*1 $1 b"),
        ("pubsub channels none", "*0"),
        ("PUBSUB NUMSUB a a b none", "*8 $1 a :2 $1 a :2 $1 b :1 $4 none :0"),
        ("PUBSUB NUMSUB", "*0"),
        ("PUBSUB NUMPAT", ":2"),
        ("PUBSUB SHARDCHANNELS", "*1 $1 s"),
        ("PUBSUB SHARDCHANNELS x", "*0"),
        ("PUBSUB SHARDNUMSUB s a", "*4 $1 s :1 $1 a :0"),
        (
            "PUBSUB CHANNELS a b",
            "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
        ),
        ("PUBSUB NUMPAT x", "-ERR wrong number of arguments for 'pubsub|numpat' command"),
        ("PUBSUB FOO", "-ERR unknown subcommand 'FOO'. Try PUBSUB HELP."),
        ("PUBSUB", "-ERR wrong number of arguments for 'pubsub' command"),
        ("PUBLISH a", "-ERR wrong number of arguments for 'publish' command"),
        ("SPUBLISH a b c", "-ERR wrong number of arguments for 'spublish' command"),
        ("SUBSCRIBE", "-ERR wrong number of arguments for 'subscribe' command"),
        ("COMMAND GETKEYS SPUBLISH a b", "-ERR The command has no key arguments"),
        ("PUBLISH xylophone m", ":2"),
    ] {
        let mut third = Talk::new(&service);
        assert_eq!(line(&mut third, ask), answer, "{ask}");
    }
    let mut third = Talk::new(&service);
    assert!(line(&mut third, "PUBSUB HELP").contains("SHARDNUMSUB"));
    let list = line(&mut third, "CLIENT LIST TYPE pubsub");
    assert_eq!(list.matches("id=").count(), 2);
    assert!(list.contains(" flags=P db=0 sub=2 psub=2 ssub=1 "), "{list}");
    assert_eq!(line(&mut third, "CLIENT LIST TYPE normal").matches("id=").count(), 1);
    let stats = line(&mut third, "INFO stats");
    for field in ["pubsub_channels:2", "pubsub_patterns:2", "pubsubshard_channels:1"] {
        assert!(stats.contains(field), "{stats}");
    }
    assert_eq!(line(&mut third, "CLIENT KILL TYPE pubsub"), ":2");
    drop((first, second));
    assert_eq!(line(&mut third, "PUBSUB CHANNELS"), "*0");
    assert_eq!(line(&mut third, "PUBSUB NUMPAT"), ":0");
}

#[test]
fn who_listens_may_be_idle() {
    let server = start();
    let mut talk = Talk::new(&server.service);
    line(&mut talk, "CONFIG SET timeout 1");
    let (mut listener, mut idle) = (Client::connect(&server), Client::connect(&server));
    listener.ask("SUBSCRIBE a", "*3 $9 subscribe $1 a :1 ");
    idle.ask("PING", "+PONG ");
    assert!(idle.is_closed());
    line(&mut talk, "PUBLISH a still");
    listener.hear("*3 $7 message $1 a $5 still ");
    listener.ask("UNSUBSCRIBE", "*3 $11 unsubscribe $1 a :0 ");
    assert!(listener.is_closed(), "it is like others again");
}

#[test]
fn a_slow_subscriber_is_cut_and_others_are_not_delayed() {
    let server = start();
    let mut talk = Talk::new(&server.service);
    assert_eq!(line(&mut talk, "CONFIG SET client-output-buffer-limit 'pubsub 1mb 0 0'"), "+OK");
    let (mut slow, mut quick) = (Client::connect(&server), Client::connect(&server));
    slow.ask("SUBSCRIBE a", "*3 $9 subscribe $1 a :1 ");
    quick.ask("SUBSCRIBE a", "*3 $9 subscribe $1 a :1 ");
    let text = "x".repeat(64 << 10);
    let message = format!("*3 $7 message $1 a ${} {text} ", text.len());
    let cut = || server.service.stats().output_limit_disconnections.load(Relaxed);
    let mut sent = 0;
    // Sockets take some megabytes before anything waits here.
    while cut() == 0 {
        let receivers = line(&mut talk, &format!("PUBLISH a {text}"));
        assert!(receivers == ":2" || receivers == ":1", "{receivers}");
        quick.hear(&message);
        sent += 1;
        assert!(sent < 5_000, "a client that reads nothing is not kept");
    }
    assert!(slow.is_closed());
    line(&mut talk, "PUBLISH a end");
    quick.hear("*3 $7 message $1 a $3 end ");
    assert_eq!(cut(), 1);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a connection looks at its real clock now and then; the wait has a deadline"
)]
fn a_subscriber_that_stays_behind_for_too_long_is_cut() {
    let server = start();
    let mut talk = Talk::new(&server.service);
    assert_eq!(line(&mut talk, "CONFIG SET client-output-buffer-limit 'pubsub 0 1mb 5'"), "+OK");
    let mut slow = Client::connect(&server);
    slow.ask("SUBSCRIBE a", "*3 $9 subscribe $1 a :1 ");
    let text = "x".repeat(1 << 20);
    for _ in 0..24 {
        assert_eq!(line(&mut talk, &format!("PUBLISH a {text}")), ":1");
    }
    assert_eq!(server.service.stats().output_limit_disconnections.load(Relaxed), 0);
    server.node.clock.fetch_add(6_000, Relaxed);
    let deadline = Instant::now() + PATIENCE;
    while server.service.stats().output_limit_disconnections.load(Relaxed) == 0 {
        assert!(Instant::now() < deadline, "nobody looked at the soft limit");
        std::thread::yield_now();
    }
    assert!(slow.is_closed());
}

#[test]
fn many_messages_come_whole_and_in_order() {
    let server = start();
    let mut listener = Client::connect(&server);
    listener.ask("SUBSCRIBE a", "*3 $9 subscribe $1 a :1 ");
    let mut talk = Talk::new(&server.service);
    for n in 0..5_000 {
        line(&mut talk, &format!("PUBLISH a {n:05}"));
    }
    for n in 0..5_000 {
        listener.hear(&format!("*3 $7 message $1 a $5 {n:05} "));
    }
}
