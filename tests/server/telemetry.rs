//! Spans of a request, collected over OTLP as a real collector would: one trace over the node that took it and the node
//! that served it, and nothing is lost when the nodes stop.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::nodes::Nodes;
use crate::resp::{Client, Reply, info};

#[derive(Clone, Debug)]
struct Span {
    /// Which node told of it.
    node: String,
    name: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
}

#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.spans.lock().expect("nobody panics with it");
        for of_node in request.into_inner().resource_spans {
            let node = instance(of_node.resource.as_ref());
            spans.extend(of_node.scope_spans.into_iter().flat_map(|scope| scope.spans).map(|span| Span {
                node: node.clone(),
                name: span.name,
                trace: span.trace_id,
                id: span.span_id,
                parent: span.parent_span_id,
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The node's id, as its resource has it.
fn instance(resource: Option<&Resource>) -> String {
    let attributes = resource.into_iter().flat_map(|resource| &resource.attributes);
    let mut found = attributes.filter(|attribute| attribute.key == "service.instance.id");
    match found.next().and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(id)) => id,
        other => panic!("service.instance.id: {other:?}"),
    }
}

#[test]
fn a_forwarded_request_is_one_trace_over_two_nodes() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let collector = Collector::default();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let service = TraceServiceServer::new(collector.clone());
    let server = tonic::transport::Server::builder().add_service(service);
    runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let nodes = Nodes::start(3, &[("TELEMETRY__OTLP_ENDPOINT", &endpoint), ("TELEMETRY__SAMPLE_RATIO", "1.0")]);
    let port = |address: &String| address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let ports: Vec<u16> = nodes.addresses().iter().map(port).collect();
    for (n, port) in ports.iter().enumerate() {
        let reply = Client::connect(*port).and_then(|mut client| client.call(&["SET", &format!("k{n}"), "v"]));
        assert_eq!(reply.expect("a reply"), Reply::Simple("OK".into()));
    }
    let leader = info(ports[0], "group1", "leader").expect("a leader");
    // The batch exporters send every few seconds: these spans wait there, and leave because the nodes stop.
    nodes.stop();

    let spans = collector.spans.lock().expect("nobody panics with it").clone();
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
