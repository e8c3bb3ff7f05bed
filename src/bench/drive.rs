//! The loop of one thread of the load: it waits for sockets, takes answers, and decides who asks next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::client::Client;
use super::command::Mix;
use super::keys::Keys;
use super::report::Part;
use super::ticks::Ticks;
use super::{Amount, now};
use crate::base::Rng;

/// What is read at once.
const READ_BYTES: usize = 256 << 10;
/// Sockets that are looked at before the clock is.
const EVENTS: usize = 1_024;
/// How long after the end answers may come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ticks of an open loop are not closer: each wakes the thread. What is planned between two begins together.
const TICK_MIN: Duration = Duration::from_micros(100);
/// Names the timer.
const TICK: Token = Token(usize::MAX);

/// A thread's clients and what they ask.
pub(super) struct Driver {
    poll: Poll,
    clients: Vec<Client>,
    mix: Mix,
    keys: Keys,
    rng: Rng,
    pipeline: u64,
    /// Moments are nanoseconds since this.
    origin: Instant,
}

/// When requests begin, and how many more.
struct Plan {
    /// Requests that may still begin.
    left: u64,
    /// None begins later.
    until: u64,
    open: Option<Open>,
}

/// The plan of an open loop.
struct Open {
    ticks: Ticks,
    /// Nanoseconds between two ticks.
    distance: u64,
    /// Requests per tick.
    per_tick: f64,
    /// Ticks that were planned.
    ticked: u64,
    /// Requests that were planned.
    planned: u64,
    /// When, and how many: they wait for a free client.
    waiting: VecDeque<(u64, u64)>,
    free: VecDeque<usize>,
}

impl Driver {
    pub(super) fn new(
        mut clients: Vec<Client>,
        mix: Mix,
        keys: Keys,
        rng: Rng,
        pipeline: usize,
    ) -> Result<Driver, String> {
        let failed = |why| format!("the sockets cannot be polled: {why}");
        let poll = Poll::new().map_err(failed)?;
        for (n, client) in clients.iter_mut().enumerate() {
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut client.stream, Token(n), both).map_err(failed)?;
        }
        Ok(Driver { poll, clients, mix, keys, rng, pipeline: pipeline as u64, origin: now() })
    }

    /// Runs to the end of what was asked for. What begins during the warm-up is not counted.
    pub(super) fn run(mut self, amount: Amount, rate: Option<f64>, warm_up: Duration) -> Result<Part, String> {
        let measured_from = warm_up.as_nanos() as u64;
        let (requests, until) = match amount {
            Amount::Requests(requests) => (requests, u64::MAX),
            Amount::Time(time) => (u64::MAX, measured_from.saturating_add(time.as_nanos() as u64)),
        };
        let mut plan = Plan { left: u64::MAX, until, open: None };
        if measured_from == 0 {
            plan.left = requests;
        }
        if let Some(rate) = rate {
            plan.open = Some(self.open(rate)?);
        } else {
            for client in 0..self.clients.len() {
                self.begin(client, &mut plan)?;
            }
        }
        let mut warm = measured_from > 0;
        let mut part = Part::new(measured_from);
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        let mut last_answer = self.elapsed();
        loop {
            self.poll.poll(&mut events, Some(PATIENCE)).or_else(forgive)?;
            let at = self.elapsed();
            if warm && at >= measured_from {
                warm = false;
                plan.left = requests;
            }
            if let Some(open) = &mut plan.open {
                open.plan(at, plan.until, &mut plan.left);
            }
            for event in &events {
                let Token(n) = event.token();
                let Some(client) = self.clients.get_mut(n) else {
                    plan.clear_tick()?;
                    continue;
                };
                if event.is_writable() {
                    client.send()?;
                }
                if !event.is_readable() {
                    continue;
                }
                let at = self.origin.elapsed().as_nanos() as u64;
                client.receive(&mut buffer, |begun, requests| {
                    last_answer = at;
                    if begun >= measured_from {
                        part.answered(begun, at, requests);
                    }
                })?;
                if client.is_idle() {
                    match &mut plan.open {
                        Some(open) => open.free.push_back(n),
                        None => self.begin(n, &mut plan)?,
                    }
                }
            }
            self.begin_waiting(&mut plan)?;
            // The moment is taken anew: whoever did not begin above because it was too late must not be waited for.
            let at = self.elapsed();
            if plan.is_over(at) && self.clients.iter().all(Client::is_idle) {
                return Ok(part);
            }
            let patience = PATIENCE.as_nanos() as u64;
            if at.saturating_sub(last_answer) > patience && !self.clients.iter().all(Client::is_idle) {
                return Err(format!("no answer for {} s", PATIENCE.as_secs()));
            }
            if plan.open.is_some() && at > plan.until.saturating_add(patience) {
                return Err(plan.hopeless());
            }
        }
    }

    fn elapsed(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// The plan of so many requests per second.
    fn open(&self, rate: f64) -> Result<Open, String> {
        let distance = Duration::from_secs_f64((1.0 / rate).min(3_600.0)).max(TICK_MIN);
        let failed = |why| format!("there is no timer for the rate: {why}");
        let ticks = Ticks::every(distance).map_err(failed)?;
        self.poll.registry().register(&mut SourceFd(&ticks.fd()), TICK, Interest::READABLE).map_err(failed)?;
        Ok(Open {
            ticks,
            distance: distance.as_nanos() as u64,
            per_tick: rate * distance.as_secs_f64(),
            ticked: 0,
            planned: 0,
            waiting: VecDeque::new(),
            free: (0..self.clients.len()).collect(),
        })
    }

    /// A client of a closed loop asks as much as it may.
    fn begin(&mut self, client: usize, plan: &mut Plan) -> Result<(), String> {
        let at = self.elapsed();
        let requests = self.pipeline.min(plan.left);
        if requests == 0 || at >= plan.until {
            return Ok(());
        }
        plan.left -= requests;
        self.add(client, at, requests);
        self.clients[client].send()
    }

    /// Free clients of an open loop ask what waits.
    fn begin_waiting(&mut self, plan: &mut Plan) -> Result<(), String> {
        let Some(open) = &mut plan.open else { return Ok(()) };
        while !open.waiting.is_empty() {
            let Some(client) = open.free.pop_front() else { return Ok(()) };
            let mut room = self.pipeline;
            while room > 0
                && let Some((at, requests)) = open.waiting.front_mut()
            {
                let (at, taken) = (*at, room.min(*requests));
                room -= taken;
                *requests -= taken;
                if *requests == 0 {
                    open.waiting.pop_front();
                }
                self.add(client, at, taken);
            }
            self.clients[client].send()?;
        }
        Ok(())
    }

    /// Writes requests to what a client sends.
    fn add(&mut self, client: usize, at: u64, requests: u64) {
        let client = &mut self.clients[client];
        let out = client.out();
        for _ in 0..requests {
            let number = self.keys.next(&mut self.rng);
            self.mix.pick(&mut self.rng).fill(number, out);
        }
        client.added(at, requests);
    }
}

impl Plan {
    /// Nothing begins any more.
    fn is_over(&self, at: u64) -> bool {
        let waits = self.open.as_ref().is_some_and(|open| !open.waiting.is_empty());
        (self.left == 0 || at >= self.until) && !waits
    }

    /// The timer is ready for its next tick.
    fn clear_tick(&mut self) -> Result<(), String> {
        let cleared = self.open.as_mut().map_or(Ok(()), |open| open.ticks.clear());
        cleared.map_err(|why| format!("the timer failed: {why}"))
    }

    /// Why what was planned cannot be measured.
    fn hopeless(&self) -> String {
        let waiting: u64 = self.open.iter().flat_map(|open| &open.waiting).map(|(_, requests)| requests).sum();
        format!(
            "the servers do not keep up: {waiting} requests still waited for a free client {} s after the end; \
             take a lower rate, or more clients",
            PATIENCE.as_secs()
        )
    }
}

impl Open {
    /// Plans what is due at ticks that have passed.
    fn plan(&mut self, at: u64, until: u64, left: &mut u64) {
        while (self.ticked + 1) * self.distance <= at.min(until) && *left > 0 {
            self.ticked += 1;
            let due = (self.ticked as f64 * self.per_tick) as u64;
            let requests = (due - self.planned).min(*left);
            self.planned = due;
            *left -= requests;
            if requests > 0 {
                self.waiting.push_back((self.ticked * self.distance, requests));
            }
        }
    }
}

/// A signal ends a poll early, and nothing is wrong.
fn forgive(why: std::io::Error) -> Result<(), String> {
    if why.kind() == std::io::ErrorKind::Interrupted { Ok(()) } else { Err(format!("polling failed: {why}")) }
}
