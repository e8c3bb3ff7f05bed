//! What the operations mean, once more and as plainly as possible: one copy of everything, one operation at a time.
//! Shares only the types of a history with the checker.

use std::collections::{BTreeMap, BTreeSet};

use holdfast::check::history::{Action, Command, Form, Micro, Operation, Outcome, Reply, Verb};
use serde_json::{Value, json};

/// One copy of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct World {
    strings: BTreeMap<String, Held>,
    sets: BTreeMap<String, BTreeSet<String>>,
    lists: BTreeMap<String, Vec<String>>,
    banks: BTreeMap<String, BTreeMap<String, i64>>,
    /// Nanoseconds.
    pub now: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    text: String,
    deadline: Option<u64>,
}

impl World {
    /// Runs an operation: the same with its replies. `None`: an error, nothing happened.
    pub fn run(&mut self, action: &Action) -> Option<Action> {
        let now = self.now;
        self.strings.retain(|_, held| held.deadline.is_none_or(|deadline| deadline > now));
        Some(match action {
            Action::Registers(form, commands) => {
                let before = self.strings.clone();
                let answer = |command: &Command| {
                    let reply = self.command(&command.key, &command.verb)?;
                    Some(Command { reply: Some(reply), ..command.clone() })
                };
                let Some(answered) = commands.iter().map(answer).collect() else {
                    self.strings = before;
                    return None;
                };
                Action::Registers(*form, answered)
            }
            Action::SetAdd { key, element, .. } => {
                let reply = Some(self.sets.entry(key.clone()).or_default().insert(element.clone()));
                Action::SetAdd { key: key.clone(), element: element.clone(), reply }
            }
            Action::SetRead { key, .. } => {
                let elements = self.sets.get(key).into_iter().flatten().cloned().collect();
                Action::SetRead { key: key.clone(), reply: Some(elements) }
            }
            Action::Transaction(micros) => Action::Transaction(micros.iter().map(|micro| self.micro(micro)).collect()),
            Action::Open { bank, accounts } => {
                self.banks.insert(bank.clone(), accounts.iter().cloned().collect());
                action.clone()
            }
            Action::Transfer { bank, from, to, amount, .. } => {
                let accounts = self.banks.get_mut(bank).filter(|accounts| accounts.contains_key(to))?;
                *accounts.get_mut(from)? -= amount;
                let left = accounts[from];
                *accounts.get_mut(to)? += amount;
                let reply = Some((left, accounts[to]));
                Action::Transfer { bank: bank.clone(), from: from.clone(), to: to.clone(), amount: *amount, reply }
            }
            Action::Balances { bank, .. } => {
                let balances = self.banks.get(bank)?.iter().map(|(name, balance)| (name.clone(), *balance)).collect();
                Action::Balances { bank: bank.clone(), reply: Some(balances) }
            }
        })
    }

    fn command(&mut self, key: &str, verb: &Verb) -> Option<Reply> {
        let held = self.strings.get(key).cloned();
        let text = held.as_ref().map(|held| held.text.clone());
        let old = || text.clone().map_or(Reply::Nil, Reply::Text);
        let flag = |did: bool| Reply::Int(i64::from(did));
        let mut put = |text: &str, deadline: Option<u64>| {
            self.strings.insert(key.to_owned(), Held { text: text.to_owned(), deadline });
        };
        let until = |ms: u64| self.now + ms * 1_000_000;
        let kept = held.as_ref().and_then(|held| held.deadline);
        Some(match verb {
            Verb::Get => old(),
            Verb::Exists => flag(text.is_some()),
            Verb::Strlen => Reply::Int(text.map_or(0, |text| text.len() as i64)),
            Verb::Set(set) => {
                let writes = !(set.if_absent && text.is_some() || set.if_present && text.is_none());
                if writes {
                    put(&set.value, if set.keep_deadline { kept } else { set.px.map(until) });
                }
                match (set.get, writes) {
                    (true, _) => old(),
                    (false, true) => Reply::Text("OK".to_owned()),
                    (false, false) => Reply::Nil,
                }
            }
            Verb::Setnx(value) => {
                if text.is_none() {
                    put(value, None);
                }
                flag(text.is_none())
            }
            Verb::Getset(value) => {
                put(value, None);
                old()
            }
            Verb::Getdel | Verb::Del => {
                self.strings.remove(key);
                if *verb == Verb::Del { flag(text.is_some()) } else { old() }
            }
            Verb::Append(more) => {
                let grown = text.unwrap_or_default() + more;
                put(&grown, kept);
                Reply::Int(grown.len() as i64)
            }
            Verb::Add(by) => {
                let before = match &text {
                    None => 0,
                    Some(text) => text.parse::<i64>().ok().filter(|number| number.to_string() == *text)?,
                };
                let after = before.checked_add(*by)?;
                put(&after.to_string(), kept);
                Reply::Int(after)
            }
            Verb::Cas(from, to) => {
                let equal = text == *from;
                if equal {
                    put(to, None);
                }
                flag(equal)
            }
            Verb::Pexpire(ms) => {
                if let Some(text) = &text {
                    put(text, Some(until(*ms)));
                }
                flag(text.is_some())
            }
            Verb::Persist => {
                if let Some(text) = &text {
                    put(text, None);
                }
                flag(kept.is_some())
            }
        })
    }

    fn micro(&mut self, micro: &Micro) -> Micro {
        match micro {
            Micro::Append { key, element, .. } => {
                let list = self.lists.entry(key.clone()).or_default();
                list.push(element.clone());
                let length = Some(list.iter().map(|element| element.len() as u64 + 1).sum());
                Micro::Append { key: key.clone(), element: element.clone(), length }
            }
            Micro::Read { key, .. } => {
                let elements = Some(self.lists.get(key).cloned().unwrap_or_default());
                Micro::Read { key: key.clone(), elements }
            }
        }
    }
}

/// A line of a file.
pub fn line(operation: &Operation) -> String {
    let (op, key, arg, reply) = match &operation.action {
        Action::Registers(Form::Single, commands) => {
            let (op, arg) = words(&commands[0].verb);
            (op, json!(commands[0].key), arg, one(&commands[0]))
        }
        Action::Registers(Form::Mget, commands) => {
            let keys: Vec<_> = commands.iter().map(|command| command.key.clone()).collect();
            ("mget", Value::Null, json!(keys), all(commands))
        }
        Action::Registers(Form::Mset, commands) => {
            let pairs = commands.iter().map(|command| (command.key.clone(), words(&command.verb).1));
            ("mset", Value::Null, Value::Object(pairs.collect()), one(&commands[0]))
        }
        Action::Registers(Form::Multi, commands) => {
            let asked = |command: &Command| {
                let (op, arg) = words(&command.verb);
                json!([op, command.key, arg])
            };
            ("multi", Value::Null, commands.iter().map(asked).collect(), all(commands))
        }
        Action::SetAdd { key, element, reply } => {
            ("sadd", json!(key), json!(element), reply.map(|new| json!(i32::from(new))))
        }
        Action::SetRead { key, reply } => ("smembers", json!(key), Value::Null, reply.as_ref().map(|all| json!(all))),
        Action::Transaction(micros) => {
            let asked = |micro: &Micro| match micro {
                Micro::Append { key, element, .. } => json!(["append", key, element]),
                Micro::Read { key, .. } => json!(["r", key, null]),
            };
            let told = |micro: &Micro| match micro {
                Micro::Append { length, .. } => Some(json!(length)),
                Micro::Read { elements, .. } => elements.as_ref().map(|elements| {
                    let text: String = elements.iter().map(|element| format!("{element},")).collect();
                    if text.is_empty() { Value::Null } else { json!(text) }
                }),
            };
            ("txn", Value::Null, micros.iter().map(asked).collect(), micros.iter().map(told).collect())
        }
        Action::Open { bank, accounts } => ("open", json!(bank), object(accounts), Some(json!("OK"))),
        Action::Transfer { bank, from, to, amount, reply } => {
            let reply = reply.map(|(left, right)| json!([left, right]));
            ("transfer", json!(bank), json!([from, to, amount]), reply)
        }
        Action::Balances { bank, reply } => {
            ("balances", json!(bank), Value::Null, reply.as_ref().map(|accounts| object(accounts)))
        }
    };
    let outcome = match operation.outcome {
        Outcome::Ok => "ok",
        Outcome::Fail => "fail",
        Outcome::Unknown => "unknown",
    };
    let mut fields = json!({
        "client": operation.client, "op": op, "key": key, "arg": arg, "start": operation.start.0,
        "end": operation.end.map(|end| end.0), "outcome": outcome,
    });
    if let Some(reply) = reply.filter(|_| operation.outcome == Outcome::Ok) {
        fields["reply"] = reply;
    }
    fields.to_string()
}

fn object(accounts: &[(String, i64)]) -> Value {
    Value::Object(accounts.iter().map(|(account, balance)| (account.clone(), json!(balance))).collect())
}

fn one(command: &Command) -> Option<Value> {
    command.reply.as_ref().map(|reply| match reply {
        Reply::Nil => Value::Null,
        Reply::Int(number) => json!(number),
        Reply::Text(text) => json!(text),
    })
}

fn all(commands: &[Command]) -> Option<Value> {
    commands.iter().map(one).collect()
}

fn words(verb: &Verb) -> (&'static str, Value) {
    match verb {
        Verb::Get => ("get", Value::Null),
        Verb::Getdel => ("getdel", Value::Null),
        Verb::Del => ("del", Value::Null),
        Verb::Exists => ("exists", Value::Null),
        Verb::Strlen => ("strlen", Value::Null),
        Verb::Persist => ("persist", Value::Null),
        Verb::Setnx(value) => ("setnx", json!(value)),
        Verb::Getset(value) => ("getset", json!(value)),
        Verb::Append(value) => ("append", json!(value)),
        Verb::Add(1) => ("incr", Value::Null),
        Verb::Add(by) => ("incrby", json!(by)),
        Verb::Cas(from, to) => ("cas", json!([from, to])),
        Verb::Pexpire(ms) => ("pexpire", json!(ms)),
        Verb::Set(set) => {
            let plain = !(set.if_absent || set.if_present || set.get || set.keep_deadline || set.px.is_some());
            let options = json!({
                "value": set.value, "nx": set.if_absent, "xx": set.if_present, "get": set.get,
                "keepttl": set.keep_deadline, "px": set.px,
            });
            ("set", if plain { json!(set.value) } else { options })
        }
    }
}
