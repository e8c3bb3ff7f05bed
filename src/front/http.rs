//! The HTTP listener: whether the process lives, whether it can serve, what it knows of the cluster, its metrics.
//!
//! - `/livez`: the process runs.
//! - `/readyz`: it can answer clients; with `?verbose` point by point. 503 while it cannot.
//! - `/health`: the same as one JSON object.
//! - `/status`: nodes and groups as this node knows them, as JSON.
//! - `/metrics`: clients and commands, then the text that the caller provides.
//!
//! Invariant: however many clients come and however slowly they speak, a bounded number of connections lives for a
//! bounded time; who comes while all are taken waits in the system's queue.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::Map;
use crate::service::Service;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to say what it wants, the first time and again.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection lives, whatever it does.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);
/// How long an answer in flight may take when a connection is to end.
const FAREWELL: Duration = Duration::from_secs(1);
/// After a failed accept (no file descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Makes the node's part of `/metrics`: content type and body (OpenMetrics or Prometheus text).
pub type Metrics = Arc<dyn Fn() -> (&'static str, String) + Send + Sync>;

#[derive(Clone)]
struct Context {
    service: Arc<Service>,
    metrics: Metrics,
}

/// Serves HTTP until `shutdown` becomes true (or its sender is gone) and requests in flight are answered.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    metrics: Metrics,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/health", get(health))
        .route("/status", get(status))
        .route("/metrics", get(metrics_text))
        .with_state(Context { service, metrics });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
            // An error means that nobody can ask for a shutdown any more: then it is one.
            _ = shutdown.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, router.clone(), shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP client");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Answers one client until it goes, its time is over, or the server stops.
async fn connection(stream: TcpStream, router: Router, mut shutdown: watch::Receiver<bool>) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP connection ended");
            }
            return;
        }
        _ = shutdown.wait_for(|stop| *stop) => {}
        () = tokio::time::sleep(CONNECTION_TIME_MAX) => {}
    }
    connection.as_mut().graceful_shutdown();
    // What is not answered by then is not waited for.
    let _ = tokio::time::timeout(FAREWELL, connection).await;
}

async fn readyz(State(context): State<Context>, RawQuery(query): RawQuery) -> Response {
    let checks = context.service.node().checks();
    let ready = checks.iter().all(|(_, check)| check.is_ok());
    let verbose = query.is_some_and(|query| query.split('&').any(|word| word.split('=').next() == Some("verbose")));
    let mut text = String::new();
    for (name, check) in checks.iter().filter(|(_, check)| verbose || check.is_err()) {
        match check {
            Ok(()) => text += &format!("[+] {name} ok\n"),
            Err(why) => text += &format!("[-] {name} failed: {why}\n"),
        }
    }
    text += if ready { "ready\n" } else { "not ready\n" };
    (code(ready), text).into_response()
}

async fn health(State(context): State<Context>) -> Response {
    #[derive(Serialize)]
    struct Health {
        status: &'static str,
        checks: Vec<Check>,
    }
    #[derive(Serialize)]
    struct Check {
        name: &'static str,
        ok: bool,
        reason: Option<String>,
    }
    let checks = context.service.node().checks().into_iter();
    let checks: Vec<Check> =
        checks.map(|(name, check)| Check { name, ok: check.is_ok(), reason: check.err() }).collect();
    let ready = checks.iter().all(|check| check.ok);
    json(code(ready), &Health { status: if ready { "ok" } else { "unavailable" }, checks })
}

async fn status(State(context): State<Context>) -> Response {
    let node = context.service.node();
    json(StatusCode::OK, &Status::new(node.id().get(), &node.map()))
}

async fn metrics_text(State(context): State<Context>) -> Response {
    let (content_type, node) = (context.metrics)();
    // In front: the node's text may close with OpenMetrics' end mark.
    let text = context.service.metrics() + &node;
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

fn code(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn json(code: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => (code, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// `/status`.
#[derive(Serialize)]
struct Status {
    node: u64,
    /// 16 hexadecimal digits: JSON numbers of other languages do not hold 64 bits.
    cluster: String,
    version: &'static str,
    nodes: Vec<NodeStatus>,
    groups: Vec<GroupStatus>,
}

#[derive(Serialize)]
struct NodeStatus {
    id: u64,
    peer: String,
    resp: Option<String>,
    http: Option<String>,
    reachable: bool,
}

#[derive(Serialize)]
struct GroupStatus {
    id: u64,
    /// First and last slot; `null` for the meta group.
    slots: Option<[u16; 2]>,
    leader: Option<u64>,
    term: u64,
    commit: u64,
    applied: u64,
    members: Vec<u64>,
}

impl Status {
    fn new(node: u64, map: &Map) -> Status {
        Status {
            node,
            cluster: format!("{:016x}", map.cluster.get()),
            version: env!("CARGO_PKG_VERSION"),
            nodes: map
                .nodes
                .iter()
                .map(|node| NodeStatus {
                    id: node.id.get(),
                    peer: node.peer.clone(),
                    resp: node.resp.clone(),
                    http: node.http.clone(),
                    reachable: node.reachable,
                })
                .collect(),
            groups: map
                .groups
                .iter()
                .map(|group| GroupStatus {
                    id: group.id.get(),
                    slots: group.slots.map(|range| [range.first.get(), range.last.get()]),
                    leader: group.leader.map(|leader| leader.get()),
                    term: group.term.get(),
                    commit: group.commit.get(),
                    applied: group.applied.get(),
                    members: group.members.iter().map(|member| member.get()).collect(),
                })
                .collect(),
        }
    }
}
