//! Registers: single keys under many commands, several keys at once, and compare-and-set by WATCH.

use serde_json::{Map, Value, json};

use super::actor::{Actor, Fate, as_json};
use super::keys::{Keys, LastRead};
use crate::resp::{Command, Reply, command};

/// Keys that are in use at a time.
const KEYS: u64 = 4;
/// Keys that belong together.
const KEYS_TOGETHER: u64 = 3;
/// Commands of a pipeline.
const PIPELINE_MAX: u64 = 6;

/// A command on one register, as the server and as the history know it.
struct Act {
    op: &'static str,
    key: String,
    arg: Value,
    command: Command,
    writes: bool,
}

fn act(actor: &mut Actor, key: String) -> Act {
    let value = actor.value();
    let (op, arg, command, writes) = match actor.dice.below(20) {
        0..=6 => ("get", Value::Null, command(["GET", &key]), false),
        7..=11 => ("set", json!(value), command(["SET", &key, &value]), true),
        12 => ("set", json!({"value": value, "nx": true}), command(["SET", &key, &value, "NX"]), true),
        13 => {
            ("set", json!({"value": value, "xx": true, "get": true}), command(["SET", &key, &value, "XX", "GET"]), true)
        }
        14 => ("getset", json!(value), command(["GETSET", &key, &value]), true),
        15 => ("getdel", Value::Null, command(["GETDEL", &key]), true),
        16 => ("del", Value::Null, command(["DEL", &key]), true),
        17 => ("exists", Value::Null, command(["EXISTS", &key]), false),
        18 => ("strlen", Value::Null, command(["STRLEN", &key]), false),
        _ => {
            let more = format!(",{value}");
            ("append", json!(more), command(["APPEND", &key, &more]), true)
        }
    };
    Act { op, key, arg, command, writes }
}

fn key(actor: &mut Actor, keys: &Keys) -> String {
    let key = format!("{}-{}", keys.registers.current(), actor.dice.below(KEYS));
    keys.used(LastRead::Register(key.clone()));
    key
}

/// One command at a time.
pub async fn single(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let key = key(actor, keys);
    let act = act(actor, key);
    let Some(exchange) = actor.ask(act.command).await else { return Ok(()) };
    let fate = exchange.fate(0);
    keys.registers.came(&fate);
    actor.record(act.op, Some(&act.key), act.arg, exchange.start, &fate, act.writes, as_json)
}

/// Several commands in one write.
pub async fn pipelined(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let mut acts = Vec::new();
    for _ in 0..actor.dice.between(2, PIPELINE_MAX) {
        let key = key(actor, keys);
        acts.push(act(actor, key));
    }
    if !actor.connect().await {
        return Ok(());
    }
    let commands: Vec<Command> = acts.iter().map(|act| act.command.clone()).collect();
    let exchange = actor.exchange(&commands).await;
    for (n, act) in acts.into_iter().enumerate() {
        let fate = exchange.fate(n);
        keys.registers.came(&fate);
        actor.record(act.op, Some(&act.key), act.arg, exchange.start, &fate, act.writes, as_json)?;
    }
    Ok(())
}

/// MGET, MSET, and transactions over keys that are judged together.
pub async fn several(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let generation = keys.several.current();
    let mut names: Vec<String> = (0..KEYS_TOGETHER).map(|n| format!("{generation}-{n}")).collect();
    for name in &names {
        keys.used(LastRead::Register(name.clone()));
    }
    actor.dice.shuffle(&mut names);
    names.truncate(actor.dice.between(2, KEYS_TOGETHER) as usize);
    match actor.dice.below(3) {
        0 => {
            let words = ["MGET"].into_iter().chain(names.iter().map(String::as_str));
            let Some(exchange) = actor.ask(command(words)).await else { return Ok(()) };
            actor.record("mget", None, json!(names), exchange.start, &exchange.fate(0), false, as_json)
        }
        1 => {
            let mut values = Map::new();
            let mut words = vec!["MSET".to_owned()];
            for name in names {
                let value = actor.value();
                words.extend([name.clone(), value.clone()]);
                values.insert(name, json!(value));
            }
            let Some(exchange) = actor.ask(command(words)).await else { return Ok(()) };
            let fate = exchange.fate(0);
            keys.several.came(&fate);
            actor.record("mset", None, Value::Object(values), exchange.start, &fate, true, as_json)
        }
        _ => {
            let mut acts = Vec::new();
            for _ in 0..actor.dice.between(2, 4) {
                let name = actor.dice.pick(&names).cloned().unwrap_or_default();
                let act = act(actor, name);
                // Options of SET stay with the single commands.
                if !act.arg.is_object() {
                    acts.push(act);
                }
            }
            if acts.is_empty() {
                return Ok(());
            }
            let commands = acts.iter().map(|act| act.command.clone()).collect();
            let Some((start, fate)) = actor.multi(commands).await else { return Ok(()) };
            keys.several.came(&fate);
            let writes = acts.iter().any(|act| act.writes);
            let arg = acts.into_iter().map(|act| json!([act.op, act.key, act.arg])).collect();
            actor.record("multi", None, arg, start, &fate, writes, as_json)
        }
    }
}

/// Swaps what it read for something new, if nobody was faster.
pub async fn compare_and_set(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let key = key(actor, keys);
    if !actor.connect().await {
        return Ok(());
    }
    let read = actor.exchange(&[command(["WATCH", &key]), command(["GET", &key])]).await;
    let (watch, get) = (read.fate(0), read.fate(1));
    actor.record("get", Some(&key), Value::Null, read.start, &get, false, as_json)?;
    let (Fate::Done(..), Fate::Done(old, _)) = (watch, get) else {
        actor.disconnect();
        return Ok(());
    };
    let new = actor.value();
    let Some((start, fate)) = actor.multi(vec![command(["SET", &key, &new])]).await else { return Ok(()) };
    let fate = match fate {
        Fate::Done(Reply::Nil, at) => Fate::Refused("aborted: the watched key changed".into(), at),
        other => other,
    };
    if !matches!(fate, Fate::Done(..)) {
        actor.disconnect();
    }
    keys.registers.came(&fate);
    actor.record("cas", Some(&key), json!([as_json(&old), new]), start, &fate, true, |_| json!(1))
}
