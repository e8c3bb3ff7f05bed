//! Processes that are killed, told to end, or paused.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use super::{Context, Done};
use crate::kinds::Kind;
use crate::stage::Claim;

/// A pause lasts from one to ten seconds, however short other faults are.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Ends some nodes and starts them again.
pub async fn end(kind: Kind, context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let cluster = &context.stage.cluster;
    let victims = match kind {
        Kind::KillLeader => match cluster.leader().await {
            Some(leader) => BTreeSet::from([leader]),
            None => return Ok(None),
        },
        Kind::KillMajority => context.some_nodes(cluster.majority()),
        Kind::KillAll => cluster.ids().into_iter().collect(),
        _ => BTreeSet::from([context.any_node()]),
    };
    let Some(_held) = context.stage.claim(victims.iter().map(|node| Claim::Node(*node)).collect()) else {
        return Ok(None);
    };
    let from = context.now();
    if kind == Kind::Restart {
        for victim in &victims {
            cluster.node(*victim)?.terminate().await?;
        }
    } else {
        cluster.kill(&victims).await?;
    }
    // A node that is told to end for an upgrade comes back at once.
    if kind != Kind::Restart {
        sleep(context.lengths.draw(&mut context.dice)).await;
    }
    for victim in &victims {
        cluster.node(*victim)?.start().await?;
    }
    for victim in &victims {
        cluster.node(*victim)?.wait_ready().await?;
    }
    Ok(Some(Done { from, to: context.now(), effect: true, torn: 0, note: format!("nodes {victims:?}"), victims }))
}

/// Stops a node's threads for a while.
pub async fn pause(kind: Kind, context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let cluster = &context.stage.cluster;
    let victim = match kind {
        Kind::PauseLeader => match cluster.leader().await {
            Some(leader) => leader,
            None => return Ok(None),
        },
        _ => context.any_node(),
    };
    let Some(_held) = context.stage.claim(vec![Claim::Node(victim)]) else { return Ok(None) };
    let length = context.lengths.draw(&mut context.dice).clamp(PAUSE.0, PAUSE.1);
    let node = cluster.node(victim)?;
    let from = context.now();
    node.pause().await?;
    sleep(length).await;
    node.resume().await?;
    let to = context.now();
    node.wait_ready().await?;
    let note = format!("node {victim} for {} ms", length.as_millis());
    Ok(Some(Done { victims: BTreeSet::from([victim]), from, to, effect: true, torn: 0, note }))
}
