//! Words that administrators and their tools use on any Redis: answered by the service, where they mean something here.

use crate::command::spec::{KeySpec, Spec};

const SAVES: &str = "writes the node's applied state to its own files, not an RDB file; what is acknowledged is on the \
                     disks of a majority without it";
const NO_MODULES: &str =
    "Redis's modules are code for a Redis; as with Redis's own default, loading one is not allowed";

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
                .history(&[("7.2.0", "Numbers and times of entries.")])
                .differs("what is denied within a script is told to the script and not listed"),
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
    Spec::new("bgrewriteaof", 1, "admin noscript no_async_loading", "")
        .doc("server", "1.0.0", "O(N)", "Makes the node's state durable in the background, so that its log can be cut.")
        .differs("the file that is cut short is the node's log, once its state is durable"),
    Spec::new("bgsave", -1, "admin noscript no_async_loading", "")
        .doc("server", "1.0.0", "O(N)", "Makes the node's state durable in the background.")
        .arguments("schedule/SCHEDULE?~3.2.2")
        .history(&[("3.2.2", "Option SCHEDULE.")])
        .differs(SAVES),
    Spec::new("migrate", -6, "write", "keyspace dangerous")
        .keys(&[KeySpec::one("RW access delete", 3), KeySpec::behind_last("RW access delete incomplete", "KEYS", 2)])
        .tips(&["nondeterministic_output"])
        .doc("generic", "2.6.0", "O(N)", "Is refused: a node does not open connections to other servers.")
        .arguments(
            "host:string port:integer key_or_empty_string<key:key@0 empty_string/''> destination-db:integer \
             timeout:integer copy/COPY?~3.0.0 replace/REPLACE?~3.0.0 authentication?<password:string/AUTH?~4.0.7 \
             username_password/AUTH2?~6.0.0(username:string password:string)> key:key/KEYS@1?*~3.0.6",
        )
        .history(&[
            ("3.0.0", "Options COPY and REPLACE."),
            ("3.0.6", "Option KEYS."),
            ("4.0.7", "Option AUTH."),
            ("6.0.0", "Option AUTH2."),
        ])
        .refused(
            "a node opens no connections to other servers; DUMP and RESTORE, or a client that reads here \
                 and writes there, move keys",
        ),
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
            Spec::new("module|load", -3, "admin noscript no_async_loading protected", "")
                .doc("server", "4.0.0", "O(1)", "Is refused: there are no modules.")
                .arguments("path:string arg:string?*")
                .refused(NO_MODULES),
            Spec::new("module|loadex", -3, "admin noscript no_async_loading protected", "")
                .doc("server", "7.0.0", "O(1)", "Is refused: there are no modules.")
                .arguments("path:string configs/CONFIG?*+(name:string value:string) args/ARGS?*(arg:string)")
                .refused(NO_MODULES),
            Spec::new("module|unload", 3, "admin noscript no_async_loading protected", "")
                .doc("server", "4.0.0", "O(1)", "Is refused: there are no modules.")
                .arguments("name:string")
                .refused(NO_MODULES),
        ]),
    Spec::new("save", 1, "admin noscript no_async_loading no_multi", "")
        .doc("server", "1.0.0", "O(N)", "Makes the node's state durable, and waits for it.")
        .differs(SAVES),
    Spec::new("shutdown", -1, "admin noscript loading stale no_multi allow_busy", "")
        .doc("server", "1.0.0", "O(1)", "Ends this node in order.")
        .arguments("nosave_save?<nosave/NOSAVE save/SAVE> now/NOW?~7.0.0 force/FORCE?~7.0.0 abort/ABORT?~7.0.0")
        .history(&[("7.0.0", "Options NOW, FORCE and ABORT.")])
        .differs(
            "the node first hands over what it leads (not with NOW) and answers what is in flight; NOSAVE \
                 loses nothing, the next start replays more of the log; what has begun cannot be aborted",
        ),
    Spec::new("swapdb", 3, "write fast", "keyspace dangerous")
        .doc("server", "4.0.0", "O(1)", "Is refused, unless both databases are the same one.")
        .arguments("index1:integer index2:integer")
        .refused("the database is part of every record's key: exchanging two would rewrite both"),
    Spec::new("waitaof", 4, "blocking", "connection")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .doc(
            "generic",
            "7.2.0",
            "O(1)",
            "Waits until earlier writes are synced to disk; here every write is before it is answered.",
        )
        .arguments("numlocal:integer numreplicas:integer timeout:integer")
        .differs("never waits: what was answered is synced to the disks of a majority"),
];
