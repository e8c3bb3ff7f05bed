//! A bank: money moves between accounts in transactions, and every look at all accounts finds the same sum.

use serde_json::{Map, Value, json};

use super::actor::{Actor, Fate, as_json};
use super::keys::{Keys, LastRead, balances};
use crate::resp::{Reply, command};

const ACCOUNTS: u64 = 5;
const BALANCE: i64 = 100;
/// Operations on a bank, and transfers of unknown outcome, before another opens.
const USES: u64 = 200;
const DOUBTS: u64 = 3;

/// The bank that is open now.
#[derive(Default)]
pub struct Current {
    number: u64,
    uses_left: u64,
    doubts_left: u64,
}

fn accounts(bank: u64) -> Vec<String> {
    (0..ACCOUNTS).map(|n| format!("b{bank}-{n}")).collect()
}

/// A transfer, or a look at all accounts.
pub async fn step(actor: &mut Actor, keys: &Keys) -> Result<(), String> {
    let Some(bank) = open_bank(actor, keys).await? else { return Ok(()) };
    let (name, accounts) = (format!("b{bank}"), accounts(bank));
    if actor.dice.chance(25) {
        let words = ["MGET"].into_iter().chain(accounts.iter().map(String::as_str));
        let Some(exchange) = actor.ask(command(words)).await else { return Ok(()) };
        let read = |reply: &Reply| match reply {
            Reply::Array(items) => balances(&accounts, items),
            other => as_json(other),
        };
        return actor.record("balances", Some(&name), Value::Null, exchange.start, &exchange.fate(0), false, read);
    }
    let from = actor.dice.below(ACCOUNTS) as usize;
    let to = (from + actor.dice.between(1, ACCOUNTS - 1) as usize) % ACCOUNTS as usize;
    let amount = actor.dice.between(1, 9);
    let (from, to) = (&accounts[from], &accounts[to]);
    let text = amount.to_string();
    let moves = vec![command(["DECRBY", from, &text]), command(["INCRBY", to, &text])];
    let Some((start, fate)) = actor.multi(moves).await else { return Ok(()) };
    if matches!(fate, Fate::Doubt(..)) {
        let mut current = keys.bank.lock().await;
        if current.number == bank {
            current.doubts_left = current.doubts_left.saturating_sub(1);
        }
    }
    actor.record("transfer", Some(&name), json!([from, to, amount]), start, &fate, true, as_json)
}

/// The number of the open bank. Whoever comes when it is used up opens the next, alone; one that may or may not have
/// been opened is left to itself.
async fn open_bank(actor: &mut Actor, keys: &Keys) -> Result<Option<u64>, String> {
    let mut current = keys.bank.lock().await;
    if current.uses_left == 0 || current.doubts_left == 0 {
        let number = current.number + 1;
        let (mut words, mut opened) = (vec!["MSET".to_owned()], Map::new());
        for account in accounts(number) {
            words.extend([account.clone(), BALANCE.to_string()]);
            opened.insert(account, json!(BALANCE));
        }
        let Some(exchange) = actor.ask(command(words)).await else { return Ok(None) };
        let fate = exchange.fate(0);
        *current = Current { number, ..Current::default() };
        if !matches!(fate, Fate::Done(..)) {
            return Ok(None);
        }
        let name = format!("b{number}");
        actor.record("open", Some(&name), Value::Object(opened), exchange.start, &fate, true, as_json)?;
        keys.used(LastRead::Bank(name, accounts(number)));
        *current = Current { number, uses_left: USES, doubts_left: DOUBTS };
    }
    current.uses_left -= 1;
    Ok(Some(current.number))
}
