//! The network of a run: every connection between nodes, and between clients and nodes, goes through a proxy of the
//! runner (between containers only the latter). With namespaces or containers each node has a network stack of its own
//! and partitions drop its packets; without, the proxy holds back what a partition would.

pub mod namespaces;
pub mod owner;
pub mod proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::cluster::compose::Container;
use crate::history::lock;
use namespaces::{Namespaces, drop_packets, dropped_packets};
use proxy::Link;

/// From a node to another, by id.
pub type Way = (usize, usize);

/// Where the nodes' network stacks are, and with it how partitions are made.
pub enum Ground {
    /// All on this machine's loopback: the proxy holds bytes back.
    Loopback,
    /// One namespace each: packets are dropped.
    Namespaces(Namespaces),
    /// One container each, by node, without a proxy between them: packets are dropped.
    Containers(BTreeMap<usize, Container>),
}

/// All links of a run.
pub struct Network {
    /// Between nodes: who dials, who listens.
    peers: BTreeMap<Way, Arc<Link>>,
    /// From clients to a node.
    clients: BTreeMap<usize, Arc<Link>>,
    /// Where clients connect to reach a node.
    client_addresses: BTreeMap<usize, SocketAddr>,
    /// Ports of the proxies in front of the nodes' peer listeners.
    peer_ports: BTreeMap<usize, u16>,
    ground: Ground,
    blocked: Mutex<BTreeSet<Way>>,
}

impl Network {
    pub fn new(nodes: usize, ground: Ground) -> Network {
        let pairs = (1..=nodes).flat_map(|from| (1..=nodes).map(move |to| (from, to)));
        Network {
            peers: pairs.filter(|(from, to)| from != to).map(|way| (way, Arc::new(Link::default()))).collect(),
            clients: (1..=nodes).map(|node| (node, Arc::new(Link::default()))).collect(),
            client_addresses: BTreeMap::new(),
            peer_ports: BTreeMap::new(),
            ground,
            blocked: Mutex::default(),
        }
    }

    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    pub fn spaces(&self) -> Option<&Namespaces> {
        match &self.ground {
            Ground::Namespaces(spaces) => Some(spaces),
            Ground::Loopback | Ground::Containers(_) => None,
        }
    }

    pub fn set_peer_port(&mut self, node: usize, port: u16) {
        self.peer_ports.insert(node, port);
    }

    pub fn set_client_address(&mut self, node: usize, address: SocketAddr) {
        self.client_addresses.insert(node, address);
    }

    pub fn peer_links(&self) -> impl Iterator<Item = (&Way, &Arc<Link>)> {
        self.peers.iter()
    }

    pub fn client_link(&self, node: usize) -> Option<&Arc<Link>> {
        self.clients.get(&node)
    }

    /// Where a client connects to reach a node.
    pub fn client_address(&self, node: usize) -> Option<SocketAddr> {
        self.client_addresses.get(&node).copied()
    }

    /// From now on nothing goes these ways, whoever dialled; everything else flows.
    pub async fn block(&self, ways: &BTreeSet<Way>) -> Result<(), String> {
        let before = std::mem::replace(&mut *lock(&self.blocked), ways.clone());
        let receivers: BTreeSet<usize> = before.symmetric_difference(ways).map(|(_, to)| *to).collect();
        let senders = |to: usize| ways.iter().filter(move |way| way.1 == to).map(|way| way.0);
        match &self.ground {
            Ground::Namespaces(spaces) => {
                for to in receivers {
                    let port = |from| self.peer_ports.get(&from).copied().unwrap_or(0);
                    let matches: Vec<_> = senders(to).flat_map(|from| spaces.matches(from, to, port(from))).collect();
                    drop_packets(spaces.entrance(to)?, &matches).await?;
                }
            }
            Ground::Containers(containers) => {
                for to in receivers {
                    let mut matches = Vec::new();
                    for container in senders(to).filter_map(|from| containers.get(&from)) {
                        matches.extend(container.addresses().await?.iter().map(|ip| format!("ip saddr {ip}")));
                    }
                    // A container that does not run has no rules either.
                    if let Some(Ok(space)) = self.space(to).await {
                        drop_packets(space, &matches).await?;
                    }
                }
            }
            Ground::Loopback => {
                for ((dialler, listener), link) in &self.peers {
                    let forth = ways.contains(&(*dialler, *listener));
                    let back = ways.contains(&(*listener, *dialler));
                    link.change(|weather| (weather.forth.blocked, weather.back.blocked) = (forth, back));
                }
            }
        }
        Ok(())
    }

    /// The network namespace of a node, if it has one of its own.
    async fn space(&self, node: usize) -> Option<Result<Arc<OwnedFd>, String>> {
        match &self.ground {
            Ground::Loopback => None,
            Ground::Namespaces(spaces) => Some(spaces.entrance(node)),
            Ground::Containers(containers) => Some(containers.get(&node)?.space().await),
        }
    }

    /// What partitions held back since they began: packets, or chunks of bytes at the proxy. Whatever else stalls a link
    /// counts for itself.
    pub async fn held_back(&self) -> u64 {
        let mut sum = 0;
        for node in self.clients.keys() {
            if let Some(Ok(space)) = self.space(*node).await {
                sum += dropped_packets(space).await;
            }
        }
        sum + self.peers.values().map(|link| link.counts.blocked.load(Ordering::Relaxed)).sum::<u64>()
    }
}
