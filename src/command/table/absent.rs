//! What Redis 7.2 has and the table has not: such a call is answered as an unknown command, and docs/commands.md says
//! why.

/// Names (a container stands for its subcommands) and the reason, a sentence without its full stop.
pub const ABSENT: &[(&str, &str)] = &[
    ("acl|deluser", NOT_YET),
    ("acl|dryrun", NOT_YET),
    ("acl|genpass", NOT_YET),
    ("acl|getuser", NOT_YET),
    ("acl|list", NOT_YET),
    ("acl|load", NOT_YET),
    ("acl|log", NOT_YET),
    ("acl|save", NOT_YET),
    ("acl|setuser", NOT_YET),
    ("blmove", NOT_YET),
    ("blmpop", NOT_YET),
    ("blpop", NOT_YET),
    ("brpop", NOT_YET),
    ("brpoplpush", NOT_YET),
    ("bzmpop", NOT_YET),
    ("bzpopmax", NOT_YET),
    ("bzpopmin", NOT_YET),
    ("psubscribe", NOT_YET),
    ("publish", NOT_YET),
    ("pubsub", NOT_YET),
    ("punsubscribe", NOT_YET),
    ("sentinel", "there is no sentinel; as a Redis that is none, a node does not know the word"),
    ("spublish", NOT_YET),
    ("ssubscribe", NOT_YET),
    ("subscribe", NOT_YET),
    ("sunsubscribe", NOT_YET),
    ("unsubscribe", NOT_YET),
];

const NOT_YET: &str = "not built yet";
