//! Words that administrators and their tools use on any Redis: answered by the service, where they mean something here.

use crate::command::spec::Spec;

pub(super) const ROWS: &[Spec] = &[
    Spec::new("acl", -2, "", "")
        .doc("server", "6.0.0", "Depends on the subcommand.", "Tells about users.")
        .subcommands(&[
            Spec::new("acl|cat", -2, "noscript loading stale", "")
                .doc("server", "6.0.0", "O(1)", "Lists categories of commands, or the commands of one.")
                .arguments("category:string?"),
            Spec::new("acl|help", 2, "loading stale", "").doc("server", "6.0.0", "O(1)", "Explains the subcommands."),
            Spec::new("acl|users", 2, "admin noscript loading stale", "").doc(
                "server",
                "6.0.0",
                "O(N)",
                "Lists the names of all users: there is one.",
            ),
            Spec::new("acl|whoami", 2, "noscript loading stale", "").doc(
                "server",
                "6.0.0",
                "O(1)",
                "Returns the name of the connection's user.",
            ),
        ]),
    Spec::new("bgrewriteaof", 1, "admin noscript no_async_loading", "").doc(
        "server",
        "1.0.0",
        "O(1)",
        "Nothing to do here: what is acknowledged is on disk.",
    ),
    Spec::new("bgsave", -1, "admin noscript no_async_loading", "")
        .doc("server", "1.0.0", "O(1)", "Nothing to do here: what is acknowledged is on disk.")
        .arguments("schedule/SCHEDULE?~3.2.2")
        .history(&[("3.2.2", "Option SCHEDULE.")]),
    Spec::new("module", -2, "", "")
        .doc("server", "4.0.0", "Depends on the subcommand.", "Tells about modules.")
        .subcommands(&[
            Spec::new("module|help", 2, "loading stale", "").doc(
                "server",
                "5.0.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("module|list", 2, "admin noscript", "").tips(&["nondeterministic_output_order"]).doc(
                "server",
                "4.0.0",
                "O(N)",
                "Lists loaded modules: there are none.",
            ),
        ]),
    Spec::new("replicaof", 3, "admin noscript stale no_async_loading", "")
        .doc("server", "5.0.0", "O(1)", "Only NO ONE is accepted: replication is not set up by hand.")
        .arguments("args<host-port(host:string port:integer) no-one(no/NO one/ONE)>"),
    Spec::new("save", 1, "admin noscript no_async_loading no_multi", "").doc(
        "server",
        "1.0.0",
        "O(1)",
        "Nothing to do here: what is acknowledged is on disk.",
    ),
    Spec::new("slaveof", 3, "admin noscript stale no_async_loading", "")
        .doc("server", "1.0.0", "O(1)", "Only NO ONE is accepted: replication is not set up by hand.")
        .arguments("args<host-port(host:string port:integer) no-one(no/NO one/ONE)>")
        .deprecated("5.0.0", "`REPLICAOF`"),
    Spec::new("waitaof", 4, "blocking", "connection")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .doc(
            "generic",
            "7.2.0",
            "O(1)",
            "Waits until earlier writes are synced to disk; here every write is before it is answered.",
        )
        .arguments("numlocal:integer numreplicas:integer timeout:integer"),
];
