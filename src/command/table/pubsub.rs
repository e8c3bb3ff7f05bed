//! Publish and subscribe: publishing runs on a group's leader, listening is the connection's and its node's.

use crate::command::pubsub;
use crate::command::spec::{KeySpec, Spec};

const LISTENS: &str = "pubsub noscript loading stale";

pub(super) const ROWS: &[Spec] = &[
    Spec::new("psubscribe", -2, LISTENS, "")
        .doc(
            "pubsub",
            "2.0.0",
            "O(N) where N is the number of patterns.",
            "Listens to all channels that match patterns.",
        )
        .arguments("pattern*(pattern:pattern)"),
    Spec::new("publish", 3, "pubsub loading stale fast", "")
        .runs(pubsub::publish)
        .doc(
            "pubsub",
            "2.0.0",
            "O(N+M) with N subscribers of the channel and M patterns.",
            "Sends a message to a channel.",
        )
        .arguments("channel:string message:string"),
    Spec::new("pubsub", -2, "", "")
        .doc("pubsub", "2.8.0", "Depends on the subcommand.", "Tells who listens to what.")
        .subcommands(&[
            Spec::new("pubsub|channels", -2, "pubsub loading stale", "")
                .doc(
                    "pubsub",
                    "2.8.0",
                    "O(N) where N is the number of channels.",
                    "Lists the channels with subscribers.",
                )
                .arguments("pattern:pattern?"),
            Spec::new("pubsub|help", 2, "loading stale", "").doc(
                "pubsub",
                "6.2.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("pubsub|numpat", 2, "pubsub loading stale", "").doc(
                "pubsub",
                "2.8.0",
                "O(1)",
                "Counts the different patterns with subscribers.",
            ),
            Spec::new("pubsub|numsub", -2, "pubsub loading stale", "")
                .doc(
                    "pubsub",
                    "2.8.0",
                    "O(N) where N is the number of channels asked for.",
                    "Counts subscribers of channels.",
                )
                .arguments("channel:string?*"),
            Spec::new("pubsub|shardchannels", -2, "pubsub loading stale", "")
                .doc(
                    "pubsub",
                    "7.0.0",
                    "O(N) where N is the number of shard channels.",
                    "Lists the shard channels with subscribers.",
                )
                .arguments("pattern:pattern?"),
            Spec::new("pubsub|shardnumsub", -2, "pubsub loading stale", "")
                .doc(
                    "pubsub",
                    "7.0.0",
                    "O(N) where N is the number of shard channels asked for.",
                    "Counts subscribers of shard channels.",
                )
                .arguments("shardchannel:string?*"),
        ]),
    Spec::new("punsubscribe", -1, LISTENS, "")
        .doc(
            "pubsub",
            "2.0.0",
            "O(N) where N is the number of patterns.",
            "Ends listening to patterns, to all without a name.",
        )
        .arguments("pattern:pattern?*"),
    Spec::new("spublish", 3, "pubsub loading stale fast", "")
        .runs(pubsub::spublish)
        .keys(&[KeySpec::one("not_key", 1)])
        .doc("pubsub", "7.0.0", "O(N) where N is the number of subscribers.", "Sends a message to a shard channel.")
        .arguments("shardchannel:string message:string"),
    Spec::new("ssubscribe", -2, LISTENS, "")
        .keys(&[KeySpec::rest("not_key", 1)])
        .doc("pubsub", "7.0.0", "O(N) where N is the number of shard channels.", "Listens to shard channels.")
        .arguments("shardchannel:string*"),
    Spec::new("subscribe", -2, LISTENS, "")
        .doc("pubsub", "2.0.0", "O(N) where N is the number of channels.", "Listens to channels.")
        .arguments("channel:string*"),
    Spec::new("sunsubscribe", -1, LISTENS, "")
        .keys(&[KeySpec::rest("not_key", 1)])
        .doc(
            "pubsub",
            "7.0.0",
            "O(N) where N is the number of shard channels.",
            "Ends listening to shard channels, to all without a name.",
        )
        .arguments("shardchannel:string?*"),
    Spec::new("unsubscribe", -1, LISTENS, "")
        .doc(
            "pubsub",
            "2.0.0",
            "O(N) where N is the number of channels.",
            "Ends listening to channels, to all without a name.",
        )
        .arguments("channel:string?*"),
];
