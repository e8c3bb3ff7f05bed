//! HyperLogLogs.

use crate::command::hyperloglog;
use crate::command::spec::{KeySpec, Spec};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("pfadd", -2, "write denyoom fast", "hyperloglog")
        .runs(hyperloglog::pfadd)
        .keys(&[KeySpec::one("RW insert", 1)])
        .doc(
            "hyperloglog",
            "2.8.9",
            "O(1) for each element",
            "Adds elements to a HyperLogLog; makes it if there is none.",
        )
        .arguments("key:key@0 element:string?*"),
    Spec::new("pfcount", -2, "readonly", "hyperloglog")
        .runs(hyperloglog::pfcount)
        .keys(&[KeySpec::rest("RW access", 1).notes("writes the estimate into the value")])
        .doc(
            "hyperloglog",
            "2.8.9",
            "O(1), O(N) for several keys",
            "Estimates how many different elements were added to a HyperLogLog, or to any of several.",
        )
        .arguments("key:key@0*"),
    Spec::new("pfdebug", 3, "write denyoom admin", "hyperloglog")
        .runs(hyperloglog::pfdebug)
        .keys(&[KeySpec::one("RW access", 2)])
        .doc("hyperloglog", "2.8.9", "O(N)", "Shows how a HyperLogLog is stored.")
        .system()
        .arguments("subcommand:string key:key@0"),
    Spec::new("pfmerge", -2, "write denyoom", "hyperloglog")
        .runs(hyperloglog::pfmerge)
        .keys(&[KeySpec::one("RW access insert", 1), KeySpec::rest("RO access", 2)])
        .doc("hyperloglog", "2.8.9", "O(N)", "Adds all that was added to some HyperLogLogs to another one.")
        .arguments("destkey:key@0 sourcekey:key@1*"),
    Spec::new("pfselftest", 1, "admin", "hyperloglog")
        .runs(hyperloglog::pfselftest)
        .doc("hyperloglog", "2.8.9", "O(1)", "Checks that HyperLogLogs estimate as they should.")
        .system(),
];
