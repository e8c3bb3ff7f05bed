//! A wall clock that is elsewhere, forward or back.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Context, Done};
use crate::connection::{Connection, Protocol};
use crate::resp::{Reply, command};
use crate::stage::Claim;

/// Moves a node's wall clock and moves it back.
pub async fn play(context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let stage = context.stage;
    let Some(clocks) = &stage.clocks else { return Ok(None) };
    let victim = context.any_node();
    let Some(_held) = stage.claim(vec![Claim::Clock(victim)]) else { return Ok(None) };
    let offset = context.dice.duration(clocks.offset_max / 2, clocks.offset_max);
    let forward = context.dice.chance(50);
    let offset_ns = if forward { 1 } else { -1 } * offset.as_nanos() as i64;
    let failed = |why: std::io::Error| format!("the clock of node {victim}: {why}");
    let from = context.now();
    let before = distance(context, victim).await;
    clocks.set(victim, offset_ns).map_err(failed)?;
    let during = distance(context, victim).await;
    sleep(context.lengths.draw(&mut context.dice)).await;
    clocks.set(victim, 0).map_err(failed)?;
    // The node itself must have told another time; one that is down or paused cannot.
    let moved = before.zip(during).map(|(before, during)| during - before);
    let effect = moved.is_some_and(|moved| moved.abs_diff(offset_ns) < offset_ns.unsigned_abs() / 2);
    let note = format!("node {victim}: {} ms", offset_ns / 1_000_000);
    Ok(Some(Done { victims: BTreeSet::new(), from, to: context.now(), effect, torn: 0, note }))
}

/// How far a node's wall clock, as TIME tells it, is ahead of the history's clock, in nanoseconds.
async fn distance(context: &Context<'_>, node: usize) -> Option<i64> {
    let patience = Duration::from_secs(1);
    let asked = async {
        let resp = context.stage.cluster.node(node).ok()?.resp;
        let mut connection = Connection::open(resp, Protocol::Resp2).await.ok()?;
        let asked = context.now() as i64;
        connection.send(&[command(["TIME"])]).await.ok()?;
        let Reply::Array(parts) = connection.reply(Instant::now() + patience).await.ok()? else { return None };
        let numbers: Vec<i64> = parts.iter().filter_map(|part| part.text()?.parse().ok()).collect();
        let [seconds, micros] = numbers[..] else { return None };
        // It looked at its clock somewhere between.
        let halfway = asked + (context.now() as i64 - asked) / 2;
        Some(seconds * 1_000_000_000 + micros * 1000 - halfway)
    };
    tokio::time::timeout(patience, asked).await.ok()?
}
