//! Lua scripts and functions.

use crate::command::introspect;
use crate::command::script::{eval, function};
use crate::command::spec::{KeySpec, Merge, Spec};

const KEYS: KeySpec = KeySpec::counted("RW access update", 2);
const READ_KEYS: KeySpec = KeySpec::counted("RO access", 2);
const COST: &str = "Depends on the script.";

/// What differs of all that runs Lua.
const LONG: &str = "other clients hear -BUSY once one has run for busy-reply-threshold, but for 2 s at most (half a second less \
                    than `clients.request_deadline_ms`), and reads at the leader's node go on; the client of one that runs \
                    beyond that deadline hears -UNKNOWNOUTCOME, and the script runs on, unless it was called at the \
                    leader's node (CLUSTER SLOTS names it): keep scripts shorter, or call long ones there; `math.random` starts anew with each; `newproxy` is not \
                    there; within one, words that depend on a node are refused, where Redis allows INFO, LASTSAVE, \
                    MEMORY, SLOWLOG, WAIT and HELP";
/// The same of EVAL, whose scripts are remembered.
const EVAL: &str = "other clients hear -BUSY once one has run for busy-reply-threshold, but for 2 s at most (half a second less \
                    than `clients.request_deadline_ms`), and reads at the leader's node go on; the client of one that runs \
                    beyond that deadline hears -UNKNOWNOUTCOME, and the script runs on, unless it was called at the \
                    leader's node (CLUSTER SLOTS names it): keep scripts shorter, or call long ones there; of scripts that only EVAL brought, EVALSHA finds the \
                    last 500, and all that SCRIPT LOAD brought; `math.random` starts anew with each; `newproxy` is not \
                    there; within one, words that depend on a node are refused, where Redis allows INFO, LASTSAVE, \
                    MEMORY, SLOWLOG, WAIT and HELP";

pub(super) const ROWS: &[Spec] = &[
    Spec::new("eval", -3, "noscript stale skip_monitor no_mandatory_keys", "scripting")
        .runs(eval::eval)
        .keys(&[KEYS.notes("the script decides what it does to them")])
        .doc("scripting", "2.6.0", COST, "Runs a Lua script.")
        .arguments("script:string numkeys:integer key:key@0?* arg:string?*")
        .differs(EVAL),
    Spec::new("eval_ro", -3, "readonly noscript stale skip_monitor no_mandatory_keys", "scripting")
        .runs(eval::eval_ro)
        .keys(&[READ_KEYS.notes("the script decides which it reads")])
        .doc("scripting", "7.0.0", COST, "Runs a Lua script that only reads.")
        .arguments("script:string numkeys:integer key:key@0?* arg:string?*")
        .differs(EVAL),
    Spec::new("evalsha", -3, "noscript stale skip_monitor no_mandatory_keys", "scripting")
        .runs(eval::evalsha)
        .keys(&[KEYS])
        .doc("scripting", "2.6.0", COST, "Runs a Lua script that is known by its digest.")
        .arguments("sha1:string numkeys:integer key:key@0?* arg:string?*")
        .differs(EVAL),
    Spec::new("evalsha_ro", -3, "readonly noscript stale skip_monitor no_mandatory_keys", "scripting")
        .runs(eval::evalsha_ro)
        .keys(&[READ_KEYS])
        .doc("scripting", "7.0.0", COST, "Runs a Lua script that only reads and is known by its digest.")
        .arguments("sha1:string numkeys:integer key:key@0?* arg:string?*")
        .differs(EVAL),
    Spec::new("fcall", -3, "noscript stale skip_monitor no_mandatory_keys", "scripting")
        .runs(function::fcall)
        .keys(&[KEYS.notes("the function decides what it does to them")])
        .doc("scripting", "7.0.0", "Depends on the function.", "Calls a function of a library.")
        .arguments("function:string numkeys:integer key:key@0?* arg:string?*")
        .differs(LONG),
    Spec::new("fcall_ro", -3, "readonly noscript stale skip_monitor no_mandatory_keys", "scripting")
        .runs(function::fcall_ro)
        .keys(&[READ_KEYS.notes("the function decides which it reads")])
        .doc("scripting", "7.0.0", "Depends on the function.", "Calls a function of a library that only reads.")
        .arguments("function:string numkeys:integer key:key@0?* arg:string?*")
        .differs(LONG),
    Spec::new("function", -2, "", "")
        .doc("scripting", "7.0.0", "Depends on the subcommand.", "Looks after libraries of functions.")
        .subcommands(&[
            Spec::new("function|delete", 3, "write noscript", "scripting")
                .spreads(function::function_delete, Merge::AllOk)
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .doc("scripting", "7.0.0", "O(1)", "Deletes a library.")
                .arguments("library-name:string"),
            Spec::new("function|dump", 2, "noscript", "scripting").runs(function::function_dump).doc(
                "scripting",
                "7.0.0",
                "O(N)",
                "Returns all libraries as bytes that FUNCTION RESTORE takes, here and by Redis.",
            ),
            Spec::new("function|flush", -2, "write noscript", "scripting")
                .spreads(function::function_flush, Merge::AllOk)
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .doc("scripting", "7.0.0", "O(N)", "Deletes all libraries.")
                .arguments("flush-type?<async/ASYNC sync/SYNC>"),
            Spec::new("function|help", 2, "loading stale", "scripting").runs(introspect::help).doc(
                "scripting",
                "7.0.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("function|kill", 2, "noscript allow_busy", "scripting")
                .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
                .doc("scripting", "7.0.0", "O(1)", "Ends the functions that run and have not written.")
                .differs("ends those of all nodes that answer within half a second; there may be one for each group"),
            Spec::new("function|list", -2, "noscript", "scripting")
                .runs(function::function_list)
                .tips(&["nondeterministic_output_order"])
                .doc("scripting", "7.0.0", "O(N)", "Describes the libraries and their functions.")
                .arguments("library-name-pattern:string/LIBRARYNAME? withcode/WITHCODE?"),
            Spec::new("function|load", -3, "write denyoom noscript", "scripting")
                .spreads(function::function_load, Merge::Same)
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .doc("scripting", "7.0.0", "O(1)", "Makes a library of its source text and returns its name.")
                .arguments("replace/REPLACE? function-code:string"),
            Spec::new("function|restore", -3, "write denyoom noscript", "scripting")
                .spreads(function::function_restore, Merge::AllOk)
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .doc("scripting", "7.0.0", "O(N)", "Makes libraries from the bytes that FUNCTION DUMP returned.")
                .arguments("serialized-value:string policy?<flush/FLUSH append/APPEND replace/REPLACE>"),
            Spec::new("function|stats", 2, "noscript allow_busy", "scripting")
                .runs(function::function_stats)
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
                .doc("scripting", "7.0.0", "O(1)", "Counts libraries and functions, and tells what runs.")
                .differs("of several functions that run, on any node, it names the one that has run longest"),
        ]),
    Spec::new("script", -2, "", "")
        .doc("scripting", "2.6.0", "Depends on the subcommand.", "Looks after the scripts that are known.")
        .subcommands(&[
            Spec::new("script|debug", 3, "noscript", "scripting")
                .doc("scripting", "3.2.0", "O(1)", "Chooses how scripts are debugged: not at all.")
                .arguments("mode<yes/YES sync/SYNC no/NO>")
                .differs("there is no debugger: only NO is accepted"),
            Spec::new("script|exists", -3, "noscript", "scripting")
                .spreads(eval::script_exists, Merge::Least)
                .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
                .doc("scripting", "2.6.0", "O(N)", "Tells which scripts are known.")
                .arguments("sha1:string*")
                .differs("with several partitions, a script that only EVAL brought is known where it ran: load it with SCRIPT LOAD"),
            Spec::new("script|flush", -2, "noscript", "scripting")
                .spreads(eval::script_flush, Merge::AllOk)
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("scripting", "2.6.0", "O(N)", "Forgets all scripts.")
                .arguments("flush-type?~6.2.0<async/ASYNC sync/SYNC>")
                .history(&[("6.2.0", "Options ASYNC and SYNC.")]),
            Spec::new("script|help", 2, "loading stale", "scripting").runs(introspect::help).doc(
                "scripting",
                "5.0.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("script|kill", 2, "noscript allow_busy", "scripting")
                .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
                .doc("scripting", "2.6.0", "O(1)", "Ends the scripts that run and have not written.")
                .differs("ends those of all nodes that answer within half a second; there may be one for each group"),
            Spec::new("script|load", 3, "noscript stale", "scripting")
                .spreads(eval::script_load, Merge::Same)
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("scripting", "2.6.0", "O(N)", "Remembers a script and returns its digest.")
                .arguments("script:string"),
        ]),
];
