//! FAILOVER and CLUSTER FAILOVER: leadership moves on purpose, as it does when a node is shut down. Both answer when
//! the transfer has begun, as Redis does; it takes a few round trips, during which commands wait.
//!
//! FAILOVER hands over every group that this node leads, to the node that is named or to the one that has most of the
//! group's log. CLUSTER FAILOVER is said to a node that leads nothing: it asks for the groups of the node that it
//! counts as its master (see `cluster`).

use bytes::Bytes;

use super::words::{integer, is, not_an_integer, syntax_error};
use super::{Service, cluster};
use crate::base::NodeId;
use crate::cluster::{GroupInfo, Map};
use crate::resp::Value;

/// What a FAILOVER asks for.
#[derive(Debug, Default)]
struct Wish<'a> {
    to: Option<(&'a Bytes, i64)>,
    timeout: bool,
    force: bool,
    abort: bool,
}

impl Wish<'_> {
    fn parse(args: &[Bytes]) -> Result<Wish<'_>, Value> {
        let mut wish = Wish::default();
        let mut rest = &args[1..];
        loop {
            rest = match rest {
                [] => return Ok(wish),
                [word] if is(word, "abort") && args.len() == 2 => {
                    wish.abort = true;
                    &[]
                }
                [word, millis, rest @ ..] if is(word, "timeout") && !wish.timeout => {
                    let millis = integer(millis).ok_or_else(not_an_integer)?;
                    if millis <= 0 {
                        return Err(Value::error("ERR FAILOVER timeout must be greater than 0"));
                    }
                    wish.timeout = true;
                    rest
                }
                [word, host, port, rest @ ..] if is(word, "to") && wish.to.is_none() => {
                    wish.to = Some((host, integer(port).ok_or_else(not_an_integer)?));
                    rest
                }
                [word, rest @ ..] if is(word, "force") && !wish.force => {
                    wish.force = true;
                    rest
                }
                _ => return Err(syntax_error()),
            };
        }
    }
}

impl Service {
    /// `FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]`
    pub(super) fn failover(&self, args: &[Bytes]) -> Value {
        let wish = match Wish::parse(args) {
            Ok(wish) => wish,
            Err(refusal) => return refusal,
        };
        let (map, me) = (self.node.map(), self.node.id());
        match hand_over(&map, me, &wish) {
            Ok(transfers) => {
                for (group, to) in transfers {
                    self.node.hand_over(group.id, to);
                }
                Value::OK
            }
            Err(refusal) => Value::error(refusal),
        }
    }

    /// `CLUSTER FAILOVER [FORCE|TAKEOVER]`
    pub(super) fn cluster_failover(&self, words: &[Bytes]) -> Value {
        let force = match words {
            [] => false,
            [word] if is(word, "force") || is(word, "takeover") => true,
            _ => return syntax_error(),
        };
        let (map, me) = (self.node.map(), self.node.id());
        let Some(master) = cluster::master_of(&map, me) else {
            return Value::error(if cluster::led(&map, me).next().is_some() {
                "ERR You should send CLUSTER FAILOVER to a replica"
            } else {
                "ERR I'm a replica but my master is unknown to me"
            });
        };
        let is_heard = map.nodes.iter().any(|node| node.id == master && node.reachable);
        match (is_heard, force) {
            (true, _) => {
                for group in
                    map.groups.iter().filter(|group| group.leader == Some(master) && group.members.contains(&me))
                {
                    self.node.ask_to_lead(group.id);
                }
                Value::OK
            }
            (false, false) => Value::error("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE"),
            // Nobody can take over without a majority, and with one it happens by itself.
            (false, true) => {
                Value::error("ERR a leader that is down is replaced by an election, which nobody has to ask for")
            }
        }
    }
}

/// Which groups go where, or why none does.
fn hand_over<'a>(map: &'a Map, me: NodeId, wish: &Wish<'_>) -> Result<Vec<(&'a GroupInfo, NodeId)>, &'static str> {
    if wish.abort {
        return Err("ERR No failover in progress.");
    }
    if cluster::led(map, me).next().is_none() {
        return Err("ERR FAILOVER is not valid when server is a replica.");
    }
    if cluster::others(map, me).next().is_none() {
        return Err("ERR FAILOVER requires connected replicas.");
    }
    if wish.force && !(wish.timeout && wish.to.is_some()) {
        return Err("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    }
    let target = match wish.to {
        None => None,
        Some((host, port)) => {
            let is_it = |(known, at): (&str, u16)| known.as_bytes() == host && i64::from(at) == port;
            let node = map.nodes.iter().find(|node| node.id != me && cluster::address(node).is_some_and(is_it));
            let node = node.ok_or("ERR FAILOVER target HOST and PORT is not a replica.")?;
            if !node.reachable {
                return Err("ERR FAILOVER target replica is not online.");
            }
            Some(node.id)
        }
    };
    // The meta group goes with the others.
    let led = map.groups.iter().filter(|group| group.leader == Some(me));
    Ok(led.filter_map(|group| Some((group, target.or_else(|| best(map, group, me))?))).collect())
}

/// The member that has most of a group's log among those that are heard; the lowest id where that is equal.
fn best(map: &Map, group: &GroupInfo, me: NodeId) -> Option<NodeId> {
    let is_heard = |id: NodeId| map.nodes.iter().any(|node| node.id == id && node.reachable);
    let matched = |id: NodeId| {
        let follower = group.followers.iter().find(|follower| follower.node == id);
        follower.map_or(0, |follower| follower.matched.get())
    };
    let others = group.members.iter().copied().filter(|id| *id != me && is_heard(*id));
    others.max_by_key(|id| (matched(*id), std::cmp::Reverse(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ClusterId, GroupId, LogIndex, Millis, SlotRange, Term};
    use crate::cluster::{FollowerInfo, NodeInfo};

    /// Node 1 leads everything, the meta group too, and does not hear node 4.
    fn map() -> Map {
        let node = |id: u64| NodeInfo {
            id: NodeId(id),
            peer: format!("10.0.0.{id}:16379"),
            resp: Some(format!("10.0.0.{id}:6379")),
            http: None,
            reachable: id != 4,
            heard: Millis(0),
        };
        let follower = |node, matched| FollowerInfo { node: NodeId(node), matched: LogIndex(matched), loading: false };
        let group = |id, slots, followers: Vec<FollowerInfo>| GroupInfo {
            id: GroupId(id),
            slots,
            members: (1..=4).map(NodeId).collect(),
            leader: Some(NodeId(1)),
            term: Term(3),
            commit: LogIndex(9),
            applied: LogIndex(9),
            followers,
        };
        let groups = vec![
            group(0, None, vec![]),
            group(1, Some(SlotRange::ALL), vec![follower(2, 7), follower(3, 9), follower(4, 10)]),
        ];
        Map { cluster: ClusterId(7), nodes: (1..=4).map(node).collect(), groups }
    }

    fn failover(map: &Map, me: u64, line: &str) -> Result<Vec<(u64, u64)>, String> {
        let words: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let told = |error: Value| match error {
            Value::Error(line) => String::from_utf8_lossy(&line).into_owned(),
            other => format!("{other:?}"),
        };
        let wish = Wish::parse(&words).map_err(told)?;
        let transfers = hand_over(map, NodeId(me), &wish).map_err(String::from)?;
        Ok(transfers.into_iter().map(|(group, to)| (group.id.get(), to.get())).collect())
    }

    #[test]
    fn groups_go_to_who_has_most_or_is_named() {
        let map = map();
        assert_eq!(failover(&map, 1, "FAILOVER"), Ok(vec![(0, 2), (1, 3)]));
        assert_eq!(failover(&map, 1, "failover to 10.0.0.2 6379 timeout 5 force"), Ok(vec![(0, 2), (1, 2)]));
        assert_eq!(failover(&map, 1, "failover timeout 100"), Ok(vec![(0, 2), (1, 3)]));
    }

    #[test]
    fn refusals_are_those_of_redis() {
        let map = map();
        let replica = "ERR FAILOVER is not valid when server is a replica.";
        let both = "ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
        for (me, line, refusal) in [
            (1, "FAILOVER x", "ERR syntax error"),
            (1, "FAILOVER to", "ERR syntax error"),
            (1, "FAILOVER to a", "ERR syntax error"),
            (1, "FAILOVER abort x", "ERR syntax error"),
            (1, "FAILOVER force force", "ERR syntax error"),
            (1, "FAILOVER timeout 5 timeout 6", "ERR syntax error"),
            (1, "FAILOVER to a 1 to b 2", "ERR syntax error"),
            (1, "FAILOVER timeout", "ERR syntax error"),
            (1, "FAILOVER timeout x", "ERR value is not an integer or out of range"),
            (1, "FAILOVER to a x", "ERR value is not an integer or out of range"),
            (1, "FAILOVER timeout 0", "ERR FAILOVER timeout must be greater than 0"),
            (1, "FAILOVER abort", "ERR No failover in progress."),
            (2, "FAILOVER", replica),
            (1, "FAILOVER force", both),
            (1, "FAILOVER to 10.0.0.2 6379 force", both),
            (1, "FAILOVER to 10.0.0.9 6379", "ERR FAILOVER target HOST and PORT is not a replica."),
            (1, "FAILOVER to 10.0.0.1 6379", "ERR FAILOVER target HOST and PORT is not a replica."),
            (1, "FAILOVER to 10.0.0.2 -1", "ERR FAILOVER target HOST and PORT is not a replica."),
            (1, "FAILOVER to 10.0.0.4 6379", "ERR FAILOVER target replica is not online."),
        ] {
            assert_eq!(failover(&map, me, line), Err(refusal.to_string()), "{line}");
        }
        let mut alone = map.clone();
        alone.nodes.truncate(1);
        assert_eq!(failover(&alone, 1, "FAILOVER force"), Err("ERR FAILOVER requires connected replicas.".into()));
    }
}
