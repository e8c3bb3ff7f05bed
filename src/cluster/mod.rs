//! Plain facts about the cluster: who is in it, which group has which slots, who leads. No decisions that need IO.

mod map;

pub use map::{FollowerInfo, GroupInfo, Map, NodeInfo};
