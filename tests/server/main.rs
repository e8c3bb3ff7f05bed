//! The program as an operator meets it: what settings do, how many clients fit, how they wait, what it tells of itself and what it
//! keeps to itself, and what it refuses.

mod bench;
mod blocking;
mod check;
mod collector;
mod connections;
mod crates;
mod deploy;
mod hostile;
#[path = "../support/nodes.rs"]
mod nodes;
mod observe;
mod openmetrics;
#[path = "../support/ports.rs"]
mod ports;
mod refusals;
#[path = "../support/reply.rs"]
#[expect(dead_code, reason = "nothing here lays replies flat")]
mod reply;
#[path = "../support/resp.rs"]
mod resp;
#[path = "../support/resp3.rs"]
#[expect(dead_code, reason = "few clients here hear anything by themselves")]
mod resp3;
mod scripts;
mod secrets;
mod settings;
mod telemetry;
mod users;
mod words;
