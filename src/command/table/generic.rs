//! Commands on keys of any type, and on all keys.

use crate::command::spec::{KeySpec, Merge, Spec};
use crate::command::{dump, expiry, generic, object, scan, sort};

const RESTORE_ARGUMENTS: &str = "key:key@0 ttl:integer serialized-value:string replace/REPLACE?~3.0.0 \
     absttl/ABSTTL?~5.0.0 seconds:integer/IDLETIME?~5.0.0 frequency:integer/FREQ?~5.0.0";
const RESTORE_HISTORY: &[(&str, &str)] =
    &[("3.0.0", "Option REPLACE."), ("5.0.0", "Option ABSTTL."), ("5.0.0", "Options IDLETIME and FREQ.")];

const SORTED: KeySpec = KeySpec::one("RO access", 1);
const BY_PATTERN: KeySpec = KeySpec::unknown("RO access", "").notes("what `BY` and `GET` make of the elements");
const STORED: KeySpec = KeySpec::unknown("OW update", "STORE").notes("behind `STORE`, wherever that stands");
const SORT_COMPLEXITY: &str = "O(N+M*log(M)) for M of N elements, O(N) if they are not sorted";

/// What differs of words that move or copy whole values.
const WHOLE: &str = "the records of a value are written anew under its new key, so the cost grows with the value; one with \
                     more than 384 MiB of records is refused";

pub(super) const ROWS: &[Spec] = &[
    Spec::new("copy", -3, "write denyoom", "keyspace")
        .runs(generic::copy)
        .keys(&[KeySpec::one("RO access", 1), KeySpec::one("OW update", 2)])
        .doc("generic", "6.2.0", "O(N)", "Copies a value to another key.")
        .arguments("source:key@0 destination:key@1 destination-db:integer/DB? replace/REPLACE?")
        .differs(WHOLE),
    Spec::new("dbsize", 1, "readonly fast", "keyspace")
        .spreads(scan::dbsize, Merge::Sum)
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .doc("server", "1.0.0", "O(1)", "Counts the keys of the database."),
    Spec::new("del", -2, "write", "keyspace")
        .runs(generic::del)
        .keys(&[KeySpec::rest("RM delete", 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("generic", "1.0.0", "O(N)", "Deletes keys and tells how many there were.")
        .arguments("key:key@0*"),
    Spec::new("dump", 2, "readonly", "keyspace")
        .runs(dump::dump)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("generic", "2.6.0", "O(N)", "Returns a value as bytes that RESTORE takes, here and by Redis.")
        .arguments("key:key@0")
        .differs("members of large values may come in another order"),
    Spec::new("exists", -2, "readonly fast", "keyspace")
        .runs(generic::exists)
        .keys(&[KeySpec::rest("RO", 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("generic", "1.0.0", "O(N)", "Counts how many of the named keys exist.")
        .arguments("key:key@0*")
        .history(&[("3.0.3", "Several keys.")]),
    Spec::new("expire", -3, "write fast", "keyspace")
        .runs(expiry::expire)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("generic", "1.0.0", "O(1)", "Lets a key expire after some seconds.")
        .arguments("key:key@0 seconds:integer condition?~7.0.0<nx/NX xx/XX gt/GT lt/LT>")
        .history(&[("7.0.0", "Options NX, XX, GT and LT.")]),
    Spec::new("expireat", -3, "write fast", "keyspace")
        .runs(expiry::expireat)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("generic", "1.2.0", "O(1)", "Lets a key expire at a Unix time in seconds.")
        .arguments("key:key@0 unix-time-seconds:unix-time condition?~7.0.0<nx/NX xx/XX gt/GT lt/LT>")
        .history(&[("7.0.0", "Options NX, XX, GT and LT.")]),
    Spec::new("expiretime", 2, "readonly fast", "keyspace")
        .runs(expiry::expiretime)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("generic", "7.0.0", "O(1)", "Tells when a key expires, as a Unix time in seconds.")
        .arguments("key:key@0"),
    Spec::new("flushall", -1, "write", "keyspace dangerous")
        .spreads(scan::flushall, Merge::AllOk)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("server", "1.0.0", "O(N)", "Deletes all keys of all databases.")
        .arguments("async?<async/ASYNC~4.0.0 sync/SYNC~6.2.0>")
        .history(&[("4.0.0", "Option ASYNC."), ("6.2.0", "Option SYNC.")]),
    Spec::new("flushdb", -1, "write", "keyspace dangerous")
        .spreads(scan::flushdb, Merge::AllOk)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("server", "1.0.0", "O(N)", "Deletes all keys of the database.")
        .arguments("async?<async/ASYNC~4.0.0 sync/SYNC~6.2.0>")
        .history(&[("4.0.0", "Option ASYNC."), ("6.2.0", "Option SYNC.")]),
    Spec::new("keys", 2, "readonly", "keyspace dangerous")
        .spreads(scan::keys, Merge::Join)
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .doc("generic", "1.0.0", "O(N)", "Lists the keys that match a pattern.")
        .arguments("pattern:pattern"),
    Spec::new("move", 3, "write fast", "keyspace")
        .runs(generic::move_key)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("generic", "1.0.0", "O(1)", "Moves a key to another database.")
        .arguments("key:key@0 db:integer")
        .differs(WHOLE),
    Spec::new("object", -2, "", "")
        .doc("generic", "2.2.3", "Depends on the subcommand.", "Tells how values are stored.")
        .subcommands(&[
            Spec::new("object|encoding", 3, "readonly", "keyspace")
                .runs(object::encoding)
                .keys(&[KeySpec::one("RO", 2)])
                .tips(&["nondeterministic_output"])
                .doc("generic", "2.2.3", "O(1)", "Tells the encoding of the value at a key.")
                .arguments("key:key@0")
        .differs("what Redis would say of such a value, by its sizes; the members of a listpack of more than 64 elements and 2 KiB have no order of insertion here"),
            Spec::new("object|freq", 3, "readonly", "keyspace")
                .runs(object::freq)
                .keys(&[KeySpec::one("RO", 2)])
                .tips(&["nondeterministic_output"])
                .doc("generic", "4.0.0", "O(1)", "Tells how often a key is used, on a logarithmic scale.")
                .arguments("key:key@0"),
            Spec::new("object|help", 2, "loading stale", "keyspace").runs(object::help).doc(
                "generic",
                "6.2.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("object|idletime", 3, "readonly", "keyspace")
                .runs(object::idletime)
                .keys(&[KeySpec::one("RO", 2)])
                .tips(&["nondeterministic_output"])
                .doc("generic", "2.2.3", "O(1)", "Tells for how many seconds a key was not used.")
                .arguments("key:key@0")
                .differs(
                    "as the node that leads the key remembers it; a start forgets it, and a key may seem younger \
                 than it is",
                ),
            Spec::new("object|refcount", 3, "readonly", "keyspace")
                .runs(object::refcount)
                .keys(&[KeySpec::one("RO", 2)])
                .tips(&["nondeterministic_output"])
                .doc("generic", "2.2.3", "O(1)", "Tells how many references the value at a key has.")
                .arguments("key:key@0"),
        ]),
    Spec::new("persist", 2, "write fast", "keyspace")
        .runs(expiry::persist)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("generic", "2.2.0", "O(1)", "Takes the expiry from a key.")
        .arguments("key:key@0"),
    Spec::new("pexpire", -3, "write fast", "keyspace")
        .runs(expiry::pexpire)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("generic", "2.6.0", "O(1)", "Lets a key expire after some milliseconds.")
        .arguments("key:key@0 milliseconds:integer condition?~7.0.0<nx/NX xx/XX gt/GT lt/LT>")
        .history(&[("7.0.0", "Options NX, XX, GT and LT.")]),
    Spec::new("pexpireat", -3, "write fast", "keyspace")
        .runs(expiry::pexpireat)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("generic", "2.6.0", "O(1)", "Lets a key expire at a Unix time in milliseconds.")
        .arguments("key:key@0 unix-time-milliseconds:unix-time condition?~7.0.0<nx/NX xx/XX gt/GT lt/LT>")
        .history(&[("7.0.0", "Options NX, XX, GT and LT.")]),
    Spec::new("pexpiretime", 2, "readonly fast", "keyspace")
        .runs(expiry::pexpiretime)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("generic", "7.0.0", "O(1)", "Tells when a key expires, as a Unix time in milliseconds.")
        .arguments("key:key@0"),
    Spec::new("pttl", 2, "readonly fast", "keyspace")
        .runs(expiry::pttl)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("generic", "2.6.0", "O(1)", "Tells in how many milliseconds a key expires.")
        .arguments("key:key@0")
        .history(&[("2.8.0", "-2 for a missing key.")]),
    Spec::new("randomkey", 1, "readonly", "keyspace")
        .spreads(scan::randomkey, Merge::Any)
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .doc("generic", "1.0.0", "O(1)", "Returns some key of the database.")
        .differs("keys are not all equally likely: it takes the next one from a random place in a random slot, so one behind a wide gap comes more often"),
    Spec::new("rename", 3, "write", "keyspace")
        .runs(generic::rename)
        .keys(&[KeySpec::one("RW access delete", 1), KeySpec::one("OW update", 2)])
        .doc("generic", "1.0.0", "O(1)", "Gives a value another key, replacing what that one held.")
        .arguments("key:key@0 newkey:key@1")
        .differs(WHOLE),
    Spec::new("renamenx", 3, "write fast", "keyspace")
        .runs(generic::renamenx)
        .keys(&[KeySpec::one("RW access delete", 1), KeySpec::one("OW insert", 2)])
        .doc("generic", "1.0.0", "O(1)", "Gives a value another key if that one does not exist.")
        .arguments("key:key@0 newkey:key@1")
        .history(&[("3.2.0", "Renaming a key to itself is no error any more.")])
        .differs(WHOLE),
    Spec::new("restore", -4, "write denyoom", "keyspace dangerous")
        .runs(dump::restore)
        .keys(&[KeySpec::one("OW update", 1)])
        .doc("generic", "2.6.0", "O(N)", "Makes a key from the bytes that DUMP returned, here or by Redis.")
        .arguments(RESTORE_ARGUMENTS)
        .history(RESTORE_HISTORY),
    Spec::new("restore-asking", -4, "write denyoom asking", "keyspace dangerous")
        .runs(dump::restore)
        .keys(&[KeySpec::one("OW update", 1)])
        .doc("server", "3.0.0", "O(N)", "Likewise, for tools that move keys between nodes.")
        .system()
        .arguments(RESTORE_ARGUMENTS)
        .history(RESTORE_HISTORY),
    Spec::new("scan", -2, "readonly", "keyspace")
        .spreads(scan::scan, Merge::Cursor)
        .tips(&["nondeterministic_output", "request_policy:special"])
        .doc("generic", "2.8.0", "O(1)", "Walks over the keys of the database in portions.")
        .arguments("cursor:integer pattern:pattern/MATCH? count:integer/COUNT? type:string/TYPE?~6.0.0")
        .history(&[("6.0.0", "Option TYPE.")]),
    Spec::new("sort", -2, "write denyoom", "set sortedset list dangerous")
        .runs(sort::sort)
        .keys(&[SORTED, BY_PATTERN, STORED])
        .doc("generic", "1.0.0", SORT_COMPLEXITY, "Sorts a list, a set or a sorted set; returns or stores the result.")
        .arguments(
            "key:key@0 by-pattern:pattern/BY@1? limit/LIMIT?(offset:integer count:integer) \
             get-pattern:pattern/GET@1?*+ order?<asc/ASC desc/DESC> sorting/ALPHA? destination:key/STORE@2?",
        )
        .differs(
            "what compares equal always comes in the same order; with several partitions, patterns of BY \
                 and GET need a hash tag",
        ),
    Spec::new("sort_ro", -2, "readonly", "set sortedset list dangerous")
        .runs(sort::sort_ro)
        .keys(&[SORTED, BY_PATTERN])
        .doc("generic", "7.0.0", SORT_COMPLEXITY, "Sorts a list, a set or a sorted set; only reads.")
        .arguments(
            "key:key@0 by-pattern:pattern/BY@1? limit/LIMIT?(offset:integer count:integer) \
             get-pattern:pattern/GET@1?*+ order?<asc/ASC desc/DESC> sorting/ALPHA?",
        )
        .differs(
            "what compares equal always comes in the same order; with several partitions, patterns of BY \
                 and GET need a hash tag",
        ),
    Spec::new("touch", -2, "readonly fast", "keyspace")
        .runs(generic::exists)
        .keys(&[KeySpec::rest("RO", 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("generic", "3.2.1", "O(N)", "Counts how many of the named keys exist, as an access to them.")
        .arguments("key:key@0*"),
    Spec::new("ttl", 2, "readonly fast", "keyspace")
        .runs(expiry::ttl)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("generic", "1.0.0", "O(1)", "Tells in how many seconds a key expires.")
        .arguments("key:key@0")
        .history(&[("2.8.0", "-2 for a missing key.")]),
    Spec::new("type", 2, "readonly fast", "keyspace")
        .runs(generic::type_of)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("generic", "1.0.0", "O(1)", "Tells the type of the value at a key.")
        .arguments("key:key@0"),
    Spec::new("unlink", -2, "write fast", "keyspace")
        .runs(generic::del)
        .keys(&[KeySpec::rest("RM delete", 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("generic", "4.0.0", "O(1)", "Deletes keys and tells how many there were.")
        .arguments("key:key@0*"),
    Spec::new("wait", 3, "blocking", "connection")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .doc(
            "generic",
            "3.0.0",
            "O(1)",
            "Waits until earlier writes have reached so many replicas; here every write has before it is answered.",
        )
        .arguments("numreplicas:integer timeout:integer")
        .differs("never waits: what was answered is durable on a majority, and that many replicas it tells"),
];
