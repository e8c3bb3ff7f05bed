//! Words of administrators: memory, saves, pauses, delays, leadership.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::table::{TableNode, Talk, service};
use holdfast::service::{Options, Service};

fn start() -> (Arc<TableNode>, Arc<Service>) {
    let node = TableNode::new(1);
    let service = service(&node, Options::default());
    (node, service)
}

fn talk() -> Talk {
    Talk::new(&start().1)
}

#[test]
fn memory() {
    let mut talk = talk();
    talk.check(&[
        ("memory", "-ERR wrong number of arguments for 'memory' command"),
        ("memory foo", "-ERR unknown subcommand 'foo'. Try MEMORY HELP."),
        ("memory usage", "-ERR wrong number of arguments for 'memory|usage' command"),
        ("memory stats x", "-ERR wrong number of arguments for 'memory|stats' command"),
        ("memory doctor x", "-ERR wrong number of arguments for 'memory|doctor' command"),
        ("memory purge x", "-ERR wrong number of arguments for 'memory|purge' command"),
        ("memory malloc-stats x", "-ERR wrong number of arguments for 'memory|malloc-stats' command"),
        ("memory help x", "-ERR wrong number of arguments for 'memory|help' command"),
        ("memory purge", "+OK"),
        ("memory malloc-stats", "$45 Stats not supported for the current allocator"),
        ("memory usage k", "$-1"),
        ("set k v", "+OK"),
    ]);
    assert!(talk.say("memory usage k").starts_with(':'));
    assert!(talk.say("memory doctor").contains("little memory"));
    // Fields in the order in which a redis-server tells them.
    let told = talk.say("memory stats");
    let words = "peak.allocated total.allocated startup.allocated replication.backlog clients.slaves clients.normal \
                 cluster.links aof.buffer lua.caches functions.caches db.0 overhead.hashtable.main overhead.hashtable.expires \
                 overhead.hashtable.slot-to-keys overhead.total keys.count keys.bytes-per-key dataset.bytes \
                 dataset.percentage peak.percentage allocator.allocated allocator.active allocator.resident \
                 allocator-fragmentation.ratio allocator-fragmentation.bytes allocator-rss.ratio allocator-rss.bytes \
                 rss-overhead.ratio rss-overhead.bytes fragmentation fragmentation.bytes";
    let names: Vec<&str> = told.split(' ').filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect();
    assert_eq!(names.join(" "), words.split_whitespace().collect::<Vec<_>>().join(" "));
    assert!(told.contains("$10 keys.count :1 "), "{told}");
}

#[test]
fn saves() {
    let (node, service) = start();
    let mut talk = Talk::new(&service);
    talk.check(&[
        ("save", "+OK"),
        ("save x", "-ERR wrong number of arguments for 'save' command"),
        ("bgsave", "+Background saving started"),
        ("bgsave SCHEDULE", "+Background saving started"),
        ("bgsave foo", "-ERR syntax error"),
        ("bgsave schedule x", "-ERR syntax error"),
        ("bgrewriteaof", "+Background append only file rewriting started"),
        ("bgrewriteaof x", "-ERR wrong number of arguments for 'bgrewriteaof' command"),
        ("lastsave", ":1000"),
        ("lastsave x", "-ERR wrong number of arguments for 'lastsave' command"),
        ("multi", "+OK"),
        ("save", "-ERR Command not allowed inside a transaction"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("multi", "+OK"),
        ("bgsave", "+QUEUED"),
        ("bgrewriteaof", "+QUEUED"),
        ("exec", "*2 +Background saving scheduled +Background append only file rewriting scheduled"),
    ]);
    assert_eq!(node.saves.load(Relaxed), 6);
    assert!(talk.say("info persistence").contains(" rdb_saves:6 "));
    node.saving.store(1, Relaxed);
    talk.check(&[
        ("save", "-ERR Background save already in progress"),
        ("bgsave", "-ERR Background save already in progress"),
        ("bgrewriteaof", "+Background append only file rewriting scheduled"),
    ]);
    assert!(talk.say("info persistence").contains(" rdb_bgsave_in_progress:1 "));
}

#[test]
fn shutdown_is_checked_before_anything_ends() {
    let (node, service) = start();
    let mut talk = Talk::new(&service);
    talk.check(&[
        ("shutdown foo", "-ERR syntax error"),
        ("shutdown save nosave", "-ERR syntax error"),
        ("shutdown abort now", "-ERR syntax error"),
        ("shutdown abort", "-ERR No shutdown in progress."),
        ("multi", "+OK"),
        ("shutdown", "-ERR Command not allowed inside a transaction"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
    assert!(node.told.lock().unwrap().is_empty());
}

#[test]
fn who_leads_is_not_set_up_by_hand() {
    let (node, service) = start();
    let mut talk = Talk::new(&service);
    talk.check(&[
        ("replicaof no one", "+OK"),
        ("slaveof NO ONE", "+OK"),
        ("replicaof a b", "-ERR Invalid master port"),
        ("replicaof a", "-ERR wrong number of arguments for 'replicaof' command"),
        ("failover", "-ERR FAILOVER requires connected replicas."),
        ("failover abort", "-ERR No failover in progress."),
        ("failover foo", "-ERR syntax error"),
        ("cluster failover", "-ERR You should send CLUSTER FAILOVER to a replica"),
        ("cluster failover takeover", "-ERR You should send CLUSTER FAILOVER to a replica"),
        ("cluster failover foo", "-ERR syntax error"),
        (
            "cluster failover a b",
            "-ERR unknown subcommand or wrong number of arguments for 'failover'. Try CLUSTER HELP.",
        ),
        ("swapdb 0", "-ERR wrong number of arguments for 'swapdb' command"),
        ("swapdb 0 0", "+OK"),
        ("psync a", "-ERR wrong number of arguments for 'psync' command"),
        ("sync x", "-ERR wrong number of arguments for 'sync' command"),
        ("sentinel masters", "-ERR unknown command 'sentinel', with args beginning with: 'masters' "),
        ("multi", "+OK"),
        ("sync", "-ERR Command not allowed inside a transaction"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
    assert!(talk.say("replicaof 127.0.0.1 6379").starts_with("-ERR REPLICAOF is not offered: "));
    assert!(talk.say("swapdb 0 1").starts_with("-ERR SWAPDB is not offered: "));
    assert!(node.told.lock().unwrap().is_empty());
    let modules = "-ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it \
                   from a local connection, otherwise you need to set this option in the configuration file, and then \
                   restart the server.";
    talk.check(&[
        ("module load x", modules),
        ("module loadex x", modules),
        ("module unload x", modules),
        ("module load", "-ERR wrong number of arguments for 'module|load' command"),
        ("module list", "*0"),
    ]);
}

#[test]
fn pauses() {
    let (node, service) = start();
    let mut talk = Talk::new(&service);
    talk.check(&[
        ("client pause", "-ERR wrong number of arguments for 'client|pause' command"),
        ("client pause x", "-ERR timeout is not an integer or out of range"),
        ("client pause 1.5", "-ERR timeout is not an integer or out of range"),
        ("client pause -1", "-ERR timeout is negative"),
        ("client pause 99999999999999999999", "-ERR timeout is not an integer or out of range"),
        ("client pause 10 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        ("client pause x foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        (
            "client pause 10 write x",
            "-ERR unknown subcommand or wrong number of arguments for 'pause'. Try CLIENT HELP.",
        ),
        ("client unpause x", "-ERR wrong number of arguments for 'client|unpause' command"),
        ("client unpause", "+OK"),
        ("client pause 0", "+OK"),
        ("client pause 9223372036854775807 write", "+OK"),
        ("client unpause", "+OK"),
    ]);
    // This node's clock stands still but for who waits: what goes on took no time, what waits waited to the end.
    let mut waited = |lines: &[&str], wanted: &[(&str, u64)]| {
        for (line, millis) in wanted {
            for line in lines {
                talk.check(&[(line, "+OK")]);
            }
            let before = node.clock.load(Relaxed);
            let _ = talk.say(line);
            assert_eq!(node.clock.load(Relaxed) - before, *millis, "{lines:?} {line}");
            let now = node.clock.load(Relaxed);
            node.clock.store(now + 1_000, Relaxed);
        }
    };
    waited(
        &["client pause 300 write"],
        &[
            ("get a", 0),
            ("time", 0),
            ("eval_ro \"return(1)\" 0", 0),
            ("client unpause", 0),
            ("set a", 0),
            ("nosuch", 0),
            ("set a 1", 300),
            ("eval \"return(1)\" 0", 300),
            ("pfcount k", 300),
            ("flushall", 300),
        ],
    );
    waited(&["client pause 300 all"], &[("get a", 300), ("client unpause", 300), ("set a", 0), ("ping", 300)]);
    // A block waits as a whole if it writes.
    waited(&["client pause 300 write", "multi"], &[("exec", 0)]);
    let before = node.clock.load(Relaxed);
    talk.check(&[
        ("multi", "+OK"),
        ("set a 1", "+QUEUED"),
        ("client pause 300 write", "+QUEUED"),
        ("exec", "*2 +OK +OK"),
    ]);
    talk.check(&[("client unpause", "+OK"), ("set a 2", "+OK")]);
    assert_eq!(node.clock.load(Relaxed), before);
    // Replies to what came before are not held back.
    let replies = talk.raw(&["get a", "client pause 300 write", "set a 3", "get a"]);
    assert_eq!(replies, "$1\r\n2\r\n+OK\r\n");
}

#[test]
fn delays() {
    let (node, service) = start();
    let mut talk = Talk::new(&service);
    talk.check(&[
        ("latency foo", "-ERR unknown subcommand 'foo'. Try LATENCY HELP."),
        ("latency history", "-ERR wrong number of arguments for 'latency|history' command"),
        ("latency graph", "-ERR wrong number of arguments for 'latency|graph' command"),
        ("latency latest x", "-ERR wrong number of arguments for 'latency|latest' command"),
        ("latency latest", "*0"),
        ("latency history command", "*0"),
        ("latency reset", ":0"),
        ("latency graph foo", "-ERR No samples available for event 'foo'"),
        ("config set latency-monitor-threshold -1", "-ERR CONFIG SET failed (possibly related to argument 'latency-monitor-threshold') - argument must be between 0 and 9223372036854775807 inclusive"),
        ("config set latency-monitor-threshold 100", "+OK"),
        ("get a", "$-1"),
        ("latency latest", "*0"),
    ]);
    assert!(talk.say("latency doctor").contains("Nothing took 100 ms or longer."));
    for (line, millis) in [("get a", 250), ("flushall", 120), ("flushall", 99)] {
        node.delay.store(millis, Relaxed);
        let _ = talk.say(line);
    }
    node.delay.store(0, Relaxed);
    talk.check(&[
        ("latency history fast-command", "*1 *2 :1000 :250"),
        ("latency history command", "*1 *2 :1000 :120"),
        ("latency latest", "*2 *4 $7 command :1000 :120 :120 *4 $12 fast-command :1000 :250 :250"),
    ]);
    assert!(
        talk.say("latency graph command").contains("command - high 120 ms, low 120 ms (all time high 120 ms)\n----")
    );
    assert!(talk.say("latency doctor").contains("fast-command: 1 slow seconds"));
    talk.check(&[
        ("latency reset foo", ":0"),
        ("latency reset command foo", ":1"),
        ("latency reset", ":1"),
        ("latency latest", "*0"),
    ]);
}

#[test]
fn newer_words_that_libraries_send() {
    let needs_resp3 = "-ERR CLIENT MAINT_NOTIFICATIONS needs a connection that speaks RESP3 (HELLO 3)";
    let mut talk = talk();
    talk.check(&[("client maint_notifications on", needs_resp3), ("client maint_notifications off", "+OK")]);
    talk.say("hello 3");
    talk.check(&[
        ("client maint_notifications on", "+OK"),
        ("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type external-fqdn", "+OK"),
        ("client maint_notifications off", "+OK"),
        ("client maint_notifications", "-ERR wrong number of arguments for 'client|maint_notifications' command"),
        ("client maint_notifications maybe", "-ERR syntax error"),
        ("client maint_notifications on moving-endpoint-type", "-ERR syntax error"),
        ("client maint_notifications on moving-endpoint-type x", "-ERR syntax error"),
        ("client kill maxage 5", ":0"),
        ("client kill maxage 0", "-ERR maxage should be greater than 0"),
        ("client kill maxage x", "-ERR maxage is not an integer or out of range"),
    ]);
}

/// What a redis-server showed of the same calls, but for the scripts' own.
#[test]
fn monitors() {
    let (_, service) = start();
    let (mut watcher, mut talk) = (Talk::new(&service), Talk::from(&service, "127.0.0.1:77"));
    watcher.check(&[
        ("monitor x", "-ERR wrong number of arguments for 'monitor' command"),
        ("get a", "$-1"),
        ("monitor", "+OK"),
    ]);
    assert!(watcher.say("client list").contains(" flags=O "));
    assert_eq!(watcher.shown(), [] as [&str; 0], "words of administrators are not shown");
    for line in [
        "select 3",
        "select 0",
        "get a",
        "set b \"x\\ny\\x00\\\"\"",
        "auth secret",
        "hello 2 auth a secret",
        "config get x",
        "nosuch a",
        "get",
        "multi",
        "set a 1",
        "select 2",
        "lpush a 1",
        "exec",
        "select 0",
        "eval return(1) 0",
        "client id",
        "reset",
    ] {
        let _ = talk.say(line);
    }
    let line = |db: u8, words: &str| format!("[{db} 127.0.0.1:77] {words}");
    assert_eq!(
        watcher.shown(),
        [
            line(3, "\"select\" \"3\""),
            line(0, "\"select\" \"0\""),
            line(0, "\"get\" \"a\""),
            line(0, "\"set\" \"b\" \"x\\ny\\x00\\\"\""),
            line(0, "\"auth\" \"(redacted)\""),
            line(0, "\"hello\" \"2\" \"auth\" \"(redacted)\" \"(redacted)\""),
            line(0, "\"multi\""),
            line(0, "\"set\" \"a\" \"1\""),
            line(0, "\"select\" \"2\""),
            line(2, "\"lpush\" \"a\" \"1\""),
            line(2, "\"exec\""),
            line(0, "\"select\" \"0\""),
            line(0, "\"eval\" \"return(1)\" \"0\""),
            line(0, "\"client\" \"id\""),
            line(0, "\"reset\""),
        ]
    );
    let replica = "-ERR Replica can't interact with the keyspace";
    watcher.check(&[("get a", replica), ("set a 1", replica), ("ping", "+PONG"), ("monitor", "")]);
    assert_eq!(watcher.shown(), ["[0 127.0.0.1:5000] \"ping\""]);
    watcher.check(&[("reset", "+RESET"), ("get a", "$1 1")]);
    assert_eq!(watcher.shown(), [] as [&str; 0]);
    watcher.check(&[
        ("multi", "+OK"),
        ("monitor", "+QUEUED"),
        ("exec", "*1 -ERR MONITOR isn't allowed for DENY BLOCKING client"),
    ]);
}

#[test]
fn a_watcher_that_does_not_read_is_ended() {
    let (_, service) = start();
    let (mut watcher, mut talk) = (Talk::new(&service), Talk::new(&service));
    talk.check(&[("config set client-output-buffer-limit \"normal 1000 0 0\"", "+OK")]);
    watcher.check(&[("monitor", "+OK")]);
    for _ in 0..50 {
        let _ = talk.say("echo 0123456789012345678901234567890123456789");
    }
    assert!(talk.say("client list").contains(" flags=OA "));
    assert_eq!(watcher.shown(), [] as [&str; 0]);
}

#[test]
fn scripts_of_all_nodes_are_killed_and_the_longest_function_is_named() {
    use holdfast::base::Millis;
    use holdfast::command::script::{Called, Killed};
    use holdfast::service::node::ScriptsTold;
    let (node, service) = start();
    let mut talk = Talk::new(&service);
    let killed = |killed| ScriptsTold { killed, called: None };
    let busy = "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    for (told, reply) in [
        (vec![], "-NOTBUSY No scripts in execution right now."),
        (vec![Killed::Nothing, Killed::Other], busy),
        (vec![Killed::Other, Killed::Wrote], "-UNKILLABLE "),
        (vec![Killed::Wrote, Killed::Done, Killed::Nothing], "+OK"),
    ] {
        *node.others.lock().unwrap() = told.into_iter().map(killed).collect();
        let said = talk.say("script kill");
        assert!(said.starts_with(reply), "{said}");
    }
    talk.check(&[("function kill", "+OK")]);
    let called = |name: &'static str, millis| {
        let words = vec!["FCALL".into(), name.into(), "0".into()];
        ScriptsTold {
            killed: Killed::Nothing,
            called: Some((Called { name: name.into(), words, since: Millis(1) }, millis)),
        }
    };
    *node.others.lock().unwrap() = vec![called("short", 7), killed(Killed::Nothing), called("long", 900)];
    let library = "function load \"#!lua name=lib\\nredis.register_function('f', function() end)\"";
    talk.check(&[
        (library, "$3 lib"),
        (
            "function stats",
            "*4 $14 running_script *6 $4 name $4 long $7 command *3 $5 FCALL $4 long $1 0 $11 duration_ms :900 $7 engines *2 \
             $3 LUA *4 $15 libraries_count :1 $15 functions_count :1",
        ),
    ]);
    // A leader that is busy with a function counts nothing; what this node knows does.
    node.leads.store(false, Relaxed);
    let outcome = holdfast::service::node::Outcome::Busy(holdfast::command::script::Kind::Function);
    node.failures.lock().unwrap().push_back(outcome);
    assert!(talk.say("function stats").contains("$4 name $4 long "));
    let asked = node.told.lock().unwrap().clone();
    assert_eq!(asked.iter().filter(|asked| *asked == "Look").count(), 2, "{asked:?}");
    assert_eq!(asked.iter().filter(|asked| *asked == "Kill { functions: false }").count(), 4, "{asked:?}");
}
