//! Service and fronts over a node that is a table: sessions word for word, listeners over sockets.

mod acl;
mod administration;
mod clients;
mod debug;
mod fronts;
#[path = "../support/ports.rs"]
mod ports;
mod pubsub;
mod retry;
mod sessions;
mod table;
mod tracking;
