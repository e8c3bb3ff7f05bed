//! Service and fronts over a node that is a table: sessions word for word, listeners over sockets.

mod acl;
mod administration;
mod clients;
mod debug;
#[path = "../commands/dialogue.rs"]
mod dialogue;
mod fronts;
#[path = "../support/ports.rs"]
mod ports;
mod pubsub;
mod retry;
mod sessions;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "dialogues here are with a session in this process")]
mod support;
mod table;
mod tracking;
mod words;
