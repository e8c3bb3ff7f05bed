//! Real nodes for a test: `holdfast server` processes of one cluster on free ports of this machine, gone with the
//! value. What they said is printed when the test fails.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ports::free_ports;

/// How long a cluster may take until every node is ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running cluster.
pub struct Nodes {
    nodes: Vec<Node>,
    home: tempfile::TempDir,
}

struct Node {
    /// Starts it, again too.
    command: Command,
    process: Child,
    peer: u16,
    resp: u16,
    http: u16,
    log: PathBuf,
}

impl Nodes {
    /// Starts so many nodes with these settings (as in the environment: `CLIENTS__MAX`), and waits until all are
    /// ready.
    pub fn start(count: usize, settings: &[(&str, &str)]) -> Nodes {
        let home = tempfile::tempdir().expect("a directory");
        let ports = free_ports(3 * count);
        let at = |port: u16| format!("127.0.0.1:{port}");
        let members: Vec<String> = (0..count).map(|n| format!("{}={}", n + 1, at(ports[3 * n]))).collect();
        let nodes = (0..count).map(|n| {
            let (peer, resp, http) = (ports[3 * n], ports[3 * n + 1], ports[3 * n + 2]);
            let log = home.path().join(format!("node-{}.log", n + 1));
            let lines = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
            let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
            command.args(["server", "--node-id", &(n + 1).to_string()]);
            command.arg("--data-dir").arg(home.path().join(format!("node-{}", n + 1)));
            command.args(["--peer", &at(peer), "--resp", &at(resp), "--http", &at(http)]);
            if count > 1 {
                command.args(["--initial-cluster", &members.join(",")]);
            }
            command.envs(settings.iter().map(|(name, value)| (format!("HOLDFAST_{name}"), value)));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(lines);
            Node { process: command.spawn().expect("the program starts"), command, peer, resp, http, log }
        });
        let mut nodes = Nodes { nodes: nodes.collect(), home };
        (0..count).for_each(|n| nodes.until_ready(n));
        nodes
    }

    /// Where RESP clients of the nodes connect, in their order.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.resp)).collect()
    }

    /// Where HTTP clients of the nodes connect, in their order.
    pub fn http_addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.http)).collect()
    }

    /// Where other nodes connect to the nodes, in their order.
    pub fn peer_addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.peer)).collect()
    }

    /// The directory with everything that belongs to the nodes.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What a node has said so far.
    pub fn log(&self, n: usize) -> String {
        std::fs::read_to_string(&self.nodes[n].log).expect("a log file")
    }

    /// Ends a node without a warning.
    pub fn kill(&mut self, n: usize) {
        let process = &mut self.nodes[n].process;
        process.kill().expect("a child can be killed");
        process.wait().expect("a child can be waited for");
    }

    /// Starts a node that ended on its data again, and waits until it is ready.
    pub fn restart(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.process = node.command.spawn().expect("the program starts");
        self.until_ready(n);
    }

    /// Waits until a node ended by itself, in good order.
    pub fn until_ended(&mut self, n: usize) {
        let status = self.nodes[n].process.wait().expect("a child can be waited for");
        assert!(status.success(), "node {} ended with {status}", n + 1);
    }

    /// Asks all nodes to end (SIGTERM) and waits until they did, in good order.
    pub fn end(&mut self) {
        for node in &self.nodes {
            // SAFETY: a signal to a child of ours that was not waited for, so the id cannot be somebody else's.
            assert_eq!(unsafe { libc::kill(node.process.id() as i32, libc::SIGTERM) }, 0);
        }
        for (n, node) in self.nodes.iter_mut().enumerate() {
            let status = node.process.wait().expect("a child can be waited for");
            assert!(status.success(), "node {} ended with {status}", n + 1);
        }
    }

    /// [`Nodes::end`], and all they left is gone.
    pub fn stop(mut self) {
        self.end();
    }

    #[expect(clippy::disallowed_methods, reason = "other processes start in real time; the wait has a deadline")]
    fn until_ready(&mut self, n: usize) {
        let deadline = Instant::now() + PATIENCE;
        let node = &mut self.nodes[n];
        while !is_ready(node.http) {
            if let Some(status) = node.process.try_wait().expect("a child can be waited for") {
                panic!("node {} ended at its start: {status}", n + 1);
            }
            assert!(Instant::now() < deadline, "node {} is not ready within {PATIENCE:?}", n + 1);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for (n, node) in self.nodes.iter_mut().enumerate() {
            // It may have ended already; there is nothing to be done about either failure.
            let _ = node.process.kill();
            let _ = node.process.wait();
            if std::thread::panicking() {
                let log = std::fs::read_to_string(&node.log);
                println!("--- node {}\n{}", n + 1, log.unwrap_or_default());
            }
        }
    }
}

fn is_ready(http: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", http))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}
