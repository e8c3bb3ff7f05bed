//! The server as a whole: answered by the service.

use crate::command::lolwut;
use crate::command::spec::Spec;

pub(super) const ROWS: &[Spec] = &[
    Spec::new("lolwut", -1, "readonly fast", "")
        .runs(lolwut::lolwut)
        .doc("server", "5.0.0", "O(1)", "Returns the version of Redis that replies are those of.")
        .arguments("version:integer/VERSION?")
        .differs("without a drawing: programs ask for the version in its last line"),
    Spec::new("command", -1, "loading stale", "connection")
        .tips(&["nondeterministic_output_order"])
        .doc("server", "2.8.13", "O(N)", "Returns facts about all commands.")
        .subcommands(&[
            Spec::new("command|count", 2, "loading stale", "connection").doc(
                "server",
                "2.8.13",
                "O(1)",
                "Counts the commands.",
            ),
            Spec::new("command|docs", -2, "loading stale", "connection")
                .tips(&["nondeterministic_output_order"])
                .doc("server", "7.0.0", "O(N)", "Returns documentation of commands.")
                .arguments("command-name:string?*")
                .differs("sentences are our own, and some names of arguments"),
            Spec::new("command|getkeys", -4, "loading stale", "connection").doc(
                "server",
                "2.8.13",
                "O(N)",
                "Finds the keys in a whole call of a command.",
            ),
            Spec::new("command|getkeysandflags", -4, "loading stale", "connection").doc(
                "server",
                "7.0.0",
                "O(N)",
                "Finds the keys in a whole call of a command, and what it does with them.",
            ),
            Spec::new("command|help", 2, "loading stale", "connection").doc(
                "server",
                "5.0.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("command|info", -2, "loading stale", "connection")
                .tips(&["nondeterministic_output_order"])
                .doc("server", "2.8.13", "O(N)", "Returns facts about commands.")
                .arguments("command-name:string?*")
                .history(&[("7.0.0", "No argument for all commands.")]),
            Spec::new("command|list", -2, "loading stale", "connection")
                .tips(&["nondeterministic_output_order"])
                .doc("server", "7.0.0", "O(N)", "Lists the names of commands.")
                .arguments(
                    "filterby/FILTERBY?<module-name:string/MODULE category:string/ACLCAT \
             pattern:pattern/PATTERN>",
                ),
        ]),
    Spec::new("config", -2, "", "")
        .doc("server", "2.0.0", "Depends on the subcommand.", "Looks after the settings of the server.")
        .subcommands(&[
            Spec::new("config|get", -3, "admin noscript loading stale", "")
                .doc("server", "2.0.0", "O(N)", "Returns the settings that match patterns.")
                .arguments("parameter*(parameter:string)")
                .history(&[("7.0.0", "Several patterns.")])
                .differs("what is set by the settings file, or has no counterpart, shows the value that is true here"),
            Spec::new("config|help", 2, "loading stale", "").doc(
                "server",
                "5.0.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("config|resetstat", 2, "admin noscript loading stale", "").doc(
                "server",
                "2.0.0",
                "O(1)",
                "Sets the figures of INFO back.",
            ),
            Spec::new("config|rewrite", 2, "admin noscript loading stale", "")
                .doc("server", "2.8.0", "O(1)", "Writes the settings to the file they came from.")
                .differs("the settings file is the operator's: answered as by a Redis that was started without one"),
            Spec::new("config|set", -4, "admin noscript loading stale", "")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("server", "2.0.0", "O(N)", "Changes settings of the running server.")
                .arguments("parameter_value*(parameter:string value:string)")
                .history(&[("7.0.0", "Several settings.")])
                .differs(
                    "for this node until it restarts, but notify-keyspace-events and requirepass for the cluster and \
                 for good; parameters of what does not exist here take their present value only; maxmemory is among \
                 them, so nothing is ever refused with -OOM",
                ),
        ]),
    Spec::new("info", -1, "loading stale", "dangerous")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .doc("server", "1.0.0", "O(1)", "Tells facts and figures of the server.")
        .arguments("section:string?*")
        .history(&[("7.0.0", "Several sections.")])
        .differs(
            "every field is there; those of what does not exist here are constants, and sections of our \
                 own follow",
        ),
    Spec::new("lastsave", 1, "loading stale fast", "admin dangerous")
        .tips(&["nondeterministic_output"])
        .doc("server", "1.0.0", "O(1)", "Returns the time of the last save to disk.")
        .differs("of the node's state, whoever asked for it, or of the start"),
    Spec::new("latency", -2, "", "")
        .doc("server", "2.8.13", "Depends on the subcommand.", "Tells about delays.")
        .subcommands(&[
            Spec::new("latency|doctor", 2, "admin noscript loading stale", "")
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .doc("server", "2.8.13", "O(1)", "Tells in words what causes delays.")
                .differs("its text is our own"),
            Spec::new("latency|graph", 3, "admin noscript loading stale", "")
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .doc("server", "2.8.13", "O(1)", "Draws the delays of an event.")
                .arguments("event:string"),
            Spec::new("latency|help", 2, "loading stale", "").doc(
                "server",
                "2.8.13",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("latency|histogram", -2, "admin noscript loading stale", "")
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .doc("server", "7.0.0", "O(N)", "Returns how long calls of commands took, cumulated.")
                .arguments("command:string?*")
                .differs("a duration includes the wait for a majority's disks"),
            Spec::new("latency|history", 3, "admin noscript loading stale", "")
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .doc("server", "2.8.13", "O(1)", "Returns the delays of an event with their times.")
                .arguments("event:string"),
            Spec::new("latency|latest", 2, "admin noscript loading stale", "")
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .doc("server", "2.8.13", "O(1)", "Returns the latest delays of all events."),
            Spec::new("latency|reset", -2, "admin noscript loading stale", "")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("server", "2.8.13", "O(1)", "Forgets delays.")
                .arguments("event:string?*"),
        ])
        .differs("events are `command`, `fast-command`, `aof-fsync-always` and `state-flush`"),
    Spec::new("role", 1, "noscript loading stale fast", "admin dangerous")
        .doc("server", "2.8.12", "O(1)", "Tells what the node is in replication.")
        .differs("every node calls itself a master; its offset is the commit index of its groups"),
    Spec::new("slowlog", -2, "", "")
        .doc("server", "2.2.12", "Depends on the subcommand.", "Looks after the log of slow commands.")
        .subcommands(&[
            Spec::new("slowlog|get", -2, "admin loading stale", "")
                .tips(&["request_policy:all_nodes", "nondeterministic_output"])
                .doc("server", "2.2.12", "O(N)", "Returns entries of the slow log.")
                .arguments("count:integer?")
                .history(&[("4.0.0", "Address and name of the client.")])
                .differs("a duration includes the wait for a majority's disks, and is that of a whole pipeline"),
            Spec::new("slowlog|help", 2, "loading stale", "").doc(
                "server",
                "6.2.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("slowlog|len", 2, "admin loading stale", "")
                .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])
                .doc("server", "2.2.12", "O(1)", "Counts the entries of the slow log."),
            Spec::new("slowlog|reset", 2, "admin loading stale", "")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("server", "2.2.12", "O(N)", "Empties the slow log."),
        ]),
    Spec::new("time", 1, "loading stale fast", "")
        .tips(&["nondeterministic_output"])
        .doc("server", "2.6.0", "O(1)", "Returns the time of the server in seconds and microseconds.")
        .differs("of the node that is asked; within a script that of the leader, in whole milliseconds"),
];
