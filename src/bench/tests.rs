//! The load against servers made of a thread each, whose manners are known.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use super::command::Template;
use super::*;

/// Answers every request, found by its number of lines, with what `reply` makes of the count of requests so far.
fn serve(mut stream: TcpStream, reply: impl Fn(u64) -> &'static str) {
    let (mut buffer, mut lines, mut requests) = ([0; 4_096], 0, 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let mut out = String::new();
        for _ in buffer[..read].iter().filter(|byte| **byte == b'\n') {
            lines += 1;
            // `*2`, `$3`, `GET`, `$16`, the key.
            if lines % 5 == 0 {
                requests += 1;
                out.push_str(reply(requests));
            }
        }
        if stream.write_all(out.as_bytes()).is_err() {
            return;
        }
    }
}

/// A server on a free port.
fn server(reply: impl Fn(u64) -> &'static str + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let reply = reply.clone();
            thread::spawn(move || serve(stream, reply));
        }
    });
    address
}

fn options(address: String) -> Options {
    Options {
        addresses: vec![address],
        password: None,
        mix: Mix::only(Template::named("get", 1).expect("known")),
        keys: 100,
        distribution: Distribution::Uniform,
        clients: 3,
        threads: 2,
        pipeline: 4,
        amount: Amount::Requests(1_001),
        warm_up: Duration::ZERO,
        rate: None,
        seed: 1,
    }
}

#[test]
fn every_request_is_counted_once() {
    let address = server(|_| "$3\r\nabc\r\n");
    let closed = options(address);
    assert_eq!(run(&closed).expect("a healthy server").summary().requests, 1_001);
    let open = Options { rate: Some(20_000.0), ..closed.clone() };
    let summary = run(&open).expect("a healthy server").summary();
    assert_eq!(summary.requests, 1_001);
    assert!((0.04..1.0).contains(&summary.seconds), "1,001 at 20,000 per second take 50 ms: {summary:?}");
    let timed =
        Options { amount: Amount::Time(Duration::from_millis(50)), warm_up: Duration::from_millis(50), ..closed };
    let summary = run(&timed).expect("a healthy server").summary();
    assert!(summary.requests > 0 && (0.02..1.0).contains(&summary.seconds), "{summary:?}");
}

#[test]
fn what_a_server_refuses_is_told_before_and_while_it_is_measured() {
    let at_once = run(&options(server(|_| "-NOAUTH Authentication required.\r\n"))).expect_err("a refusal");
    assert!(at_once.contains("GET: it answers -NOAUTH"), "{at_once}");
    let later = |request| if request < 50 { "$1\r\nx\r\n" } else { "-CLUSTERDOWN The cluster is down\r\n" };
    let later = run(&options(server(later))).expect_err("a refusal");
    assert!(later.contains("-CLUSTERDOWN") && later.contains("127.0.0.1"), "{later}");
    let nobody = run(&options("127.0.0.1:1".into())).expect_err("nobody listens there");
    assert!(nobody.contains("no connection"), "{nobody}");
}

/// A server that stands still for a while makes all requests wait that were due meanwhile, not only the one that it
/// held: a loop that asks only when it was answered would hardly notice.
#[test]
fn an_open_loop_counts_from_when_requests_were_due() {
    let (stop, stopped) = mpsc::channel::<()>();
    let stopped = std::sync::Arc::new(parking_lot::Mutex::new(stopped));
    let address = server(move |request| {
        if request == 100 {
            // Nobody sends: the wait takes its full time.
            let _ = stopped.lock().recv_timeout(Duration::from_millis(300));
        }
        "$1\r\nx\r\n"
    });
    let amount = Amount::Requests(1_000);
    let still = Options { clients: 1, threads: 1, pipeline: 1, amount, rate: Some(1_000.0), ..options(address) };
    let summary = run(&still).expect("it goes on").summary();
    drop(stop);
    assert_eq!(summary.requests, 1_000);
    assert!(summary.max_us >= 290_000.0, "{summary:?}");
    // Some 300 of 1,000 requests waited, evenly from 300 ms to nothing, so the tenth part waited for 200 ms or longer.
    assert!(summary.p99_us >= 200_000.0 && summary.mean_us >= 25_000.0, "{summary:?}");
}

#[test]
fn options_without_sense_are_refused() {
    let good = options("127.0.0.1:1".into());
    for (wrong, word) in [
        (Options { addresses: vec![], ..good.clone() }, "addresses"),
        (Options { keys: command::KEYS_MAX + 1, ..good.clone() }, "keys"),
        (Options { clients: 1, ..good.clone() }, "threads"),
        (Options { rate: Some(0.0), ..good.clone() }, "rate"),
    ] {
        let why = run(&wrong).expect_err("no sense");
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn idle_connections_are_held_until_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut ping = [0; 14];
                while stream.read_exact(&mut ping).is_ok() && stream.write_all(b"+PONG\r\n").is_ok() {}
            });
        }
    });
    let mut out = Vec::new();
    idle::hold(&address, 20, &mut &b""[..], &mut out).expect("they answer");
    assert_eq!(String::from_utf8_lossy(&out), "20 connections are open\n20 connections still answer\n");
}
