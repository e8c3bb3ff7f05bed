//! Keys that expire soon: seen until their time, gone after it, and what was seen gone stays gone. Where clocks are moved far,
//! little but the last of these can be judged; [`super::lasting`] is for the others.

use serde_json::{Value, json};

use super::actor::{Actor, as_json};
use super::keys::Keys;
use crate::resp::command;

const KEYS: u64 = 3;

/// Sets a key with a deadline, moves or removes the deadline, or looks.
pub async fn step(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let key = format!("{}-{}", keys.expiring.current(), actor.dice.below(KEYS));
    let value = actor.value();
    let time = actor.dice.between(20, 1500);
    let text = time.to_string();
    let (op, arg, command, writes) = match actor.dice.below(12) {
        0..=2 => ("set", json!({"value": value, "px": time}), command(["SET", &key, &value, "PX", &text]), true),
        3 => ("pexpire", json!(time), command(["PEXPIRE", &key, &text]), true),
        4 => ("persist", Value::Null, command(["PERSIST", &key]), true),
        5 => ("exists", Value::Null, command(["EXISTS", &key]), false),
        _ => ("get", Value::Null, command(["GET", &key]), false),
    };
    let Some(exchange) = actor.ask(command).await else { return Ok(()) };
    let fate = exchange.fate(0);
    keys.expiring.came(&fate);
    actor.record(op, Some(&key), arg, exchange.start, &fate, writes, as_json)
}
