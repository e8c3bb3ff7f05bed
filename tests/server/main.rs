//! The program as an operator meets it: what settings do, how many clients fit, what it tells a collector.

mod collector;
mod connections;
#[path = "../support/nodes.rs"]
mod nodes;
#[path = "../support/resp.rs"]
mod resp;
mod settings;
mod telemetry;
