//! Values as Redis takes them: what `rdb` writes is restored by a redis-server, and what that dumps of it is the value.

use bytes::Bytes;
use holdfast::base::Rng;
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
        Object::String(_) | Object::List(_) => {}
        Object::Set(members) => members.sort(),
        Object::Hash(pairs) => pairs.sort(),
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
    let kind = rng.below(6);
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
