//! What COMMAND INFO tells of each command, compared with what a redis-server tells of it.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use holdfast::command::introspect;
use holdfast::resp::Protocol;

use crate::server::RedisServer;
use crate::support::reply::Reply;
use crate::support::{Target, words};

/// What Redis 7.2 has and 7.0 has not (release notes: #11713, #11758, #11483, #10536).
const SINCE_7_2: &[&str] = &["waitaof", "client|setinfo", "client|no-touch", "cluster|myshardid"];

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

#[test]
fn command_info_is_that_of_redis() {
    let Some(server) = RedisServer::start() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    let mut redis = server.connect();
    let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
    for name in holdfast::command::table::all().map(|spec| spec.name) {
        let question = words(&format!("COMMAND INFO {name}"));
        let mut encoded = BytesMut::new();
        introspect::command(&question).encode(Protocol::Resp2, &mut encoded);
        let answer = Reply::read(&mut &Bytes::from(encoded)[..]).expect("a reply");
        answer.elements().iter().for_each(|reply| facts(reply, &mut ours));
        redis.call(&question).elements().iter().for_each(|reply| facts(reply, &mut theirs));
    }
    assert!(theirs.len() > 100, "{theirs:?}");
    for (name, ours) in &ours {
        match theirs.get(name) {
            Some(theirs) if theirs == ours => {}
            // In 7.2 a blocking command may be called by a script and then does not block (#11568).
            Some(theirs) if name == "wait" && theirs[1] == "[+noscript]" => assert_eq!(ours[1], "[+blocking]"),
            Some(theirs) => panic!("{name}:\nRedis    {theirs:?}\nHoldfast {ours:?}"),
            None => assert!(SINCE_7_2.contains(&name.as_str()), "Redis has no {name}"),
        }
    }
}
