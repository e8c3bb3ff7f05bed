//! Strings.

use crate::command::spec::{KeySpec, Spec};
use crate::command::{conditional, counter, string};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("append", 3, "write denyoom fast", "string")
        .runs(string::append)
        .keys(&[KeySpec::one("RW insert", 1)])
        .doc("string", "2.0.0", "O(1)", "Adds bytes to the end of a string; makes the key if there is none.")
        .arguments("key:key@0 value:string"),
    Spec::new("decr", 2, "write denyoom fast", "string")
        .runs(counter::decr)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("string", "1.0.0", "O(1)", "Subtracts one from the integer at a key; a missing key counts as 0.")
        .arguments("key:key@0"),
    Spec::new("decrby", 3, "write denyoom fast", "string")
        .runs(counter::decrby)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("string", "1.0.0", "O(1)", "Subtracts a number from the integer at a key; a missing key counts as 0.")
        .arguments("key:key@0 decrement:integer"),
    Spec::new("delex", -2, "write fast", "string")
        .runs(conditional::delex)
        .keys(&[KeySpec::one("RW delete variable_flags", 1)])
        .doc("string", "8.4.0", "O(1)", "Deletes a key, on a condition about its string if there is one.")
        .arguments(
            "key:key@0 condition?<ifeq-value:string/IFEQ ifne-value:string/IFNE ifdeq-digest:string/IFDEQ \
             ifdne-digest:string/IFDNE>",
        ),
    Spec::new("delifeq", 3, "write", "string")
        .runs(conditional::delifeq)
        .keys(&[KeySpec::one("RM access delete", 1)])
        .doc("string", "9.0.0", "O(1)", "Deletes a key if its string is this one; a command of Valkey.")
        .arguments("key:key@0 value:string"),
    Spec::new("digest", 2, "readonly fast", "string")
        .runs(conditional::digest)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("string", "8.4.0", "O(N)", "Returns the XXH3 digest of the string at a key, in hexadecimal digits.")
        .arguments("key:key@0"),
    Spec::new("get", 2, "readonly fast", "string")
        .runs(string::get)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("string", "1.0.0", "O(1)", "Returns the string at a key.")
        .arguments("key:key@0"),
    Spec::new("getdel", 2, "write fast", "string")
        .runs(string::getdel)
        .keys(&[KeySpec::one("RW access delete", 1)])
        .doc("string", "6.2.0", "O(1)", "Returns the string at a key and deletes the key.")
        .arguments("key:key@0"),
    Spec::new("getex", -2, "write fast", "string")
        .runs(string::getex)
        .keys(&[KeySpec::one("RW access update", 1).notes("updates only the expiry")])
        .doc("string", "6.2.0", "O(1)", "Returns the string at a key and may change when the key expires.")
        .arguments(
            "key:key@0 expiration?<seconds:integer/EX milliseconds:integer/PX \
             unix-time-seconds:unix-time/EXAT unix-time-milliseconds:unix-time/PXAT \
             persist/PERSIST>",
        ),
    Spec::new("getrange", 4, "readonly", "string")
        .runs(string::getrange)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("string", "2.4.0", "O(N)", "Returns a part of a string, both ends included.")
        .arguments("key:key@0 start:integer end:integer"),
    Spec::new("getset", 3, "write denyoom fast", "string")
        .runs(string::getset)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("string", "1.0.0", "O(1)", "Sets a key to a string and returns the one it had.")
        .arguments("key:key@0 value:string")
        .deprecated("6.2.0", "`SET` with `GET`"),
    Spec::new("incr", 2, "write denyoom fast", "string")
        .runs(counter::incr)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("string", "1.0.0", "O(1)", "Adds one to the integer at a key; a missing key counts as 0.")
        .arguments("key:key@0"),
    Spec::new("incrby", 3, "write denyoom fast", "string")
        .runs(counter::incrby)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("string", "1.0.0", "O(1)", "Adds a number to the integer at a key; a missing key counts as 0.")
        .arguments("key:key@0 increment:integer"),
    Spec::new("incrbyfloat", 3, "write denyoom fast", "string")
        .runs(counter::incrbyfloat)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("string", "2.6.0", "O(1)", "Adds a floating-point number to the one at a key; a missing key counts as 0.")
        .arguments("key:key@0 increment:double"),
    Spec::new("lcs", -3, "readonly", "string")
        .runs(string::lcs)
        .keys(&[KeySpec::range("RO access", 1, 1, 1)])
        .doc("string", "7.0.0", "O(N*M)", "Finds the longest common subsequence of two strings.")
        .arguments(
            "key1:key@0 key2:key@0 len/LEN? idx/IDX? len:integer/MINMATCHLEN? \
             withmatchlen/WITHMATCHLEN?",
        )
        .differs(
            "what does not fit into proto-max-bulk-len (64 MiB by default, four bytes for each pair of bytes of the two \
             strings) is refused as in Redis, whose default is eight times as much",
        ),
    Spec::new("mget", -2, "readonly fast", "string")
        .runs(string::mget)
        .keys(&[KeySpec::rest("RO access", 1)])
        .tips(&["request_policy:multi_shard"])
        .doc("string", "1.0.0", "O(N)", "Returns the strings at several keys.")
        .arguments("key:key@0*"),
    Spec::new("mset", -3, "write denyoom", "string")
        .runs(string::mset)
        .keys(&[KeySpec::range("OW update", 1, -1, 2)])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .doc("string", "1.0.1", "O(N)", "Sets several keys to strings, all at once.")
        .arguments("key_value*(key:key@0 value:string)"),
    Spec::new("msetex", -4, "write denyoom", "string")
        .runs(conditional::msetex)
        .keys(&[KeySpec::counted("OW update", 1).every(2)])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .doc(
            "string",
            "8.4.0",
            "O(N)",
            "Sets several keys to strings with one expiry, all at once, if none or all of them exist.",
        )
        .arguments(
            "numkeys:integer data*(key:key@0 value:string) condition?<nx/NX xx/XX> \
             expiration?<seconds:integer/EX milliseconds:integer/PX unix-time-seconds:unix-time/EXAT \
             unix-time-milliseconds:unix-time/PXAT keepttl/KEEPTTL>",
        ),
    Spec::new("msetnx", -3, "write denyoom", "string")
        .runs(string::msetnx)
        .keys(&[KeySpec::range("OW insert", 1, -1, 2)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .doc("string", "1.0.1", "O(N)", "Sets several keys to strings, all at once, if none of them exists.")
        .arguments("key_value*(key:key@0 value:string)"),
    Spec::new("psetex", 4, "write denyoom", "string")
        .runs(string::psetex)
        .keys(&[KeySpec::one("OW update", 1)])
        .doc("string", "2.6.0", "O(1)", "Sets a key to a string that expires after some milliseconds.")
        .arguments("key:key@0 milliseconds:integer value:string"),
    Spec::new("set", -3, "write denyoom", "string")
        .runs(string::set)
        .keys(&[KeySpec::one("RW access update variable_flags", 1).notes("reads only with `GET`")])
        .doc(
            "string",
            "1.0.0",
            "O(1)",
            "Sets a key to a string, whatever it held; conditions and an expiry are optional.",
        )
        .arguments(
            "key:key@0 value:string condition?~2.6.12<nx/NX xx/XX ifeq-value:string/IFEQ~8.4.0 \
             ifne-value:string/IFNE~8.4.0 ifdeq-digest:string/IFDEQ~8.4.0 ifdne-digest:string/IFDNE~8.4.0> get/GET?~6.2.0 \
             expiration?<seconds:integer/EX~2.6.12 milliseconds:integer/PX~2.6.12 \
             unix-time-seconds:unix-time/EXAT~6.2.0 unix-time-milliseconds:unix-time/PXAT~6.2.0 \
             keepttl/KEEPTTL~6.0.0>",
        )
        .history(&[
            ("2.6.12", "Options EX, PX, NX and XX."),
            ("6.0.0", "Option KEEPTTL."),
            ("6.2.0", "Options GET, EXAT and PXAT."),
            ("7.0.0", "NX together with GET."),
            ("8.4.0", "Options IFEQ, IFNE, IFDEQ and IFDNE."),
        ]),
    Spec::new("setex", 4, "write denyoom", "string")
        .runs(string::setex)
        .keys(&[KeySpec::one("OW update", 1)])
        .doc("string", "2.0.0", "O(1)", "Sets a key to a string that expires after some seconds.")
        .arguments("key:key@0 seconds:integer value:string"),
    Spec::new("setnx", 3, "write denyoom fast", "string")
        .runs(string::setnx)
        .keys(&[KeySpec::one("OW insert", 1)])
        .doc("string", "1.0.0", "O(1)", "Sets a key to a string if the key does not exist.")
        .arguments("key:key@0 value:string"),
    Spec::new("setrange", 4, "write denyoom", "string")
        .runs(string::setrange)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc(
            "string",
            "2.2.0",
            "O(1)",
            "Overwrites a part of a string from an offset on, after zero bytes where it was shorter.",
        )
        .arguments("key:key@0 offset:integer value:string"),
    Spec::new("strlen", 2, "readonly fast", "string")
        .runs(string::strlen)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("string", "2.2.0", "O(1)", "Returns the length of a string in bytes.")
        .arguments("key:key@0"),
    Spec::new("substr", 4, "readonly", "string")
        .runs(string::substr)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("string", "1.0.0", "O(N)", "Returns a part of a string, both ends included.")
        .arguments("key:key@0 start:integer end:integer")
        .deprecated("2.0.0", "`GETRANGE`"),
];
