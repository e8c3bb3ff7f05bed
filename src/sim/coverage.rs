//! What the seeds of a run have met. A fault kind that never fired proves nothing, so it must be visible.

use std::collections::BTreeMap;
use std::fmt;

/// Everything that a set of seeds must have met at least once to count as a test.
pub const KINDS: &[&str] = &[
    "leader change",
    "transfer",
    "partition",
    "one-way partition",
    "partial partition",
    "loss",
    "delay",
    "reorder",
    "pause",
    "crash",
    "crash between effects",
    "crash of all nodes",
    "torn tail",
    "unsynced log lost",
    "state lost to the last flush",
    "slow disk",
    "stalled leader steps down",
    "log without space",
    "flush without space",
    "failing log write",
    "failing log sync",
    "failing state",
    "failing installation",
    "leave",
    "clocks apart",
    "wall clock set",
    "preempted",
    "snapshot install",
    "snapshot in chunks",
    "snapshot aborted",
    "state ahead of its log",
    "log ahead of its state",
    "log cut",
    "lease read",
    "local read refused",
    "forwarded",
    "forwarded resend",
    "cluster begins",
    "registration",
    "registration in doubt",
    "blocked client served",
    "blocked client out of time",
    "blocked client hung up",
    "definite error",
    "unknown outcome",
    "deadline",
    "transaction",
    "publication",
    "noise block",
    "noise probe",
    "watch aborted",
    "increment under watch",
    "key ended",
    "nodes that may join",
    "node joined",
    "node removed",
    "dead node removed",
    "one node",
    "five nodes",
    "one partition",
    "many partitions",
    "record cache",
    "lookup overtaken",
    "wipes",
    "lease mode",
    "read-index mode",
    "log of 1 entry",
    "log of 10 entries",
    "log of 50 entries",
    "log of 1000 entries",
    "leader alone",
    "leader mute",
    "leader deaf",
    "leader stopped",
    "forgetful voters",
    "late successor",
    "failed transfer",
    "lost acknowledgements",
    "lost majority",
    "slower clock",
    "leader preempted",
    "machine not told",
    "back and forth",
    "left behind",
    "late answers",
    "late batches",
    "lagging voters",
    "forgotten votes",
];

/// How many seeds met what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    seeds: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// This happened. Within one seed only the first time counts when coverages are added.
    pub fn saw(&mut self, kind: &'static str) {
        debug_assert!(KINDS.contains(&kind), "{kind} is not in the list");
        *self.seeds.entry(kind).or_default() += 1;
    }

    /// Adds one seed's coverage.
    pub fn add_seed(&mut self, seed: &Coverage) {
        for kind in seed.seeds.keys() {
            *self.seeds.entry(kind).or_default() += 1;
        }
    }

    /// How many seeds met this; within one seed, how often it happened.
    pub fn met(&self, kind: &str) -> u64 {
        debug_assert!(KINDS.contains(&kind), "{kind} is not in the list");
        self.seeds.get(kind).copied().unwrap_or(0)
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<&'static str> {
        KINDS.iter().filter(|kind| !self.seeds.contains_key(*kind)).copied().collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, kind) in KINDS.iter().enumerate() {
            write!(f, "{}{kind} {}", if position == 0 { "" } else { ", " }, self.met(kind))?;
        }
        Ok(())
    }
}
