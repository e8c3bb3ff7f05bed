//! Disks that are slow, full or failing.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Context, Done};
use crate::disk::Disk;
use crate::disk::strace::{Injection, Strace};
use crate::stage::Claim;

/// How long a sync of a slow disk takes.
const SYNC_DELAY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(300));
/// How long a node may go on after its disk began to fail: it notices when it next writes.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// A full disk is filled again so often.
const REFILL: Duration = Duration::from_millis(200);
/// What a node says when its log cannot be written.
const LAST_WORDS: &str = "the raft log could not be written";

/// Lets every sync of a node take long.
pub async fn slow(context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let stage = context.stage;
    let victim = context.any_node();
    let Some(_held) = stage.claim(vec![Claim::Node(victim)]) else { return Ok(None) };
    let delay = context.dice.duration(SYNC_DELAY.0, SYNC_DELAY.1);
    let length = context.lengths.draw(&mut context.dice);
    let from = context.now();
    let syncs = match stage.disks.get(&victim) {
        Some(Disk::Fuse(disk)) => {
            let before = disk.syncs();
            disk.set_sync_delay(delay);
            sleep(length).await;
            disk.set_sync_delay(Duration::ZERO);
            disk.syncs() - before
        }
        _ => {
            let Some(pid) = stage.cluster.node(victim)?.process().and_then(|process| process.pid()) else {
                return Ok(None);
            };
            let output = stage.work.join(format!("strace-{from}"));
            let strace = Strace::attach(pid, Injection::Delay(delay), &output).await?;
            sleep(length).await;
            strace.detach().await
        }
    };
    let note = format!("node {victim}: {syncs} syncs took {} ms more", delay.as_millis());
    Ok(Some(Done { victims: BTreeSet::from([victim]), from, to: context.now(), effect: syncs > 0, torn: 0, note }))
}

/// Fills a node's disk until the node gives up, then makes room and starts it again.
pub async fn full(context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let stage = context.stage;
    let can_be_filled: Vec<_> = stage.disks.iter().filter(|(_, disk)| !matches!(disk, Disk::Plain(_))).collect();
    let Some((victim, disk)) = context.dice.pick(&can_be_filled).map(|(node, disk)| (**node, *disk)) else {
        return Ok(None);
    };
    let Some(_held) = stage.claim(vec![Claim::Node(victim)]) else { return Ok(None) };
    let node = stage.cluster.node(victim)?;
    let Some(process) = node.process() else { return Ok(None) };
    let failed = |what: &str, why: std::io::Error| format!("{what} of node {victim}: {why}");
    let from = context.now();
    process.expect_end();
    let patience = Instant::now() + END_TIMEOUT;
    // What the node itself gives back, an old log for example, is taken as well.
    let ended = loop {
        disk.fill().map_err(|why| failed("filling the disk", why))?;
        let ended = process.wait_end(REFILL).await;
        if ended.is_some() || Instant::now() > patience {
            break ended;
        }
    };
    sleep(context.lengths.shortest).await;
    disk.empty().map_err(|why| failed("making room on the disk", why))?;
    let note = match ended {
        Some(status) if status.success() => return Err(format!("node {victim} ended well on a full disk")),
        Some(status) => {
            let said = process.log_tail();
            if !said.contains(LAST_WORDS) {
                return Err(format!("node {victim} ended with {status} on a full disk without saying why:\n{said}"));
            }
            node.start().await?;
            format!("node {victim} ended with {status} after {} ms", (context.now() - from) / 1_000_000)
        }
        None => {
            process.expect_life();
            format!("node {victim} needed no room for {END_TIMEOUT:?}")
        }
    };
    node.wait_ready().await?;
    Ok(Some(Done {
        victims: BTreeSet::from([victim]),
        from,
        to: context.now(),
        effect: ended.is_some(),
        torn: 0,
        note,
    }))
}

/// Lets a node's syncs fail with EIO: it must end at once, as nobody knows what its disk holds.
pub async fn sync_error(context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let stage = context.stage;
    let victim = context.any_node();
    let Some(_held) = stage.claim(vec![Claim::Node(victim)]) else { return Ok(None) };
    let node = stage.cluster.node(victim)?;
    let Some((process, pid)) = node.process().and_then(|process| Some((process, process.pid()?))) else {
        return Ok(None);
    };
    let from = context.now();
    process.expect_end();
    let strace = Strace::attach(pid, Injection::Fail, &stage.work.join(format!("strace-{from}"))).await?;
    let ended = process.wait_end(END_TIMEOUT).await;
    let failures = strace.detach().await;
    let note = match ended {
        Some(status) if status.success() => return Err(format!("node {victim} ended well after a failed sync")),
        Some(status) => format!("node {victim}: {failures} syncs failed, it ended with {status}"),
        None if failures > 0 => {
            return Err(format!(
                "node {victim} goes on {END_TIMEOUT:?} after {failures} failed syncs:\n{}",
                process.log_tail()
            ));
        }
        None => {
            process.expect_life();
            format!("node {victim} synced nothing for {END_TIMEOUT:?}")
        }
    };
    if ended.is_some() {
        sleep(context.lengths.shortest).await;
        node.start().await?;
    }
    node.wait_ready().await?;
    Ok(Some(Done { victims: BTreeSet::from([victim]), from, to: context.now(), effect: failures > 0, torn: 0, note }))
}
