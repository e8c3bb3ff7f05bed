//! One client: it sends, reads, classifies what came back and writes it down.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::World;
use super::keys::LastRead;
use super::transactions;
use crate::availability::Trouble;
use crate::connection::{Connection, Failure, Protocol};
use crate::dice::Dice;
use crate::history::{Operation, Outcome};
use crate::resp::{Command, Reply, command};

/// A client that has no reply by then gives up. The server promises one within 2.5 s; a pause or a fault of the link may
/// last longer than that, so whether it was late is judged afterwards ([`crate::patience`]).
const PATIENCE: Duration = Duration::from_secs(8);
/// Before the next attempt to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Attempts of a last read: everything is healed by then.
const LAST_READ_ATTEMPTS: usize = 20;

/// Errors that are only told when the command certainly did not run. See docs/operations.md of the server.
const REFUSALS: [&str; 4] = ["CLUSTERDOWN", "LOADING", "TRYAGAIN", "EXECABORT"];

/// What came of a number of commands that were sent together.
pub struct Exchange {
    /// When the first byte was about to leave.
    pub start: u64,
    /// Replies in order with the time each was read; fewer than commands when the connection was lost.
    pub replies: Vec<(Reply, u64)>,
    /// Why the rest never came.
    pub lost: Option<Failure>,
    /// When it ended.
    pub end: u64,
}

/// What is known of one command's effect.
pub enum Fate {
    Done(Reply, u64),
    Refused(String, u64),
    Doubt(String, u64),
}

impl Exchange {
    /// The fate of the n-th command.
    pub fn fate(&self, n: usize) -> Fate {
        match self.replies.get(n) {
            Some((Reply::Error(text), at)) if REFUSALS.iter().any(|prefix| text.starts_with(prefix)) => {
                Fate::Refused(text.clone(), *at)
            }
            Some((Reply::Error(text), at)) => Fate::Doubt(text.clone(), *at),
            Some((reply, at)) => Fate::Done(reply.clone(), *at),
            None => Fate::Doubt(self.lost.as_ref().map_or_else(String::new, Failure::to_string), self.end),
        }
    }
}

/// A client at a node.
pub struct Actor {
    pub world: Arc<World>,
    pub node: usize,
    pub dice: Dice,
    /// Its name in the history; another after each unknown outcome.
    pub client: u64,
    protocol: Protocol,
    connection: Option<Connection>,
    values: u64,
}

impl Actor {
    pub fn new(world: Arc<World>, node: usize, protocol: Protocol, dice: Dice) -> Actor {
        let client = world.history.client();
        Actor { world, node, dice, client, protocol, connection: None, values: 0 }
    }

    /// A value that nobody else writes.
    pub fn value(&mut self) -> String {
        self.values += 1;
        format!("{}:{}", self.client, self.values)
    }

    /// Connects if need be; false when that failed, after a pause. Nothing was asked then.
    pub async fn connect(&mut self) -> bool {
        if self.connection.is_some() {
            return true;
        }
        let Some(address) = self.world.network.client_address(self.node) else { return false };
        match Connection::open(address, self.protocol).await {
            Ok(connection) => {
                self.connection = Some(connection);
                true
            }
            Err(why) => {
                self.world.availability.error(self.world.history.now(), self.node, Trouble::Connection(why));
                sleep(RECONNECT_PAUSE).await;
                false
            }
        }
    }

    /// Closes the connection, so that WATCH and MULTI of it are gone.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends commands in one write and reads their replies. The client must be connected.
    pub async fn exchange(&mut self, commands: &[Command]) -> Exchange {
        let start = self.world.history.now();
        let mut replies = Vec::with_capacity(commands.len());
        let mut lost = None;
        match self.connection.as_mut() {
            None => lost = Some(Failure::Unreached("none was opened".into())),
            Some(connection) => {
                let deadline = Instant::now() + PATIENCE;
                match connection.send(commands).await {
                    Err(why) => lost = Some(why),
                    Ok(()) => {
                        while replies.len() < commands.len() {
                            let asked = replies.last().map_or(start, |(_, at)| *at);
                            let reply = connection.reply(deadline).await;
                            let now = self.world.history.now();
                            // A connection that breaks tells nothing of how long an answer would have taken.
                            if matches!(reply, Ok(_) | Err(Failure::Silent)) {
                                self.world.patience.waited(self.node, asked, now);
                            }
                            match reply {
                                Ok(reply) => replies.push((reply, now)),
                                Err(why) => {
                                    lost = Some(why);
                                    break;
                                }
                            }
                        }
                    }
                }
            }
        }
        let end = self.world.history.now();
        if let Some(why) = &lost {
            self.world.availability.error(end, self.node, Trouble::Connection(why.clone()));
            self.connection = None;
        }
        for (reply, at) in &replies {
            if let Reply::Error(text) = reply {
                self.world.availability.error(*at, self.node, Trouble::Told(text.clone()));
            }
        }
        Exchange { start, replies, lost, end }
    }

    /// Connects and sends one command; `None` when there was no connection.
    pub async fn ask(&mut self, command: Command) -> Option<Exchange> {
        if !self.connect().await {
            return None;
        }
        Some(self.exchange(&[command]).await)
    }

    /// MULTI, the commands, EXEC: all at once, or not before MULTI is confirmed. The fate is that of EXEC; `Done(Nil)` when a
    /// watched key changed.
    pub async fn multi(&mut self, commands: Vec<Command>) -> Option<(u64, Fate)> {
        if !self.connect().await {
            return None;
        }
        let count = commands.len();
        let begin = command(["MULTI"]);
        let rest = commands.into_iter().chain([command(["EXEC"])]);
        let (start, replies, exchange) = if self.dice.chance(50) {
            let all: Vec<Command> = [begin].into_iter().chain(rest).collect();
            let exchange = self.exchange(&all).await;
            (exchange.start, exchange.replies.clone(), exchange)
        } else {
            let begun = self.exchange(&[begin]).await;
            if !begun.replies.first().is_some_and(|(reply, _)| reply.is_ok()) {
                self.disconnect();
                return Some((begun.start, Fate::Refused("MULTI was not confirmed".into(), begun.end)));
            }
            let all: Vec<Command> = rest.collect();
            let mut exchange = self.exchange(&all).await;
            exchange.replies.splice(0..0, begun.replies);
            (exchange.start, exchange.replies.clone(), exchange)
        };
        // Outside of a transaction the commands would have run one by one.
        if replies.first().is_some_and(|(reply, _)| !reply.is_ok()) {
            self.disconnect();
            return Some((start, Fate::Doubt("MULTI was refused".into(), exchange.end)));
        }
        Some((start, exchange.fate(count + 1)))
    }

    /// Writes an operation down. An unknown outcome ends this client's name.
    #[expect(clippy::too_many_arguments, reason = "they are the columns of a line")]
    pub fn record(
        &mut self,
        op: &'static str,
        key: Option<&str>,
        arg: Value,
        start: u64,
        fate: &Fate,
        writes: bool,
        reply: impl FnOnce(&Reply) -> Value,
    ) -> Result<(), String> {
        let (outcome, reply, end) = match fate {
            Fate::Done(done, at) => (Outcome::Ok, reply(done), *at),
            Fate::Refused(why, at) => (Outcome::Fail, json!(why), *at),
            Fate::Doubt(why, at) => (Outcome::Unknown, json!(why), *at),
        };
        let operation = Operation {
            client: self.client,
            op,
            key: key.map(str::to_owned),
            arg,
            start,
            end,
            outcome,
            reply,
            node: self.node,
        };
        self.world.history.record(&operation).map_err(|why| format!("the history cannot be written: {why}"))?;
        match outcome {
            Outcome::Ok if writes => self.world.availability.acknowledge(end, self.node),
            Outcome::Unknown => self.client = self.world.history.client(),
            _ => {}
        }
        Ok(())
    }

    /// Reads something a last time. Everything is healed, so it must work.
    pub async fn last_read(&mut self, last: &LastRead) -> Result<(), String> {
        let mut why = String::new();
        for _ in 0..LAST_READ_ATTEMPTS {
            let (start, fate) = match last {
                LastRead::Transaction(keys, shape) => {
                    match self.multi(keys.iter().map(|key| transactions::read(key, *shape)).collect()).await {
                        Some(done) => done,
                        None => continue,
                    }
                }
                _ => match self.ask(last.command()).await {
                    Some(exchange) => (exchange.start, exchange.fate(0)),
                    None => continue,
                },
            };
            match &fate {
                Fate::Done(..) => {
                    let (op, key, arg) = last.operation();
                    return self.record(op, key.as_deref(), arg, start, &fate, false, |reply| last.reply(reply));
                }
                Fate::Refused(text, _) | Fate::Doubt(text, _) => {
                    why = text.clone();
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
        Err(format!("everything is healed, but node {} does not answer a read of {}: {why}", self.node, last.name()))
    }
}

/// A reply as the history has it: strings, integers, null, arrays.
pub fn as_json(reply: &Reply) -> Value {
    match reply {
        Reply::Simple(text) | Reply::Number(text) | Reply::Error(text) => json!(text),
        Reply::Bulk(bytes) => json!(String::from_utf8_lossy(bytes)),
        Reply::Integer(number) => json!(number),
        Reply::Nil => Value::Null,
        Reply::Bool(value) => json!(value),
        Reply::Array(items) => items.iter().map(as_json).collect(),
        Reply::Map(pairs) => pairs.iter().flat_map(|(key, value)| [as_json(key), as_json(value)]).collect(),
    }
}
