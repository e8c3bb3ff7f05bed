//! Nodes that do not hear each other.

use std::collections::BTreeSet;

use tokio::time::sleep;

use super::{Context, Done};
use crate::kinds::Kind;
use crate::net::Way;
use crate::stage::Claim;

/// Cuts the network in some way and mends it.
pub async fn play(kind: Kind, context: &mut Context<'_>) -> Result<Option<Done>, String> {
    let stage = context.stage;
    let Some(_held) = stage.claim(vec![Claim::Partition]) else { return Ok(None) };
    let ids = stage.cluster.ids();
    let all = || ids.iter().flat_map(|from| ids.iter().map(move |to| (*from, *to))).filter(|(from, to)| from != to);
    let (ways, victims): (BTreeSet<Way>, BTreeSet<usize>) = match kind {
        Kind::IsolateLeader => {
            let Some(leader) = stage.cluster.leader().await else { return Ok(None) };
            (all().filter(|(from, to)| *from == leader || *to == leader).collect(), BTreeSet::from([leader]))
        }
        Kind::OneWay => {
            let node = context.any_node();
            let deaf = context.dice.chance(50);
            let ways = all().filter(|(from, to)| if deaf { *to == node } else { *from == node });
            (ways.collect(), BTreeSet::from([node]))
        }
        Kind::Ring => {
            let mut order = ids.clone();
            context.dice.shuffle(&mut order);
            let ways = ring(&order);
            let victims = ways.iter().map(|(from, _)| *from).collect();
            (ways, victims)
        }
        _ => {
            let minority = context.some_nodes(ids.len() - stage.cluster.majority());
            let ways = all().filter(|(from, to)| minority.contains(from) != minority.contains(to));
            (ways.collect(), minority)
        }
    };
    let length = context.lengths.draw(&mut context.dice);
    let (from, held_before) = (context.now(), stage.network.held_back().await);
    stage.network.block(&ways).await?;
    sleep(length).await;
    // Rules count packets while they are in force.
    let held = stage.network.held_back().await.saturating_sub(held_before);
    stage.network.block(&BTreeSet::new()).await?;
    let ways: Vec<String> = ways.iter().map(|(from, to)| format!("{from}>{to}")).collect();
    let note = format!("{} for {} ms, {held} held back", ways.join(" "), length.as_millis());
    Ok(Some(Done { victims, from, to: context.now(), effect: held > 0, torn: 0, note }))
}

/// What to block so that nodes in a ring hear their neighbours only: each still hears a majority, and no two the same. Three
/// nodes have too few for that: one pair does not hear each other there.
fn ring(order: &[usize]) -> BTreeSet<Way> {
    let count = order.len();
    if count == 3 {
        return BTreeSet::from([(order[0], order[1]), (order[1], order[0])]);
    }
    // So many to each side, and itself, are a majority.
    let reach = (count / 2).div_ceil(2);
    let mut ways = BTreeSet::new();
    for (a, from) in order.iter().enumerate() {
        for (b, to) in order.iter().enumerate() {
            let distance = a.abs_diff(b);
            if distance.min(count - distance) > reach {
                ways.insert((*from, *to));
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_leaves_everybody_a_majority_of_its_own() {
        for count in [3, 5] {
            let order: Vec<usize> = (1..=count).collect();
            let ways = ring(&order);
            assert!(!ways.is_empty());
            let heard = |node: usize| -> BTreeSet<usize> {
                order.iter().copied().filter(|from| !ways.contains(&(*from, node))).collect()
            };
            for node in &order {
                assert!(heard(*node).len() > count / 2, "{count} nodes: {node} hears {:?}", heard(*node));
                assert!(ways.iter().all(|(from, to)| ways.contains(&(*to, *from))), "both ways");
            }
            if count == 5 {
                let all: BTreeSet<BTreeSet<usize>> = order.iter().map(|node| heard(*node)).collect();
                assert_eq!(all.len(), 5);
            }
        }
    }
}
