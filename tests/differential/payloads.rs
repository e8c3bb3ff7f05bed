//! Values as Redis takes them: what `rdb` writes is restored by a redis-server, and what that dumps of it is the value.

use bytes::Bytes;
use holdfast::base::Rng;
use holdfast::rdb::stream::{Consumer, Entry, Group, Pending, Stream};
use holdfast::rdb::{self, Object};

use crate::server::RedisServer;
use crate::support::reply::Reply;
use crate::support::{Target, words};

/// Values that are sent there and back.
const VALUES: usize = 2_000;
/// The version that a redis-server 7.0 writes, and the latest that it reads.
const VERSION: u16 = 10;
/// Sizes of small values: each is in force for some of the values, so that those come back in all forms.
const SIZES: &[&str] = &["2", "10", "128"];

#[test]
fn redis_takes_every_value_and_gives_it_back() {
    let Some(server) = RedisServer::start() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    let mut redis = server.connect();
    let mut rng = Rng::new(1);
    for number in 0..VALUES {
        if number % 100 == 0 {
            for kind in ["hash-max-listpack-entries", "zset-max-listpack-entries", "set-max-intset-entries"] {
                redis.call(&words(&format!("CONFIG SET {kind} {}", rng.pick(SIZES))));
            }
        }
        let object = random_object(&mut rng);
        let payload = rdb::dump_as(&object, rng.chance(1, 2), VERSION);
        let call = |line: &str| words(line);
        let mut restore = call("RESTORE k 0");
        restore.extend([payload, Bytes::from_static(b"REPLACE")]);
        assert_eq!(redis.call(&restore), Reply::Simple("OK".into()), "{object:?}");
        let Reply::Bulk(dumped) = redis.call(&call("DUMP k")) else { panic!("no payload of {object:?}") };
        let back = rdb::load(&dumped.into()).unwrap_or_else(|error| panic!("{object:?}: {error}"));
        assert_eq!(in_one_order(back), in_one_order(object));
    }
}

/// Large values come in an order of their own.
fn in_one_order(mut object: Object) -> Object {
    match &mut object {
        Object::String(_) | Object::List(_) | Object::Stream(_) => {}
        Object::Set(members) => members.sort(),
        Object::Hash(pairs) => pairs.sort(),
        Object::TimedHash(fields) => fields.sort(),
        Object::Zset(members) => members.sort_by(|(one, _), (other, _)| one.cmp(other)),
    }
    object
}

fn random_word(rng: &mut Rng) -> Bytes {
    match rng.below(5) {
        0 | 1 => (rng.next() as i64 >> rng.below(64)).to_string().into(),
        2 => vec![b'a' + rng.below(3) as u8; rng.below(200) as usize].into(),
        3 if rng.chance(1, 20) => (0..rng.below(30_000)).map(|_| b'a' + rng.below(9) as u8).collect::<Vec<_>>().into(),
        _ => (0..rng.below(30)).map(|_| rng.next() as u8).collect::<Vec<_>>().into(),
    }
}

fn random_object(rng: &mut Rng) -> Object {
    let kind = rng.below(7);
    if kind == 6 {
        return Object::Stream(random_stream(rng));
    }
    let of_integers = kind == 2;
    let word = |rng: &mut Rng| if of_integers { rng.below(100_000).to_string().into() } else { random_word(rng) };
    let mut names: Vec<Bytes> = (0..rng.range(1, 30)).map(|_| word(rng)).collect();
    if kind > 1 {
        names.sort();
        names.dedup();
    }
    match kind {
        0 => Object::String(random_word(rng)),
        1 => Object::List(names),
        2 | 3 => Object::Set(names),
        4 => Object::Hash(names.into_iter().map(|name| (name, random_word(rng))).collect()),
        _ => {
            let score = |rng: &mut Rng| *rng.pick(&[0.0, 1.0, -2.5, 0.1, 1e300, f64::INFINITY, f64::NEG_INFINITY]);
            let mut members: Vec<(Bytes, f64)> = names.into_iter().map(|name| (name, score(rng))).collect();
            members.sort_by(|(one, first), (other, second)| first.total_cmp(second).then(one.cmp(other)));
            Object::Zset(members)
        }
    }
}

/// A stream as a 7.0 has it, which does not know when consumers got something.
fn random_stream(rng: &mut Rng) -> Stream {
    let mut id = (0, 0);
    let mut next = |rng: &mut Rng| {
        id = if rng.chance(1, 2) {
            (id.0, id.1 + rng.range(1, 500))
        } else {
            (id.0 + (1 << rng.below(40)), rng.below(3))
        };
        id
    };
    let mut pages = Vec::new();
    for _ in 0..rng.below(5) {
        let fields: Vec<Bytes> = (0..rng.range(1, 4)).map(|_| random_word(rng)).collect();
        let entry = |rng: &mut Rng| {
            let own = rng.chance(1, 4).then(|| vec![random_word(rng)]);
            let fields = own.as_ref().unwrap_or(&fields);
            let words = fields.iter().flat_map(|field| [field.clone(), random_word(rng)]).collect();
            Entry { id: next(rng), words, is_dead: false }
        };
        let mut entry = entry;
        pages.push((0..rng.range(1, 6)).map(|_| entry(rng)).collect());
    }
    let names = |rng: &mut Rng| {
        let mut names: Vec<Bytes> = (0..rng.below(3)).map(|_| random_word(rng)).collect();
        names.sort();
        names.dedup();
        names
    };
    let groups = names(rng).into_iter().map(|name| {
        let seen = rng.below(1 << 40);
        let consumer = |name| Consumer { name, seen, active: Some(seen) };
        let consumers: Vec<Consumer> = names(rng).into_iter().map(consumer).collect();
        let pending = (0..if consumers.is_empty() { 0 } else { rng.below(5) }).map(|number| Pending {
            id: (number, rng.next()),
            delivered: rng.below(1 << 40),
            deliveries: rng.next() >> rng.range(1, 64),
            consumer: rng.below(consumers.len() as u64) as usize,
        });
        let pending = pending.collect();
        let entries_read = rng.chance(1, 2).then(|| rng.below(10));
        Group { name, last_id: (rng.below(100), rng.next()), entries_read, consumers, pending }
    });
    let groups = groups.collect();
    let length: usize = pages.iter().map(Vec::len).sum();
    let added = Some(length as u64 + rng.below(10));
    Stream { pages, last_id: next(rng), deleted: (rng.below(5), rng.below(5)), added, groups }
}
