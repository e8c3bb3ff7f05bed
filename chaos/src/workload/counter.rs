//! Counters: each increment happens once, and every reply is the one before it plus one.

use serde_json::{Value, json};

use super::actor::{Actor, Fate, as_json};
use super::keys::{Keys, LastRead};
use crate::resp::{Reply, command};

/// A counter of one client only: what it must answer is known.
pub struct Probed {
    key: String,
    last: i64,
    /// Increments whose outcome is unknown: each may still count, once.
    doubts: i64,
}

/// Increments its own counter. A wrong number ends the run at once, where the logs are still fresh.
pub async fn probe(actor: &mut Actor, keys: &Keys, probed: &mut Option<Probed>) -> Result<(), String> {
    let probed = probed.get_or_insert_with(|| {
        let key = format!("p{}", actor.client);
        keys.used(LastRead::Register(key.clone()));
        Probed { key, last: 0, doubts: 0 }
    });
    let Some(exchange) = actor.ask(command(["INCR", &probed.key])).await else { return Ok(()) };
    let fate = exchange.fate(0);
    actor.record("incr", Some(&probed.key), Value::Null, exchange.start, &fate, true, as_json)?;
    match fate {
        Fate::Done(Reply::Integer(number), _) => {
            let allowed = probed.last + 1..=probed.last + 1 + probed.doubts;
            if !allowed.contains(&number) {
                return Err(format!(
                    "{} at node {}: INCR answered {number} after {}, with {} unknown outcomes between",
                    probed.key, actor.node, probed.last, probed.doubts
                ));
            }
            probed.doubts -= number - probed.last - 1;
            probed.last = number;
            Ok(())
        }
        Fate::Done(reply, _) => Err(format!("INCR {} was answered {reply}", probed.key)),
        Fate::Refused(..) => Ok(()),
        Fate::Doubt(..) => {
            probed.doubts += 1;
            Ok(())
        }
    }
}

/// Increments a counter of all clients, and reads it now and then.
pub async fn shared(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let key = keys.counters.current();
    keys.used(LastRead::Register(key.clone()));
    let reads = actor.dice.chance(20);
    let word = if reads { "GET" } else { "INCR" };
    let Some(exchange) = actor.ask(command([word, &key])).await else { return Ok(()) };
    let op = if reads { "get" } else { "incr" };
    actor.record(op, Some(&key), Value::Null, exchange.start, &exchange.fate(0), !reads, as_json)
}

/// Increments by WATCH, GET, MULTI, SET, EXEC.
pub async fn watched(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let key = keys.watched.current();
    keys.used(LastRead::Register(key.clone()));
    if !actor.connect().await {
        return Ok(());
    }
    let read = actor.exchange(&[command(["WATCH", &key]), command(["GET", &key])]).await;
    let number: i64 = match (read.fate(0), read.fate(1)) {
        (Fate::Done(..), Fate::Done(Reply::Nil, _)) => 0,
        (Fate::Done(..), Fate::Done(reply, _)) => {
            let text = reply.text().unwrap_or_default();
            text.parse().map_err(|_| format!("the counter {key} holds {text:?}"))?
        }
        // Without a watch or without a number there is nothing to swap.
        _ => {
            actor.disconnect();
            return Ok(());
        }
    };
    let next = number + 1;
    let Some((start, fate)) = actor.multi(vec![command(["SET", &key, &next.to_string()])]).await else { return Ok(()) };
    let fate = match fate {
        Fate::Done(Reply::Nil, at) => Fate::Refused("aborted: the watched key changed".into(), at),
        other => other,
    };
    if !matches!(fate, Fate::Done(..)) {
        // Whatever is left of the watch must not meet the next transaction.
        actor.disconnect();
    }
    actor.record("incr", Some(&key), Value::Null, start, &fate, true, |_| json!(next))
}
