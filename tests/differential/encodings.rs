//! What values of growing size say of their encoding, with the sizes that both ship: element by element, as a redis-server
//! does.

use holdfast::data::Thresholds;
use holdfast::store::memory::MemoryEngine;

use crate::server::RedisServer;
use crate::support::local::Local;
use crate::support::reply::Reply;
use crate::support::{Target, words};

/// Elements of the largest value.
const ELEMENTS: usize = 600;

/// A way to make a value grow: a name, and the words that add an element.
type Growth = (&'static str, fn(usize) -> String);

const GROWTHS: &[Growth] = &[
    ("a hash", |n| format!("HSET k field-{n} {n}")),
    ("a hash of longer words", |n| {
        format!("HSET k a-rather-long-name-of-a-field-{n} and-a-value-that-is-not-short-{n}")
    }),
    ("a hash with a long value at last", |n| format!("HSET k {n} {}", "v".repeat(if n == 300 { 65 } else { 64 }))),
    ("a set of integers", |n| format!("SADD k {}", n * 1_000_003)),
    ("a set of integers, then a word", |n| if n == 100 { "SADD k word".into() } else { format!("SADD k {n}") }),
    ("a set of many integers, then a word", |n| if n == 200 { "SADD k word".into() } else { format!("SADD k {n}") }),
    ("a set of words", |n| format!("SADD k word-{n}")),
    ("a sorted set", |n| format!("ZADD k {n} member-{n}")),
    ("a sorted set of longer words", |n| format!("ZADD k {n} a-member-of-a-sorted-set-that-is-not-short-{n}")),
    ("a sorted set with a long member", |n| format!("ZADD k {n} {n}{}", "m".repeat(if n == 90 { 65 } else { 10 }))),
];

#[test]
fn values_of_any_size_have_the_encodings_of_redis() {
    let Some(server) = RedisServer::start_as_shipped() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    let mut redis = server.connect();
    let mut holdfast = Local::over(MemoryEngine::new(), Thresholds::default());
    for (parameter, number) in Thresholds::default().parameters() {
        let shipped = redis.call(&words(&format!("CONFIG GET {parameter}"))).elements();
        // Redis 7.0 does not know small sets of other words than integers.
        if !parameter.starts_with("set-max-listpack") {
            assert_eq!(shipped.get(1), Some(&Reply::Bulk(number.to_string().into_bytes())), "{parameter}");
        }
    }
    let encoding = words("OBJECT ENCODING k");
    for (name, grow) in GROWTHS {
        for number in 0..ELEMENTS {
            let line = words(&grow(number));
            assert_eq!(holdfast.call(&line), redis.call(&line), "{name}, element {number}");
            let (ours, theirs) = (holdfast.call(&encoding), redis.call(&encoding));
            let is_small_set = ours == Reply::Bulk(b"listpack".to_vec()) && name.contains("a set of");
            let since_7_2 = is_small_set && theirs == Reply::Bulk(b"hashtable".to_vec()) && number < 128;
            assert!(ours == theirs || since_7_2, "{name}, element {number}: {ours:?} instead of {theirs:?}");
        }
        for target in [&mut holdfast as &mut dyn Target, &mut redis] {
            target.call(&words("DEL k"));
        }
    }
}
