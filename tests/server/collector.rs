//! A collector of spans, which takes them over OTLP as a real one would.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span, as far as tests ask.
#[derive(Clone, Debug)]
pub struct Span {
    /// Which node told of it.
    pub node: String,
    /// What it is.
    pub name: String,
    /// Which request it belongs to.
    pub trace: Vec<u8>,
    /// Its own number.
    pub id: Vec<u8>,
    /// That of the span that caused it.
    pub parent: Vec<u8>,
    /// Nanoseconds from begin to end.
    pub nanos: u64,
    /// All of it, attributes included.
    pub text: String,
}

/// Listens on a port of this machine until the value is gone.
pub struct Collector {
    received: Received,
    /// Where exporters connect.
    pub endpoint: String,
    _runtime: Runtime,
}

#[derive(Clone, Default)]
struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts to listen.
    pub fn start() -> Collector {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let received = Received::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let service = TraceServiceServer::new(received.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Collector { received, endpoint, _runtime: runtime }
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.received.spans.lock().expect("nobody panics with it").clone()
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.spans.lock().expect("nobody panics with it");
        for of_node in request.into_inner().resource_spans {
            let node = instance(of_node.resource.as_ref());
            spans.extend(of_node.scope_spans.into_iter().flat_map(|scope| scope.spans).map(|span| Span {
                text: format!("{span:?}"),
                nanos: span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
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
