//! Hashes.

use crate::command::spec::{KeySpec, Spec};
use crate::command::{field_expiry, hash};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("hdel", -3, "write fast", "hash")
        .runs(hash::hdel)
        .keys(&[KeySpec::one("RW delete", 1)])
        .doc("hash", "2.0.0", "O(N)", "Deletes fields of a hash; the hash goes with its last field.")
        .arguments("key:key@0 field:string*")
        .history(&[("2.4.0", "Several fields.")]),
    Spec::new("hexists", 3, "readonly fast", "hash")
        .runs(hash::hexists)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("hash", "2.0.0", "O(1)", "Tells whether a hash has a field.")
        .arguments("key:key@0 field:string"),
    Spec::new("hexpire", -6, "write denyoom fast", "hash")
        .runs(field_expiry::hexpire)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("hash", "7.4.0", "O(N)", "Lets fields of a hash expire after some seconds.")
        .arguments(
            "key:key@0 seconds:integer condition?<nx/NX xx/XX gt/GT lt/LT> fields/FIELDS(numfields:integer field:string*)",
        ),
    Spec::new("hexpireat", -6, "write denyoom fast", "hash")
        .runs(field_expiry::hexpireat)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("hash", "7.4.0", "O(N)", "Lets fields of a hash expire at a Unix time in seconds.")
        .arguments(
            "key:key@0 unix-time-seconds:unix-time condition?<nx/NX xx/XX gt/GT lt/LT> fields/FIELDS(numfields:integer field:string*)",
        ),
    Spec::new("hexpiretime", -5, "readonly fast", "hash")
        .runs(field_expiry::hexpiretime)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("hash", "7.4.0", "O(N)", "Tells when fields of a hash expire, as Unix times in seconds.")
        .arguments("key:key@0 fields/FIELDS(numfields:integer field:string*)"),
    Spec::new("hget", 3, "readonly fast", "hash")
        .runs(hash::hget)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("hash", "2.0.0", "O(1)", "Returns the value of a field.")
        .arguments("key:key@0 field:string"),
    Spec::new("hgetall", 2, "readonly", "hash")
        .runs(hash::hgetall)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("hash", "2.0.0", "O(N)", "Returns all fields of a hash and their values.")
        .arguments("key:key@0"),
    Spec::new("hgetdel", -5, "write fast", "hash")
        .runs(field_expiry::hgetdel)
        .keys(&[KeySpec::one("RW access delete", 1)])
        .doc("hash", "8.0.0", "O(N)", "Returns the values of fields and deletes the fields.")
        .arguments("key:key@0 fields/FIELDS(numfields:integer field:string*)"),
    Spec::new("hgetex", -5, "write fast", "hash")
        .runs(field_expiry::hgetex)
        .keys(&[KeySpec::one("RW access update", 1).notes("updates only the expiry")])
        .doc("hash", "8.0.0", "O(N)", "Returns the values of fields and may change when they expire.")
        .arguments(
            "key:key@0 expiration?<seconds:integer/EX milliseconds:integer/PX \
             unix-time-seconds:unix-time/EXAT unix-time-milliseconds:unix-time/PXAT persist/PERSIST> \
             fields/FIELDS(numfields:integer field:string*)",
        ),
    Spec::new("hincrby", 4, "write denyoom fast", "hash")
        .runs(hash::hincrby)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("hash", "2.0.0", "O(1)", "Adds a number to the integer in a field; a missing field counts as 0.")
        .arguments("key:key@0 field:string increment:integer"),
    Spec::new("hincrbyfloat", 4, "write denyoom fast", "hash")
        .runs(hash::hincrbyfloat)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc(
            "hash",
            "2.6.0",
            "O(1)",
            "Adds a floating-point number to the one in a field; a missing field counts as 0.",
        )
        .arguments("key:key@0 field:string increment:double"),
    Spec::new("hkeys", 2, "readonly", "hash")
        .runs(hash::hkeys)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("hash", "2.0.0", "O(N)", "Returns all fields of a hash.")
        .arguments("key:key@0"),
    Spec::new("hlen", 2, "readonly fast", "hash")
        .runs(hash::hlen)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("hash", "2.0.0", "O(1)", "Counts the fields of a hash.")
        .arguments("key:key@0"),
    Spec::new("hmget", -3, "readonly fast", "hash")
        .runs(hash::hmget)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("hash", "2.0.0", "O(N)", "Returns the values of several fields.")
        .arguments("key:key@0 field:string*"),
    Spec::new("hmset", -4, "write denyoom fast", "hash")
        .runs(hash::hmset)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("hash", "2.0.0", "O(N)", "Sets several fields of a hash.")
        .arguments("key:key@0 field_value*(field:string value:string)")
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs"),
    Spec::new("hpersist", -5, "write fast", "hash")
        .runs(field_expiry::hpersist)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("hash", "7.4.0", "O(N)", "Removes the expiry of fields of a hash.")
        .arguments("key:key@0 fields/FIELDS(numfields:integer field:string*)"),
    Spec::new("hpexpire", -6, "write denyoom fast", "hash")
        .runs(field_expiry::hpexpire)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("hash", "7.4.0", "O(N)", "Lets fields of a hash expire after some milliseconds.")
        .arguments(
            "key:key@0 milliseconds:integer condition?<nx/NX xx/XX gt/GT lt/LT> fields/FIELDS(numfields:integer field:string*)",
        ),
    Spec::new("hpexpireat", -6, "write denyoom fast", "hash")
        .runs(field_expiry::hpexpireat)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("hash", "7.4.0", "O(N)", "Lets fields of a hash expire at a Unix time in milliseconds.")
        .arguments(
            "key:key@0 unix-time-milliseconds:unix-time condition?<nx/NX xx/XX gt/GT lt/LT> fields/FIELDS(numfields:integer field:string*)",
        ),
    Spec::new("hpexpiretime", -5, "readonly fast", "hash")
        .runs(field_expiry::hpexpiretime)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("hash", "7.4.0", "O(N)", "Tells when fields of a hash expire, as Unix times in milliseconds.")
        .arguments("key:key@0 fields/FIELDS(numfields:integer field:string*)"),
    Spec::new("hpttl", -5, "readonly fast", "hash")
        .runs(field_expiry::hpttl)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("hash", "7.4.0", "O(N)", "Tells in how many milliseconds fields of a hash expire.")
        .arguments("key:key@0 fields/FIELDS(numfields:integer field:string*)"),
    Spec::new("hrandfield", -2, "readonly", "hash")
        .runs(hash::hrandfield)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("hash", "6.2.0", "O(N)", "Returns random fields of a hash.")
        .arguments("key:key@0 options?(count:integer withvalues/WITHVALUES?)")
        .differs("a count below -1048576 is refused: a reply cannot be that long"),
    Spec::new("hscan", -3, "readonly", "hash")
        .runs(hash::hscan)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("hash", "2.8.0", "O(1)", "Walks over the fields of a hash in portions.")
        .arguments("key:key@0 cursor:integer pattern:pattern/MATCH? count:integer/COUNT?"),
    Spec::new("hset", -4, "write denyoom fast", "hash")
        .runs(hash::hset)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("hash", "2.0.0", "O(1)", "Sets fields of a hash; makes the hash if there is none.")
        .arguments("key:key@0 field_value*(field:string value:string)")
        .history(&[("4.0.0", "Several fields.")]),
    Spec::new("hsetex", -6, "write denyoom fast", "hash")
        .runs(field_expiry::hsetex)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("hash", "8.0.0", "O(N)", "Sets fields of a hash and when they expire, if none or all of them exist.")
        .arguments(
            "key:key@0 condition?<fnx/FNX fxx/FXX> expiration?<seconds:integer/EX milliseconds:integer/PX \
             unix-time-seconds:unix-time/EXAT unix-time-milliseconds:unix-time/PXAT keepttl/KEEPTTL> \
             fields/FIELDS(numfields:integer data*(field:string value:string))",
        ),
    Spec::new("hsetnx", 4, "write denyoom fast", "hash")
        .runs(hash::hsetnx)
        .keys(&[KeySpec::one("RW insert", 1)])
        .doc("hash", "2.0.0", "O(1)", "Sets a field of a hash if it does not exist.")
        .arguments("key:key@0 field:string value:string"),
    Spec::new("hstrlen", 3, "readonly fast", "hash")
        .runs(hash::hstrlen)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("hash", "3.2.0", "O(1)", "Returns the length of a field's value in bytes.")
        .arguments("key:key@0 field:string"),
    Spec::new("httl", -5, "readonly fast", "hash")
        .runs(field_expiry::httl)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("hash", "7.4.0", "O(N)", "Tells in how many seconds fields of a hash expire.")
        .arguments("key:key@0 fields/FIELDS(numfields:integer field:string*)"),
    Spec::new("hvals", 2, "readonly", "hash")
        .runs(hash::hvals)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("hash", "2.0.0", "O(N)", "Returns the values of all fields of a hash.")
        .arguments("key:key@0"),
];
