//! What Redis 7.2 has and the table has not: such a call is answered as an unknown command, and docs/commands.md says
//! why.

/// Names (a container stands for its subcommands) and the reason, a sentence without its full stop.
pub const ABSENT: &[(&str, &str)] =
    &[("sentinel", "there is no sentinel; as a Redis that is none, a node does not know the word")];
