//! A grow-only set: what was acknowledged is in every later read. Half of the sets are sets; of the others the elements are the
//! fields of a hash.

use serde_json::{Value, json};

use super::actor::{Actor, as_json};
use super::keys::{Keys, LastRead, Shape};
use crate::resp::{Command, command};

/// Adds an element, or reads all.
pub async fn step(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let key = keys.sets.current();
    let shape = keys.shape(&key);
    keys.used(LastRead::Set(key.clone(), shape));
    if actor.dice.chance(10) {
        let Some(exchange) = actor.ask(read(&key, shape)).await else { return Ok(()) };
        return actor.record("smembers", Some(&key), Value::Null, exchange.start, &exchange.fate(0), false, as_json);
    }
    let element = actor.value();
    let add = match shape {
        Shape::Itself => command(["SADD", &key, &element]),
        Shape::StandIn => command(["HSET", &key, &element, "1"]),
    };
    let Some(exchange) = actor.ask(add).await else { return Ok(()) };
    actor.record("sadd", Some(&key), json!(element), exchange.start, &exchange.fate(0), true, as_json)
}

/// All elements.
pub fn read(key: &str, shape: Shape) -> Command {
    match shape {
        Shape::Itself => command(["SMEMBERS", key]),
        Shape::StandIn => command(["HKEYS", key]),
    }
}
