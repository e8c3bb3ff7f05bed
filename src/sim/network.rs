//! The network between nodes: directed links that delay, lose, reorder and cut.
//!
//! Invariant: a frame is delivered at most once (production's transport never resends, rule 15). Frames of one link
//! keep their order unless the link is told to reorder, which stands for a stream that broke and was opened again.

use std::time::Duration;

use crate::base::{Nanos, NodeId, Rng};

/// A directed link between two nodes.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// How many partitions in force cut it: they may overlap.
    cuts: u32,
    /// Frames lost per 1,000.
    loss: u64,
    /// Shortest way of a frame.
    delay: Duration,
    /// What chance adds at most.
    jitter: Duration,
    /// Whether a frame may overtake another.
    reorder: bool,
    /// When the latest frame so far arrives.
    last: Nanos,
}

/// What a partition cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Two sides that do not hear each other; who is in neither hears both (a partial partition).
    Sides(Vec<NodeId>, Vec<NodeId>),
    /// The second side does not hear the first, but the first hears the second.
    OneWay(Vec<NodeId>, Vec<NodeId>),
}

/// How bad a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Frames lost per 1,000.
    pub loss: u64,
    /// Shortest way of a frame.
    pub delay: Duration,
    /// What chance adds at most.
    pub jitter: Duration,
    /// Whether a frame may overtake another.
    pub reorder: bool,
}

impl Weather {
    /// A healthy local network.
    pub const FAIR: Weather =
        Weather { loss: 0, delay: Duration::from_micros(100), jitter: Duration::from_micros(400), reorder: false };
}

/// All links.
pub struct Network {
    nodes: u64,
    links: Vec<Link>,
    rng: Rng,
}

impl Network {
    /// Healthy links between nodes 1..=`nodes`.
    pub fn new(nodes: u64, rng: Rng) -> Network {
        let Weather { loss, delay, jitter, reorder } = Weather::FAIR;
        let link = Link { cuts: 0, loss, delay, jitter, reorder, last: Nanos(0) };
        Network { nodes, links: vec![link; (nodes * nodes) as usize], rng }
    }

    /// When a frame that leaves now arrives; `None` when it is lost.
    pub fn send(&mut self, now: Nanos, from: NodeId, to: NodeId) -> Option<Nanos> {
        let place = self.place(from, to);
        let link = &mut self.links[place];
        if link.cuts > 0 || (link.loss > 0 && self.rng.chance(link.loss, 1_000)) {
            return None;
        }
        let arrival = now + link.delay + Duration::from_nanos(self.rng.below(link.jitter.as_nanos() as u64 + 1));
        let arrival = if link.reorder { arrival } else { arrival.max(link.last) };
        link.last = link.last.max(arrival);
        Some(arrival)
    }

    /// Whether frames from one node can reach the other at all.
    pub fn connected(&self, from: NodeId, to: NodeId) -> bool {
        self.links[self.place(from, to)].cuts == 0
    }

    /// Puts a partition in force. Frames on their way still arrive, as they do in cables.
    pub fn cut(&mut self, cut: &Cut) {
        self.each_cut(cut, |link| link.cuts += 1);
    }

    /// Takes a partition back that is in force.
    pub fn join(&mut self, cut: &Cut) {
        self.each_cut(cut, |link| link.cuts = link.cuts.saturating_sub(1));
    }

    /// Changes how bad a directed link is.
    pub fn set_weather(&mut self, from: NodeId, to: NodeId, weather: Weather) {
        let place = self.place(from, to);
        let Weather { loss, delay, jitter, reorder } = weather;
        let last = self.links[place].last;
        let cuts = self.links[place].cuts;
        self.links[place] = Link { cuts, loss, delay, jitter, reorder, last };
    }

    /// Makes every link healthy again.
    pub fn heal(&mut self) {
        let Weather { loss, delay, jitter, reorder } = Weather::FAIR;
        for link in &mut self.links {
            *link = Link { cuts: 0, loss, delay, jitter, reorder, last: link.last };
        }
    }

    fn each_cut(&mut self, cut: &Cut, mut change: impl FnMut(&mut Link)) {
        let (Cut::Sides(left, right) | Cut::OneWay(left, right)) = cut;
        for &one in left {
            for &other in right {
                let there = self.place(one, other);
                change(&mut self.links[there]);
                if matches!(cut, Cut::Sides(..)) {
                    let back = self.place(other, one);
                    change(&mut self.links[back]);
                }
            }
        }
    }

    fn place(&self, from: NodeId, to: NodeId) -> usize {
        ((from.get() - 1) * self.nodes + to.get() - 1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_cuts_are_one_way_and_overlapping_cuts_add_up() {
        let (one, two, three) = (NodeId(1), NodeId(2), NodeId(3));
        let mut network = Network::new(3, Rng::new(1));
        let one_way = Cut::OneWay(vec![one], vec![two]);
        let sides = Cut::Sides(vec![one], vec![two, three]);
        network.cut(&one_way);
        assert!(!network.connected(one, two) && network.connected(two, one) && network.connected(one, three));
        network.cut(&sides);
        assert!(!network.connected(two, one) && !network.connected(three, one) && network.connected(two, three));
        network.join(&sides);
        assert!(!network.connected(one, two) && network.connected(two, one));
        network.join(&one_way);
        assert!(network.connected(one, two));
    }

    #[test]
    fn frames_keep_their_order_unless_told_otherwise() {
        let (one, two) = (NodeId(1), NodeId(2));
        let mut network = Network::new(2, Rng::new(1));
        let arrivals: Vec<_> = (0..1_000).filter_map(|i| network.send(Nanos(i), one, two)).collect();
        assert_eq!(arrivals.len(), 1_000);
        assert!(arrivals.is_sorted());
        network.set_weather(one, two, Weather { reorder: true, loss: 500, ..Weather::FAIR });
        let arrivals: Vec<_> = (0..1_000).filter_map(|i| network.send(Nanos(i), one, two)).collect();
        assert!((300..700).contains(&arrivals.len()) && !arrivals.is_sorted());
    }
}
