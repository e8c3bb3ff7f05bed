//! The checker of histories against histories whose verdict is known from elsewhere: published ones, ones that a single
//! copy of the data produced, ones with a planted contradiction, and tiny ones that are decided by trying all orders.

#[path = "check/brute.rs"]
mod brute;
#[path = "check/generate.rs"]
mod generate;
#[path = "check/planted.rs"]
mod planted;
#[path = "check/published.rs"]
mod published;
#[path = "check/speed.rs"]
mod speed;
#[path = "check/world.rs"]
mod world;

use holdfast::check::{Limits, Report, check, parse};

/// The report on a file's text, which must be usable.
#[track_caller]
fn judge(text: &str) -> Report {
    let history = parse(text).unwrap_or_else(|unusable| panic!("{unusable}\n{text}"));
    check(&history, Limits::default()).unwrap_or_else(|unusable| panic!("{unusable}\n{text}"))
}
