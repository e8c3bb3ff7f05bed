//! List-append transactions: MULTI of appends and reads over a few keys. A list is a string of elements with commas.

use serde_json::{Value, json};

use super::actor::{Actor, as_json};
use super::keys::{Keys, LastRead};
use crate::resp::command;

const KEYS: u64 = 3;

/// One transaction of one to four steps.
pub async fn step(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let generation = keys.transactions.current();
    let names: Vec<String> = (0..KEYS).map(|n| format!("{generation}-{n}")).collect();
    keys.used(LastRead::Transaction(names.clone()));
    let (mut commands, mut steps, mut writes) = (Vec::new(), Vec::new(), false);
    for _ in 0..actor.dice.between(1, 4) {
        let name = actor.dice.pick(&names).cloned().unwrap_or_default();
        if actor.dice.chance(50) {
            let element = actor.value();
            commands.push(command(["APPEND", &name, &format!("{element},")]));
            steps.push(json!(["append", name, element]));
            writes = true;
        } else {
            commands.push(command(["GET", &name]));
            steps.push(json!(["r", name, null]));
        }
    }
    let Some((start, fate)) = actor.multi(commands).await else { return Ok(()) };
    actor.record("txn", None, Value::Array(steps), start, &fate, writes, as_json)
}
