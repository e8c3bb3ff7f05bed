//! List-append transactions: MULTI of appends and reads over a few keys. Half of the lists are lists; the others are strings of
//! elements with commas.

use serde_json::{Value, json};

use super::actor::{Actor, as_json};
use super::keys::{Keys, LastRead, Shape};
use crate::resp::{Command, Reply, command};

const KEYS: u64 = 3;

/// One transaction of one to four steps.
pub async fn step(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let generation = keys.transactions.current();
    let shape = keys.shape(&generation);
    let names: Vec<String> = (0..KEYS).map(|n| format!("{generation}-{n}")).collect();
    keys.used(LastRead::Transaction(names.clone(), shape));
    let (mut commands, mut steps, mut writes) = (Vec::new(), Vec::new(), false);
    for _ in 0..actor.dice.between(1, 4) {
        let name = actor.dice.pick(&names).cloned().unwrap_or_default();
        if actor.dice.chance(50) {
            let element = actor.value();
            commands.push(match shape {
                Shape::Itself => command(["RPUSH", &name, &element]),
                Shape::StandIn => command(["APPEND", &name, &format!("{element},")]),
            });
            steps.push(json!(["append", name, element]));
            writes = true;
        } else {
            commands.push(read(&name, shape));
            steps.push(json!(["r", name, null]));
        }
    }
    let Some((start, fate)) = actor.multi(commands).await else { return Ok(()) };
    actor.record("txn", None, Value::Array(steps), start, &fate, writes, |reply| told(reply, shape))
}

/// The whole list.
pub fn read(key: &str, shape: Shape) -> Command {
    match shape {
        Shape::Itself => command(["LRANGE", key, "0", "-1"]),
        Shape::StandIn => command(["GET", key]),
    }
}

/// What EXEC answered. The history knows lengths in bytes, so those of lists are left out; what is read tells as much.
fn told(reply: &Reply, shape: Shape) -> Value {
    match (reply, shape) {
        (Reply::Array(items), Shape::Itself) => items
            .iter()
            .map(|item| if matches!(item, Reply::Integer(_)) { Value::Null } else { as_json(item) })
            .collect(),
        _ => as_json(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_told_alike() {
        let element = |text: &str| Reply::Bulk(text.into());
        let list = Reply::Array(vec![Reply::Integer(2), Reply::Array(vec![element("1:1"), element("2:1")])]);
        assert_eq!(told(&list, Shape::Itself), json!([null, ["1:1", "2:1"]]));
        let string = Reply::Array(vec![Reply::Integer(8), element("1:1,2:1,")]);
        assert_eq!(told(&string, Shape::StandIn), json!([8, "1:1,2:1,"]));
    }
}
