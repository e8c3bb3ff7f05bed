//! How a Redis is told to copy another one. Here groups replicate by themselves: what remains is who leads.

use crate::command::spec::Spec;

const REPLICATED: &str = "replication is Raft's: a node gets its copy as a member of its groups";
const NO_STREAM: &str = "there is no stream of commands to follow, only the log of each group between its members";

pub(super) const ROWS: &[Spec] = &[
    Spec::new("failover", -1, "admin noscript stale", "")
        .doc("server", "6.2.0", "O(1)", "Hands over what this node leads.")
        .arguments("target/TO?(host:string port:integer force/FORCE?) abort/ABORT? milliseconds:integer/TIMEOUT?")
        .differs(
            "hands over every group that the node leads, at once and without a moment at which nobody \
                 serves; that takes milliseconds, so ABORT never finds anything, and TIMEOUT and FORCE change \
                 nothing",
        ),
    Spec::new("psync", -3, "admin noscript no_async_loading no_multi", "")
        .doc("server", "2.8.0", "O(1)", "Is refused: replication is not set up by hand.")
        .arguments("replicationid:string offset:integer")
        .refused(NO_STREAM),
    Spec::new("replconf", -1, "admin noscript loading stale allow_busy", "")
        .doc("server", "3.0.0", "O(1)", "Is refused: replication is not set up by hand.")
        .system()
        .refused(NO_STREAM),
    Spec::new("replicaof", 3, "admin noscript stale no_async_loading", "")
        .doc("server", "5.0.0", "O(1)", "Only NO ONE is accepted: replication is not set up by hand.")
        .arguments("args<host-port(host:string port:integer) no-one(no/NO one/ONE)>")
        .refused(REPLICATED),
    Spec::new("slaveof", 3, "admin noscript stale no_async_loading", "")
        .doc("server", "1.0.0", "O(1)", "Only NO ONE is accepted: replication is not set up by hand.")
        .arguments("args<host-port(host:string port:integer) no-one(no/NO one/ONE)>")
        .deprecated("5.0.0", "`REPLICAOF`")
        .refused(REPLICATED),
    Spec::new("sync", 1, "admin noscript no_async_loading no_multi", "")
        .doc("server", "1.0.0", "O(1)", "Is refused: replication is not set up by hand.")
        .refused(NO_STREAM),
];
