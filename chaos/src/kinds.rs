//! The kinds of faults, as rows of one table: what the command line takes, what the report counts, what the machine must
//! be able to do for each.

use std::fmt;

/// What a kind of fault needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Signals to processes of our own: everywhere.
    Signals,
    /// The own proxy on the links between nodes.
    PeerProxy,
    /// Packets can be dropped: in network namespaces or containers, or else by the proxy on the links between nodes.
    Partitions,
    /// The own proxy between clients and nodes: everywhere.
    ClientProxy,
    /// `strace` may attach and change what system calls return, or how long they take.
    Strace,
    /// A disk that can be filled: a small file system in a file, or the own one.
    SmallDisk,
    /// An own file system that knows what was synced.
    Fuse,
    /// The node's wall clock can be moved.
    Clock,
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KillLeader,
    KillRandom,
    KillMajority,
    KillAll,
    Restart,
    PauseLeader,
    PauseRandom,
    IsolateLeader,
    Halves,
    OneWay,
    Ring,
    PeerDelay,
    PeerStall,
    PeerReset,
    PeerCut,
    ClientDelay,
    ClientStall,
    ClientReset,
    ClientCut,
    SlowDisk,
    FullDisk,
    SyncError,
    LostWrites,
    PowerCutAll,
    ClockOffset,
}

/// Every kind: its name on the command line and in reports, what it needs, what it does.
pub const TABLE: &[(Kind, &str, Need, &str)] = &[
    (Kind::KillLeader, "kill-leader", Need::Signals, "SIGKILL to the leader, started again after a while"),
    (Kind::KillRandom, "kill-random", Need::Signals, "SIGKILL to any node"),
    (Kind::KillMajority, "kill-majority", Need::Signals, "SIGKILL to a majority at once"),
    (Kind::KillAll, "kill-all", Need::Signals, "SIGKILL to all nodes at once"),
    (Kind::Restart, "restart", Need::Signals, "SIGTERM to any node: it must end by itself and well"),
    (Kind::PauseLeader, "pause-leader", Need::Signals, "SIGSTOP to the leader, SIGCONT later"),
    (Kind::PauseRandom, "pause-random", Need::Signals, "SIGSTOP to any node, SIGCONT later"),
    (Kind::IsolateLeader, "isolate-leader", Need::Partitions, "the leader hears and reaches no other node"),
    (Kind::Halves, "halves", Need::Partitions, "two parts that do not hear each other"),
    (Kind::OneWay, "one-way", Need::Partitions, "one node is heard but hears nobody, or the other way round"),
    (Kind::Ring, "ring", Need::Partitions, "links cut so that every node still hears a majority, each another one"),
    (Kind::PeerDelay, "peer-delay", Need::PeerProxy, "bytes between nodes come late and unevenly"),
    (Kind::PeerStall, "peer-stall", Need::PeerProxy, "connections between nodes stand still, and stay open"),
    (Kind::PeerReset, "peer-reset", Need::PeerProxy, "connections between nodes are reset, again and again"),
    (Kind::PeerCut, "peer-cut", Need::PeerProxy, "connections between nodes break after some number of bytes"),
    (Kind::ClientDelay, "client-delay", Need::ClientProxy, "bytes between clients and a node come late and unevenly"),
    (Kind::ClientStall, "client-stall", Need::ClientProxy, "connections of a node's clients stand still"),
    (Kind::ClientReset, "client-reset", Need::ClientProxy, "connections of a node's clients are reset"),
    (Kind::ClientCut, "client-cut", Need::ClientProxy, "connections of a node's clients break after some bytes"),
    (Kind::SlowDisk, "slow-disk", Need::Strace, "every sync of a node takes long"),
    (Kind::FullDisk, "full-disk", Need::SmallDisk, "a node's file system has no room left"),
    (Kind::SyncError, "sync-error", Need::Strace, "fdatasync and fsync of a node fail with EIO"),
    (Kind::LostWrites, "lost-writes", Need::Fuse, "SIGKILL, and what was not synced is lost or torn"),
    (
        Kind::PowerCutAll,
        "power-cut-all",
        Need::Fuse,
        "SIGKILL to all nodes at once, and each loses what was not synced",
    ),
    (Kind::ClockOffset, "clock-offset", Need::Clock, "a node's wall clock is elsewhere"),
];

/// Names that stand for several kinds.
const FAMILIES: &[(&str, &[Kind])] = &[
    ("kill", &[Kind::KillLeader, Kind::KillRandom, Kind::KillMajority, Kind::KillAll]),
    ("pause", &[Kind::PauseLeader, Kind::PauseRandom]),
    ("partition", &[Kind::IsolateLeader, Kind::Halves, Kind::OneWay, Kind::Ring]),
    ("peer-link", &[Kind::PeerDelay, Kind::PeerStall, Kind::PeerReset, Kind::PeerCut]),
    ("client-link", &[Kind::ClientDelay, Kind::ClientStall, Kind::ClientReset, Kind::ClientCut]),
    ("disk", &[Kind::SlowDisk, Kind::FullDisk, Kind::SyncError, Kind::LostWrites, Kind::PowerCutAll]),
];

impl Kind {
    fn row(self) -> &'static (Kind, &'static str, Need, &'static str) {
        // The test below holds that the table is in the order of the enum.
        &TABLE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().1
    }

    pub fn need(self) -> Need {
        self.row().2
    }

    /// Whether it loses what was written and not synced.
    pub fn loses_writes(self) -> bool {
        matches!(self, Kind::LostWrites | Kind::PowerCutAll)
    }

    /// Whether it keeps the nodes that it hits, or the connections of their clients, from answering at all. Whoever is cut off
    /// from other nodes only can still answer, and so can one whose clock is wrong.
    pub fn stops_its_victims(self) -> bool {
        match self {
            Kind::IsolateLeader | Kind::Halves | Kind::OneWay | Kind::Ring => false,
            Kind::PeerDelay | Kind::PeerStall | Kind::PeerReset | Kind::PeerCut | Kind::ClockOffset => false,
            Kind::KillLeader | Kind::KillRandom | Kind::KillMajority | Kind::KillAll | Kind::Restart => true,
            Kind::PauseLeader | Kind::PauseRandom => true,
            Kind::ClientDelay | Kind::ClientStall | Kind::ClientReset | Kind::ClientCut => true,
            Kind::SlowDisk | Kind::FullDisk | Kind::SyncError | Kind::LostWrites | Kind::PowerCutAll => true,
        }
    }

    /// All kinds.
    pub fn all() -> impl Iterator<Item = Kind> {
        TABLE.iter().map(|(kind, ..)| *kind)
    }

    /// The kinds of a comma-separated list of names and families.
    pub fn parse_list(list: &str) -> Result<Vec<Kind>, String> {
        let mut kinds = Vec::new();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let family = FAMILIES.iter().find(|(name, _)| *name == word).map(|(_, kinds)| kinds.to_vec());
            let single = TABLE.iter().find(|row| row.1 == word).map(|row| vec![row.0]);
            kinds.extend(family.or(single).ok_or_else(|| {
                let names: Vec<_> = FAMILIES.iter().map(|f| f.0).chain(TABLE.iter().map(|row| row.1)).collect();
                format!("{word} is no kind of fault; there are {}", names.join(", "))
            })?);
        }
        kinds.sort();
        kinds.dedup();
        Ok(kinds)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_kinds() {
        for (number, (kind, ..)) in TABLE.iter().enumerate() {
            assert_eq!(*kind as usize, number, "{kind:?}");
        }
        assert_eq!(Kind::ClockOffset as usize + 1, TABLE.len(), "the last kind has the last row");
    }

    #[test]
    fn lists_take_names_and_families() {
        assert_eq!(
            Kind::parse_list("pause, kill-all,kill").unwrap(),
            [
                Kind::KillLeader,
                Kind::KillRandom,
                Kind::KillMajority,
                Kind::KillAll,
                Kind::PauseLeader,
                Kind::PauseRandom
            ]
        );
        assert!(Kind::parse_list("kill,flood").unwrap_err().starts_with("flood is no kind of fault"));
    }
}
