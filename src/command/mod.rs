//! What Redis says: one table of commands, parsing of arguments, replies and error texts, over [`crate::data`].

pub mod batch;
