//! Power that fails: nodes die, and their disks lose what was not synced.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use super::{Context, Done};
use crate::disk::Disk;
use crate::disk::image::Loss;
use crate::kinds::Kind;
use crate::stage::Claim;

/// Syncs take so long for a moment before, so that the end meets some on their way.
const SYNC_DELAY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(40));
const MOMENT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(300));

/// Cuts the power of one node or of all at the same moment: everybody is dead before any disk loses anything. A node on a
/// disk that cannot lose anything is only killed with the others.
pub async fn cut(kind: Kind, context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let stage = context.stage;
    let of_fuse: Vec<usize> =
        stage.disks.iter().filter(|(_, disk)| disk.fuse().is_some()).map(|(node, _)| *node).collect();
    let victims: BTreeSet<usize> = match kind {
        Kind::PowerCutAll => stage.cluster.ids().into_iter().collect(),
        _ => context.dice.pick(&of_fuse).copied().into_iter().collect(),
    };
    if victims.is_empty() {
        return Ok(None);
    }
    let Some(_held) = stage.claim(victims.iter().map(|node| Claim::Node(*node)).collect()) else { return Ok(None) };
    let disks: Vec<_> =
        victims.iter().filter_map(|node| Some((*node, stage.disks.get(node).and_then(Disk::fuse)?))).collect();
    let from = context.now();
    for (_, disk) in &disks {
        disk.set_sync_delay(context.dice.duration(SYNC_DELAY.0, SYNC_DELAY.1));
    }
    sleep(context.dice.duration(MOMENT.0, MOMENT.1)).await;
    stage.cluster.strike(&victims)?;
    disks.iter().for_each(|(_, disk)| disk.fail_power());
    stage.cluster.kill(&victims).await?;
    let mut losses = Vec::new();
    for (node, disk) in disks {
        disk.set_sync_delay(Duration::ZERO);
        losses.push((node, disk.power_cut(&mut context.dice)));
    }
    sleep(context.lengths.draw(&mut context.dice)).await;
    for victim in &victims {
        stage.cluster.node(*victim)?.start().await?;
    }
    for victim in &victims {
        stage.cluster.node(*victim)?.wait_ready().await?;
    }
    let note: Vec<String> = losses.iter().map(|(node, loss)| told(*node, loss)).collect();
    let torn = losses.iter().map(|(_, loss)| loss.torn).sum();
    // That only one of all lost something is what the other kind does.
    let effect = !losses.is_empty() && losses.iter().all(|(_, loss)| loss.is_any());
    Ok(Some(Done { victims, from, to: context.now(), effect, torn, note: note.join("; ") }))
}

fn told(node: usize, loss: &Loss) -> String {
    let Loss { writes, bytes, torn, stale, names } = loss;
    let stale = if *stale > 0 { format!(", {stale} blocks behind") } else { String::new() };
    format!("node {node}: {writes} writes of {bytes} bytes and {names} names lost, {torn} torn{stale}")
}
