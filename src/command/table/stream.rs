//! Streams.

use crate::command::introspect;
use crate::command::spec::{KeySpec, Spec};
use crate::command::stream::{self, claim, group, info, pending, read};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("xack", -4, "write fast", "stream")
        .runs(group::xack)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("stream", "5.0.0", "O(1) per entry", "Acknowledges entries that a group was given.")
        .arguments("key:key@0 group:string id:string*"),
    Spec::new("xadd", -5, "write denyoom fast", "stream")
        .runs(stream::xadd)
        .keys(&[KeySpec::one("RW update", 1).notes("updates, for it may remove entries as well")])
        .tips(&["nondeterministic_output"])
        .doc("stream", "5.0.0", "O(1)", "Adds an entry to a stream; makes the stream if there is none.")
        .arguments(
            "key:key@0 nomkstream/NOMKSTREAM?~6.2.0 trim?(strategy<maxlen/MAXLEN minid/MINID~6.2.0> \
             operator?<equal/= approximately/~> threshold:string count:integer/LIMIT?~6.2.0) \
             id-selector<auto-id/* id:string> data*(field:string value:string)",
        )
        .history(&[("6.2.0", "Options `NOMKSTREAM`, `MINID` and `LIMIT`."), ("7.0.0", "Ids of the form `<ms>-*`.")]),
    Spec::new("xautoclaim", -6, "write fast", "stream")
        .runs(claim::xautoclaim)
        .keys(&[KeySpec::one("RW delete", 1)])
        .tips(&["nondeterministic_output"])
        .doc("stream", "6.2.0", "O(1)", "Gives what a group has not acknowledged for some time to a consumer.")
        .arguments(
            "key:key@0 group:string consumer:string min-idle-time:string start:string count:integer/COUNT? \
             justid/JUSTID?",
        )
        .history(&[("7.0.0", "The reply tells of entries that were deleted and are no longer pending.")]),
    Spec::new("xclaim", -6, "write fast", "stream")
        .runs(claim::xclaim)
        .keys(&[KeySpec::one("RW update", 1)])
        .tips(&["nondeterministic_output"])
        .doc("stream", "5.0.0", "O(log(N))", "Gives entries that a group has not acknowledged to a consumer.")
        .arguments(
            "key:key@0 group:string consumer:string min-idle-time:string id:string* ms:integer/IDLE? \
             unix-time-milliseconds:unix-time/TIME? count:integer/RETRYCOUNT? force/FORCE? justid/JUSTID? \
             lastid:string/LASTID?",
        ),
    Spec::new("xdel", -3, "write fast", "stream")
        .runs(stream::xdel)
        .keys(&[KeySpec::one("RW delete", 1)])
        .doc("stream", "5.0.0", "O(1) per entry", "Removes entries from a stream, which stays when it is empty.")
        .arguments("key:key@0 id:string*"),
    Spec::new("xgroup", -2, "", "")
        .doc("stream", "5.0.0", "Depends on subcommand.", "Looks after groups of consumers.")
        .subcommands(&[
            Spec::new("xgroup|create", -5, "write denyoom", "stream")
                .runs(group::create)
                .keys(&[KeySpec::one("RW insert", 2)])
                .doc("stream", "5.0.0", "O(1)", "Makes a group of consumers.")
                .arguments(
                    "key:key@0 group:string id-selector<id:string new-id/$> mkstream/MKSTREAM? \
                     entriesread:integer/ENTRIESREAD?",
                )
                .history(&[("7.0.0", "Option `ENTRIESREAD`.")]),
            Spec::new("xgroup|createconsumer", 5, "write denyoom", "stream")
                .runs(group::create_consumer)
                .keys(&[KeySpec::one("RW insert", 2)])
                .doc("stream", "6.2.0", "O(1)", "Makes a consumer of a group.")
                .arguments("key:key@0 group:string consumer:string"),
            Spec::new("xgroup|delconsumer", 5, "write", "stream")
                .runs(group::delete_consumer)
                .keys(&[KeySpec::one("RW delete", 2)])
                .doc("stream", "5.0.0", "O(1)", "Removes a consumer with what it has not acknowledged.")
                .arguments("key:key@0 group:string consumer:string"),
            Spec::new("xgroup|destroy", 4, "write", "stream")
                .runs(group::destroy)
                .keys(&[KeySpec::one("RW delete", 2)])
                .doc("stream", "5.0.0", "O(1)", "Removes a group with its consumers.")
                .arguments("key:key@0 group:string"),
            Spec::new("xgroup|help", 2, "loading stale", "stream").runs(introspect::help).doc(
                "stream",
                "5.0.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("xgroup|setid", -5, "write", "stream")
                .runs(group::setid)
                .keys(&[KeySpec::one("RW update", 2)])
                .doc("stream", "5.0.0", "O(1)", "Sets up to which entry a group has read.")
                .arguments("key:key@0 group:string id-selector<id:string new-id/$> entriesread:integer/ENTRIESREAD?")
                .history(&[("7.0.0", "Option `ENTRIESREAD`.")]),
        ]),
    Spec::new("xinfo", -2, "", "")
        .doc("stream", "5.0.0", "Depends on subcommand.", "Tells about streams and their groups.")
        .subcommands(&[
            Spec::new("xinfo|consumers", 4, "readonly", "stream")
                .runs(info::consumers)
                .keys(&[KeySpec::one("RO access", 2)])
                .tips(&["nondeterministic_output"])
                .doc("stream", "5.0.0", "O(1)", "Lists the consumers of a group.")
                .arguments("key:key@0 group:string")
                .history(&[("7.2.0", "Field `inactive`, and another meaning of `idle`.")]),
            Spec::new("xinfo|groups", 3, "readonly", "stream")
                .runs(info::groups)
                .keys(&[KeySpec::one("RO access", 2)])
                .doc("stream", "5.0.0", "O(1)", "Lists the groups of a stream.")
                .arguments("key:key@0")
                .history(&[("7.0.0", "Fields `entries-read` and `lag`.")]),
            Spec::new("xinfo|help", 2, "loading stale", "stream").runs(introspect::help).doc(
                "stream",
                "5.0.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("xinfo|stream", -3, "readonly", "stream")
                .runs(info::stream)
                .keys(&[KeySpec::one("RO access", 2)])
                .doc("stream", "5.0.0", "O(1)", "Tells about a stream, and with FULL about all of it.")
                .arguments("key:key@0 full-block/FULL?(count:integer/COUNT?)")
                .history(&[
                    ("6.0.0", "Option `FULL`."),
                    (
                        "7.0.0",
                        "Fields `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and \
                         `lag`.",
                    ),
                    ("7.2.0", "Field `active-time`, and another meaning of `seen-time`."),
                ]),
        ]),
    Spec::new("xlen", 2, "readonly fast", "stream")
        .runs(stream::xlen)
        .keys(&[KeySpec::one("RO", 1)])
        .doc("stream", "5.0.0", "O(1)", "Counts the entries of a stream.")
        .arguments("key:key@0"),
    Spec::new("xpending", -3, "readonly", "stream")
        .runs(pending::xpending)
        .keys(&[KeySpec::one("RO access", 1)])
        .tips(&["nondeterministic_output"])
        .doc("stream", "5.0.0", "O(N)", "Tells what a group was given and has not acknowledged.")
        .arguments(
            "key:key@0 group:string filters?(min-idle-time:integer/IDLE?~6.2.0 start:string end:string count:integer \
             consumer:string?)",
        )
        .history(&[("6.2.0", "Option `IDLE`, and intervals without their ends.")]),
    Spec::new("xrange", -4, "readonly", "stream")
        .runs(stream::xrange)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("stream", "5.0.0", "O(N)", "Returns the entries within an interval of ids.")
        .arguments("key:key@0 start:string end:string count:integer/COUNT?")
        .history(&[("6.2.0", "Intervals without their ends.")]),
    Spec::new("xread", -4, "readonly blocking", "stream")
        .runs(read::xread)
        .keys(&[KeySpec::half_after("RO access", "STREAMS", 1)])
        .doc("stream", "5.0.0", "O(N)", "Returns the entries behind an id, of several streams.")
        .arguments("count:integer/COUNT? milliseconds:integer/BLOCK? streams/STREAMS(key:key@0* id:string*)"),
    Spec::new("xreadgroup", -7, "write blocking", "stream")
        .runs(read::xreadgroup)
        .keys(&[KeySpec::half_after("RO access", "STREAMS", 4)])
        .doc("stream", "5.0.0", "O(M)", "Gives entries that a group has not read to one of its consumers.")
        .arguments(
            "group-block/GROUP(group:string consumer:string) count:integer/COUNT? milliseconds:integer/BLOCK? \
             noack/NOACK? streams/STREAMS(key:key@0* id:string*)",
        ),
    Spec::new("xrevrange", -4, "readonly", "stream")
        .runs(stream::xrevrange)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("stream", "5.0.0", "O(N)", "Returns the entries within an interval of ids, the last one first.")
        .arguments("key:key@0 end:string start:string count:integer/COUNT?")
        .history(&[("6.2.0", "Intervals without their ends.")]),
    Spec::new("xsetid", -3, "write denyoom fast", "stream")
        .runs(stream::xsetid)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("stream", "5.0.0", "O(1)", "Sets the last id of a stream.")
        .arguments(
            "key:key@0 last-id:string entries-added:integer/ENTRIESADDED?~7.0.0 \
             max-deleted-id:string/MAXDELETEDID?~7.0.0",
        )
        .history(&[("7.0.0", "Options `ENTRIESADDED` and `MAXDELETEDID`.")]),
    Spec::new("xtrim", -4, "write", "stream")
        .runs(stream::xtrim)
        .keys(&[KeySpec::one("RW delete", 1)])
        .tips(&["nondeterministic_output"])
        .doc("stream", "5.0.0", "O(N)", "Removes entries from the start of a stream.")
        .arguments(
            "key:key@0 trim(strategy<maxlen/MAXLEN minid/MINID~6.2.0> operator?<equal/= approximately/~> \
             threshold:string count:integer/LIMIT?~6.2.0)",
        )
        .history(&[("6.2.0", "Options `MINID` and `LIMIT`.")]),
];
