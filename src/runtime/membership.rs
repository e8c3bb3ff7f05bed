//! Who is in the cluster and where: the facts of the meta group as they are applied here, and this node's own
//! registration among them.
//!
//! Until the state has facts, those that the directory computes stand in: a first start, or a directory of before
//! there were any. Invariant: facts of another cluster than the directory's end the process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use super::core::Core;
use super::directory::Directory;
use super::{Config, clock};
use crate::base::{GroupId, NodeId};
use crate::command::acl::{self, Users};
use crate::command::batch::{Unit, UnitReply};
use crate::host::Input;
use crate::host::meta::users::{self, KeptUsers};
use crate::host::meta::{Change, Decision, Facts, Node, Registrar};
use crate::service::Service;
use crate::service::node::{Outcome, Shutdown};

/// How often a node looks whether the facts still say what they should, though nothing told it to.
const LOOK: Duration = Duration::from_millis(200);

/// How long the asker for a change of users waits until this node has applied what was decided.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// The facts as this node knows them.
pub struct Membership {
    own: Node,
    beginning: Arc<Facts>,
    /// Stands for the facts of the meta group until those can be read: the beginning, or what this node was told when it
    /// joined.
    stand_in: Arc<Facts>,
    /// Whether it joined, and finds itself in the facts only when it has replayed so far.
    joined: bool,
    /// With which nodes and how many partitions the cluster began.
    founding: (Vec<(NodeId, String)>, u16),
    applied: RwLock<Option<Arc<Facts>>>,
    changed: Notify,
    /// Those that are applied, for whoever looks at them and for whoever waits for a change.
    users: watch::Sender<Arc<Users>>,
    /// Their revision, for whoever only asks whether there are others.
    users_revision: AtomicU64,
}

/// Where a node listens, with the ports that the system chose.
#[derive(Clone, Copy, Debug)]
pub struct Listeners {
    /// RESP clients.
    pub resp: SocketAddr,
    /// HTTP clients.
    pub http: SocketAddr,
    /// Other nodes.
    pub peer: Option<SocketAddr>,
}

impl Membership {
    /// `own` is how this node is reached, `directory` what its disk says, `applied` and `users` what its state holds.
    pub fn new(own: Node, directory: &Directory, applied: Option<Facts>, users: Users) -> Membership {
        let facts = &directory.facts;
        let mut beginning = facts.beginning();
        // Whoever proposes the beginning need not register as well.
        beginning.nodes.iter_mut().filter(|node| node.id == own.id).for_each(|node| *node = own.clone());
        let stand_in = directory.joined.clone().unwrap_or_else(|| beginning.clone());
        Membership {
            own,
            beginning: Arc::new(beginning),
            stand_in: Arc::new(stand_in),
            joined: directory.joined.is_some(),
            founding: (facts.members.clone(), facts.partitions),
            applied: RwLock::new(applied.map(Arc::new)),
            changed: Notify::new(),
            users_revision: AtomicU64::new(users.revision),
            users: watch::Sender::new(Arc::new(users)),
        }
    }

    /// The users that are applied.
    pub fn users(&self) -> Arc<Users> {
        self.users.borrow().clone()
    }

    /// Their revision.
    pub fn users_revision(&self) -> u64 {
        self.users_revision.load(Ordering::Acquire)
    }

    /// Hears of every change of users.
    pub fn watch_users(&self) -> watch::Receiver<Arc<Users>> {
        self.users.subscribe()
    }

    /// The facts: those that are applied, or what stands for them.
    pub fn facts(&self) -> Arc<Facts> {
        self.applied().unwrap_or_else(|| self.stand_in.clone())
    }

    /// What the facts began with.
    pub fn beginning(&self) -> &Facts {
        &self.beginning
    }

    /// With which nodes and how many partitions the cluster began.
    pub fn founding(&self) -> (&[(NodeId, String)], u16) {
        (&self.founding.0, self.founding.1)
    }

    /// The facts of the meta group, once those can be read here.
    pub fn applied(&self) -> Option<Arc<Facts>> {
        self.applied.read().clone()
    }
}

impl Core {
    /// The meta group applied something: called on its machine's thread, after the engine shows it.
    pub fn meta_applied(&self) {
        self.users_applied();
        let facts = match Facts::read(self.engine.as_ref()) {
            Ok(facts) => facts,
            Err(why) => self.die(&format!("the facts of the meta group: {why}")),
        };
        let Some(facts) = facts else { return };
        if self.membership.joined && facts.are_from_before(self.membership.beginning.cluster, self.node) {
            return;
        }
        if self.membership.applied().is_some_and(|known| *known == facts) {
            return;
        }
        if let Err(why) = facts.check(self.membership.beginning.cluster, self.node) {
            self.die(&format!("the data directory {} cannot be used: {why}", self.config.data_dir.display()));
        }
        *self.membership.applied.write() = Some(Arc::new(facts));
        self.know_members();
        self.membership.changed.notify_one();
    }

    fn users_applied(&self) {
        let state = self.engine.as_ref();
        let read = || {
            let changed = users::revision(state)? != self.membership.users_revision();
            changed.then(|| KeptUsers::read(state)).transpose()
        };
        match read() {
            Ok(None) => {}
            Ok(Some(kept)) => {
                let users = kept.users();
                // Together: whoever sees the revision finds the users, and whoever waited for them sees the revision.
                self.membership.users.send_modify(|shown| {
                    self.membership.users_revision.store(users.revision, Ordering::Release);
                    *shown = Arc::new(users);
                });
            }
            Err(why) => self.die(&format!("the users of the meta group: {why}")),
        }
    }

    /// Takes the facts as they are now into what is made of them: where peers are dialled, who is to take part in groups,
    /// the map.
    pub fn know_members(&self) {
        let facts = self.membership.facts();
        for node in facts.nodes.iter().chain(&facts.gone) {
            self.peers.registered(node.id, &node.peer);
        }
        for group in facts.groups.iter().filter(|group| self.local.contains_key(&group.id)) {
            let (group, peers, former) = (group.id, group.peers.clone(), group.former.clone());
            self.tell(Input::Members { group, peers, former });
        }
        self.refresh_map();
    }

    /// Has streams to the nodes of the cluster, and to those that were removed as long as they have a part in a group here:
    /// they have to agree to their removal.
    pub fn keep_peers(&self) {
        let facts = self.membership.facts();
        let status = self.status.lock().clone();
        // Before the host has said what its groups are like, nobody is let go.
        if status.len() < self.local.len() {
            return;
        }
        let takes_part = |node: NodeId| {
            facts.groups.iter().any(|group| {
                let status = status.iter().find(|status| status.group == group.id);
                let mut former = group.former.iter().filter(|(_, at)| **at == node);
                former.any(|(peer, _)| {
                    status.is_some_and(|status| status.voters.contains(peer) || status.learners.contains(peer))
                })
            })
        };
        let leaving = facts.gone.iter().filter(|node| takes_part(node.id));
        let members = facts.nodes.iter().chain(leaving).map(|node| (node.id, node.peer.clone())).collect();
        self.peers.set_members(&members, |node| facts.is_gone(node) && !members.contains_key(&node));
    }
}

/// Ends the process of a node that was removed, once the others said so and none of them needs it any more.
pub async fn watch_removal(core: Arc<Core>) {
    while !core.peers.is_left_alone() {
        tokio::time::sleep(LOOK).await;
    }
    tracing::error!(
        directory = %core.config.data_dir.display(),
        "this node was removed from the cluster and ends: its data directory is of no use any more"
    );
    core.shutdown.send_replace(Some(Shutdown { hand_over: false, save: false }));
}

/// Has the meta group begin, and know this node's addresses, for as long as the runtime lives.
pub async fn keep_registered(core: Arc<Core>) {
    let membership = &core.membership;
    let mut registrar = Registrar::new(membership.own.clone(), Facts::clone(&membership.beginning));
    loop {
        let facts = membership.applied();
        let leads = core.leads(GroupId::META);
        if let Some(change) = registrar.next(clock::boottime(), facts.as_deref(), leads) {
            ask(&core, &change).await;
            registrar.answered(clock::boottime());
        }
        // Either way it looks again.
        let _ = tokio::time::timeout(LOOK, membership.changed.notified()).await;
    }
}

/// Takes a change the road of all commands: to the meta group's leader, across its changes, once.
async fn ask(core: &Arc<Core>, change: &Change) {
    match decide(core, change).await {
        Ok(Decision::Accepted | Decision::Users(_)) => tracing::debug!(?change, "the meta group knows"),
        Ok(Decision::Refused(why)) => tracing::warn!(why, ?change, "the meta group refused a change of this node"),
        Err(outcome) => tracing::debug!(?outcome, "a change of the meta group is asked for again"),
    }
}

/// What the meta group's leader decides about a change.
pub async fn decide(core: &Core, change: &Change) -> Result<Decision, Outcome> {
    let outcome = core.forwarding.submit(core, GroupId::META, vec![Unit::Change(change.encode())], None).await;
    decision(outcome.unwrap_or(Outcome::Unknown))
}

/// Takes a change of users the same road, and waits until this node shows it.
pub async fn change_users(core: Arc<Core>, change: acl::Change) -> Result<acl::Answer, Outcome> {
    if !core.replayed() {
        return Err(Outcome::Loading);
    }
    let answer = match decide(&core, &Change::Users(change)).await? {
        Decision::Users(answer) => answer,
        Decision::Accepted | Decision::Refused(_) => acl::Answer::Refused(acl::Refusal::Unknown),
    };
    if let acl::Answer::Done { revision, .. } = answer {
        let mut users = core.membership.watch_users();
        // If it takes longer, the change is made all the same, and this node is behind in everything.
        let _ = tokio::time::timeout(SHOWN_WITHIN, users.wait_for(|users| users.revision >= revision)).await;
    }
    Ok(answer)
}

/// Has a cluster that never had users begin with those of the settings. The leader of the meta group does it.
pub async fn bring_users(core: Arc<Core>) {
    let users = &core.config.users;
    while !users.is_empty() && core.membership.users_revision() == 0 {
        if core.leads(GroupId::META) && core.membership.applied().is_some() {
            match change_users(core.clone(), acl::Change::Begin(users.clone())).await {
                Ok(acl::Answer::Done { .. }) => return,
                Ok(acl::Answer::Refused(why)) => {
                    tracing::error!(?why, "the users of the settings are refused");
                    return;
                }
                Err(outcome) => tracing::debug!(?outcome, "the users of the settings are brought again"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Tells the service of every change of users, for as long as the runtime lives.
pub async fn follow_users(core: Arc<Core>, service: Arc<Service>) {
    let mut users = core.membership.watch_users();
    while users.changed().await.is_ok() {
        service.users_changed();
    }
}

/// What an answer says of the one change that was asked for; what it is instead of a decision.
fn decision(outcome: Outcome) -> Result<Decision, Outcome> {
    match &outcome {
        Outcome::Replies(replies) => match replies.as_slice() {
            [UnitReply::Decision(decision)] => Decision::decode(decision).ok_or(outcome),
            _ => Err(outcome),
        },
        _ => Err(outcome),
    }
}

/// How others reach this node. The peer address is what the settings say, or the list of first nodes; the others are what the settings say, or else where it listens, with the host of the peer address instead of a wildcard.
pub fn advertised(config: &Config, members: &[(NodeId, String)], listeners: Listeners) -> Node {
    let told = if config.initial_cluster.is_empty() { members } else { &config.initial_cluster };
    // A single node that was never told how others find it may listen elsewhere than in an earlier life.
    let is_told = !config.initial_cluster.is_empty() || told.len() > 1;
    let listed = told.iter().find(|(id, _)| *id == config.node && is_told).map(|(_, address)| address.as_str());
    let entry = config.advertise_peer.as_deref().or(listed);
    let host = entry.and_then(|entry| entry.rsplit_once(':')).map_or("", |(host, _)| host);
    let reached = |listener: SocketAddr| {
        if listener.ip().is_unspecified() { format!("{host}:{}", listener.port()) } else { listener.to_string() }
    };
    let peer = entry.map(str::to_owned).or_else(|| listeners.peer.map(reached)).unwrap_or_default();
    let resp = config.advertise_resp.clone().unwrap_or_else(|| reached(listeners.resp));
    let http = config.advertise_http.clone().unwrap_or_else(|| reached(listeners.http));
    Node { id: config.node, peer, resp: Some(resp), http: Some(http) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(list: &[&str]) -> Vec<(NodeId, String)> {
        (1..).map(NodeId).zip(list.iter().map(|at| at.to_string())).collect()
    }

    fn node(resp: &str, initial: &[&str], members: &[&str]) -> [String; 3] {
        node_of(Config { initial_cluster: list(initial), ..Config::new(NodeId(2), "data") }, resp, members)
    }

    fn node_of(config: Config, resp: &str, members: &[&str]) -> [String; 3] {
        let at = |port: u16| SocketAddr::new(resp.parse().expect("an address"), port);
        let listeners = Listeners { resp: at(6379), http: at(8080), peer: Some(at(16379)) };
        let node = advertised(&config, &list(members), listeners);
        assert_eq!(node.id, NodeId(2));
        [node.peer, node.resp.expect("an address"), node.http.expect("an address")]
    }

    #[test]
    fn a_listener_is_advertised_as_it_is() {
        let told = ["a:16379", "b.example:26379"];
        assert_eq!(node("10.0.0.2", &told, &told), ["b.example:26379", "10.0.0.2:6379", "10.0.0.2:8080"]);
        assert_eq!(node("::1", &told, &told)[1], "[::1]:6379");
    }

    #[test]
    fn a_wildcard_takes_the_host_of_the_list_of_first_nodes() {
        let told = ["a:16379", "b.example:26379"];
        let expected = ["b.example:26379", "b.example:6379", "b.example:8080"];
        assert_eq!(node("0.0.0.0", &told, &told), expected);
        assert_eq!(node("0.0.0.0", &[], &told), expected, "the directory remembers the list");
        assert_eq!(node("0.0.0.0", &["a:1", "c:2"], &told)[1], "c:6379", "what is said now counts");
        assert_eq!(node("::", &["a:1", "[fe80::2]:2"], &told)[1], "[fe80::2]:6379");
    }

    #[test]
    fn what_the_settings_say_is_advertised_whatever_the_listener() {
        let told = ["a:16379", "b.example:26379"];
        let config = Config { initial_cluster: list(&told), ..Config::new(NodeId(2), "data") };
        let resp = Config { advertise_resp: Some("localhost:6380".into()), ..config.clone() };
        let expected = ["b.example:26379", "localhost:6380", "b.example:8080"];
        assert_eq!(node_of(resp.clone(), "0.0.0.0", &told), expected);
        assert_eq!(node_of(resp, "10.0.0.2", &told)[1..], ["localhost:6380", "10.0.0.2:8080"]);
        let http = Config { advertise_http: Some("localhost:8081".into()), ..config };
        assert_eq!(node_of(http, "10.0.0.2", &told)[1..], ["10.0.0.2:6379", "localhost:8081"]);
    }

    #[test]
    fn a_single_node_behind_a_wildcard_leaves_its_host_to_its_clients() {
        assert_eq!(node("0.0.0.0", &[], &[]), [":16379", ":6379", ":8080"]);
        assert_eq!(node("127.0.0.1", &[], &[]), ["127.0.0.1:16379", "127.0.0.1:6379", "127.0.0.1:8080"]);
    }

    #[test]
    fn only_a_decision_is_one() {
        let replies = |reply| Outcome::Replies(vec![reply]);
        let accepted = UnitReply::Decision(Decision::Accepted.encode());
        assert_eq!(decision(replies(accepted)), Ok(Decision::Accepted));
        for other in [Outcome::Down, Outcome::Unknown, replies(UnitReply::Decision(bytes::Bytes::from_static(b"\x09")))]
        {
            assert_eq!(decision(other.clone()), Err(other));
        }
    }
}
