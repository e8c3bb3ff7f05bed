//! As many clients as the settings promise, all of them served, and the next one refused.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::nodes::Nodes;
use crate::resp::PATIENCE;

/// The default of `clients.max`.
const CLIENTS: usize = 10_000;

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: &str) -> Client {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client { stream: BufReader::new(stream) }
    }

    fn say(&mut self, line: &str) {
        self.stream.get_mut().write_all(line.as_bytes()).expect("the server reads");
    }

    /// One line of a reply; empty when the server closed.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a reply");
        line
    }
}

/// Lets this process open so many files, if it may.
fn may_open(files: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write just the struct they are given.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = files.max(limit.rlim_cur);
        limit.rlim_max = limit.rlim_max.max(limit.rlim_cur);
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
    }
}

#[test]
fn ten_thousand_clients_are_served_and_the_next_is_refused() {
    if !may_open(CLIENTS as u64 + 1024) {
        println!("NOT RUN: this process may not open {CLIENTS} connections; raise the limit (ulimit -Hn)");
        return;
    }
    let nodes = Nodes::start(1, &[]);
    let address = &nodes.addresses()[0];
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
    // All speak before any is answered.
    clients.iter_mut().for_each(|client| client.say("INCR n\r\n"));
    let mut numbers: Vec<String> = clients.iter_mut().map(Client::hear).collect();
    numbers.sort_by_key(|line| (line.len(), line.clone()));
    let wanted: Vec<String> = (1..=CLIENTS).map(|number| format!(":{number}\r\n")).collect();
    assert!(numbers == wanted, "each client was served once: {:?} ... {:?}", numbers.first(), numbers.last());

    let mut refused = Client::connect(address);
    assert_eq!(refused.hear(), "-ERR max number of clients reached\r\n");
    assert_eq!(refused.hear(), "", "and closed");
    // A place that becomes free is given away again.
    clients[0].say("QUIT\r\n");
    assert_eq!((clients[0].hear(), clients[0].hear()), ("+OK\r\n".into(), String::new()));
    let mut next = Client::connect(address);
    next.say("PING\r\n");
    assert_eq!(next.hear(), "+PONG\r\n");
    drop((clients, next));
    nodes.stop();
}
