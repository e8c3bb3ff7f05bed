//! What the service needs of the node it runs on. `runtime` implements it with threads, a test with a table.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;

use super::pubsub::Hub;
use crate::base::{GroupId, Millis, Nanos, NodeId};
use crate::cluster::Map;
use crate::command::batch::{Call, Unit, UnitReply};
use crate::command::script::Running;

/// A reply that will come.
pub type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// How a submission to a group ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran once; one reply per unit.
    Replies(Vec<UnitReply>),
    /// It certainly did not run: no leader was found in time (`-CLUSTERDOWN The cluster is down`).
    Down,
    /// It certainly did not run: this node still replays its log (`-LOADING ...`).
    Loading,
    /// It certainly did not run: queues are full.
    Overloaded,
    /// It may or may not have run, or still run (`-UNKNOWNOUTCOME ...`).
    Unknown,
}

/// What came of trying to read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastRead {
    /// The encoded reply was appended to the buffer; it is linearizable.
    Done,
    /// This needs the long way: not the leader here, no lease, not in memory, or a key is due.
    Submit,
}

/// The node under the service.
pub trait Node: Send + Sync + 'static {
    /// This node.
    fn id(&self) -> NodeId;

    /// Groups, slots, nodes, leaders as last known here.
    fn map(&self) -> Arc<Map>;

    /// Runs a read-only call on this node's own state under the lease, without waiting for disk or network.
    fn read(&self, group: GroupId, call: &Call, out: &mut BytesMut) -> FastRead;

    /// Runs units on the group's leader, wherever that is; resends after a leader change without running twice.
    /// Ends within the request deadline (2.5 s).
    fn submit(&self, group: GroupId, units: Vec<Unit>) -> Pending;

    /// Wall clock.
    fn now(&self) -> Millis;

    /// Monotonic clock: durations, idle times.
    fn monotonic(&self) -> Nanos;

    /// 64 uniform bits, for what is random here: the run's id, which group RANDOMKEY asks.
    fn random(&self) -> u64;

    /// Sections and fields that only the node knows (memory, keyspace, raft, storage, L1), for INFO and metrics.
    /// A field that INFO has already (`Memory`/`used_memory`, `Keyspace`/`db0`) is replaced by the fact, others are
    /// appended to their section, sections that INFO lacks (`Raft`, `Storage`, `L1`) follow at the end.
    fn facts(&self) -> Vec<(&'static str, Vec<(String, String)>)>;

    /// Whether this node can serve, point by point (`replayed`, `leaders-known`, `disk`): name and, where it fails,
    /// why. Ready means that none fails; INFO's `loading` follows `replayed`.
    fn checks(&self) -> Vec<(&'static str, Result<(), String>)>;

    /// A parameter that the node may use itself was changed by CONFIG SET; its value was checked already
    /// (`hash-max-listpack-entries` and the other sizes of small values, `proto-max-bulk-len`).
    fn configure(&self, parameter: &str, value: &str);

    /// The scripts that run on this node now, for SCRIPT KILL.
    fn running(&self) -> Arc<Running> {
        Arc::default()
    }

    /// Who listens to channels at this node.
    fn hub(&self) -> Arc<Hub> {
        Arc::default()
    }

    /// CONFIG RESETSTAT: the sums in `facts` start from zero.
    fn reset_counters(&self) {}

    /// What the node itself counts, in the OpenMetrics text format without its closing `# EOF`.
    fn metrics(&self) -> String {
        String::new()
    }
}
