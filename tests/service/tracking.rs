//! Client-side caching at one node: which reads are remembered, who is told of what, and in which words.

use std::sync::atomic::Ordering::Relaxed;

use holdfast::service::Options;

use crate::pubsub::{Client, Server, start};
use crate::table::{TableNode, Talk, service};

/// A connection that speaks RESP3.
fn resp3(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.say(&["CLIENT REPLY SKIP", "HELLO 3"]);
    client
}

/// One that keeps copies, in a mode.
fn reader(server: &Server, mode: &str) -> Client {
    let mut client = resp3(server);
    client.ask(&format!("CLIENT TRACKING ON {mode}"), "+OK ");
    client
}

fn notice(keys: &[&str]) -> String {
    let keys: String = keys.iter().map(|key| format!("${} {key} ", key.len())).collect();
    format!(">2 $10 invalidate *{} {keys}", keys.matches('$').count())
}

const EVERYTHING: &str = ">2 $10 invalidate _ ";

#[test]
fn every_read_is_remembered_until_it_is_told() {
    let server = start();
    let (mut reader, mut writer) = (reader(&server, ""), Client::connect(&server));
    writer.ask("MSET a 1 b 2 c 3", "+OK ");
    reader.ask("MGET a b nosuch", "*3 $1 1 $1 2 _ ");
    writer.ask("SET c 4", "+OK ");
    writer.ask("SET a 4", "+OK ");
    reader.hear(&notice(&["a"]));
    writer.ask("SET a 5", "+OK ");
    writer.ask("SET nosuch x", "+OK ");
    reader.hear(&notice(&["nosuch"]));
    // A client hears of what it changes itself, behind the answer.
    reader.ask("DEL b", ":1 ");
    reader.hear(&notice(&["b"]));
    reader.ask("GET a", "$1 5 ");
    writer.ask("FLUSHALL", "+OK ");
    reader.hear(EVERYTHING);
    reader.ask("CLIENT TRACKING OFF", "+OK ");
    reader.ask("GET a", "_ ");
    writer.ask("SET a 1", "+OK ");
    reader.ask("PING", "+PONG ");
}

#[test]
fn elements_and_ends_are_changes() {
    let server = start();
    let (mut reader, mut writer) = (reader(&server, ""), Client::connect(&server));
    writer.ask("HSET h f 1", ":1 ");
    reader.ask("HGET h f", "$1 1 ");
    writer.ask("HSET h g 2", ":1 ");
    reader.hear(&notice(&["h"]));
    writer.ask("SET k v PX 100", "+OK ");
    reader.ask("GET k", "$1 v ");
    server.node.clock.fetch_add(100, Relaxed);
    writer.ask("DEL k", ":0 ");
    reader.hear(&notice(&["k"]));
}

/// A script as a line of its own words has it.
fn eval(word: &str, script: &str, keys: &str) -> String {
    format!("{word} \"{script}\" {keys}")
}

#[test]
fn what_the_commands_of_a_script_read_is_remembered() {
    let server = start();
    let (mut reader, mut writer) = (reader(&server, ""), Client::connect(&server));
    let change = |writer: &mut Client, keys: &[&str]| {
        keys.iter().for_each(|key| writer.ask(&format!("SET {key} x"), "+OK "));
    };
    change(&mut writer, &["a", "b"]);
    // The keys that it is given are not read by that, and others may be.
    reader.ask(&eval("EVAL", "return redis.call('get', 'a')", "1 b"), "$1 x ");
    change(&mut writer, &["b", "a", "a"]);
    reader.hear(&notice(&["a"]));
    for word in ["EVAL", "EVAL_RO"] {
        reader.ask(&eval(word, "return redis.call('mget', 'a', 'b')", "1 c"), "*2 $1 x $1 x ");
        change(&mut writer, &["c", "b", "a"]);
        reader.hear(&notice(&["b"]));
        reader.hear(&notice(&["a"]));
    }
    // Whatever it answers.
    reader.ask(&eval("EVAL", "redis.call('get', 'a') return {err = 'E'}", "0"), "-E ");
    change(&mut writer, &["a"]);
    reader.hear(&notice(&["a"]));
    // Commands that write read nothing in this sense; what it reads and changes itself is told behind its answer.
    reader.ask(&eval("EVAL", "return redis.call('incr', 'n')", "1 n"), ":1 ");
    writer.ask("INCR n", ":2 ");
    reader.ask(&eval("EVAL", "redis.call('get', 'n') return redis.call('incr', 'n')", "0"), ":3 ");
    reader.hear(&notice(&["n"]));
    writer.ask("INCR n", ":4 ");
    reader.ask("PING", "+PONG ");
    reader.ask("CLIENT TRACKING ON NOLOOP", "+OK ");
    reader.ask(&eval("EVAL", "redis.call('get', 'n') return redis.call('incr', 'n')", "0"), ":5 ");
    writer.ask("INCR n", ":6 ");
    reader.hear(&notice(&["n"]));
}

#[test]
fn functions_and_blocks_tell_what_they_read() {
    let server = start();
    let (mut reader, mut writer) = (reader(&server, ""), Client::connect(&server));
    let look = "redis.register_function{function_name='look', flags={'no-writes'}, callback=function() return \
                redis.call('get', 'a') end}";
    writer.ask(&format!("FUNCTION LOAD \"#!lua name=lib\\n{look}\""), "$3 lib ");
    for call in ["FCALL look 1 b", "FCALL_RO look 0"] {
        reader.ask(call, "_ ");
        writer.ask("SET b 1", "+OK ");
        writer.ask("SET a 1", "+OK ");
        reader.hear(&notice(&["a"]));
        writer.ask("DEL a b", ":2 ");
    }
    reader.ask("MULTI", "+OK ");
    reader.ask("FCALL look 0", "+QUEUED ");
    reader.ask(&eval("EVAL", "return redis.call('get', 'b')", "0"), "+QUEUED ");
    reader.ask("GET c", "+QUEUED ");
    reader.ask("EXEC", "*3 _ _ _ ");
    for key in ["a", "b", "c"] {
        writer.ask(&format!("SET {key} 1"), "+OK ");
        reader.hear(&notice(&[key]));
    }
}

#[test]
fn scripts_are_remembered_only_where_reads_are() {
    let server = start();
    let (mut reader, mut writer) = (reader(&server, "OPTIN"), Client::connect(&server));
    let get = |key: &str| eval("EVAL", &format!("return redis.call('get', '{key}')"), "0");
    reader.ask(&get("a"), "_ ");
    reader.ask("CLIENT CACHING YES", "+OK ");
    reader.ask(&get("b"), "_ ");
    writer.ask("MSET a 2 b 2", "+OK ");
    reader.hear(&notice(&["b"]));
    reader.say(&["CLIENT CACHING YES", &get("b"), "CLIENT TRACKING OFF", "PING"]);
    reader.hear("+OK $1 2 +OK +PONG ");
    writer.ask("SET b 3", "+OK ");
    reader.ask(&get("b"), "$1 3 ");
    reader.ask("CLIENT TRACKING ON BCAST PREFIX x", "+OK ");
    reader.ask(&get("b"), "$1 3 ");
    writer.ask("SET b 4", "+OK ");
    reader.ask("PING", "+PONG ");
}

#[test]
fn reads_are_announced_or_exempt() {
    let server = start();
    let mut writer = Client::connect(&server);
    let mut change = |keys: &[&str]| keys.iter().for_each(|key| writer.ask(&format!("SET {key} x"), "+OK "));
    let mut announced = reader(&server, "OPTIN");
    announced.ask("GET a", "_ ");
    announced.ask("CLIENT CACHING YES", "+OK ");
    announced.ask("GET b", "_ ");
    announced.ask("GET c", "_ ");
    // It counts for a whole block.
    announced.ask("CLIENT CACHING YES", "+OK ");
    announced.ask("MULTI", "+OK ");
    announced.ask("GET d", "+QUEUED ");
    announced.ask("GET e", "+QUEUED ");
    announced.ask("EXEC", "*2 _ _ ");
    announced.ask("GET f", "_ ");
    change(&["a", "b", "c", "d", "e", "f"]);
    ["b", "d", "e"].into_iter().for_each(|key| announced.hear(&notice(&[key])));
    announced.ask("PING", "+PONG ");

    let mut exempt = reader(&server, "OPTOUT");
    exempt.ask("CLIENT CACHING NO", "+OK ");
    exempt.ask("GET a", "$1 x ");
    exempt.ask("GET b", "$1 x ");
    change(&["a", "b"]);
    exempt.hear(&notice(&["b"]));
    exempt.ask("PING", "+PONG ");
}

#[test]
fn own_changes_are_not_told_where_nobody_asks_for_them() {
    let server = start();
    let (mut reader, mut writer) = (reader(&server, "NOLOOP"), Client::connect(&server));
    reader.ask("MGET a b", "*2 _ _ ");
    reader.ask("SET a 1", "+OK ");
    reader.ask("MULTI", "+OK ");
    reader.ask("SET b 1", "+QUEUED ");
    reader.ask("EXEC", "*1 +OK ");
    writer.ask("SET b 2", "+OK ");
    reader.hear(&notice(&["b"]));
    writer.ask("SET a 2", "+OK ");
    reader.hear(&notice(&["a"]));
    let mut all = self::reader(&server, "BCAST NOLOOP");
    all.ask("SET a 3", "+OK ");
    writer.ask("SET c 1", "+OK ");
    all.hear(&notice(&["c"]));
}

#[test]
fn prefixes_need_no_read() {
    let server = start();
    let (mut reader, mut writer) = (reader(&server, "BCAST PREFIX user: PREFIX item:"), Client::connect(&server));
    writer.ask("SET other 1", "+OK ");
    writer.ask("MSET user:1 a other b item:2 c", "+OK ");
    reader.hear(&notice(&["item:2", "user:1"]));
    writer.ask("DEL user:1", ":1 ");
    reader.hear(&notice(&["user:1"]));
    reader.ask("CLIENT TRACKINGINFO", "%3 $5 flags ~2 $2 on $5 bcast $8 redirect :0 $8 prefixes *2 $5 item: $5 user: ");
    let mut all = self::reader(&server, "BCAST");
    writer.ask("SET other 2", "+OK ");
    all.hear(&notice(&["other"]));
    all.ask("CLIENT TRACKINGINFO", "%3 $5 flags ~2 $2 on $5 bcast $8 redirect :0 $8 prefixes *1 $0  ");
}

#[test]
fn another_connection_hears_in_resp2() {
    let server = start();
    let mut listener = Client::connect(&server);
    listener.ask("CLIENT ID", ":1 ");
    let mut writer = Client::connect(&server);
    listener.ask("SUBSCRIBE __redis__:invalidate", "*3 $9 subscribe $20 __redis__:invalidate :1 ");
    let mut reader = Client::connect(&server);
    reader.ask("CLIENT TRACKING ON REDIRECT 1", "+OK ");
    reader.ask("CLIENT GETREDIR", ":1 ");
    reader.ask("GET k", "$-1 ");
    writer.ask("SET k v", "+OK ");
    listener.hear("*3 $7 message $20 __redis__:invalidate *1 $1 k ");
    writer.ask("FLUSHDB", "+OK ");
    listener.hear("*3 $7 message $20 __redis__:invalidate $-1 ");
    reader.ask("PING", "+PONG ");
}

#[test]
fn a_connection_that_speaks_resp3_hears_that_its_listener_is_gone() {
    let server = start();
    let mut listener = Client::connect(&server);
    listener.ask("CLIENT ID", ":1 ");
    let mut writer = Client::connect(&server);
    writer.ask("PING", "+PONG ");
    let mut reader = reader(&server, "REDIRECT 1");
    listener.ask("QUIT", "+OK ");
    assert!(listener.is_closed());
    // Its end is noticed with the next change.
    while server.service.clients().count() > 2 {
        std::thread::yield_now();
    }
    reader.ask("GET k", "_ ");
    writer.ask("SET k v", "+OK ");
    reader.hear(">2 $21 tracking-redir-broken :1 ");
    let info = "%3 $5 flags ~2 $2 on $15 broken_redirect $8 redirect :1 $8 prefixes *0 ";
    reader.ask("CLIENT TRACKINGINFO", info);
}

#[test]
fn refusals_are_in_redis_words() {
    let service = service(&TableNode::new(1), Options::default());
    let mut talk = Talk::new(&service);
    let off = "*6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0";
    let not_on =
        "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled";
    let switch = |what: &str| {
        format!(
            "-ERR You can't switch {what} before disabling tracking for this client, and then re-enabling it with a \
             different mode."
        )
    };
    talk.check(&[
        ("client trackinginfo", off),
        ("client getredir", ":-1"),
        ("client caching yes", not_on),
        ("client tracking foo", "-ERR syntax error"),
        ("client tracking on foo", "-ERR syntax error"),
        ("client tracking on redirect", "-ERR syntax error"),
        ("client tracking on redirect x", "-ERR value is not an integer or out of range"),
        ("client tracking on redirect 99", "-ERR The client ID you want redirect to does not exist"),
        ("client tracking on redirect 1 redirect 1", "-ERR A client can only redirect to a single other client"),
        ("client tracking on prefix a", "-ERR PREFIX option requires BCAST mode to be enabled"),
        ("client tracking on bcast optin", "-ERR OPTIN and OPTOUT are not compatible with BCAST"),
        ("client tracking on optin optout", "-ERR You can't specify both OPTIN mode and OPTOUT mode"),
        (
            "client tracking on bcast prefix a prefix ab",
            "-ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.",
        ),
        ("client trackinginfo", off),
        ("client tracking on optin noloop", "+OK"),
        ("client trackinginfo", "*6 $5 flags *3 $2 on $5 optin $6 noloop $8 redirect :0 $8 prefixes *0"),
        ("client caching no", "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."),
        ("client caching x", "-ERR syntax error"),
        ("client caching yes", "+OK"),
        ("client trackinginfo", "*6 $5 flags *4 $2 on $5 optin $11 caching-yes $6 noloop $8 redirect :0 $8 prefixes *0"),
        ("client tracking on optout", &switch("OPTIN/OPTOUT mode")),
        ("client tracking on bcast", &switch("BCAST mode on/off")),
    ]);
    assert!(talk.say("client list").contains(" flags=t "), "{}", talk.say("client list"));
    assert!(talk.say("info clients").contains("tracking_clients:1"));
    talk.check(&[
        ("client tracking off", "+OK"),
        ("client tracking on bcast prefix ab", "+OK"),
        (
            "client tracking on bcast prefix a",
            "-ERR Prefix 'a' overlaps with an existing prefix 'ab'. Prefixes for a single client must not overlap.",
        ),
        ("client tracking on bcast prefix b", "+OK"),
        ("client trackinginfo", "*6 $5 flags *2 $2 on $5 bcast $8 redirect :0 $8 prefixes *2 $2 ab $1 b"),
    ]);
    assert!(talk.say("client list").contains(" flags=tB "), "{}", talk.say("client list"));
    assert!(talk.say("info stats").contains("tracking_total_prefixes:2"));
    talk.check(&[("reset", "+RESET"), ("client trackinginfo", off)]);
    assert!(talk.say("info stats").contains("tracking_total_prefixes:0"));
}
