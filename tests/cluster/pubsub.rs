//! Messages of channels over three nodes: everybody who listens hears the same, wherever they and the publishers are.

use std::collections::BTreeSet;
use std::thread::{self, JoinHandle};

use super::Cluster;
use super::resp::{Client, Reply};

const CHANNEL: &str = "news";
/// The last message.
const END: &str = "end";

/// Listens until the end.
struct Listener(JoinHandle<Vec<String>>);

impl Listener {
    fn start(port: u16, word: &str, name: &str) -> Listener {
        let mut client = Client::connect(port).expect("a connection");
        let confirmation = client.call(&[word, name]).expect("a confirmation");
        assert_eq!(parts(&confirmation)[2], Reply::Integer(1), "{confirmation:?}");
        Listener(thread::spawn(move || {
            let mut heard = Vec::new();
            loop {
                let message = text(parts(&client.reply().expect("a message")).last().expect("a text"));
                if message == END {
                    return heard;
                }
                heard.push(message);
            }
        }))
    }

    fn heard(self) -> Vec<String> {
        self.0.join().expect("it heard everything")
    }
}

fn parts(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(Some(parts)) => parts,
        other => panic!("{other:?}"),
    }
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// Publishes numbered messages, each in one of the ways there are; the messages whose arrival was promised, and those
/// whose fate nobody knows.
fn publish(port: u16, name: &str, count: usize) -> (Vec<String>, Vec<String>) {
    let mut client = Client::connect(port).expect("a connection");
    let (mut promised, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..count {
        let message = format!("{name}:{number}");
        let mut call = |words: &[&str]| client.call(words).expect("an answer");
        let reply = match number % 3 {
            0 => call(&["PUBLISH", CHANNEL, &message]),
            1 => call(&["EVAL", "return redis.call('publish', KEYS[1], ARGV[1])", "1", CHANNEL, &message]),
            _ => {
                call(&["MULTI"]);
                call(&["INCR", CHANNEL]);
                call(&["PUBLISH", CHANNEL, &message]);
                match call(&["EXEC"]) {
                    Reply::Array(Some(replies)) => replies[1].clone(),
                    other => other,
                }
            }
        };
        match reply {
            Reply::Integer(_) => promised.push(message),
            Reply::Error(why) if why.starts_with("UNKNOWNOUTCOME") => unknown.push(message),
            // Certainly not published.
            Reply::Error(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (promised, unknown)
}

/// Waits until a node counts so many subscribers.
fn until_counted(cluster: &Cluster, n: usize, subscribers: i64) {
    let wanted = Reply::Array(Some(vec![Reply::Bulk(Some(CHANNEL.into())), Reply::Integer(subscribers)]));
    let counted = || cluster.nodes[n].ask(&["PUBSUB", "NUMSUB", CHANNEL]).filter(|reply| *reply == wanted);
    cluster.until(&format!("node {} counts {subscribers} subscribers", n + 1), counted);
}

/// The messages of each publisher are in its order, and no message comes twice.
fn check_order(heard: &[String]) {
    let distinct: BTreeSet<_> = heard.iter().collect();
    assert_eq!(distinct.len(), heard.len(), "a message came twice");
    let split = |message: &String| {
        let (name, number) = message.split_once(':').expect("a numbered message");
        (name.to_owned(), number.parse::<usize>().expect("a number"))
    };
    let mut last = std::collections::BTreeMap::new();
    for (name, number) in heard.iter().map(split) {
        let before = last.insert(name.clone(), number);
        assert!(before.is_none_or(|before| before < number), "{name}:{number} came after {before:?}");
    }
}

fn all_hear_the_same(partitions: usize) {
    let cluster = Cluster::start(partitions);
    let ports: Vec<u16> = cluster.nodes.iter().map(|node| node.resp).collect();
    let by_name = ports.iter().map(|port| Listener::start(*port, "SUBSCRIBE", CHANNEL));
    let by_pattern = ports.iter().map(|port| Listener::start(*port, "PSUBSCRIBE", "n?ws"));
    let listeners: Vec<Listener> = by_name.chain(by_pattern).collect();
    (0..3).for_each(|n| until_counted(&cluster, n, 3));
    for node in &cluster.nodes {
        let none = Reply::Integer(0);
        assert_eq!(node.ask(&["SPUBLISH", CHANNEL, "a shard channel is another one"]), Some(none));
        assert_eq!(node.ask(&["PUBSUB", "NUMPAT"]), Some(Reply::Integer(1)));
    }
    let publisher = |(number, port): (usize, u16)| thread::spawn(move || publish(port, &format!("p{number}"), 120));
    let publishers: Vec<_> = ports.iter().chain(&ports).copied().enumerate().map(publisher).collect();
    let mut promised = BTreeSet::new();
    for publisher in publishers {
        let (sent, unknown) = publisher.join().expect("it published");
        assert_eq!((sent.len(), unknown.len()), (120, 0), "nothing fails on a healthy cluster");
        promised.extend(sent);
    }
    assert_eq!(cluster.nodes[0].ask(&["PUBLISH", CHANNEL, END]), Some(Reply::Integer(6)));
    let heard: Vec<Vec<String>> = listeners.into_iter().map(Listener::heard).collect();
    check_order(&heard[0]);
    assert_eq!(heard[0].iter().cloned().collect::<BTreeSet<_>>(), promised);
    for other in &heard[1..] {
        assert!(other == &heard[0], "two listeners heard another order");
    }
    (0..3).for_each(|n| until_counted(&cluster, n, 0));
}

#[test]
fn all_listeners_hear_the_same_messages_in_the_same_order() {
    all_hear_the_same(1);
}

#[test]
fn with_several_partitions_a_channel_has_one_order() {
    all_hear_the_same(3);
}

#[test]
fn what_was_promised_arrives_once_although_the_leader_dies() {
    let mut cluster = Cluster::start(1);
    let leader = cluster.leader();
    let living: Vec<usize> = (0..3).filter(|n| *n != leader).collect();
    let ports: Vec<u16> = living.iter().map(|n| cluster.nodes[*n].resp).collect();
    let lost = Client::connect(cluster.nodes[leader].resp).and_then(|mut lost| {
        lost.call(&["SUBSCRIBE", CHANNEL])?;
        Ok(lost)
    });
    let listeners: Vec<Listener> = ports.iter().map(|port| Listener::start(*port, "SUBSCRIBE", CHANNEL)).collect();
    living.iter().for_each(|n| until_counted(&cluster, *n, 3));
    let publisher = |(number, port): (usize, u16)| thread::spawn(move || publish(port, &format!("p{number}"), 400));
    let publishers: Vec<_> = ports.iter().chain(&ports).copied().enumerate().map(publisher).collect();
    let counted = |cluster: &Cluster, n: usize| match cluster.nodes[n].ask(&["GET", CHANNEL])? {
        Reply::Bulk(Some(number)) => String::from_utf8(number).ok()?.parse::<u64>().ok().filter(|count| *count > 30),
        _ => None,
    };
    cluster.until("some messages", || counted(&cluster, living[0]));
    cluster.nodes[leader].kill();
    drop(lost);
    // Its subscriber is forgotten with it.
    living.iter().for_each(|n| until_counted(&cluster, *n, 2));
    let (mut promised, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for publisher in publishers {
        let (sent, doubted) = publisher.join().expect("it published");
        promised.extend(sent);
        unknown.extend(doubted);
    }
    assert!(promised.len() > 200, "{} were promised", promised.len());
    // One that comes back hears what is said from then on, and nothing that is in its log.
    cluster.nodes[leader].start();
    let mut back = cluster.until("a subscriber of the node that came back", || {
        let mut client = Client::connect(cluster.nodes[leader].resp).ok()?;
        client.call(&["SUBSCRIBE", CHANNEL]).ok()?;
        Some(client)
    });
    living.iter().for_each(|n| until_counted(&cluster, *n, 3));
    cluster.until_writable(leader);
    assert_eq!(cluster.nodes[living[0]].ask(&["PUBLISH", CHANNEL, END]), Some(Reply::Integer(3)));
    assert_eq!(text(&parts(&back.reply().expect("a message"))[2]), END);

    let heard: Vec<Vec<String>> = listeners.into_iter().map(Listener::heard).collect();
    check_order(&heard[0]);
    assert!(heard[0] == heard[1], "two listeners heard another order");
    let all: BTreeSet<String> = heard[0].iter().cloned().collect();
    let missing: Vec<_> = promised.difference(&all).collect();
    assert!(missing.is_empty(), "promised and not heard: {missing:?}");
    let strange: Vec<_> =
        all.iter().filter(|message| !promised.contains(*message) && !unknown.contains(*message)).collect();
    assert!(strange.is_empty(), "heard, although refused: {strange:?}");
}
