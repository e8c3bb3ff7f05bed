//! Sorted sets.

use crate::command::block;
use crate::command::spec::{KeySpec, Spec};
use crate::command::zset::{self, combine, range};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("bzmpop", -5, "write blocking", "sortedset")
        .runs(block::bzmpop)
        .keys(&[KeySpec::counted("RW access delete", 2)])
        .doc(
            "sorted-set",
            "7.0.0",
            "O(K) + O(M*log(N))",
            "Removes members from an end of the first sorted set there is; waits until there is one.",
        )
        .arguments("timeout:double numkeys:integer key:key@0* where<min/MIN max/MAX> count:integer/COUNT?"),
    Spec::new("bzpopmax", -3, "write noscript blocking fast", "sortedset")
        .runs(block::bzpopmax)
        .keys(&[KeySpec::range("RW access delete", 1, -2, 1)])
        .doc(
            "sorted-set",
            "5.0.0",
            "O(log(N))",
            "Removes the member with the highest score and returns it; waits until there is one.",
        )
        .arguments("key:key@0* timeout:double")
        .history(&[("6.0.0", "`timeout` may have a fraction.")]),
    Spec::new("bzpopmin", -3, "write noscript blocking fast", "sortedset")
        .runs(block::bzpopmin)
        .keys(&[KeySpec::range("RW access delete", 1, -2, 1)])
        .doc(
            "sorted-set",
            "5.0.0",
            "O(log(N))",
            "Removes the member with the lowest score and returns it; waits until there is one.",
        )
        .arguments("key:key@0* timeout:double")
        .history(&[("6.0.0", "`timeout` may have a fraction.")]),
    Spec::new("zadd", -4, "write denyoom fast", "sortedset")
        .runs(zset::zadd)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("sorted-set", "1.2.0", "O(log(N))", "Sets scores of members; makes the sorted set if there is none.")
        .arguments(
            "key:key@0 condition?~3.0.2<nx/NX xx/XX> comparison?~6.2.0<gt/GT lt/LT> change/CH?~3.0.2 \
             increment/INCR?~3.0.2 score_member*(score:double member:string)",
        )
        .history(&[
            ("2.4.0", "Several members."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ]),
    Spec::new("zcard", 2, "readonly fast", "sortedset")
        .runs(zset::zcard)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("sorted-set", "1.2.0", "O(1)", "Counts the members of a sorted set.")
        .arguments("key:key@0"),
    Spec::new("zcount", 4, "readonly fast", "sortedset")
        .runs(range::zcount)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "2.0.0", "O(log(N))", "Counts the members with a score within a range.")
        .arguments("key:key@0 min:double max:double"),
    Spec::new("zdiff", -3, "readonly", "sortedset")
        .runs(combine::zdiff)
        .keys(&[KeySpec::counted("RO access", 1)])
        .doc("sorted-set", "6.2.0", "O(N*M)", "Returns the members of a sorted set that no other one has.")
        .arguments("numkeys:integer key:key@0* withscores/WITHSCORES?"),
    Spec::new("zdiffstore", -4, "write denyoom", "sortedset")
        .runs(combine::zdiffstore)
        .keys(&[KeySpec::one("OW update", 1), KeySpec::counted("RO access", 2)])
        .doc("sorted-set", "6.2.0", "O(N*M)", "Stores the members of a sorted set that no other one has.")
        .arguments("destination:key@0 numkeys:integer key:key@1*"),
    Spec::new("zincrby", 4, "write denyoom fast", "sortedset")
        .runs(zset::zincrby)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("sorted-set", "1.2.0", "O(log(N))", "Adds a number to the score of a member.")
        .arguments("key:key@0 increment:integer member:string"),
    Spec::new("zinter", -3, "readonly", "sortedset")
        .runs(combine::zinter)
        .keys(&[KeySpec::counted("RO access", 1)])
        .doc("sorted-set", "6.2.0", "O(N*M)", "Returns what several sorted sets have in common.")
        .arguments(
            "numkeys:integer key:key@0* weight:integer/WEIGHTS?* aggregate/AGGREGATE?<sum/SUM min/MIN max/MAX> \
             withscores/WITHSCORES?",
        ),
    Spec::new("zintercard", -3, "readonly", "sortedset")
        .runs(combine::zintercard)
        .keys(&[KeySpec::counted("RO access", 1)])
        .doc("sorted-set", "7.0.0", "O(N*M)", "Counts what several sorted sets have in common, up to a limit.")
        .arguments("numkeys:integer key:key@0* limit:integer/LIMIT?"),
    Spec::new("zinterstore", -4, "write denyoom", "sortedset")
        .runs(combine::zinterstore)
        .keys(&[KeySpec::one("OW update", 1), KeySpec::counted("RO access", 2)])
        .doc("sorted-set", "2.0.0", "O(N*M)", "Stores what several sorted sets have in common.")
        .arguments(
            "destination:key@0 numkeys:integer key:key@1* weight:integer/WEIGHTS?* \
             aggregate/AGGREGATE?<sum/SUM min/MIN max/MAX>",
        ),
    Spec::new("zlexcount", 4, "readonly fast", "sortedset")
        .runs(range::zlexcount)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "2.8.9", "O(log(N))", "Counts the members within a range, where all scores are equal.")
        .arguments("key:key@0 min:string max:string"),
    Spec::new("zmpop", -4, "write", "sortedset")
        .runs(zset::zmpop)
        .keys(&[KeySpec::counted("RW access delete", 1)])
        .doc("sorted-set", "7.0.0", "O(M*log(N))", "Removes members from an end of the first sorted set there is.")
        .arguments("numkeys:integer key:key@0* where<min/MIN max/MAX> count:integer/COUNT?"),
    Spec::new("zmscore", -3, "readonly fast", "sortedset")
        .runs(zset::zmscore)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "6.2.0", "O(N)", "Returns the scores of several members.")
        .arguments("key:key@0 member:string*"),
    Spec::new("zpopmax", -2, "write fast", "sortedset")
        .runs(zset::zpopmax)
        .keys(&[KeySpec::one("RW access delete", 1)])
        .doc("sorted-set", "5.0.0", "O(M*log(N))", "Removes the members with the highest scores and returns them.")
        .arguments("key:key@0 count:integer?"),
    Spec::new("zpopmin", -2, "write fast", "sortedset")
        .runs(zset::zpopmin)
        .keys(&[KeySpec::one("RW access delete", 1)])
        .doc("sorted-set", "5.0.0", "O(M*log(N))", "Removes the members with the lowest scores and returns them.")
        .arguments("key:key@0 count:integer?"),
    Spec::new("zrandmember", -2, "readonly", "sortedset")
        .runs(zset::zrandmember)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("sorted-set", "6.2.0", "O(M*log(N))", "Returns random members of a sorted set.")
        .arguments("key:key@0 options?(count:integer withscores/WITHSCORES?)")
        .differs("a count below -1048576 is refused: a reply cannot be that long"),
    Spec::new("zrange", -4, "readonly", "sortedset")
        .runs(range::zrange)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "1.2.0", "O(log(N)+M)", "Returns the members within a range of ranks, scores or members.")
        .arguments(
            "key:key@0 start:string stop:string sortby?~6.2.0<byscore/BYSCORE bylex/BYLEX> rev/REV?~6.2.0 \
             limit/LIMIT?~6.2.0(offset:integer count:integer) withscores/WITHSCORES?",
        )
        .history(&[("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")]),
    Spec::new("zrangebylex", -4, "readonly", "sortedset")
        .runs(range::zrangebylex)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "2.8.9", "O(log(N)+M)", "Returns the members within a range, where all scores are equal.")
        .arguments("key:key@0 min:string max:string limit/LIMIT?(offset:integer count:integer)")
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument"),
    Spec::new("zrangebyscore", -4, "readonly", "sortedset")
        .runs(range::zrangebyscore)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "1.0.5", "O(log(N)+M)", "Returns the members with a score within a range.")
        .arguments(
            "key:key@0 min:double max:double withscores/WITHSCORES?~2.0.0 limit/LIMIT?(offset:integer count:integer)",
        )
        .history(&[("2.0.0", "Added the `WITHSCORES` modifier.")])
        .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument"),
    Spec::new("zrangestore", -5, "write denyoom", "sortedset")
        .runs(range::zrangestore)
        .keys(&[KeySpec::one("OW update", 1), KeySpec::one("RO access", 2)])
        .doc("sorted-set", "6.2.0", "O(log(N)+M)", "Stores the members within a range of ranks, scores or members.")
        .arguments(
            "dst:key@0 src:key@1 min:string max:string sortby?<byscore/BYSCORE bylex/BYLEX> rev/REV? \
             limit/LIMIT?(offset:integer count:integer)",
        ),
    Spec::new("zrank", -3, "readonly fast", "sortedset")
        .runs(zset::zrank)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "2.0.0", "O(log(N))", "Returns the rank of a member, by ascending scores.")
        .arguments("key:key@0 member:string withscore/WITHSCORE?")
        .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")]),
    Spec::new("zrem", -3, "write fast", "sortedset")
        .runs(zset::zrem)
        .keys(&[KeySpec::one("RW delete", 1)])
        .doc("sorted-set", "1.2.0", "O(M*log(N))", "Removes members; the sorted set goes with its last member.")
        .arguments("key:key@0 member:string*")
        .history(&[("2.4.0", "Several members.")]),
    Spec::new("zremrangebylex", 4, "write", "sortedset")
        .runs(range::zremrangebylex)
        .keys(&[KeySpec::one("RW delete", 1)])
        .doc("sorted-set", "2.8.9", "O(log(N)+M)", "Removes the members within a range, where all scores are equal.")
        .arguments("key:key@0 min:string max:string"),
    Spec::new("zremrangebyrank", 4, "write", "sortedset")
        .runs(range::zremrangebyrank)
        .keys(&[KeySpec::one("RW delete", 1)])
        .doc("sorted-set", "2.0.0", "O(log(N)+M)", "Removes the members within a range of ranks.")
        .arguments("key:key@0 start:integer stop:integer"),
    Spec::new("zremrangebyscore", 4, "write", "sortedset")
        .runs(range::zremrangebyscore)
        .keys(&[KeySpec::one("RW delete", 1)])
        .doc("sorted-set", "1.2.0", "O(log(N)+M)", "Removes the members with a score within a range.")
        .arguments("key:key@0 min:double max:double"),
    Spec::new("zrevrange", -4, "readonly", "sortedset")
        .runs(range::zrevrange)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "1.2.0", "O(log(N)+M)", "Returns the members within a range of ranks, from the end.")
        .arguments("key:key@0 start:integer stop:integer withscores/WITHSCORES?")
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument"),
    Spec::new("zrevrangebylex", -4, "readonly", "sortedset")
        .runs(range::zrevrangebylex)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc(
            "sorted-set",
            "2.8.9",
            "O(log(N)+M)",
            "Returns the members within a range from the end, where all scores are equal.",
        )
        .arguments("key:key@0 max:string min:string limit/LIMIT?(offset:integer count:integer)")
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
    Spec::new("zrevrangebyscore", -4, "readonly", "sortedset")
        .runs(range::zrevrangebyscore)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "2.2.0", "O(log(N)+M)", "Returns the members with a score within a range, from the end.")
        .arguments("key:key@0 max:double min:double withscores/WITHSCORES? limit/LIMIT?(offset:integer count:integer)")
        .history(&[("2.1.6", "`min` and `max` can be exclusive.")])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"),
    Spec::new("zrevrank", -3, "readonly fast", "sortedset")
        .runs(zset::zrevrank)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "2.0.0", "O(log(N))", "Returns the rank of a member, by descending scores.")
        .arguments("key:key@0 member:string withscore/WITHSCORE?")
        .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")]),
    Spec::new("zscan", -3, "readonly", "sortedset")
        .runs(zset::zscan)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("sorted-set", "2.8.0", "O(1)", "Walks over the members of a sorted set in portions.")
        .arguments("key:key@0 cursor:integer pattern:pattern/MATCH? count:integer/COUNT?"),
    Spec::new("zscore", 3, "readonly fast", "sortedset")
        .runs(zset::zscore)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("sorted-set", "1.2.0", "O(1)", "Returns the score of a member.")
        .arguments("key:key@0 member:string"),
    Spec::new("zunion", -3, "readonly", "sortedset")
        .runs(combine::zunion)
        .keys(&[KeySpec::counted("RO access", 1)])
        .doc("sorted-set", "6.2.0", "O(N*log(N))", "Returns the members of several sorted sets.")
        .arguments(
            "numkeys:integer key:key@0* weight:integer/WEIGHTS?* aggregate/AGGREGATE?<sum/SUM min/MIN max/MAX> \
             withscores/WITHSCORES?",
        ),
    Spec::new("zunionstore", -4, "write denyoom", "sortedset")
        .runs(combine::zunionstore)
        .keys(&[KeySpec::one("OW update", 1), KeySpec::counted("RO access", 2)])
        .doc("sorted-set", "2.0.0", "O(N*log(N))", "Stores the members of several sorted sets.")
        .arguments(
            "destination:key@0 numkeys:integer key:key@1* weight:integer/WEIGHTS?* \
             aggregate/AGGREGATE?<sum/SUM min/MIN max/MAX>",
        ),
];
