//! Slots, nodes and shards: answered by the service from the node's map.

use crate::command::cluster;
use crate::command::spec::Spec;

const SLOTS: &str = "slots belong to partitions, whose number `cluster.partitions` of the first start says; each partition \
                     has its slots for good, so nothing has to be assigned";
const REPLICAS: &str = "each partition has its replicas on nodes that were chosen at the first start, and on those that \
                        joined; CLUSTER FAILOVER or FAILOVER TO changes who leads";
const FACTS: &str = "what nodes know of the cluster goes through a log and is on their disks already; nothing has to be \
                     written, numbered or reset by hand";
/// Why a walk over the keys of a slot costs what it costs.
const IN_SLOT: &str = "of the selected database; it walks over the keys of the slot";

pub(super) const ROWS: &[Spec] = &[Spec::new("cluster", -2, "", "")
    .doc("cluster", "3.0.0", "Depends on the subcommand.", "Looks after the cluster.")
    .subcommands(&[
        Spec::new("cluster|addslots", -3, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(N)", "Gives slots to a node.")
            .arguments("slot:integer*")
            .refused(SLOTS),
        Spec::new("cluster|addslotsrange", -4, "admin stale no_async_loading", "")
            .doc("cluster", "7.0.0", "O(N)", "Gives ranges of slots to a node.")
            .arguments("start-slot_end-slot*(start-slot:integer end-slot:integer)")
            .refused(SLOTS),
        Spec::new("cluster|bumpepoch", 2, "admin stale no_async_loading", "")
            .tips(&["nondeterministic_output"])
            .doc("cluster", "3.0.0", "O(1)", "Moves a node's configuration epoch on.")
            .refused(FACTS),
        Spec::new("cluster|count-failure-reports", 3, "admin stale", "")
            .tips(&["nondeterministic_output"])
            .doc("cluster", "3.0.0", "O(N)", "Counts reports that a node failed.")
            .arguments("node-id:string")
            .differs("1 for a node that this one does not hear: there is no vote about it"),
        Spec::new("cluster|countkeysinslot", 3, "stale", "")
            .runs(cluster::count_keys_in_slot)
            .doc("cluster", "3.0.0", "O(N)", "Counts the keys in a slot.")
            .arguments("slot:integer")
            .differs(IN_SLOT),
        Spec::new("cluster|delslots", -3, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(N)", "Takes slots from a node.")
            .arguments("slot:integer*")
            .refused(SLOTS),
        Spec::new("cluster|delslotsrange", -4, "admin stale no_async_loading", "")
            .doc("cluster", "7.0.0", "O(N)", "Takes ranges of slots from a node.")
            .arguments("start-slot_end-slot*(start-slot:integer end-slot:integer)")
            .refused(SLOTS),
        Spec::new("cluster|failover", -2, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(1)", "Makes a replica take over from its master.")
            .arguments("options?<force/FORCE takeover/TAKEOVER>")
            .differs(
                "sent to a node that leads nothing, which asks the one it counts as its master; FORCE and \
                 TAKEOVER take nothing by force",
            ),
        Spec::new("cluster|flushslots", 2, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(1)", "Takes all slots from a node.")
            .refused(SLOTS),
        Spec::new("cluster|forget", 3, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(1)", "Removes a node from the cluster.")
            .arguments("node-id:string")
            .differs(
                "one node is told and all know it; the node is removed for good, its replicas with it, and its process \
                 ends; it may be a master, which hands over what it leads",
            ),
        Spec::new("cluster|getkeysinslot", 4, "stale", "")
            .runs(cluster::get_keys_in_slot)
            .tips(&["nondeterministic_output"])
            .doc("cluster", "3.0.0", "O(log N)", "Returns keys of a slot.")
            .arguments("slot:integer count:integer")
            .differs("of the selected database"),
        Spec::new("cluster|help", 2, "loading stale", "").doc("cluster", "5.0.0", "O(1)", "Explains the subcommands."),
        Spec::new("cluster|info", 2, "stale", "")
            .tips(&["nondeterministic_output"])
            .doc("cluster", "3.0.0", "O(1)", "Describes the state of the cluster.")
            .differs("a group without a leader is not served; messages of the bus are 0"),
        Spec::new("cluster|keyslot", 3, "stale", "")
            .doc("cluster", "3.0.0", "O(N)", "Returns the slot of a key.")
            .arguments("key:string"),
        Spec::new("cluster|links", 2, "stale", "")
            .tips(&["nondeterministic_output"])
            .doc("cluster", "7.0.0", "O(N)", "Lists the connections between nodes.")
            .differs("always empty: nodes have no links of Redis's kind"),
        Spec::new("cluster|meet", -4, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(1)", "Adds a node to the cluster.")
            .arguments("ip:string port:integer cluster_bus_port:integer?~4.0.0")
            .history(&[("4.0.0", "The bus port.")])
            .differs(
                "a node joins when it is started, with `--join` and the peer address of any member; this says OK where it \
                 did, and else how to",
            ),
        Spec::new("cluster|myid", 2, "stale", "").doc("cluster", "3.0.0", "O(1)", "Returns the name of the node."),
        Spec::new("cluster|myshardid", 2, "stale", "").tips(&["nondeterministic_output"]).doc(
            "cluster",
            "7.2.0",
            "O(1)",
            "Returns the name of the node's shard.",
        ),
        Spec::new("cluster|nodes", 2, "stale", "")
            .tips(&["nondeterministic_output"])
            .doc("cluster", "3.0.0", "O(N)", "Describes all nodes, a line each.")
            .differs(
                "a node that leads any group is a master, one that leads none the replica of the first leader \
                 it follows",
            ),
        Spec::new("cluster|replicas", 3, "admin stale", "")
            .tips(&["nondeterministic_output"])
            .doc("cluster", "5.0.0", "O(1)", "Describes the replicas of a master.")
            .arguments("node-id:string")
            .differs("by who leads, see CLUSTER NODES"),
        Spec::new("cluster|replicate", 3, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(1)", "Makes a node the replica of a master.")
            .arguments("node-id:string")
            .refused(REPLICAS),
        Spec::new("cluster|reset", -2, "admin noscript stale", "")
            .doc("cluster", "3.0.0", "O(N)", "Puts a node back to how it started.")
            .arguments("hard_soft?<hard/HARD soft/SOFT>")
            .refused(FACTS),
        Spec::new("cluster|saveconfig", 2, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(1)", "Makes a node write its view of the cluster to disk.")
            .refused(FACTS),
        Spec::new("cluster|set-config-epoch", 3, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(1)", "Sets the configuration epoch of a new node.")
            .arguments("config-epoch:integer")
            .refused(FACTS),
        Spec::new("cluster|setslot", -4, "admin stale no_async_loading", "")
            .doc("cluster", "3.0.0", "O(1)", "Gives a slot to a node, or marks it as moving.")
            .arguments(
                "slot:integer subcommand<node-id:string/IMPORTING node-id:string/MIGRATING \
             node-id:string/NODE stable/STABLE>",
            )
            .refused(SLOTS),
        Spec::new("cluster|shards", 2, "stale", "").tips(&["nondeterministic_output"]).doc(
            "cluster",
            "7.0.0",
            "O(N)",
            "Maps ranges of slots to shards and their nodes.",
        ),
        Spec::new("cluster|slaves", 3, "admin stale", "")
            .tips(&["nondeterministic_output"])
            .doc("cluster", "3.0.0", "O(1)", "Describes the replicas of a master.")
            .arguments("node-id:string")
            .deprecated("5.0.0", "`CLUSTER REPLICAS`")
            .differs("by who leads, see CLUSTER NODES"),
        Spec::new("cluster|slots", 2, "stale", "")
            .tips(&["nondeterministic_output"])
            .doc("cluster", "3.0.0", "O(N)", "Maps ranges of slots to nodes.")
            .history(&[("4.0.0", "Node ids."), ("7.0.0", "Metadata of the nodes' addresses.")])
            .deprecated("7.0.0", "`CLUSTER SHARDS`"),
    ])
    .differs(
        "answered outside of cluster mode too; a shard is a Raft group, its master the leader; `redis-cli --cluster` wants a \
         server whose INFO says cluster_enabled:1 and goes on with no other",
    )];
