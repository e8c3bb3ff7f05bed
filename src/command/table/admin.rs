//! Words that administrators and their tools use on any Redis: answered by the service, where they mean something here.

use crate::command::spec::Spec;

pub(super) const ROWS: &[Spec] = &[
    Spec::new("acl", -2, "", "")
        .doc("server", "6.0.0", "Depends on the subcommand.", "Looks after users and what they may do.")
        .subcommands(&[
            Spec::new("acl|cat", -2, "noscript loading stale", "")
                .doc("server", "6.0.0", "O(1)", "Lists categories of commands, or the commands of one.")
                .arguments("category:string?"),
            Spec::new("acl|deluser", -3, "admin noscript loading stale", "")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("server", "6.0.0", "O(N)", "Removes users and closes their connections.")
                .arguments("username:string*"),
            Spec::new("acl|dryrun", -4, "admin noscript loading stale", "")
                .doc("server", "7.0.0", "O(1)", "Tells whether a user may make a call, without making it.")
                .arguments("username:string command:string arg:string?*"),
            Spec::new("acl|genpass", -2, "noscript loading stale", "")
                .doc("server", "6.0.0", "O(1)", "Makes a password that nobody can guess.")
                .arguments("bits:integer?"),
            Spec::new("acl|getuser", 3, "admin noscript loading stale", "")
                .doc("server", "6.0.0", "O(N)", "Describes a user by its rules.")
                .arguments("username:string")
                .history(&[
                    ("6.2.0", "Channel patterns."),
                    ("7.0.0", "Selectors, and patterns of keys and channels as rules."),
                ]),
            Spec::new("acl|help", 2, "loading stale", "").doc("server", "6.0.0", "O(1)", "Explains the subcommands."),
            Spec::new("acl|list", 2, "admin noscript loading stale", "").doc(
                "server",
                "6.0.0",
                "O(N)",
                "Lists all users with their rules.",
            ),
            Spec::new("acl|load", 2, "admin noscript loading stale", "").doc(
                "server",
                "6.0.0",
                "O(1)",
                "Would read users from a file; the cluster keeps them instead.",
            ),
            Spec::new("acl|log", -2, "admin noscript loading stale", "")
                .doc("server", "6.0.0", "O(N)", "Lists what was denied on this node lately, or forgets it.")
                .arguments("operation?<count:integer reset/RESET>")
                .history(&[("7.2.0", "Numbers and times of entries.")]),
            Spec::new("acl|save", 2, "admin noscript loading stale", "")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("server", "6.0.0", "O(1)", "Would write users to a file; the cluster keeps them instead."),
            Spec::new("acl|setuser", -3, "admin noscript loading stale", "")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("server", "6.0.0", "O(N)", "Makes a user, or changes its rules.")
                .arguments("username:string rule:string?*")
                .history(&[
                    ("6.2.0", "Channel patterns."),
                    ("7.0.0", "Selectors, and key patterns for reading or writing."),
                ]),
            Spec::new("acl|users", 2, "admin noscript loading stale", "").doc(
                "server",
                "6.0.0",
                "O(N)",
                "Lists the names of all users.",
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
