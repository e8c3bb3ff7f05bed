//! Hash maps with a fixed hasher: iteration order is the same in every run, which the simulator needs.
//!
//! Keys that a client chooses are hashed by a keyed function (foldhash, "quality" variant), so a chosen-key
//! attack needs the binary's constants; maps that grow with client input are also bounded in bytes.

use foldhash::quality::FixedState;

/// A hash map with a reproducible iteration order.
pub type HashMap<K, V> = hashbrown::HashMap<K, V, FixedState>;
/// A hash set with a reproducible iteration order.
pub type HashSet<K> = hashbrown::HashSet<K, FixedState>;
