//! Spans of a request, collected over OTLP as a real collector would: one trace over the node that took it and the node
//! that served it, and nothing is lost when the nodes stop.

use crate::collector::{Collector, Span};
use crate::nodes::Nodes;
use crate::resp::{Client, Reply, info};

#[test]
fn a_forwarded_request_is_one_trace_over_two_nodes() {
    let collector = Collector::start();
    let nodes =
        Nodes::start(3, &[("TELEMETRY__OTLP_ENDPOINT", &collector.endpoint), ("TELEMETRY__SAMPLE_RATIO", "1.0")]);
    let port = |address: &String| address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let ports: Vec<u16> = nodes.addresses().iter().map(port).collect();
    for (n, port) in ports.iter().enumerate() {
        let reply = Client::connect(*port).and_then(|mut client| client.call(&["SET", &format!("k{n}"), "v"]));
        assert_eq!(reply.expect("a reply"), Reply::Simple("OK".into()));
    }
    let leader = info(ports[0], "group1", "leader").expect("a leader");
    // The batch exporters send every few seconds: these spans wait there, and leave because the nodes stop.
    nodes.stop();

    let spans = collector.spans();
    for node in ["1", "2", "3"] {
        let requests = spans.iter().filter(|span| span.name == "request" && span.node == node);
        let served = |request: &Span| {
            spans.iter().any(|span| {
                span.name == "serve"
                    && (&span.trace, &span.parent) == (&request.trace, &request.id)
                    && span.node == leader
            })
        };
        let mut requests = requests.peekable();
        assert!(requests.peek().is_some(), "node {node} told of no request: {spans:?}");
        assert!(requests.any(served), "no request of node {node} was served by node {leader} in its trace: {spans:?}");
    }
}

#[test]
fn a_read_that_is_answered_at_once_is_one_span() {
    let collector = Collector::start();
    let nodes =
        Nodes::start(1, &[("TELEMETRY__OTLP_ENDPOINT", &collector.endpoint), ("TELEMETRY__SAMPLE_RATIO", "1.0")]);
    let port = nodes.addresses()[0].rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut client = Client::connect(port).expect("connected");
    let reads = 20;
    for _ in 0..reads {
        assert_eq!(client.call(&["GET", "none"]).expect("a reply"), Reply::Bulk(None));
    }
    nodes.stop();

    let spans = collector.spans();
    let alone =
        |span: &&Span| span.name == "request" && spans.iter().filter(|other| other.trace == span.trace).count() == 1;
    // Nothing else asks this node: all reads are found under the lease, but for a first one before it is there.
    let alone: Vec<&Span> = spans.iter().filter(alone).collect();
    assert!(alone.len() >= reads - 2, "{spans:?}");
    assert!(alone.iter().all(|span| span.parent.is_empty() && (1..1_000_000_000).contains(&span.nanos)), "{alone:?}");
}
