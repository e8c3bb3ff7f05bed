//! The vocabulary: ids, slots, time and chance as plain values, and every limit in one place.
//!
//! Nothing here reads a clock, a socket or a file. What the rest of the crate calls a node, a slot or a
//! moment is a newtype, so that two of them cannot be swapped.

mod changed;
pub mod channel;
pub mod double;
pub mod glob;
pub mod hash;
pub mod ids;
pub mod integer;
pub mod limits;
pub mod long_double;
pub mod mutants;
mod natural;
pub mod rng;
pub mod slot;
pub mod time;
pub mod xxh3;

pub use changed::{Changed, Own};
pub use channel::{Audience, ChannelKind, Nobody, Publication};
pub use hash::{HashMap, HashSet};
pub use ids::{ClusterId, GroupId, LogIndex, NodeId, PeerId, SessionId, Term, Ticket};
pub use long_double::LongDouble;
pub use mutants::Mutant;
pub use rng::Rng;
pub use slot::{Slot, SlotRange};
pub use time::{Millis, Nanos};
