//! What COMMAND tells of each command, compared with what a redis-server tells of it: INFO whole, LIST, GETKEYS and
//! GETKEYSANDFLAGS of random calls, and of DOCS everything but the prose.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use holdfast::base::{Millis, Rng};
use holdfast::command::spec::Categories;
use holdfast::command::{introspect, table};
use holdfast::resp::Protocol;
use holdfast::sim::grammar::{Grammar, SYNTAX};

use crate::server::RedisServer;
use crate::steps::{DIALECT, SESSION_SYNTAX, known};
use crate::support::reply::Reply;
use crate::support::{Target, words};

/// What Redis 7.2 has and 7.0 has not (release notes: #11713, #11758, #11483, #10536).
const SINCE_7_2: &[&str] =
    &["waitaof", "client|setinfo", "client|no-touch", "cluster|myshardid", /* 8.2 */ "client|maint_notifications"];

/// What is beyond Redis 7.2: commands of 7.4, 8.0 and 8.4, and one of Valkey.
const BEYOND_7_2: &[&str] = &[
    "delex",
    "delifeq",
    "digest",
    "hexpire",
    "hexpireat",
    "hexpiretime",
    "hgetdel",
    "hgetex",
    "hpersist",
    "hpexpire",
    "hpexpireat",
    "hpexpiretime",
    "hpttl",
    "hsetex",
    "httl",
    "msetex",
];

/// Whether the redis-server that is asked cannot know a command.
fn is_newer(name: &str) -> bool {
    SINCE_7_2.contains(&name) || BEYOND_7_2.contains(&name)
}

/// Words about users that have other tips in 7.2.
const CHANGE_USERS: &[&str] = &["acl|deluser", "acl|save", "acl|setuser"];

/// The facts of a command but its subcommands, and those.
fn facts(reply: &Reply, found: &mut BTreeMap<String, Vec<String>>) {
    let Reply::Array(fields) = reply else { return };
    let [Reply::Bulk(name), fields @ .., Reply::Array(subcommands)] = &fields[..] else { panic!("{fields:?}") };
    let name = String::from_utf8_lossy(name).into_owned();
    found.insert(name, fields.iter().map(fact).collect());
    subcommands.iter().for_each(|subcommand| facts(subcommand, found));
}

/// One fact as text: sets in one order, and without the remarks, which are prose.
fn fact(reply: &Reply) -> String {
    match reply {
        Reply::Array(items) | Reply::Set(items) => {
            let remark = |at: &usize| matches!(&items[at / 2 * 2], Reply::Bulk(word) if word == b"notes");
            let mut items: Vec<String> = (0..items.len()).filter(|at| !remark(at)).map(|at| fact(&items[at])).collect();
            if items.iter().all(|item| item.starts_with(['+', '@'])) {
                items.sort();
            }
            format!("[{}]", items.join(" "))
        }
        Reply::Simple(word) => format!("+{word}"),
        Reply::Bulk(word) => String::from_utf8_lossy(word).into_owned(),
        other => format!("{other:?}"),
    }
}

/// What Holdfast answers to a COMMAND that passed the table's own check, or what that said.
fn ask(question: &[Bytes]) -> Reply {
    let answer = match holdfast::command::check(question) {
        Ok(_) => introspect::command(question),
        Err(refusal) => refusal,
    };
    let mut encoded = BytesMut::new();
    answer.encode(Protocol::Resp2, &mut encoded);
    Reply::read(&mut &Bytes::from(encoded)[..]).expect("a reply")
}

#[test]
fn command_info_is_that_of_redis() {
    let Some(server) = RedisServer::start() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    let mut redis = server.connect();
    let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
    for name in table::all().map(|spec| spec.name) {
        let question = words(&format!("COMMAND INFO {name}"));
        ask(&question).elements().iter().for_each(|reply| facts(reply, &mut ours));
        redis.call(&question).elements().iter().for_each(|reply| facts(reply, &mut theirs));
    }
    assert!(theirs.len() > 100, "{theirs:?}");
    for (name, ours) in &ours {
        match theirs.get(name) {
            Some(theirs) if theirs == ours => {}
            // In 7.2 a blocking command may be called by a script and then does not block (#11568).
            Some(theirs) if name == "wait" && theirs[1] == "[+noscript]" => assert_eq!(ours[1], "[+blocking]"),
            // Whoever changes users wants to change them on all nodes, say the tips since 7.2.1 (#12545).
            Some(theirs) if CHANGE_USERS.contains(&name.as_str()) => {
                assert_eq!((&ours[..6], &ours[7..]), (&theirs[..6], &theirs[7..]), "{name}");
                assert_eq!(
                    (&ours[6][..], &theirs[6][..]),
                    ("[request_policy:all_nodes response_policy:all_succeeded]", "[]")
                );
            }
            // And ZRANK has a fourth word (#11235).
            Some(theirs) if name.ends_with("rank") && ours[0] == "Integer(-3)" => assert_eq!(ours[1..], theirs[1..]),
            Some(theirs) => panic!("{name}:\nRedis    {theirs:?}\nHoldfast {ours:?}"),
            None => assert!(is_newer(name), "Redis has no {name}"),
        }
    }
}

/// Names in a reply.
fn names(reply: &Reply) -> BTreeSet<String> {
    let name = |reply: &Reply| match reply {
        Reply::Bulk(name) => String::from_utf8_lossy(name).into_owned(),
        other => panic!("{other:?}"),
    };
    reply.elements().iter().map(name).collect()
}

#[test]
fn command_list_is_that_of_redis() {
    let Some(server) = RedisServer::start() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    let mut redis = server.connect();
    let all = names(&ask(&words("COMMAND LIST")));
    let common = |names: BTreeSet<String>| -> BTreeSet<String> {
        names.into_iter().filter(|name| all.contains(name) && !is_newer(name)).collect()
    };
    let categories = Categories::ALL.words().map(|category| format!("FILTERBY ACLCAT {category}"));
    let others =
        ["", "FILTERBY PATTERN *", "FILTERBY PATTERN [gs]?t*", "FILTERBY PATTERN CLIENT|*", "FILTERBY MODULE x"];
    for filter in others.into_iter().map(String::from).chain(categories) {
        let question = words(&format!("COMMAND LIST {filter}"));
        let (ours, theirs) = (names(&ask(&question)), names(&redis.call(&question)));
        let mut theirs = common(theirs);
        if filter.ends_with(" blocking") || filter.ends_with(" write") {
            // WAIT: see command_info_is_that_of_redis.
            theirs.remove("wait");
        }
        let mut ours = common(ours);
        if filter.ends_with(" blocking") {
            ours.remove("wait");
        }
        assert_eq!(ours, theirs, "{filter}");
    }
    for wrong in ["FILTERBY", "FILTERBY X", "FILTERBY X y", "X", "FILTERBY PATTERN a b", "FILTERBY ACLCAT nosuch"] {
        let question = words(&format!("COMMAND LIST {wrong}"));
        assert_eq!(ask(&question), redis.call(&question), "{wrong}");
    }
}

#[test]
fn keys_of_calls_are_those_of_redis() {
    let Some(server) = RedisServer::start() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    let mut redis = server.connect();
    let mut grammar = Grammar::new(Rng::new(1), DIALECT, SYNTAX.iter().chain(SESSION_SYNTAX).copied());
    for _ in 0..4_000 {
        let call = known(grammar.command(Millis(0)));
        for word in ["GETKEYS", "GETKEYSANDFLAGS"] {
            let question: Vec<Bytes> = words(&format!("COMMAND {word}")).into_iter().chain(call.clone()).collect();
            let (ours, theirs) = (ask(&question), redis.call(&question));
            let sorted = |reply: &Reply| match reply {
                Reply::Array(items) => items.iter().map(fact).collect(),
                other => vec![format!("{other:?}")],
            };
            assert_eq!(sorted(&ours), sorted(&theirs), "{question:?}");
        }
    }
}

/// Everything in a map of COMMAND DOCS but sentences and names: those are our own, or were renamed in 7.2 (#11051).
fn structure(reply: &Reply) -> BTreeMap<String, String> {
    let elements = reply.elements();
    let pairs = elements.chunks(2).filter_map(|pair| match pair {
        [Reply::Bulk(name), value] => Some((String::from_utf8_lossy(name).into_owned(), value)),
        _ => None,
    });
    let told = |(name, value): (String, &Reply)| {
        let text = match name.as_str() {
            "summary" | "complexity" | "name" | "display_text" | "replaced_by" | "history" => return None,
            "subcommands" => return None,
            "arguments" => {
                let arguments = value.elements();
                arguments.iter().map(|argument| format!("{:?}", structure(argument))).collect::<Vec<_>>().join(" ")
            }
            _ => fact(value),
        };
        Some((name, text))
    };
    pairs.filter_map(told).collect()
}

#[test]
fn command_docs_have_the_structure_of_redis() {
    let Some(server) = RedisServer::start() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    let mut redis = server.connect();
    let mut wrong = Vec::new();
    for spec in table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)) {
        if is_newer(spec.name) {
            continue;
        }
        let question = words(&format!("COMMAND DOCS {}", spec.name));
        let told = |reply: Reply| reply.elements().get(1).map(structure).unwrap_or_default();
        let (mut ours, mut theirs) = (told(ask(&question)), told(redis.call(&question)));
        if spec.name == "quit" {
            // Deprecated by 7.2 (#11439).
            assert_eq!(ours.remove("deprecated_since").as_deref(), Some("7.2.0"));
            ours.remove("doc_flags");
        }
        if let ("zrank" | "zrevrank", Some(arguments)) = (spec.name, ours.get_mut("arguments")) {
            // New in 7.2 (#11235).
            arguments.truncate(arguments.find(" {\"flags\"").expect("WITHSCORE is documented"));
        }
        if spec.name == "set" {
            // IFEQ and its like are new in 8.4.
            let arguments = ours.remove("arguments").unwrap_or_default();
            assert!(arguments.contains("IFEQ") && arguments.contains("IFNE"), "{arguments}");
            theirs.remove("arguments");
        }
        assert!(theirs.len() >= 2, "{}: {theirs:?}", spec.name);
        if ours != theirs {
            wrong.push(format!("{}:\nRedis    {theirs:?}\nHoldfast {ours:?}", spec.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
