//! Log lines and spans. Never a client's value in either.
//!
//! Invariant: nobody who answers requests ever waits for who reads the log. Lines go through a bounded queue to a
//! thread of their own; when stderr is a pipe that nobody reads, lines are dropped and counted (etcd#22214).

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
    TracerProvider as _,
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::config::{LogFormat, Telemetry};
use super::metrics::Metrics;
use super::{Error, Result, clock};
use crate::base::{GroupId, NodeId};

/// Spans of requests have this target; log filters never show them, the exporter takes nothing else.
pub const SPANS: &str = "holdfast::span";

/// Who makes the spans, as collectors show it.
const TRACER: &str = "holdfast";
/// Lines that may wait for the writer.
const LINES_MAX: usize = 8192;
/// How long the end of the process waits for lines and spans that are still on their way.
const FAREWELL: Duration = Duration::from_secs(1);

/// Decides which requests become spans: every so many-th.
pub struct Sampler {
    /// 0 for none.
    every: u64,
    seen: AtomicU64,
    tracer: Option<SdkTracer>,
}

impl Sampler {
    /// The share that `config` asks for, nothing without an endpoint.
    pub fn new(config: &Telemetry, guard: &Guard) -> Sampler {
        let tracer = guard.provider.as_ref().map(|provider| provider.tracer(TRACER));
        let ratio = if tracer.is_some() { config.trace_ratio } else { 0.0 };
        let every = if ratio > 0.0 { (1.0 / ratio.min(1.0)).round() as u64 } else { 0 };
        Sampler { every, seen: AtomicU64::new(0), tracer }
    }

    /// When something begins that may turn out to be a whole request, if any are traced.
    pub fn begin(&self) -> Option<SystemTime> {
        (self.every > 0).then(clock::moment)
    }

    /// Something that began then was a whole request, served where it came in: one span, if it is one of the traced.
    pub fn served_here(&self, began: SystemTime, node: NodeId, group: GroupId) {
        if let (Some(tracer), true) = (&self.tracer, self.take()) {
            let attributes = [KeyValue::new("node", node.to_string()), KeyValue::new("group", group.to_string())];
            tracer.span_builder("request").with_start_time(began).with_attributes(attributes).start(tracer).end();
        }
    }

    /// Whether the request at hand is one of them.
    pub fn take(&self) -> bool {
        self.every > 0 && self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every)
    }
}

/// A span's place for another node, as a W3C traceparent; empty if there is none.
pub fn traceparent(span: &Span) -> String {
    let context = span.context();
    let span = context.span();
    let place = span.span_context();
    if !place.is_valid() {
        return String::new();
    }
    format!("00-{}-{}-01", place.trace_id(), place.span_id())
}

/// Makes a span the child of another node's; what is no traceparent is ignored.
pub fn follow(span: &Span, traceparent: &str) {
    let mut parts = traceparent.split('-').skip(1);
    let (Some(trace), Some(parent)) = (parts.next(), parts.next()) else { return };
    let (Ok(trace), Ok(parent)) = (TraceId::from_hex(trace), SpanId::from_hex(parent)) else { return };
    let place = SpanContext::new(trace, parent, TraceFlags::SAMPLED, true, TraceState::default());
    let context = opentelemetry::Context::new().with_remote_span_context(place);
    // Fails only where no exporter is installed; then nobody misses the parent.
    let _ = span.set_parent(context);
}

/// Keeps telemetry alive; flushes log lines when dropped. Spans need the runtime that carries them: see
/// [`Guard::send_spans`].
pub struct Guard {
    lines: Lines,
    provider: Option<SdkTracerProvider>,
}

/// Installs the process's log and span subscriber. A second node in one process (tests) shares the first one's.
/// Needs a tokio runtime around it when spans are exported.
pub fn install(config: &Telemetry, node: NodeId, metrics: &Arc<Metrics>) -> Result<Guard> {
    let (sender, receiver) = sync_channel(LINES_MAX);
    let lines = Lines { sender, metrics: metrics.clone() };
    let filter = EnvFilter::try_new(&config.log_filter)
        .map_err(|why| Error::Config(format!("the log filter \"{}\": {why}", config.log_filter)))?;
    let no_spans = format!("{SPANS}=off").parse().map_err(|why| Error::Config(format!("{why}")))?;
    let filter = filter.add_directive(no_spans);
    let layer = fmt::layer().with_writer(lines.clone()).with_ansi(false);
    let layer = match config.log_format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let provider = match &config.otlp_endpoint {
        Some(endpoint) => Some(exporter(endpoint, node)?),
        None => None,
    };
    let spans = provider.as_ref().map(|provider| {
        let only_spans = Targets::new().with_target(SPANS, tracing::Level::INFO);
        tracing_opentelemetry::layer().with_tracer(provider.tracer(TRACER)).with_filter(only_spans)
    });
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter)).with(spans);
    // Only the first subscriber of a process stands; its writer thread then serves both.
    if subscriber.try_init().is_ok() {
        thread::Builder::new().name("lines".into()).spawn(move || write_lines(&receiver))?;
    }
    Ok(Guard { lines, provider })
}

fn exporter(endpoint: &str, node: NodeId) -> Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|why| Error::Config(format!("the OTLP endpoint \"{endpoint}\": {why}")))?;
    let resource = Resource::builder()
        .with_service_name("holdfast")
        .with_attribute(KeyValue::new("service.instance.id", node.to_string()))
        .build();
    // The share of requests that become spans is decided where a request enters, before a span is made.
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Guard {
    /// Sends the spans that still wait. To be called when no more will come and the tokio runtime still runs: the
    /// connection to the collector lives on it.
    pub fn send_spans(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(why) = provider.shutdown_with_timeout(FAREWELL)
        {
            tracing::warn!(%why, "the last spans may not have reached the collector");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.send_spans();
        let (done, finished) = sync_channel(1);
        if self.lines.sender.try_send(Line::Flush(done)).is_ok() {
            let _ = finished.recv_timeout(FAREWELL);
        }
    }
}

enum Line {
    Text(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The writing end that `tracing` gets.
#[derive(Clone)]
struct Lines {
    sender: SyncSender<Line>,
    metrics: Arc<Metrics>,
}

impl Write for Lines {
    /// `tracing` formats a whole line, then writes it with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Line::Text(line.to_vec())) {
            self.metrics.log_lines_dropped.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

fn write_lines(receiver: &Receiver<Line>) {
    let mut stderr = io::stderr();
    for line in receiver {
        match line {
            Line::Text(text) => {
                // A closed stderr is no reason to stop serving.
                let _ = stderr.write_all(&text);
            }
            Line::Flush(done) => {
                let _ = stderr.flush();
                let _ = done.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_etcd_22214_lines_that_nobody_takes_are_dropped_not_waited_for() {
        let (sender, receiver) = sync_channel(2);
        let metrics = Arc::new(Metrics::new());
        let mut lines = Lines { sender, metrics: metrics.clone() };
        for _ in 0..5 {
            lines.write_all(b"a line\n").expect("never an error");
        }
        assert_eq!(metrics.log_lines_dropped.get(), 3);
        drop(receiver);
        lines.write_all(b"after the reader\n").expect("never an error");
    }
}
