//! Keys with deadlines so far away that not even clocks which are seconds apart can blur them. Short ones (see
//! [`super::expiry`]) may be anywhere within what the judge has to allow for moved clocks; these must be there for seconds, and
//! every one is read once more when it must be gone whatever the clocks said. So a value that lapses at once is found, and
//! one that never lapses.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::actor::{Actor, Fate, as_json};
use super::keys::LastRead;
use crate::dice::Dice;
use crate::history::lock;
use crate::resp::command;

/// Keys that wait for their end at a time.
const KEYS: usize = 12;
/// How far away a deadline is, in milliseconds. The least is more than any slack of the judge.
const AHEAD_MS: (u64, u64) = (15_000, 40_000);
/// Keys are made for at least so long, however short the run.
const LEAST: Duration = Duration::from_secs(5);
/// After the last moment at which the judge lets a key be there: times are rounded to milliseconds.
const ROUNDING: Duration = Duration::from_millis(20);

/// All of these keys of a run.
pub struct Lasting {
    slack: Duration,
    /// When the run is to end, if that is known: what is made later would have to be waited for.
    planned_end: Option<Duration>,
    keys: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    made: u64,
    keys: Vec<Key>,
    reads: Reads,
}

/// How often keys were read when the judge can only believe one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// While they had to be there.
    pub before: u64,
    /// When they had to be gone.
    pub after: u64,
}

/// One key with a deadline. Times are those of the history.
#[derive(Clone, Debug)]
struct Key {
    name: String,
    /// It must be there until then, if it was set at all.
    sure_until: u64,
    /// It must be gone from then on.
    gone_from: u64,
}

/// What a client does next.
enum Next {
    Make(String),
    Look(Key),
    /// It must be gone.
    LookAgain(Key),
    Nothing,
}

impl Lasting {
    pub fn new(slack: Duration, planned_end: Option<Duration>) -> Lasting {
        Lasting { slack, planned_end, keys: Mutex::default() }
    }

    pub fn reads(&self) -> Reads {
        lock(&self.keys).reads
    }

    /// A deadline for a key that is made now, in milliseconds; `None` when the run ends too soon.
    fn draw(&self, now: Duration, dice: &mut Dice) -> Option<u64> {
        let least = Duration::from_millis(AHEAD_MS.0);
        let most = match self.planned_end {
            Some(end) => (end.saturating_sub(now).saturating_sub(self.slack).as_millis() as u64).min(AHEAD_MS.1),
            None => AHEAD_MS.1,
        };
        let in_time = most >= least.as_millis() as u64 || now <= LEAST;
        in_time.then(|| dice.between(AHEAD_MS.0, most.max(AHEAD_MS.0)))
    }

    fn next(&self, now: u64, dice: &mut Dice) -> Next {
        let mut waiting = lock(&self.keys);
        if let Some(at) = waiting.keys.iter().position(|key| now >= key.gone_from) {
            return Next::LookAgain(waiting.keys.swap_remove(at));
        }
        if waiting.keys.len() < KEYS && self.draw(Duration::from_nanos(now), &mut dice.clone()).is_some() {
            waiting.made += 1;
            return Next::Make(format!("y{}", waiting.made));
        }
        dice.pick(&waiting.keys).cloned().map_or(Next::Nothing, Next::Look)
    }

    /// A key whose deadline was given between these moments.
    fn made(&self, name: String, from: u64, to: u64, ahead_ms: u64) {
        let ahead = Duration::from_millis(ahead_ms);
        let sure_until = from + ahead.saturating_sub(self.slack + ROUNDING).as_nanos() as u64;
        let gone_from = to + (ahead + self.slack + ROUNDING).as_nanos() as u64;
        lock(&self.keys).keys.push(Key { name, sure_until, gone_from });
    }

    /// What is left in the end: when it must be gone, the earliest first.
    pub fn left(&self) -> Vec<(u64, LastRead)> {
        let mut left: Vec<_> = std::mem::take(&mut lock(&self.keys).keys)
            .into_iter()
            .map(|key| (key.gone_from, LastRead::Register(key.name)))
            .collect();
        left.sort();
        left
    }

    /// One of those that were left was read.
    pub fn read_after(&self) {
        lock(&self.keys).reads.after += 1;
    }
}

/// Makes a key, looks at one, or sees that one is gone.
pub async fn step(actor: &mut Actor) -> Result<(), String> {
    let world = actor.world.clone();
    match world.lasting.next(world.history.now(), &mut actor.dice) {
        Next::Make(name) => make(actor, &world.lasting, name).await,
        Next::Look(key) => {
            let (op, word) = if actor.dice.chance(70) { ("get", "GET") } else { ("exists", "EXISTS") };
            let Some(exchange) = actor.ask(command([word, &key.name])).await else { return Ok(()) };
            let fate = exchange.fate(0);
            if let Fate::Done(_, at) = fate {
                lock(&world.lasting.keys).reads.before += u64::from(at < key.sure_until);
            }
            actor.record(op, Some(&key.name), Value::Null, exchange.start, &fate, false, as_json)
        }
        Next::LookAgain(key) => {
            let Some(exchange) = actor.ask(command(["GET", &key.name])).await else {
                lock(&world.lasting.keys).keys.push(key);
                return Ok(());
            };
            let fate = exchange.fate(0);
            let mut waiting = lock(&world.lasting.keys);
            match fate {
                Fate::Done(..) => waiting.reads.after += 1,
                _ => waiting.keys.push(key.clone()),
            }
            drop(waiting);
            actor.record("get", Some(&key.name), Value::Null, exchange.start, &fate, false, as_json)
        }
        Next::Nothing => Ok(()),
    }
}

/// With its deadline from the start, or with one that comes a moment later.
async fn make(actor: &mut Actor, lasting: &Lasting, name: String) -> Result<(), String> {
    let now = Duration::from_nanos(actor.world.history.now());
    let Some(ahead) = lasting.draw(now, &mut actor.dice) else { return Ok(()) };
    let (value, text) = (actor.value(), ahead.to_string());
    let at_once = actor.dice.chance(50);
    let (arg, set) = if at_once {
        (json!({"value": value, "px": ahead}), command(["SET", &name, &value, "PX", &text]))
    } else {
        (json!(value), command(["SET", &name, &value]))
    };
    let Some(exchange) = actor.ask(set).await else { return Ok(()) };
    let fate = exchange.fate(0);
    actor.record("set", Some(&name), arg, exchange.start, &fate, true, as_json)?;
    let exchange = match (fate, at_once) {
        // Something was given a deadline, or may have been.
        (Fate::Done(..) | Fate::Doubt(..), true) => exchange,
        (Fate::Done(..), false) => {
            let Some(exchange) = actor.ask(command(["PEXPIRE", &name, &text])).await else { return Ok(()) };
            let fate = exchange.fate(0);
            actor.record("pexpire", Some(&name), json!(ahead), exchange.start, &fate, true, as_json)?;
            if matches!(fate, Fate::Refused(..)) {
                return Ok(());
            }
            exchange
        }
        _ => return Ok(()),
    };
    lasting.made(name, exchange.start, exchange.end, ahead);
    Ok(())
}

/// Until that moment of the history.
pub async fn wait_until(actor: &Actor, moment: u64) {
    sleep(Duration::from_nanos(moment.saturating_sub(actor.world.history.now()))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn every_deadline_can_be_judged_with_every_slack() {
        for offset in clock::OFFSETS.iter().copied().map(Some).chain([None]) {
            let lasting = Lasting::new(clock::slack(offset), None);
            let mut dice = Dice::new(1);
            for _ in 0..1000 {
                let ahead = lasting.draw(Duration::ZERO, &mut dice).expect("no end is planned");
                lasting.made("y".into(), 1_000, 2_000, ahead);
            }
            for key in &lock(&lasting.keys).keys {
                assert!(key.sure_until >= 4_000_000_000, "{offset:?}: too short to be seen: {key:?}");
                assert!(key.gone_from > key.sure_until + 2 * lasting.slack.as_nanos() as u64, "{offset:?}: {key:?}");
            }
        }
    }

    #[test]
    fn no_run_waits_long_for_keys_that_were_made_late() {
        let end = Duration::from_secs(60);
        let lasting = Lasting::new(Duration::from_secs(10), Some(end));
        let mut dice = Dice::new(2);
        let ahead = |now: u64, dice: &mut Dice| lasting.draw(Duration::from_secs(now), dice);
        for now in 6..35 {
            let ahead = ahead(now, &mut dice).expect("time enough");
            assert!((AHEAD_MS.0..=AHEAD_MS.1).contains(&ahead));
            assert!(Duration::from_secs(now + 10) + Duration::from_millis(ahead) <= end, "{now} s: {ahead} ms");
        }
        assert_eq!(ahead(36, &mut dice), None);
        // The first keys of a short run are made all the same.
        let short = Lasting::new(Duration::from_secs(10), Some(Duration::from_secs(10)));
        assert_eq!(short.draw(Duration::from_secs(1), &mut dice), Some(AHEAD_MS.0));
        assert_eq!(short.draw(Duration::from_secs(6), &mut dice), None);
    }

    #[test]
    fn a_key_is_looked_at_until_it_must_be_gone_and_then_once() {
        let lasting = Lasting::new(Duration::from_secs(1), Some(Duration::ZERO));
        lasting.made("y1".into(), 0, 0, 15_000);
        let mut dice = Dice::new(3);
        let late = 6_000_000_000;
        assert!(matches!(lasting.next(late, &mut dice), Next::Look(key) if key.name == "y1"));
        let gone = Duration::from_millis(16_020).as_nanos() as u64;
        assert!(matches!(lasting.next(gone - 1, &mut dice), Next::Look(_)));
        assert!(matches!(lasting.next(gone, &mut dice), Next::LookAgain(_)));
        assert!(matches!(lasting.next(gone, &mut dice), Next::Nothing));
        lasting.made("y2".into(), 0, 0, 15_000);
        assert_eq!(lasting.left(), [(gone, LastRead::Register("y2".into()))]);
    }
}
