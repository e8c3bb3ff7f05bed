//! DEBUG, word for word as a redis-server says it where it knows the word.

use std::sync::atomic::Ordering::Relaxed;

use crate::table::{TableNode, Talk, service};
use holdfast::service::Options;

const NOT_ALLOWED: &str = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run \
                           it from a local connection, otherwise you need to set this option in the configuration file, and \
                           then restart the server.";

fn talk(groups: u16) -> (std::sync::Arc<TableNode>, Talk) {
    let node = TableNode::new(groups);
    let service = service(&node, Options { debug_command: "yes", ..Options::default() });
    (node.clone(), Talk::new(&service))
}

#[test]
fn nobody_may_use_it_unless_the_settings_say_so() {
    let node = TableNode::new(1);
    let mut closed = Talk::new(&service(&node, Options { password: Some("x".into()), ..Options::default() }));
    // Before the password, as in Redis, but after the number of words.
    closed.check(&[
        ("debug", "-ERR wrong number of arguments for 'debug' command"),
        ("debug help", NOT_ALLOWED),
        ("auth x", "+OK"),
        ("debug sleep 0", NOT_ALLOWED),
        ("debug object k", NOT_ALLOWED),
        ("debug foo", NOT_ALLOWED),
        ("config get enable-debug-command", "*2 $20 enable-debug-command $2 no"),
        ("multi", "+OK"),
        ("debug object k", NOT_ALLOWED),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
    let local = service(&node, Options { debug_command: "local", ..Options::default() });
    Talk::new(&local).check(&[
        ("debug sleep 0", "+OK"),
        ("config get enable-debug-command", "*2 $20 enable-debug-command $5 local"),
    ]);
    for (address, allowed) in [("[::1]:77", true), ("10.0.0.1:77", false), ("127.0.0.2:1", false)] {
        let mut far = Talk::from(&local, address);
        assert_eq!(far.say("debug sleep 0") == "+OK", allowed, "{address}");
    }
}

#[test]
fn words_that_are_no_words() {
    let (_, mut talk) = talk(1);
    for words in [
        "foo",
        "jmap",
        "sleep",
        "sleep 0 1",
        "object",
        "object a b",
        "error",
        "error a b",
        "protocol",
        "protocol a b",
        "log",
        "digest foo",
        "help x",
        "stringmatch-len a",
        "loadaof x",
    ] {
        let word = words.split(' ').next().unwrap_or_default();
        let reply = format!("-ERR unknown subcommand or wrong number of arguments for '{word}'. Try DEBUG HELP.");
        talk.check(&[(&format!("debug {words}"), &reply)]);
    }
    talk.check(&[
        (
            "debug segfault",
            "-ERR DEBUG SEGFAULT is not offered: the server is not broken on purpose by a client: end its process",
        ),
        ("debug reload foo", "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."),
        ("debug reload merge noflush", "-ERR DEBUG RELOAD with options is not offered: there is no file to load"),
    ]);
    assert!(talk.say("debug help").starts_with("*"));
}

#[test]
fn what_suites_send_to_steer_a_redis_is_accepted() {
    let (_, mut talk) = talk(1);
    talk.check(&[
        ("debug set-active-expire 0", "+OK"),
        ("debug SET-ACTIVE-EXPIRE 1", "+OK"),
        ("debug quicklist-packed-threshold 10b", "+OK"),
        ("debug set-disable-deny-scripts 1", "+OK"),
        ("debug pause-cron 1", "+OK"),
        ("debug replybuffer resizing 0", "+OK"),
        (
            "debug set-active-expire",
            "-ERR unknown subcommand or wrong number of arguments for 'set-active-expire'. Try DEBUG HELP.",
        ),
        ("debug listpack k", "-ERR DEBUG LISTPACK is not offered: it looks into data structures that only a Redis has"),
        ("multi", "+OK"),
        ("debug set-active-expire 0", "+QUEUED"),
        ("exec", "*1 +OK"),
    ]);
}

#[test]
fn populate_makes_strings_that_are_not_there_yet() {
    for groups in [1, 6] {
        let (node, mut talk) = talk(groups);
        talk.check(&[
            ("set key:3 mine", "+OK"),
            ("debug populate 2500", "+OK"),
            ("dbsize", ":2500"),
            ("get key:0", "$7 value:0"),
            ("get key:2499", "$10 value:2499"),
            ("get key:3", "$4 mine"),
            ("debug populate 2 p 3", "+OK"),
            ("get p:1", "$3 val"),
            ("debug populate 1 z 9", "+OK"),
            ("get z:0", "$9 value:0\0\0"),
            ("select 1", "+OK"),
            ("debug populate 0", "+OK"),
            ("dbsize", ":0"),
            ("debug populate -1", "-ERR value is out of range, must be positive"),
            ("debug populate x", "-ERR value is out of range, must be positive"),
            ("debug populate 1 p x", "-ERR value is out of range, must be positive"),
            ("debug populate 1 w 0", "+OK"),
            ("get w:0", "$7 value:0"),
            ("flushdb", "+OK"),
            ("debug populate 1 p 999999999999", "-ERR value is out of range, must be positive"),
            ("debug populate", "-ERR unknown subcommand or wrong number of arguments for 'populate'. Try DEBUG HELP."),
            ("multi", "+OK"),
            ("debug populate 3", "+QUEUED"),
            ("exec", "*1 +OK"),
            ("dbsize", ":3"),
        ]);
        node.failures.lock().unwrap().push_back(holdfast::service::node::Outcome::Down);
        talk.check(&[("debug populate 10 q", "-CLUSTERDOWN The cluster is down")]);
    }
}

#[test]
fn examples_of_every_type() {
    let (_, mut talk) = talk(1);
    talk.check(&[
        ("debug protocol string", "$11 Hello World"),
        ("debug protocol INTEGER", ":12345"),
        ("debug protocol double", "$5 3.141"),
        ("debug protocol bignum", "$37 1234567999999999999999999999999999999"),
        ("debug protocol null", "$-1"),
        ("debug protocol array", "*3 :0 :1 :2"),
        ("debug protocol set", "*3 :0 :1 :2"),
        ("debug protocol map", "*6 :0 :0 :1 :1 :2 :0"),
        ("debug protocol attrib", "$39 Some real reply following the attribute"),
        ("debug protocol push", "-ERR RESP2 is not supported by this command"),
        ("debug protocol verbatim", "$25 This is a verbatim\nstring"),
        ("debug protocol true", ":1"),
        ("debug protocol false", ":0"),
        (
            "debug protocol x",
            "-ERR Wrong protocol type name. Please use one of the following: \
             string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
        ),
        ("debug error \"FOO a\\r\\nb\"", "-FOO a  b"),
        ("debug stringmatch-len a*b axxb", ":1"),
        ("debug stringmatch-len a*b axx", ":0"),
        ("debug log hello", "+OK"),
    ]);
    let _ = talk.say("hello 3");
    let raw = |talk: &mut Talk, kind: &str| talk.raw(&[&format!("debug protocol {kind}")]);
    assert_eq!(raw(&mut talk, "bignum"), "(1234567999999999999999999999999999999\r\n");
    assert_eq!(
        raw(&mut talk, "attrib"),
        "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n"
    );
    assert_eq!(
        raw(&mut talk, "push"),
        ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n"
    );
    assert_eq!(raw(&mut talk, "verbatim"), "=29\r\ntxt:This is a verbatim\nstring\r\n");
    assert_eq!(raw(&mut talk, "map"), "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n");
}

#[test]
fn sleep_takes_its_time_and_what_came_before_runs_first() {
    let (node, mut talk) = talk(1);
    talk.check(&[("config set latency-monitor-threshold 400", "+OK")]);
    let before = node.clock.load(Relaxed);
    assert_eq!(talk.pipeline(&["set a 1", "debug sleep 1.5", "get a"]), ["+OK", "+OK", "$1 1"]);
    assert_eq!(node.clock.load(Relaxed) - before, 1_500);
    // No numbers, and numbers in the past.
    talk.check(&[("debug sleep x", "+OK"), ("debug sleep -1", "+OK"), ("debug sleep nan", "+OK")]);
    assert_eq!(node.clock.load(Relaxed) - before, 1_500);
    talk.check(&[("multi", "+OK"), ("debug sleep 0.5", "+QUEUED"), ("get a", "+QUEUED"), ("exec", "*2 +OK $1 1")]);
    assert_eq!(node.clock.load(Relaxed) - before, 2_000);
    // It is a slow command, as in Redis.
    talk.check(&[("latency history command", "*2 *2 :1001 :1500 *2 :1002 :500"), ("slowlog len", ":2")]);
}

/// Digests that a redis-server 7.0.15 told of the same data set.
#[test]
fn digests_are_those_of_redis() {
    for groups in [1, 6] {
        let (_, mut talk) = talk(groups);
        talk.check(&[
            ("debug digest", "+0000000000000000000000000000000000000000"),
            ("set s v", "+OK"),
            ("set n 17", "+OK"),
            ("rpush l a b 3", ":3"),
            ("sadd set a b 2", ":3"),
            ("zadd z 1 a 2.5 b 0.1 c inf d 1e300 e", ":5"),
            ("hset h f v g 2", ":2"),
            ("xadd x 1-1 f v", "$3 1-1"),
            ("xadd x 2-5 g w", "$3 2-5"),
            ("xgroup create x grp 0", "+OK"),
            ("set e v px 100000000", "+OK"),
            ("debug digest", "+62c7c77fffecff55a7f971e5c54fd15ec21aad61"),
            ("select 3", "+OK"),
            ("set other 1", "+OK"),
            ("debug digest", "+30159b14ebfd8dac5cda66b2e23ec87bf451a556"),
            ("select 0", "+OK"),
            ("debug digest-value", "*0"),
        ]);
        for (key, digest) in [
            ("s", "d79ee9fe5d5ad902d7f6620efc3b07b75ddd742f"),
            ("n", "bde5d4e36c9d09b4bd204151374c7571d16a2aca"),
            ("l", "09eb1fc9381ee92790d59930ab462945f8cd948b"),
            ("set", "07d2a0a7d906c2eeb4d84a0c3a3a7c87ecc51176"),
            ("z", "2d4e3bad80d994880aa211d174a83f5f0c856710"),
            ("h", "9dc7e1ed596e8ccab4b91d04b8317fc85b68294a"),
            ("x", "4f3f3f2974d446c5cbcc67c0a46288c3572fc1e8"),
            ("e", "311b17018163335616e089f6b951c82c477335ac"),
            ("none", "0000000000000000000000000000000000000000"),
        ] {
            talk.check(&[(&format!("debug digest-value {key}"), &format!("*1 +{digest}"))]);
        }
        talk.check(&[("debug object none", "-ERR no such key")]);
        let told = talk.say("debug object z");
        assert!(told.starts_with("+Value at:0x0 refcount:1 encoding:listpack serializedlength:"), "{told}");
        assert!(told.ends_with(" lru_seconds_idle:0"), "{told}");
        // It is one command to whoever counts.
        assert!(talk.say("info commandstats").contains("cmdstat_debug:calls="));
        assert!(talk.say("command getkeys debug object z").starts_with("-ERR The command has no key arguments"));
    }
}

#[test]
fn reload_is_a_save() {
    let (node, mut talk) = talk(1);
    talk.check(&[("debug reload", "+OK"), ("debug loadaof", "+OK")]);
    assert_eq!(node.saves.load(Relaxed), 2);
    talk.check(&[("multi", "+OK"), ("debug reload", "+QUEUED"), ("exec", "*1 +OK")]);
    assert_eq!(node.saves.load(Relaxed), 3);
}
