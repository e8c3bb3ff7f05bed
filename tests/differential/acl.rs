//! The same rules of users to a redis-server and to Holdfast: what is refused with which words, what is shown, and which
//! calls are allowed. What Redis 7.0 shows of commands is another text with the same meaning (7.2 keeps rules as they
//! were given), so that one is given back to it and must allow the same.

use bytes::Bytes;
use holdfast::base::Rng;
use holdfast::command::acl::{self, User};
use holdfast::command::check;

use super::server::RedisServer;
use super::support::client::Client;
use super::support::reply::Reply;
use super::support::{Target, words};

/// Rules that both servers understand alike.
const RULES: &[&str] = &[
    "on",
    "off",
    "nopass",
    "resetpass",
    ">a",
    ">b",
    "<a",
    "!12",
    "#12",
    "skip-sanitize-payload",
    "sanitize-payload",
    "~*",
    "~a",
    "~b*",
    "%R~a",
    "%R~c",
    "%W~c",
    "%W~d",
    "%RW~e",
    "%rw~f",
    "%R",
    "%",
    "%~x",
    "%Rx~a",
    "%RR~a",
    "allkeys",
    "resetkeys",
    "&*",
    "&n*",
    "&m",
    "allchannels",
    "resetchannels",
    "+@all",
    "-@all",
    "allcommands",
    "nocommands",
    "+@read",
    "-@read",
    "+@write",
    "-@write",
    "+@string",
    "-@string",
    "+@keyspace",
    "+@dangerous",
    "-@dangerous",
    "+@slow",
    "-@fast",
    "+@nosuch",
    "-@",
    "+get",
    "-get",
    "+SET",
    "-set",
    "+del",
    "+config",
    "-config",
    "+config|get",
    "-config|get",
    "+config|",
    "+config|nosuch",
    "-config|nosuch",
    "+config|get|x",
    "+client",
    "-client|id",
    "+select|1",
    "+select|2",
    "-select",
    "-select|1",
    "+get|x",
    "+nosuch",
    "+",
    "nonsense",
    "",
    "~a b",
    "(+get ~x)",
    "(+@all %R~a &n)",
    "( ~b  +set )",
    "()",
    "(%)",
    "(+nosuch)",
    "(+get",
    ")",
    "((+get))",
    "clearselectors",
    "reset",
    "ON",
    "NoPass",
    "AllKeys",
];

/// Calls whose rows are the same in both.
const CALLS: &[&str] = &[
    "get a",
    "get x",
    "get c",
    "set a 1",
    "set c 1",
    "set d 1",
    "set c 1 get",
    "del a",
    "mget a b1 x",
    "copy a c",
    "copy c d",
    "strlen a",
    "exists x",
    "rename a b1",
    "config get x",
    "config set a b",
    "client id",
    "client getname",
    "select 0",
    "select 1",
    "select 3",
    "ping",
    "dbsize",
    "keys *",
    "sort a store c",
    "sort c get x",
    "bitfield c get u8 0",
    "bitfield d set u8 0 1",
    "eval x 2 a c",
    "xread streams a b1 0 0",
    "zunionstore a 2 b1 c",
    "lmove a c left left",
    "auth x",
    "hello 3",
    "object encoding a",
    "acl whoami",
    "getdel d",
    "bitcount c",
    "zadd d 1 x",
];

const USERS: usize = 400;

#[test]
fn rules_mean_what_they_mean_to_redis() {
    let Some(server) = RedisServer::start() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    let seed = super::number_from("HOLDFAST_DIFFERENTIAL_SEED").unwrap_or_else(super::today);
    println!("{USERS} users, HOLDFAST_DIFFERENTIAL_SEED={seed}");
    let (mut redis, mut rng) = (server.connect(), Rng::new(seed));
    let mut denied = 0;
    for number in 0..USERS {
        // Each user is of this name, so that lines compare.
        ask(&mut redis, &["ACL", "DELUSER", "u"]);
        let mut user = User::new("u".into());
        ask(&mut redis, &["ACL", "SETUSER", "u"]);
        let mut story: Vec<Vec<&str>> = Vec::new();
        for _ in 0..rng.range(1, 5) {
            let rules: Vec<&str> = (0..rng.range(1, 4)).map(|_| *rng.pick(RULES)).collect();
            if rules.iter().filter(|rule| **rule == "(+get").count() > 1 {
                // 7.0 forgets a selector that another one opens in.
                continue;
            }
            story.push(rules.clone());
            let theirs = ask(&mut redis, &[&["ACL", "SETUSER", "u"][..], &rules].concat());
            let ours = take(&mut user, &rules);
            assert_eq!(ours, theirs, "user {number}: {story:?}");
        }
        let fields = getuser(&ask(&mut redis, &["ACL", "GETUSER", "u"]));
        // A new user of 7.0 says nothing of payloads, one that was reset does.
        let flags =
            |flags: &Reply| strings(flags).into_iter().filter(|flag| flag != "sanitize-payload").collect::<Vec<_>>();
        let own = user.flags().into_iter().filter(|flag| *flag != "sanitize-payload").collect::<Vec<_>>();
        assert_eq!(flags(&fields[0]), own, "{story:?}");
        assert_eq!(strings(&fields[1]), user.passwords().collect::<Vec<_>>(), "{story:?}");
        let root = &user.rights().selectors[0];
        assert_eq!(fields[3], joined(&root.key_words()), "{story:?}");
        assert_eq!(fields[4], joined(&root.channel_words()), "{story:?}");
        let Reply::Array(selectors) = &fields[5] else { panic!("{fields:?}") };
        assert_eq!(selectors.len(), user.rights().selectors.len() - 1, "{story:?}");

        let line = String::from_utf8(user.line()).expect("these rules are text");
        let merged = acl::merge_selectors(&words(&line)).expect("every selector is closed");
        let again: Vec<String> = merged.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let rules: Vec<&str> =
            ["ACL", "SETUSER", "u", "reset"].into_iter().chain(again.iter().map(String::as_str)).collect();
        for round in ["as given", "as shown"] {
            if round == "as shown" {
                assert_eq!(ask(&mut redis, &rules), Reply::Simple("OK".into()), "{line}");
            }
            for call in CALLS {
                let args = words(call);
                let spec = check(&args).expect("a call");
                let theirs =
                    ask(&mut redis, &[&["ACL", "DRYRUN", "u"][..], &call.split(' ').collect::<Vec<_>>()[..]].concat());
                let ours = match user.rights().check(spec, &args) {
                    Ok(()) => Reply::Simple("OK".into()),
                    Err(reason) => {
                        denied += 1;
                        let message = user.rights().message(reason, spec, &args, true);
                        let text = String::from_utf8(message).expect("text").replacen("User u has", "This user has", 1);
                        Reply::Bulk(text.into_bytes())
                    }
                };
                assert_eq!(ours, theirs, "{round}: {call} after {story:?}, {line}");
            }
        }
    }
    assert!(denied > USERS, "{denied}");
}

fn ask(redis: &mut Client, args: &[&str]) -> Reply {
    redis.call(&args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())).collect::<Vec<_>>())
}

/// SETUSER, as the service makes it of the parts.
fn take(user: &mut User, rules: &[&str]) -> Reply {
    let rules: Vec<Bytes> = rules.iter().map(|rule| Bytes::copy_from_slice(rule.as_bytes())).collect();
    let text = |word: &Bytes| String::from_utf8_lossy(word).into_owned();
    let merged = match acl::merge_selectors(&rules) {
        Ok(merged) => merged,
        Err(at) => {
            return Reply::Error(format!(
                "ERR Unmatched parenthesis in acl selector starting at '{}'.",
                text(&rules[at])
            ));
        }
    };
    let mut after = user.clone();
    match after.apply(&merged) {
        Ok(()) => {
            *user = after;
            Reply::Simple("OK".into())
        }
        Err((at, mistake)) => {
            Reply::Error(format!("ERR Error in ACL SETUSER modifier '{}': {}", text(&merged[at]), mistake.text()))
        }
    }
}

/// The values of a GETUSER.
fn getuser(reply: &Reply) -> Vec<Reply> {
    let Reply::Array(fields) = reply else { panic!("{reply:?}") };
    fields.iter().skip(1).step_by(2).cloned().collect()
}

fn strings(reply: &Reply) -> Vec<String> {
    let Reply::Array(items) = reply else { panic!("{reply:?}") };
    let text = |item: &Reply| match item {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?}"),
    };
    items.iter().map(text).collect()
}

fn joined(rules: &[Bytes]) -> Reply {
    Reply::Bulk(rules.join(&b' '))
}
