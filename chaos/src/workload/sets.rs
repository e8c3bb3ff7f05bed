//! A grow-only set: what was acknowledged is in every later read. A hash's fields are its elements, until there are sets.

use serde_json::{Value, json};

use super::actor::{Actor, as_json};
use super::keys::{Keys, LastRead};
use crate::resp::command;

/// Adds an element, or reads all.
pub async fn step(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let key = keys.sets.current();
    keys.used(LastRead::Set(key.clone()));
    if actor.dice.chance(10) {
        let Some(exchange) = actor.ask(command(["HKEYS", &key])).await else { return Ok(()) };
        return actor.record("smembers", Some(&key), Value::Null, exchange.start, &exchange.fate(0), false, as_json);
    }
    let element = actor.value();
    let Some(exchange) = actor.ask(command(["HSET", &key, &element, "1"])).await else { return Ok(()) };
    actor.record("sadd", Some(&key), json!(element), exchange.start, &exchange.fate(0), true, as_json)
}
