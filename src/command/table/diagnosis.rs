//! Words that look inside the server: MEMORY and MONITOR for operators, DEBUG for test suites.

use crate::command::spec::{KeySpec, Merge, Spec};
use crate::command::{debug, memory};

const EACH_NODE: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The calls of DEBUG that look at keys.
const DEBUG_ON_KEYS: &[Spec] = &[
    Spec::new("debug|digest", -2, "readonly admin noscript loading stale protected", "")
        .spreads(debug::digest, Merge::Digest),
    Spec::new("debug|digest-value", -2, "readonly admin noscript loading stale protected", "")
        .runs(debug::digest_value)
        .keys(&[KeySpec::rest("RO", 2)]),
    Spec::new("debug|object", 3, "readonly admin noscript loading stale protected", "")
        .runs(debug::object_facts)
        .keys(&[KeySpec::one("RO", 2)]),
];

pub(super) const ROWS: &[Spec] = &[
    Spec::new("debug", -2, "admin noscript loading stale protected", "")
        .doc(
            "server",
            "1.0.0",
            "Depends on the subcommand.",
            "Serves test suites; switched off unless the settings allow it.",
        )
        .system()
        .parts(DEBUG_ON_KEYS)
        .differs(
            "OBJECT (without an address), DIGEST, DIGEST-VALUE, SLEEP (of the one connection), ERROR, \
                 LOG, POPULATE, PROTOCOL, STRINGMATCH-LEN, and RELOAD and LOADAOF as a save; SET-ACTIVE-EXPIRE, \
                 QUICKLIST-PACKED-THRESHOLD, SET-DISABLE-DENY-SCRIPTS, PAUSE-CRON and REPLYBUFFER are accepted and \
                 change nothing; other words are refused with the reason",
        ),
    Spec::new("monitor", 1, "admin noscript loading stale", "")
        .doc("server", "1.0.0", "O(1)", "Shows what the connections of this node ask for, as it comes.")
        .differs("calls that a script makes are not shown, the script is"),
    Spec::new("memory", -2, "", "")
        .doc("server", "4.0.0", "Depends on the subcommand.", "Tells where the memory goes.")
        .subcommands(&[
            Spec::new("memory|doctor", 2, "", "")
                .tips(EACH_NODE)
                .doc("server", "4.0.0", "O(1)", "Tells in words what is wrong with the use of memory.")
                .differs("its text is our own"),
            Spec::new("memory|help", 2, "loading stale", "").doc(
                "server",
                "4.0.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("memory|malloc-stats", 2, "", "")
                .tips(EACH_NODE)
                .doc("server", "4.0.0", "O(1)", "Returns what the allocator tells of itself.")
                .differs("the allocator is built without counting, so it tells little"),
            Spec::new("memory|purge", 2, "", "")
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .doc(
                    "server",
                    "4.0.0",
                    "Grows with the memory in use.",
                    "Lets the allocator give back what it keeps unused.",
                ),
            Spec::new("memory|stats", 2, "", "")
                .tips(EACH_NODE)
                .doc("server", "4.0.0", "O(1)", "Returns figures of the node's memory.")
                .differs("resident memory stands for what is in use; tables that do not exist here are 0"),
            Spec::new("memory|usage", -3, "readonly", "")
                .runs(memory::usage)
                .keys(&[KeySpec::one("RO", 2)])
                .doc("server", "4.0.0", "O(N) for N samples.", "Tells how many bytes of records a key takes.")
                .arguments("key:key@0 count:integer/SAMPLES?")
                .differs("counts bytes of records, keys and values, as they are before compression"),
        ]),
];
