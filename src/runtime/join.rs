//! How a node gets into a cluster that exists: it asks one of the members, which has the meta group decide, and is told
//! everything that the others began with and became. Only then it has a data directory, and starts like any other node;
//! the leaders of all groups see from the facts that it is to have a replica.
//!
//! A node that was interrupted asks again with the number that it drew the first time, which is on its disk before it is
//! sent: it is taken for the same node, and another one with its id is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};

use super::core::Core;
use super::peers::wire::{FORMAT, pb};
use super::{Config, Error, Result, membership, peers};
use crate::base::NodeId;
use crate::host::meta::{Change, Decision, Facts, Node};
use crate::service::node::Outcome;

/// Between two rounds of questions to all members that were named.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a member waits until it has applied what was decided.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// What a node that joined was told.
pub struct Joined {
    /// What the meta group knows, this node included.
    pub facts: Facts,
    /// With which nodes the cluster began.
    pub founders: Vec<(NodeId, String)>,
    /// With how many partitions.
    pub partitions: u16,
}

/// Asks the members that the settings name until one of them says yes or no. `peer` is where this node listens.
pub async fn ask(config: &Config, peer: Option<SocketAddr>, nonce: u64) -> Result<Joined> {
    let Some(peer) = peer else { return Err(Error::Config("a node that joins needs a peer listener".into())) };
    let address = match &config.advertise_peer {
        Some(address) => address.clone(),
        None if peer.ip().is_unspecified() => {
            let why = format!(
                "other nodes cannot reach this one at {peer}: say where they can (--advertise-peer HOST:PORT), or let it \
                 listen on one address (--peer)"
            );
            return Err(Error::Config(why));
        }
        None => peer.to_string(),
    };
    let asked = pb::JoinAsked {
        format: FORMAT,
        cluster_name: config.cluster_name.clone(),
        node: config.node.get(),
        address,
        nonce,
    };
    let mut told: Option<String> = None;
    loop {
        for member in &config.join {
            let why = match peers::ask_to_join(member, asked.clone()).await {
                Ok(answer) => return read(answer),
                Err(why) => why,
            };
            if matches!(why.code(), Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented) {
                return Err(Error::Config(format!("{member} does not take this node in: {}", why.message())));
            }
            let why = why.message().to_owned();
            if told.as_ref() != Some(&why) {
                tracing::warn!(%member, why, "no member has taken this node in yet");
                told = Some(why);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn read(told: pb::JoinTold) -> Result<Joined> {
    let damaged = || Error::Config("the answer of the cluster is that of another version".into());
    Ok(Joined {
        facts: Facts::decode(&told.facts).ok_or_else(damaged)?,
        founders: told.founders.into_iter().map(|founder| (NodeId(founder.node), founder.address)).collect(),
        partitions: u16::try_from(told.partitions).map_err(|_| damaged())?,
    })
}

/// A member's part: has the meta group decide, and answers once it has applied that here.
pub async fn admit(core: Arc<Core>, asked: pb::JoinAsked) -> std::result::Result<pb::JoinTold, Status> {
    let pb::JoinAsked { cluster_name, node, address, nonce, .. } = asked;
    let id = NodeId(node);
    if cluster_name != core.config.cluster_name {
        let why = format!("this is cluster \"{}\", not \"{cluster_name}\"", core.config.cluster_name);
        return Err(Status::failed_precondition(why.escape_debug().to_string()));
    }
    if address.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
        return Err(Status::invalid_argument("it does not say where it is reached, as host:port"));
    }
    if !core.replayed() || core.membership.applied().is_none() {
        return Err(Status::unavailable("the member has only just started itself"));
    }
    tracing::info!(node = %id, address, "a node asks to join the cluster");
    let change = Change::Join { node: Node::new(id, address), nonce };
    match membership::decide(&core, &change).await {
        Ok(Decision::Accepted) => {}
        Ok(Decision::Refused(why)) => return Err(Status::failed_precondition(why)),
        Ok(Decision::Users(_)) | Err(_) => return Err(Status::unavailable("the cluster did not decide in time")),
    }
    let facts = shown(&core, |facts| facts.node(id).is_some()).await;
    let facts = facts.ok_or_else(|| Status::unavailable("the member did not apply the decision in time"))?;
    let (founders, partitions) = core.membership.founding();
    let founders = founders.iter().map(|(id, address)| pb::Founder { node: id.get(), address: address.clone() });
    Ok(pb::JoinTold { facts: facts.encode(), founders: founders.collect(), partitions: partitions.into() })
}

/// The facts of the meta group, once those that are applied here are as they should be.
async fn shown(core: &Core, wanted: impl Fn(&Facts) -> bool) -> Option<Arc<Facts>> {
    let look = async {
        loop {
            if let Some(facts) = core.membership.applied().filter(|facts| wanted(facts)) {
                return facts;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(SHOWN_WITHIN, look).await.ok()
}

/// Has a node removed from the cluster: an error says why not.
pub async fn forget(core: Arc<Core>, node: NodeId) -> std::result::Result<std::result::Result<(), String>, Outcome> {
    // A cluster that takes commands for the first time is a moment ahead of what its meta group knows of its nodes.
    if !core.replayed() || shown(&core, |_| true).await.is_none() {
        return Err(Outcome::Loading);
    }
    Ok(match membership::decide(&core, &Change::Forget(node)).await? {
        Decision::Accepted => Ok(()),
        Decision::Refused(why) => Err(why),
        Decision::Users(_) => return Err(Outcome::Unknown),
    })
}
