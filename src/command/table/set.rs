//! Sets.

use crate::command::set;
use crate::command::spec::{KeySpec, Spec};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("sadd", -3, "write denyoom fast", "set")
        .runs(set::sadd)
        .keys(&[KeySpec::one("RW insert", 1)])
        .doc("set", "1.0.0", "O(N)", "Adds members to a set; makes the set if there is none.")
        .arguments("key:key@0 member:string*")
        .history(&[("2.4.0", "Several members.")]),
    Spec::new("scard", 2, "readonly fast", "set")
        .runs(set::scard)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("set", "1.0.0", "O(1)", "Counts the members of a set.")
        .arguments("key:key@0"),
    Spec::new("sdiff", -2, "readonly", "set")
        .runs(set::sdiff)
        .keys(&[KeySpec::rest("RO access", 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("set", "1.0.0", "O(N*M)", "Returns the members of a set that no other one has.")
        .arguments("key:key@0*"),
    Spec::new("sdiffstore", -3, "write denyoom", "set")
        .runs(set::sdiffstore)
        .keys(&[KeySpec::one("OW update", 1), KeySpec::rest("RO access", 2)])
        .doc("set", "1.0.0", "O(N*M)", "Stores the members of a set that no other one has.")
        .arguments("destination:key@0 key:key@1*"),
    Spec::new("sinter", -2, "readonly", "set")
        .runs(set::sinter)
        .keys(&[KeySpec::rest("RO access", 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("set", "1.0.0", "O(N*M)", "Returns what several sets have in common.")
        .arguments("key:key@0*"),
    Spec::new("sintercard", -3, "readonly", "set")
        .runs(set::sintercard)
        .keys(&[KeySpec::counted("RO access", 1)])
        .doc("set", "7.0.0", "O(N*M)", "Counts what several sets have in common, up to a limit.")
        .arguments("numkeys:integer key:key@0* limit:integer/LIMIT?"),
    Spec::new("sinterstore", -3, "write denyoom", "set")
        .runs(set::sinterstore)
        .keys(&[KeySpec::one("RW update", 1), KeySpec::rest("RO access", 2)])
        .doc("set", "1.0.0", "O(N*M)", "Stores what several sets have in common.")
        .arguments("destination:key@0 key:key@1*"),
    Spec::new("sismember", 3, "readonly fast", "set")
        .runs(set::sismember)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("set", "1.0.0", "O(1)", "Tells whether a set has a member.")
        .arguments("key:key@0 member:string"),
    Spec::new("smembers", 2, "readonly", "set")
        .runs(set::smembers)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("set", "1.0.0", "O(N)", "Returns all members of a set.")
        .arguments("key:key@0"),
    Spec::new("smismember", -3, "readonly fast", "set")
        .runs(set::smismember)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("set", "6.2.0", "O(N)", "Tells of several members whether a set has them.")
        .arguments("key:key@0 member:string*"),
    Spec::new("smove", 4, "write fast", "set")
        .runs(set::smove)
        .keys(&[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)])
        .doc("set", "1.0.0", "O(1)", "Moves a member from one set to another.")
        .arguments("source:key@0 destination:key@1 member:string"),
    Spec::new("spop", -2, "write fast", "set")
        .runs(set::spop)
        .keys(&[KeySpec::one("RW access delete", 1)])
        .tips(&["nondeterministic_output"])
        .doc("set", "1.0.0", "O(N)", "Removes random members of a set and returns them.")
        .arguments("key:key@0 count:integer?~3.2.0")
        .history(&[("3.2.0", "Added the `count` argument.")]),
    Spec::new("srandmember", -2, "readonly", "set")
        .runs(set::srandmember)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("set", "1.0.0", "O(N)", "Returns random members of a set.")
        .arguments("key:key@0 count:integer?~2.6.0")
        .history(&[("2.6.0", "Added the optional `count` argument.")])
        .differs("a count below -1048576 is refused: a reply cannot be that long"),
    Spec::new("srem", -3, "write fast", "set")
        .runs(set::srem)
        .keys(&[KeySpec::one("RW delete", 1)])
        .doc("set", "1.0.0", "O(N)", "Removes members of a set; the set goes with its last member.")
        .arguments("key:key@0 member:string*")
        .history(&[("2.4.0", "Several members.")]),
    Spec::new("sscan", -3, "readonly", "set")
        .runs(set::sscan)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("set", "2.8.0", "O(1)", "Walks over the members of a set in portions.")
        .arguments("key:key@0 cursor:integer pattern:pattern/MATCH? count:integer/COUNT?"),
    Spec::new("sunion", -2, "readonly", "set")
        .runs(set::sunion)
        .keys(&[KeySpec::rest("RO access", 1)])
        .tips(&["nondeterministic_output_order"])
        .doc("set", "1.0.0", "O(N)", "Returns the members of several sets.")
        .arguments("key:key@0*"),
    Spec::new("sunionstore", -3, "write denyoom", "set")
        .runs(set::sunionstore)
        .keys(&[KeySpec::one("OW update", 1), KeySpec::rest("RO access", 2)])
        .doc("set", "1.0.0", "O(N)", "Stores the members of several sets.")
        .arguments("destination:key@0 key:key@1*"),
];
