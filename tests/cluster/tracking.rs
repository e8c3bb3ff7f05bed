//! Copies that clients keep, over three nodes: whoever writes, and whoever leads, a client that trusts its copies until
//! it is told otherwise ends up with the values that there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::reply::Reply;
use super::resp3::Client;
use super::{Cluster, PATIENCE};

const KEYS: u64 = 24;

fn ok(client: &mut Client, line: &str) {
    assert_eq!(client.call(line).expect("an answer"), Reply::Simple("OK".into()), "{line}");
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

/// Waits until a node tells a reader of changes that were made before: what comes later is not about them. `mark` is a key
/// that nobody uses otherwise.
fn catch_up(reader: &mut Client, writer: &mut Client, mark: &str) {
    reader.call(&format!("GET {mark}")).expect("an answer");
    ok(writer, &format!("SET {mark} 1"));
    while !matches!(&reader.push().expect("a notice")[1], Reply::Array(keys) if keys.contains(&bulk(mark))) {}
}

/// A notice of these keys.
fn notice(keys: &[&str]) -> Vec<Reply> {
    vec![bulk("invalidate"), Reply::Array(keys.iter().map(|key| bulk(key)).collect())]
}

fn everything() -> Vec<Reply> {
    vec![bulk("invalidate"), Reply::Null]
}

#[test]
fn changes_at_any_node_are_told_at_every_node() {
    let cluster = Cluster::start(1);
    let connect = |n: usize| Client::connect(cluster.nodes[n].resp).expect("a connection");
    let mut writers: Vec<Client> = (0..3).map(connect).collect();
    for at in 0..3 {
        let mut reader = connect(at);
        ok(&mut reader, "CLIENT TRACKING ON");
        catch_up(&mut reader, &mut writers[0], &format!("mark:{at}"));
        for (n, writer) in writers.iter_mut().enumerate() {
            let mut change = |line: &str, keys: &[&str]| {
                reader.call("GET k").expect("an answer");
                reader.call("HGET h f").expect("an answer");
                let reply = writer.call(line).expect("an answer");
                assert!(!reply.is_error(), "{line}: {reply:?}");
                assert_eq!(reader.push().expect("a notice"), notice(keys), "{line} at node {} for {at}", n + 1);
            };
            change("SET k 1", &["k"]);
            change("HSET h f 1", &["h"]);
            change("APPEND k 1", &["k"]);
            change("EVAL redis.call('set','k',2) 0", &["k"]);
            change("EXPIRE k 1000", &["k"]);
            change("DEL h", &["h"]);
            // Its end is nobody's command.
            change("SET k 1 PX 300", &["k"]);
            reader.call("GET k").expect("an answer");
            assert_eq!(reader.push().expect("the end"), notice(&["k"]));
            let told = notice(&["k"]);
            reader.call("GET k").expect("an answer");
            ok(writer, "SET k 1");
            assert_eq!(reader.push().expect("a notice"), told);
            ok(writer, "FLUSHALL");
            assert_eq!(reader.push().expect("a notice"), everything());
            // A database without keys changes nothing.
            reader.call("GET k").expect("an answer");
            ok(writer, "FLUSHALL");
            ok(writer, "SET k 1");
            assert_eq!(reader.push().expect("a notice"), told);
        }
    }
}

#[test]
fn prefixes_and_listeners_hear_of_other_nodes() {
    let cluster = Cluster::start(6);
    let connect = |n: usize| Client::connect(cluster.nodes[n].resp).expect("a connection");
    let (mut writer, mut broadcast, mut listener, mut reader) = (connect(0), connect(1), connect(2), connect(2));
    ok(&mut broadcast, "CLIENT TRACKING ON BCAST PREFIX user:");
    let Reply::Integer(id) = listener.call("CLIENT ID").expect("an answer") else { panic!("no id") };
    ok(&mut reader, &format!("CLIENT TRACKING ON REDIRECT {id}"));
    for number in 0..20 {
        let key = format!("user:{number}");
        reader.call(&format!("GET {key}")).expect("an answer");
        ok(&mut writer, &format!("SET other:{number} 1"));
        ok(&mut writer, &format!("SET {key} 1"));
        assert_eq!(broadcast.push().expect("a notice"), notice(&[&key]));
        assert_eq!(listener.push().expect("a notice"), notice(&[&key]));
    }
    reader.call("PING").expect("an answer");
    assert_eq!(reader.pushes(), Vec::<Vec<Reply>>::new(), "another one hears for it");
}

#[test]
fn own_changes_are_not_told_with_noloop() {
    let cluster = Cluster::start(1);
    let connect = |n: usize| Client::connect(cluster.nodes[n].resp).expect("a connection");
    let mut other = connect(0);
    for n in 0..3 {
        for mode in ["NOLOOP", "NOLOOP BCAST"] {
            let mut reader = connect(n);
            ok(&mut reader, &format!("CLIENT TRACKING ON {mode}"));
            catch_up(&mut reader, &mut other, &format!("{n}:{}", mode.len()));
            reader.call("MGET own block shared mark").expect("an answer");
            ok(&mut reader, "SET own 1");
            reader.call("MULTI").expect("an answer");
            reader.call("INCR block").expect("an answer");
            reader.call("EXEC").expect("an answer");
            reader.call("EVAL redis.call('set',KEYS[1],2) 1 own").expect("an answer");
            // Had one of these been told, it would come before this.
            ok(&mut other, "SET mark 1");
            assert_eq!(reader.push().expect("a notice"), notice(&["mark"]), "{mode} at node {}", n + 1);
            // What others change after it is told, although it was not read again.
            ok(&mut other, "SET own 2");
            assert_eq!(reader.push().expect("a notice"), notice(&["own"]), "{mode} at node {}", n + 1);
        }
    }
}

#[test]
fn what_scripts_read_is_told_at_every_node() {
    let cluster = Cluster::start(1);
    let connect = |n: usize| Client::connect(cluster.nodes[n].resp).expect("a connection");
    let mut writer = connect(0);
    for n in 0..3 {
        let mut reader = connect(n);
        ok(&mut reader, "CLIENT TRACKING ON");
        catch_up(&mut reader, &mut writer, &format!("mark:{n}"));
        // Those that write travel and are remembered otherwise than those that only read.
        for script in [
            "EVAL return(redis.call('get','undeclared')) 1 declared",
            "EVAL_RO return(redis.call('get','undeclared')) 1 declared",
            "EVAL redis.call('set','written',redis.call('exists','undeclared')) 1 declared",
        ] {
            let reply = reader.call(script).expect("an answer");
            assert!(!reply.is_error(), "{script}: {reply:?}");
            ok(&mut writer, "SET declared 1");
            ok(&mut writer, "SET undeclared 1");
            assert_eq!(reader.push().expect("a notice"), notice(&["undeclared"]), "{script} at node {}", n + 1);
        }
        reader.call("MULTI").expect("an answer");
        reader.call("EVAL return(redis.call('get','undeclared')) 0").expect("an answer");
        reader.call("EXEC").expect("an answer");
        ok(&mut writer, "SET undeclared 2");
        assert_eq!(reader.push().expect("a notice"), notice(&["undeclared"]), "a block at node {}", n + 1);
    }
}

/// What a caching client has.
struct Cache {
    client: Client,
    copies: BTreeMap<String, String>,
    /// Notices that it got.
    notices: usize,
    /// Reads that needed no node, and others.
    hits: usize,
    misses: usize,
}

impl Cache {
    fn new(port: u16, mode: &str) -> Cache {
        let mut client = Client::connect(port).expect("a connection");
        ok(&mut client, &format!("CLIENT TRACKING ON {mode}"));
        Cache { client, copies: BTreeMap::new(), notices: 0, hits: 0, misses: 0 }
    }

    /// Drops the copies that it was told of.
    fn take_notices(&mut self) {
        for push in self.client.pushes() {
            self.notices += 1;
            match &push[1] {
                Reply::Null => self.copies.clear(),
                Reply::Array(keys) => {
                    for key in keys {
                        let Reply::Bulk(key) = key else { panic!("{push:?}") };
                        self.copies.remove(&*String::from_utf8_lossy(key));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads a key as such a client does.
    fn read(&mut self, key: &str) {
        if self.copies.contains_key(key) {
            self.hits += 1;
            // Whatever is asked brings the notices along.
            self.client.call("PING").expect("an answer");
            self.take_notices();
            return;
        }
        // Every other value comes from a script, which names no key.
        self.misses += 1;
        let line = match self.misses % 2 {
            0 => format!("EVAL return(redis.call('get',ARGV[1])) 0 {key}"),
            _ => format!("GET {key}"),
        };
        let reply = self.client.call(&line).expect("an answer");
        // Those that came before the value are about older ones.
        self.take_notices();
        if let Reply::Bulk(value) = reply {
            self.copies.insert(key.into(), String::from_utf8_lossy(&value).into_owned());
        }
    }
}

/// A number generator that needs no seed from outside (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}

#[test]
fn no_copy_outlives_its_value_over_a_leader_change() {
    let mut cluster = Cluster::start(1);
    let leader = cluster.leader();
    let survivors: Vec<u16> = (0..3).filter(|n| *n != leader).map(|n| cluster.nodes[n].resp).collect();
    let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let write = |(number, port): (usize, u16)| {
        let (stop, writes) = (stop.clone(), writes.clone());
        thread::spawn(move || {
            let (mut client, mut state) = (Client::connect(port).expect("a connection"), number as u64);
            while !stop.load(Ordering::Relaxed) {
                let (key, value) = (next(&mut state) % KEYS, next(&mut state));
                // Whatever becomes of it: the final values are read.
                client.call(&format!("SET key:{key} {value}")).expect("an answer");
                writes.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let writers: Vec<_> = survivors.iter().copied().enumerate().map(write).collect();
    let caches = survivors.iter().flat_map(|port| ["", "BCAST PREFIX key:", "OPTOUT"].map(|mode| (*port, mode)));
    let read = |(port, mode): (u16, &str)| {
        let (mut cache, stop) = (Cache::new(port, mode), stop.clone());
        thread::spawn(move || {
            let mut state = u64::from(port);
            while !stop.load(Ordering::Relaxed) {
                cache.read(&format!("key:{}", next(&mut state) % KEYS));
            }
            cache
        })
    };
    let readers: Vec<_> = caches.map(read).collect();
    let until_written = |cluster: &Cluster, count: u64| {
        let wanted = writes.load(Ordering::Relaxed) + count;
        cluster.until("writes go on", || (writes.load(Ordering::Relaxed) >= wanted).then_some(()));
    };
    until_written(&cluster, 500);
    cluster.nodes[leader].kill();
    until_written(&cluster, 500);
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("it wrote"));
    let caches: Vec<Cache> = readers.into_iter().map(|reader| reader.join().expect("it read")).collect();
    let mut plain = Client::connect(survivors[0]).expect("a connection");
    let mut value = |key: &str| match plain.call(&format!("GET {key}")).expect("an answer") {
        Reply::Bulk(value) => String::from_utf8_lossy(&value).into_owned(),
        other => panic!("{other:?}"),
    };
    let last: BTreeMap<String, String> =
        (0..KEYS).map(|key| format!("key:{key}")).map(|key| (key.clone(), value(&key))).collect();
    for mut cache in caches {
        assert!(cache.notices > 0 && cache.hits > 0, "{} notices, {} hits", cache.notices, cache.hits);
        // The node may be a moment behind; a copy that nobody tells of stays wrong for ever.
        let deadline = Instant::now() + PATIENCE / 3;
        loop {
            last.keys().for_each(|key| cache.read(key));
            if cache.copies == last {
                break;
            }
            let wrong: Vec<_> = last.iter().filter(|(key, value)| cache.copies.get(*key) != Some(value)).collect();
            assert!(Instant::now() < deadline, "old copies of {wrong:?}: {:?}", cache.copies);
        }
    }
}
