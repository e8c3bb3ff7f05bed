//! Lists.

use crate::command::spec::{KeySpec, Spec};
use crate::command::{block, list};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("blmove", 6, "write denyoom noscript blocking", "list")
        .runs(block::blmove)
        .keys(&[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)])
        .doc("list", "6.2.0", "O(1)", "Moves an element from one list to another; waits for one if there is none.")
        .arguments(
            "source:key@0 destination:key@1 wherefrom<left/LEFT right/RIGHT> whereto<left/LEFT right/RIGHT> \
             timeout:double",
        ),
    Spec::new("blmpop", -5, "write blocking", "list")
        .runs(block::blmpop)
        .keys(&[KeySpec::counted("RW access delete", 2)])
        .doc(
            "list",
            "7.0.0",
            "O(N+M)",
            "Removes elements from an end of the first list that is not empty; waits until there is one.",
        )
        .arguments("timeout:double numkeys:integer key:key@0* where<left/LEFT right/RIGHT> count:integer/COUNT?"),
    Spec::new("blpop", -3, "write noscript blocking", "list")
        .runs(block::blpop)
        .keys(&[KeySpec::range("RW access delete", 1, -2, 1)])
        .doc("list", "2.0.0", "O(N)", "Removes the first element of a list and returns it; waits until there is one.")
        .arguments("key:key@0* timeout:double")
        .history(&[("6.0.0", "`timeout` may have a fraction.")]),
    Spec::new("brpop", -3, "write noscript blocking", "list")
        .runs(block::brpop)
        .keys(&[KeySpec::range("RW access delete", 1, -2, 1)])
        .doc("list", "2.0.0", "O(N)", "Removes the last element of a list and returns it; waits until there is one.")
        .arguments("key:key@0* timeout:double")
        .history(&[("6.0.0", "`timeout` may have a fraction.")]),
    Spec::new("brpoplpush", 4, "write denyoom noscript blocking", "list")
        .runs(block::brpoplpush)
        .keys(&[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)])
        .doc("list", "2.2.0", "O(1)", "Moves the last element of one list before another; waits until there is one.")
        .arguments("source:key@0 destination:key@1 timeout:double")
        .history(&[("6.0.0", "`timeout` may have a fraction.")])
        .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments"),
    Spec::new("lindex", 3, "readonly", "list")
        .runs(list::lindex)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("list", "1.0.0", "O(log(N))", "Returns an element of a list by its index.")
        .arguments("key:key@0 index:integer"),
    Spec::new("linsert", 5, "write denyoom", "list")
        .runs(list::linsert)
        .keys(&[KeySpec::one("RW insert", 1)])
        .doc("list", "2.2.0", "O(N)", "Inserts an element before or after another one.")
        .arguments("key:key@0 where<before/BEFORE after/AFTER> pivot:string element:string"),
    Spec::new("llen", 2, "readonly fast", "list")
        .runs(list::llen)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("list", "1.0.0", "O(1)", "Returns the length of a list.")
        .arguments("key:key@0"),
    Spec::new("lmove", 5, "write denyoom", "list")
        .runs(list::lmove)
        .keys(&[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)])
        .doc("list", "6.2.0", "O(1)", "Moves an element from an end of one list to an end of another.")
        .arguments("source:key@0 destination:key@1 wherefrom<left/LEFT right/RIGHT> whereto<left/LEFT right/RIGHT>"),
    Spec::new("lmpop", -4, "write", "list")
        .runs(list::lmpop)
        .keys(&[KeySpec::counted("RW access delete", 1)])
        .doc("list", "7.0.0", "O(N+M)", "Removes elements from an end of the first list that is not empty.")
        .arguments("numkeys:integer key:key@0* where<left/LEFT right/RIGHT> count:integer/COUNT?"),
    Spec::new("lpop", -2, "write fast", "list")
        .runs(list::lpop)
        .keys(&[KeySpec::one("RW access delete", 1)])
        .doc("list", "1.0.0", "O(N)", "Removes the first elements of a list and returns them.")
        .arguments("key:key@0 count:integer?~6.2.0")
        .history(&[("6.2.0", "Added the `count` argument.")]),
    Spec::new("lpos", -3, "readonly", "list")
        .runs(list::lpos)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("list", "6.0.6", "O(N)", "Returns the indexes at which a list has an element.")
        .arguments("key:key@0 element:string rank:integer/RANK? num-matches:integer/COUNT? len:integer/MAXLEN?"),
    Spec::new("lpush", -3, "write denyoom fast", "list")
        .runs(list::lpush)
        .keys(&[KeySpec::one("RW insert", 1)])
        .doc("list", "1.0.0", "O(1)", "Adds elements before a list; makes the list if there is none.")
        .arguments("key:key@0 element:string*")
        .history(&[("2.4.0", "Several elements.")]),
    Spec::new("lpushx", -3, "write denyoom fast", "list")
        .runs(list::lpushx)
        .keys(&[KeySpec::one("RW insert", 1)])
        .doc("list", "2.2.0", "O(1)", "Adds elements before a list, if there is one.")
        .arguments("key:key@0 element:string*")
        .history(&[("4.0.0", "Several elements.")]),
    Spec::new("lrange", 4, "readonly", "list")
        .runs(list::lrange)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("list", "1.0.0", "O(log(N)+M)", "Returns a part of a list.")
        .arguments("key:key@0 start:integer stop:integer"),
    Spec::new("lrem", 4, "write", "list")
        .runs(list::lrem)
        .keys(&[KeySpec::one("RW delete", 1)])
        .doc("list", "1.0.0", "O(N)", "Removes elements that equal one; the list goes with its last element.")
        .arguments("key:key@0 count:integer element:string"),
    Spec::new("lset", 4, "write denyoom", "list")
        .runs(list::lset)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("list", "1.0.0", "O(log(N))", "Sets an element of a list by its index.")
        .arguments("key:key@0 index:integer element:string"),
    Spec::new("ltrim", 4, "write", "list")
        .runs(list::ltrim)
        .keys(&[KeySpec::one("RW delete", 1)])
        .doc("list", "1.0.0", "O(N)", "Removes what is outside of a part of a list.")
        .arguments("key:key@0 start:integer stop:integer"),
    Spec::new("rpop", -2, "write fast", "list")
        .runs(list::rpop)
        .keys(&[KeySpec::one("RW access delete", 1)])
        .doc("list", "1.0.0", "O(N)", "Removes the last elements of a list and returns them.")
        .arguments("key:key@0 count:integer?~6.2.0")
        .history(&[("6.2.0", "Added the `count` argument.")]),
    Spec::new("rpoplpush", 3, "write denyoom", "list")
        .runs(list::rpoplpush)
        .keys(&[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)])
        .doc("list", "1.2.0", "O(1)", "Moves the last element of one list before another.")
        .arguments("source:key@0 destination:key@1")
        .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"),
    Spec::new("rpush", -3, "write denyoom fast", "list")
        .runs(list::rpush)
        .keys(&[KeySpec::one("RW insert", 1)])
        .doc("list", "1.0.0", "O(1)", "Adds elements behind a list; makes the list if there is none.")
        .arguments("key:key@0 element:string*")
        .history(&[("2.4.0", "Several elements.")]),
    Spec::new("rpushx", -3, "write denyoom fast", "list")
        .runs(list::rpushx)
        .keys(&[KeySpec::one("RW insert", 1)])
        .doc("list", "2.2.0", "O(1)", "Adds elements behind a list, if there is one.")
        .arguments("key:key@0 element:string*")
        .history(&[("4.0.0", "Several elements.")]),
];
