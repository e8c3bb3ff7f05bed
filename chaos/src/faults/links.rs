//! Bad links: the proxy delays, stalls, resets and cuts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Context, Done};
use crate::dice::Dice;
use crate::kinds::Kind;
use crate::net::proxy::{Link, Weather};
use crate::stage::Claim;

const DELAY_MAX: Duration = Duration::from_millis(200);
const JITTER_MAX: Duration = Duration::from_millis(100);
/// Between two resets or cuts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(800));
/// A cut comes after so many bytes at most: clients send less.
const PEER_CUT_BYTES_MAX: u64 = 20_000;
const CLIENT_CUT_BYTES_MAX: u64 = 2_000;

/// Links between nodes: one, all of one node, or all.
pub async fn peers(kind: Kind, context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let Some(_held) = context.stage.claim(vec![Claim::PeerLinks]) else { return Ok(None) };
    let node = context.any_node();
    let chosen = context.dice.below(3);
    let one = context.dice.below(context.stage.network.peer_links().count() as u64) as usize;
    let links = context.stage.network.peer_links().enumerate().filter(|(number, (way, _))| match chosen {
        0 => *number == one,
        1 => way.0 == node || way.1 == node,
        _ => true,
    });
    let (ways, links): (Vec<String>, Vec<Arc<Link>>) =
        links.map(|(_, (way, link))| (format!("{}>{}", way.0, way.1), link.clone())).unzip();
    let victims = context.stage.cluster.ids().into_iter().collect();
    play(kind, context, &links, &ways.join(" "), victims).await.map(Some)
}

/// Links from clients to a node.
pub async fn clients(kind: Kind, context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let node = context.any_node();
    let Some(_held) = context.stage.claim(vec![Claim::ClientLink(node)]) else { return Ok(None) };
    let Some(link) = context.stage.network.client_link(node).cloned() else { return Ok(None) };
    let victims = BTreeSet::from([node]);
    play(kind, context, &[link], &format!("clients of node {node}"), victims).await.map(Some)
}

async fn play(
    kind: Kind,
    context: &mut Context<'_>,
    links: &[Arc<Link>],
    name: &str,
    victims: BTreeSet<usize>,
) -> Result<Done, String> {
    let length = context.lengths.draw(&mut context.dice);
    let counted = |link: &Arc<Link>| match kind {
        Kind::PeerDelay | Kind::ClientDelay => link.counts.delayed.load(Ordering::Relaxed),
        Kind::PeerStall | Kind::ClientStall => link.counts.held.load(Ordering::Relaxed),
        Kind::PeerReset | Kind::ClientReset => link.counts.resets.load(Ordering::Relaxed),
        _ => link.counts.cuts.load(Ordering::Relaxed),
    };
    let total = || links.iter().map(counted).sum::<u64>();
    let (from, before) = (context.now(), total());
    match kind {
        Kind::PeerDelay | Kind::ClientDelay => {
            let delay = context.dice.duration(Duration::ZERO, DELAY_MAX);
            let jitter = context.dice.duration(Duration::from_millis(1), JITTER_MAX);
            let change = |weather: &mut Weather, delay, jitter| {
                (weather.forth.delay, weather.forth.jitter) = (delay, jitter);
                (weather.back.delay, weather.back.jitter) = (delay, jitter);
            };
            links.iter().for_each(|link| link.change(|weather| change(weather, delay, jitter)));
            sleep(length).await;
            links.iter().for_each(|link| link.change(|weather| change(weather, Duration::ZERO, Duration::ZERO)));
        }
        Kind::PeerStall | Kind::ClientStall => {
            let (forth, back) = match context.dice.below(3) {
                0 => (true, false),
                1 => (false, true),
                _ => (true, true),
            };
            let change =
                |weather: &mut Weather, forth, back| (weather.forth.stalled, weather.back.stalled) = (forth, back);
            links.iter().for_each(|link| link.change(|weather| change(weather, forth, back)));
            sleep(length).await;
            links.iter().for_each(|link| link.change(|weather| change(weather, false, false)));
        }
        Kind::PeerReset | Kind::ClientReset => {
            again_and_again(length, &mut context.dice, |_| {
                links.iter().for_each(|link| link.change(|weather| weather.resets += 1));
            })
            .await;
        }
        _ => {
            let most = if kind == Kind::PeerCut { PEER_CUT_BYTES_MAX } else { CLIENT_CUT_BYTES_MAX };
            again_and_again(length, &mut context.dice, |dice| {
                links.iter().for_each(|link| link.cut_after(Some(dice.below(most))));
            })
            .await;
            links.iter().for_each(|link| link.cut_after(None));
        }
    }
    let hits = total() - before;
    let note = format!("{name} for {} ms, {hits} hits", length.as_millis());
    Ok(Done { victims, from, to: context.now(), effect: hits > 0, torn: 0, note })
}

async fn again_and_again(length: Duration, dice: &mut Dice, mut act: impl FnMut(&mut Dice)) {
    let until = Instant::now() + length;
    while Instant::now() < until {
        act(dice);
        sleep(dice.duration(PAUSE.0, PAUSE.1)).await;
    }
}
