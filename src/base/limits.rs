//! Every bound in one place. Full means a clear refusal before anything was appended (rule 40).
//!
//! A value that an operator may change is a default here and a setting in `settings`.

/// Databases per cluster (`SELECT 0..15`), as Redis ships.
pub const DATABASES: u8 = 16;

/// Clients at a time, Redis's `maxclients` default.
pub const CLIENTS_MAX: usize = 10_000;

/// One bulk string of a request, in bytes: a bulk becomes part of one log entry.
pub const BULK_BYTES_MAX: usize = 64 << 20;
/// Arguments of one command, Redis's own bound.
pub const ARGUMENTS_MAX: usize = 1 << 20;
/// An inline command line, Redis's `PROTO_INLINE_MAX_SIZE`.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// Bytes of one client's request that may wait to become complete.
pub const QUERY_BUFFER_BYTES_MAX: usize = 256 << 20;
/// Reply bytes that one client may leave unread before it is disconnected.
pub const OUTPUT_BUFFER_BYTES_MAX: usize = 256 << 20;

/// Before authentication: arguments, bytes per bulk (COMPATIBILITY, "INFO and limits").
pub const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;
/// Before authentication: bytes of one bulk.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 << 10;

/// Mutations of one entry, in bytes, after which the machine closes the entry and starts the next.
pub const ENTRY_BYTES_TARGET: usize = 1 << 20;
/// Mutations of one entry, with the answers that are stored beside them, in bytes: a command with which there would be more
/// is refused. Any request that may be received fits, and every entry can be sent.
pub const ENTRY_BYTES_MAX: usize = 384 << 20;
/// Entries a machine may have proposed and not yet applied.
pub const ENTRIES_IN_FLIGHT_MAX: usize = 16;
/// Entries on their way after which the next one waits until it is worth its price: what arrives until then shares it.
pub const SMALL_ENTRIES_IN_FLIGHT_MAX: usize = 1;
/// The share of all on their way, one part of so many, that makes an entry worth its price.
pub const ENTRY_SHARE_WORTHWHILE: usize = 4;
/// Bytes of submissions that make an entry worth its price in any case: then what it costs per command is what the
/// commands cost.
pub const ENTRY_BYTES_WORTHWHILE: usize = 16 << 10;
/// Bytes of submissions that may wait at one machine.
pub const MACHINE_QUEUE_BYTES_MAX: usize = 256 << 20;
/// Stack of a thread that evaluates: scripts call themselves.
pub const MACHINE_STACK_BYTES: usize = 8 << 20;
/// Bytes of peer messages that may wait for one peer.
pub const PEER_QUEUE_BYTES_MAX: usize = 64 << 20;
/// One frame between two nodes, in bytes; must hold the largest entry and its envelope.
pub const PEER_FRAME_BYTES_MAX: usize = 512 << 20;
/// One chunk of a snapshot, in bytes.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;
/// Raft messages in flight to one follower.
pub const APPENDS_IN_FLIGHT_MAX: usize = 256;
/// Entry bytes in one append message.
pub const APPEND_BYTES_MAX: u64 = 1 << 20;
/// Entry bytes that a leader may hold uncommitted before proposals are refused.
pub const UNCOMMITTED_BYTES_MAX: u64 = 512 << 20;
/// Memory of all subscriptions to channels and patterns of a node's clients, in bytes.
pub const SUBSCRIPTION_BYTES_MAX: usize = 256 << 20;
/// Names of channels and patterns with subscribers that a node remembers of another one; further ones it does not
/// count.
pub const NAMES_TOLD_MAX: usize = 100_000;
/// The longest such name that nodes tell each other, in bytes.
pub const NAME_TOLD_BYTES_MAX: usize = 1 << 10;
/// Keys of which a node remembers who keeps copies, unless CONFIG SET says otherwise; of others than these everybody
/// is told at once.
pub const TRACKED_KEYS_MAX: usize = 1_000_000;
/// Memory for that, in bytes.
pub const TRACKED_BYTES_MAX: usize = 256 << 20;
/// Keys that the scripts of one unit read and that its answer tells, with what they take, in bytes; with more of them
/// the client is told that everything changed.
pub const SCRIPT_READS_BYTES_MAX: usize = 4 << 20;
/// Changes that a node notes while it waits to hear what scripts read, with what they take, in bytes.
pub const LATE_CHANGES_BYTES_MAX: usize = 16 << 20;
/// Keys whose watches a leader remembers; a forgotten one aborts its EXEC.
pub const WATCHED_KEYS_MAX: usize = 100_000;

/// Users of a cluster.
pub const USERS_MAX: usize = 10_000;
/// Bytes of a user's name and rules, and of the rules of one change.
pub const USER_BYTES_MAX: usize = 64 << 10;
/// Bits of a password that ACL GENPASS makes, Redis's own bound.
pub const GENERATED_BITS_MAX: i64 = 4096;

const _: () = assert!(SMALL_ENTRIES_IN_FLIGHT_MAX <= ENTRIES_IN_FLIGHT_MAX);
const _: () = assert!(ENTRY_BYTES_WORTHWHILE < ENTRY_BYTES_TARGET);
const _: () = assert!(ENTRY_BYTES_TARGET < BULK_BYTES_MAX);
const _: () = assert!(QUERY_BUFFER_BYTES_MAX + ENTRY_BYTES_TARGET < ENTRY_BYTES_MAX);
const _: () = assert!(ENTRY_BYTES_MAX + ENTRY_BYTES_TARGET < PEER_FRAME_BYTES_MAX);
const _: () = assert!((ENTRY_BYTES_MAX as u64) < UNCOMMITTED_BYTES_MAX);
const _: () = assert!(BULK_BYTES_MAX < PEER_QUEUE_BYTES_MAX + 1);
const _: () = assert!(QUERY_BUFFER_BYTES_MAX < PEER_FRAME_BYTES_MAX);
const _: () = assert!(UNAUTHENTICATED_BULK_BYTES_MAX < BULK_BYTES_MAX);
