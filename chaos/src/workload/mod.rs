//! What clients do. Each client is a task with a role and a node; together the roles cover the kinds of connections (RESP2,
//! RESP3, one command at a time, pipelined, MULTI, WATCH) and the kinds of things that can go wrong (registers, counters,
//! sets, list-append transactions, a bank, deadlines near and far).

mod actor;
mod bank;
mod counter;
mod expiry;
mod keys;
mod lasting;
mod registers;
mod sets;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::availability::Availability;
use crate::cluster::Incidents;
use crate::connection::Protocol;
use crate::dice::Dice;
use crate::history::History;
use crate::net::Network;
use crate::patience::Patience;
use actor::Actor;
use keys::Keys;
pub use lasting::{Lasting, Reads};

/// What all clients of a run share.
pub struct World {
    pub history: History,
    pub availability: Availability,
    pub patience: Patience,
    pub lasting: Lasting,
    pub network: Arc<Network>,
    pub incidents: Incidents,
    /// Operations per second that all clients together aim at, probes aside.
    pub rate: u64,
    /// Clients of the load; probes are more.
    pub clients: u64,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Increments a counter of its own, all the time: how soon writes go through again is read off it.
    Probe,
    Registers,
    PipelinedRegisters,
    SeveralRegisters,
    CompareAndSet,
    SharedCounter,
    WatchedCounter,
    Transactions,
    Set,
    Bank,
    Expiry,
    Lasting,
}

/// The roles of each node's clients.
const ROLES: [(Role, Protocol); 12] = [
    (Role::Probe, Protocol::Resp2),
    (Role::Registers, Protocol::Resp2),
    (Role::PipelinedRegisters, Protocol::Resp3),
    (Role::SeveralRegisters, Protocol::Resp2),
    (Role::CompareAndSet, Protocol::Resp3),
    (Role::SharedCounter, Protocol::Resp3),
    (Role::WatchedCounter, Protocol::Resp2),
    (Role::Transactions, Protocol::Resp2),
    (Role::Set, Protocol::Resp3),
    (Role::Bank, Protocol::Resp2),
    (Role::Expiry, Protocol::Resp2),
    (Role::Lasting, Protocol::Resp3),
];

/// Clients of the load for so many nodes.
pub fn clients(nodes: usize) -> u64 {
    (nodes * (ROLES.len() - 1)) as u64
}

/// Pause of a probe between two increments: the grain of the measured unavailability.
const PROBE_PAUSE: Duration = Duration::from_millis(3);

/// All clients at work, until they are told to stop.
pub struct Load {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    keys: Arc<Keys>,
    world: Arc<World>,
}

impl Load {
    /// Starts every role at every node.
    pub fn start(world: &Arc<World>, nodes: &[usize], dice: &mut Dice) -> Load {
        let (stop, stopped) = watch::channel(false);
        let keys = Arc::new(Keys::new(dice.fork().below(u64::MAX)));
        let mut tasks = JoinSet::new();
        for node in nodes {
            for (role, protocol) in ROLES {
                let actor = Actor::new(world.clone(), *node, protocol, dice.fork());
                let (incidents, keys, stopped) = (world.incidents.clone(), keys.clone(), stopped.clone());
                tasks.spawn(async move {
                    if let Err(why) = live(role, actor, keys, stopped).await {
                        incidents.note(why);
                    }
                });
            }
        }
        Load { stop, tasks, keys, world: world.clone() }
    }

    /// Lets every client finish what it does, then reads everything once more, through every node in turn. All nodes must
    /// serve.
    pub async fn finish(mut self, nodes: &[usize], dice: &mut Dice) -> Result<(), String> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|why| format!("a client failed: {why}"))?;
        }
        let mut readers: Vec<Actor> =
            nodes.iter().map(|node| Actor::new(self.world.clone(), *node, Protocol::Resp2, dice.fork())).collect();
        for (number, last) in self.keys.last_reads().into_iter().enumerate() {
            let count = readers.len();
            let Some(reader) = readers.get_mut(number % count) else { break };
            reader.last_read(&last).await?;
        }
        // By now most of these are due.
        for (number, (moment, last)) in self.world.lasting.left().into_iter().enumerate() {
            let count = readers.len();
            let Some(reader) = readers.get_mut(number % count) else { break };
            lasting::wait_until(reader, moment).await;
            reader.last_read(&last).await?;
            self.world.lasting.read_after();
        }
        self.world.history.flush().map_err(|why| format!("{}: {why}", self.world.history.path().display()))
    }
}

async fn live(role: Role, mut actor: Actor, keys: Arc<Keys>, mut stopped: watch::Receiver<bool>) -> Result<(), String> {
    let mean = Duration::from_secs(1) * actor.world.clients as u32 / actor.world.rate.max(1) as u32;
    let mut probed = None;
    while !*stopped.borrow() {
        match role {
            Role::Probe => counter::probe(&mut actor, &keys, &mut probed).await?,
            Role::Registers => registers::single(&mut actor, &keys).await?,
            Role::PipelinedRegisters => registers::pipelined(&mut actor, &keys).await?,
            Role::SeveralRegisters => registers::several(&mut actor, &keys).await?,
            Role::CompareAndSet => registers::compare_and_set(&mut actor, &keys).await?,
            Role::SharedCounter => counter::shared(&mut actor, &keys).await?,
            Role::WatchedCounter => counter::watched(&mut actor, &keys).await?,
            Role::Transactions => transactions::step(&mut actor, &keys).await?,
            Role::Set => sets::step(&mut actor, &keys).await?,
            Role::Bank => bank::step(&mut actor, &keys).await?,
            Role::Expiry => expiry::step(&mut actor, &keys).await?,
            Role::Lasting => lasting::step(&mut actor).await?,
        }
        let pause = match role {
            Role::Probe => PROBE_PAUSE,
            _ => actor.dice.duration(Duration::ZERO, 2 * mean),
        };
        tokio::select! {
            () = sleep(pause) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }
    Ok(())
}
