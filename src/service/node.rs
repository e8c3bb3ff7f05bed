//! What the service needs of the node it runs on. `runtime` implements it with threads, a test with a table.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::latency::Latency;
use super::moves::Moves;
use super::pubsub::Hub;
use super::stage::Stage;
use super::tracking::Trackers;
use crate::base::{GroupId, Millis, Nanos, NodeId};
use crate::cluster::Map;
use crate::command::acl::{Answer, Change, Users};
use crate::command::batch::{Call, Unit, UnitReply};
use crate::command::script::{Called, Killed, Kind, Running};

/// A reply that will come.
pub type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A command that waits for a key. Whoever drops it does not want the answer any more.
pub struct Blocking {
    /// The answer, once there is something for it or its time is over.
    pub outcome: Pending,
    /// Its time is over: it is answered with what there is for it now.
    pub hurry: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Blocking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}
/// What becomes of a change of users, or how asking for it ended.
pub type PendingUsers = Pin<Box<dyn Future<Output = Result<Answer, Outcome>> + Send>>;

/// What becomes of a change of who is in the cluster: done, or why not; or how asking for it ended.
pub type PendingMembers = Pin<Box<dyn Future<Output = Result<Result<(), String>, Outcome>> + Send>>;

/// Scripts and functions that are kept: what INFO tells of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFigures {
    /// Different scripts that EVALSHA finds.
    pub scripts: usize,
    /// Bytes of their records, in all groups.
    pub scripts_bytes: usize,
    /// Different libraries.
    pub libraries: usize,
    /// Functions in them.
    pub functions: usize,
    /// Bytes of their records, in all groups.
    pub libraries_bytes: usize,
}

/// What nodes ask each other about the scripts that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AboutScripts {
    /// Which function runs.
    Look,
    /// SCRIPT KILL, or, if it is about functions, FUNCTION KILL.
    Kill {
        /// Functions, not scripts.
        functions: bool,
    },
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptsTold {
    /// What came of killing.
    pub killed: Killed,
    /// A function that runs, and for how many milliseconds it has.
    pub called: Option<(Called, u64)>,
}

impl ScriptsTold {
    /// What a node answers on which this runs, at this moment.
    pub fn by(running: &Running, about: AboutScripts, now: Millis) -> ScriptsTold {
        let (killed, called) = match about {
            AboutScripts::Look => (Killed::Nothing, running.called()),
            AboutScripts::Kill { functions } => (running.kill(functions), None),
        };
        let since = |called: Called| {
            let millis = now.0.saturating_sub(called.since.0);
            (called, millis)
        };
        ScriptsTold { killed, called: called.map(since) }
    }
}

/// The answers of other nodes.
pub type PendingScripts = Pin<Box<dyn Future<Output = Vec<ScriptsTold>> + Send>>;

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
    /// It certainly did not run: a script has been running for long (`-BUSY ...`).
    Busy(Kind),
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

/// The end of a save: whether the state is durable as it was when the save began.
pub type Saving = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What became of saves since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saves {
    /// Wall clock at the end of the last good one, or of the start.
    pub last: Millis,
    /// How long that took, if there was one.
    pub took: Option<Duration>,
    /// Good ones.
    pub count: u64,
    /// Whether the last one failed.
    pub failed: bool,
    /// Under way now.
    pub under_way: u64,
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Wait until others lead what is led here.
    pub hand_over: bool,
    /// Make the state durable at the end, so that the next start replays little.
    pub save: bool,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown { hand_over: true, save: true }
    }
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

    /// Runs a call that waits where it finds nothing (`command::block`) on the group's leader, for as long as it takes and
    /// over leader changes, until it is hurried. A node on which nobody can wait lets it look once.
    fn block(&self, group: GroupId, call: Call) -> Blocking {
        Blocking { outcome: self.submit(group, vec![Unit::Call(call)]), hurry: Box::new(|| {}) }
    }
    /// The users as they are applied here.
    fn users(&self) -> Arc<Users>;

    /// Their revision, for a look that costs nothing.
    fn users_revision(&self) -> u64;

    /// Has the meta group change users. Once it is done, [`Node::users`] shows it here; other nodes show it as soon as
    /// they have applied it.
    fn change_users(&self, change: Change) -> PendingUsers;

    /// Has a node removed from the cluster: decided when this ends, and done as soon as all groups have agreed.
    fn forget(&self, node: NodeId) -> PendingMembers {
        Box::pin(std::future::ready(Ok(Err(format!("node {node} is the only one")))))
    }

    /// Wall clock.
    fn now(&self) -> Millis;

    /// The same in microseconds.
    fn now_micros(&self) -> u64 {
        self.now().0 * 1000
    }

    /// Monotonic clock: durations, idle times.
    fn monotonic(&self) -> Nanos;

    /// Waits for so long.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// 64 uniform bits, for what is random here: the run's id, which group RANDOMKEY asks.
    fn random(&self) -> u64;

    /// 64 bits that nobody can guess, whatever else the node told.
    fn secret(&self) -> u64;

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

    /// A batch went through a stage outside of the node.
    fn note(&self, stage: Stage, took: Duration, size: usize) {
        let _ = (stage, took, size);
    }

    /// The scripts that run on this node now, for SCRIPT KILL.
    fn running(&self) -> Arc<Running> {
        Arc::default()
    }

    /// Asks all other nodes about the scripts that run there: the answers of those that give one in time.
    fn ask_others(&self, about: AboutScripts) -> PendingScripts {
        let _ = about;
        Box::pin(std::future::ready(Vec::new()))
    }

    /// The scripts and functions that the groups with a replica here know.
    fn scripts(&self) -> ScriptFigures {
        ScriptFigures::default()
    }

    /// Makes the state of this node durable, which a start would otherwise make anew from the log. It begins at once,
    /// whether or not anybody waits for its end.
    fn save(&self) -> Saving;

    /// What became of saves, whoever asked for them.
    fn saves(&self) -> Saves;

    /// Begins to end the process in order, as SIGTERM does.
    fn shut_down(&self, how: Shutdown);

    /// Hands leadership of a group that is led here to a node.
    fn hand_over(&self, group: GroupId, to: NodeId);

    /// Asks the leader of a group that has a replica here to hand leadership to this node.
    fn ask_to_lead(&self, group: GroupId);

    /// What the allocator tells of itself, for people; empty where there is none that does.
    fn allocator_report(&self) -> String {
        String::new()
    }

    /// Gives back memory that the allocator keeps unused.
    fn purge_memory(&self) {}

    /// Where delays are noted, those of the node itself among them. Asked for once.
    fn latency(&self) -> Arc<Latency> {
        Arc::default()
    }

    /// Who listens to channels at this node.
    fn hub(&self) -> Arc<Hub> {
        Arc::default()
    }

    /// Which clients of this node keep copies of what.
    fn trackers(&self) -> Arc<Trackers> {
        Arc::default()
    }

    /// Which clients of this node hear that leadership moves.
    fn moves(&self) -> Arc<Moves> {
        Arc::default()
    }

    /// CONFIG RESETSTAT: the sums in `facts` start from zero.
    fn reset_counters(&self) {}

    /// What the node itself counts, in the OpenMetrics text format without its closing `# EOF`.
    fn metrics(&self) -> String {
        String::new()
    }
}
