//! Witness order: the blocks of [`noise`](super::super::noise) say themselves in which order they ran and when. Here they
//! run again, one after the other, on a keyspace of their own, and every reply that a client got is compared.
//!
//! The meaning of the commands is not in question (dialogues and the differential test hold it), but everything around
//! it is: leaders, overlays, entries, retries, snapshots, restarts. Compared exactly, but for what is drawn by lot
//! (only its shape) and for what may or may not have been swept up yet (within bounds).

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::super::noise::{self, BLOCK_HEAD, ORDER};
use super::once::{self, TOKEN_BYTES};
use super::{Operation, Outcome, Request, Violation, Words, show_value, show_words};
use crate::base::{GroupId, Millis, Nobody, Rng, SlotRange};
use crate::command::{self, Call, Scripts};
use crate::data::{Counts, Events, Keyspace, Manner, Mode, Moment, Thresholds, Usage};
use crate::resp::{Protocol, Value, parse_reply};
use crate::store::memory::MemoryEngine;
use crate::store::overlay::{Overlay, OverlayView};
use crate::store::{Batch, Engine as _};

const PROMISE: &str = "witness order";

/// What the replicas hold when everything is over.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The group of the noise.
    pub group: GroupId,
    /// Its slots.
    pub slots: SlotRange,
    /// When a value gets a record per element.
    pub thresholds: Thresholds,
    /// The order: tokens of all blocks that ran.
    pub order: Bytes,
    /// The tokens that were published, in the order of the log.
    pub published: Vec<Bytes>,
    /// When each of them ran.
    pub moments: BTreeMap<Bytes, Millis>,
}

/// Judges the noise: steps with the database of each, a block being one operation and a probe several.
pub fn check(steps: &[(u8, &[Operation])], end: &Ending) -> Result<(), Violation> {
    once::check_tokens(&orders(steps), &end.order)?;
    let mut blocks: BTreeMap<&[u8], (u8, &Operation)> = BTreeMap::new();
    let mut probes: BTreeMap<usize, Vec<(u8, &[Operation])>> = BTreeMap::new();
    for &(db, step) in steps {
        if let [Operation { request: Request::Transaction(commands), .. }] = step {
            blocks.insert(&commands[0][2], (db, &step[0]));
        } else if let Some(length) = probed(step) {
            probes.entry(length / TOKEN_BYTES).or_default().push((db, step));
        }
    }
    let tokens: Vec<&[u8]> = end.order.chunks_exact(TOKEN_BYTES).collect();
    // What a block writes and what it says go together.
    if !tokens.iter().copied().eq(end.published.iter().map(|token| &token[..])) {
        let line = format!("{} blocks ran, and published {:?}", tokens.len(), end.published);
        return Err(Violation::new("a publication comes with the writes beside it", vec![line]));
    }
    let mut shadow = Shadow::new(end);
    let mut before = Millis(0);
    for number in 0..=tokens.len() {
        let next = tokens.get(number).map_or(Some(Millis(u64::MAX)), |token| end.moments.get(*token).copied());
        let told = |line: String| Violation::new(PROMISE, vec![line]);
        let Some(next) = next else {
            return Err(told(format!("block {} ran by half", tokens[number].escape_ascii())));
        };
        if next < before {
            return Err(told(format!("a block of {next} comes after one of {before}")));
        }
        for &(db, step) in probes.get(&number).into_iter().flatten() {
            shadow.check_probe(db, step, before, next)?;
        }
        if let Some((db, block)) = tokens.get(number).and_then(|token| blocks.get(token)) {
            shadow.check_block(*db, block, next)?;
        }
        before = next;
    }
    Ok(())
}

/// The steps as what they did to the order alone.
fn orders(steps: &[(u8, &[Operation])]) -> Vec<Operation> {
    let mut orders = Vec::new();
    for operation in steps.iter().flat_map(|(_, step)| step.iter()) {
        let (words, outcome) = match (&operation.request, &operation.outcome) {
            (Request::Transaction(commands), Outcome::Replies(replies)) => {
                (commands[0].clone(), Outcome::Replies(replies[..1].to_vec()))
            }
            (Request::Transaction(commands), outcome) => (commands[0].clone(), outcome.clone()),
            (Request::Command(words), outcome) if words[1..] == [Bytes::from_static(ORDER)] => {
                (words.clone(), outcome.clone())
            }
            _ => continue,
        };
        orders.push(Operation { request: Request::Command(words), outcome, after: None, ..operation.clone() });
    }
    orders
}

/// The length of the order around a probe, if it was the same before and after.
fn probed(step: &[Operation]) -> Option<usize> {
    let length = |operation: &Operation| match &operation.outcome {
        Outcome::Replies(replies) => match replies[..] {
            [Value::Integer(length)] => Some(length as usize),
            _ => None,
        },
        _ => None,
    };
    let (first, last) = (length(step.first()?)?, length(step.last()?)?);
    (first == last).then_some(first)
}

/// The second keyspace.
struct Shadow {
    engine: MemoryEngine,
    overlay: Overlay,
    counts: Counts,
    entries: u64,
    group: GroupId,
    slots: SlotRange,
    thresholds: Thresholds,
    rng: Rng,
    usage: Usage,
    scripts: Scripts,
}

impl Shadow {
    fn new(end: &Ending) -> Shadow {
        Shadow {
            engine: MemoryEngine::new(),
            overlay: Overlay::default(),
            counts: Counts::default(),
            entries: 0,
            group: end.group,
            slots: end.slots,
            thresholds: end.thresholds,
            rng: Rng::new(1),
            usage: Usage::default(),
            scripts: Scripts::new(Default::default()),
        }
    }

    fn check_block(&mut self, db: u8, block: &Operation, moment: Millis) -> Result<(), Violation> {
        let Request::Transaction(commands) = &block.request else { return Ok(()) };
        self.begin();
        for (number, words) in commands.iter().enumerate() {
            // Which dead keys these meet, and so sweep up, is drawn by lot: the replicas may still hold them.
            let draws_lots = matches!(&words[0].to_ascii_uppercase()[..], b"RANDOMKEY" | b"SCAN");
            let place = noise::database(db, words);
            let expected = if draws_lots { self.look(moment, place, words)? } else { self.run(moment, place, words)? };
            let Outcome::Replies(replies) = &block.outcome else { continue };
            let seen = replies.get(number).unwrap_or(&Value::Null);
            // The head of a block tells its place and time, which were looked at.
            if number >= BLOCK_HEAD {
                self.compare(moment, db, words, seen, &expected, block)?;
            }
        }
        let batch = Batch { mutations: self.overlay.take_mutations() };
        self.overlay.reset();
        self.engine.write(&batch).map_err(|error| Violation::new(PROMISE, vec![error.to_string()]))
    }

    /// The reads of a probe saw the state between two blocks; when a key or a field may have ended in between, nobody can
    /// say.
    fn check_probe(&mut self, db: u8, step: &[Operation], after: Millis, before: Millis) -> Result<(), Violation> {
        self.begin();
        let counts = self.counts.clone();
        let due = self.keys(Millis(before.0.min(u64::MAX - 1)), dead);
        let due_already = self.keys(after, dead);
        let certain = matches!((due, due_already), (Ok(due), Ok(already)) if due == already);
        for operation in step.iter().filter(|_| certain) {
            if let (Request::Command(words), Outcome::Replies(replies)) = (&operation.request, &operation.outcome)
                && let [seen] = &replies[..]
            {
                // A local read sweeps nothing up: what it met may still be counted by the next one.
                let expected = self.look(after, noise::database(db, words), words)?;
                self.compare(after, db, words, seen, &expected, operation)?;
            }
        }
        self.overlay.rollback();
        self.overlay.reset();
        self.counts = counts;
        Ok(())
    }

    fn begin(&mut self) {
        self.entries += 1;
        self.overlay.begin(self.entries);
    }

    fn keys<T>(&mut self, moment: Millis, work: impl FnOnce(&mut Keyspace<'_>) -> T) -> T {
        let mut view = OverlayView::new(&self.engine, &mut self.overlay);
        work(&mut Keyspace {
            store: &mut view,
            group: self.group,
            slots: self.slots,
            moment: Moment { stamp: moment, clock: moment },
            mode: Mode::Leader,
            counts: &mut self.counts,
            touched: &mut Vec::new(),
            events: &mut Events::default(),
            rng: &mut self.rng,
            thresholds: self.thresholds,
            usage: &self.usage,
            audience: &Nobody,
            manner: Manner::default(),
            named: Bytes::new(),
        })
    }

    fn run(&mut self, moment: Millis, db: u8, words: &Words) -> Result<Value, Violation> {
        let call = Call::new(db, Protocol::Resp2, words.clone());
        let mut bytes = BytesMut::new();
        // Lent out: the keyspace borrows all of this.
        let mut scripts = std::mem::replace(&mut self.scripts, Scripts::new(Default::default()));
        let done = self.keys(moment, |keys| command::execute_encoded(keys, Some(&mut scripts), &call, &mut bytes));
        self.scripts = scripts;
        match (done, parse_reply(&bytes.freeze())) {
            (Ok(()), Some((value, _))) => Ok(value),
            (done, _) => Err(Violation::new(PROMISE, vec![format!("{}: {done:?}", show_words(words))])),
        }
    }

    /// Runs a command that only reads and takes back what it swept up.
    fn look(&mut self, moment: Millis, db: u8, words: &Words) -> Result<Value, Violation> {
        let (counts, savepoint) = (self.counts.clone(), self.overlay.savepoint());
        let value = self.run(moment, db, words);
        self.overlay.rollback_to(savepoint);
        self.counts = counts;
        value
    }

    fn compare(
        &mut self,
        moment: Millis,
        db: u8,
        words: &Words,
        seen: &Value,
        expected: &Value,
        operation: &Operation,
    ) -> Result<(), Violation> {
        let agrees = match &words[0].to_ascii_uppercase()[..] {
            _ if matches!(expected, Value::Error(_)) => seen == expected,
            b"RANDOMKEY" => match seen {
                Value::Bulk(key) => self.living(moment, db)?.contains(key),
                _ => seen == expected,
            },
            b"HRANDFIELD" | b"SRANDMEMBER" | b"ZRANDMEMBER" => shape(seen) == shape(expected),
            b"OBJECT" if is_own_memory(words) => shape(seen) == shape(expected),
            // How far a part goes depends on what else the group stores.
            b"SCAN" => match scanned(seen) {
                Some(keys) => {
                    let living = self.living(moment, db)?;
                    keys.iter().all(|key| living.contains(key))
                }
                None => false,
            },
            // A dead key counts until it is swept up.
            b"DBSIZE" => match (seen, expected) {
                (Value::Integer(seen), Value::Integer(most)) => {
                    (self.living(moment, db)?.len() as i64..=*most).contains(seen)
                }
                _ => false,
            },
            _ => seen == expected,
        };
        if agrees {
            return Ok(());
        }
        let line = format!(
            "{} in database {db} at {moment}: {} instead of {}",
            show_words(words),
            show_value(seen),
            show_value(expected)
        );
        Err(Violation::new(PROMISE, vec![line, operation.line()]))
    }

    /// All keys of a database that have not ended. Whatever that sweeps up stays: later blocks would.
    fn living(&mut self, moment: Millis, db: u8) -> Result<Vec<Bytes>, Violation> {
        let counts = self.counts.clone();
        let savepoint = self.overlay.savepoint();
        let living = self.keys(moment, |keys| keys.matching(db, None));
        self.overlay.rollback_to(savepoint);
        self.counts = counts;
        living.map_err(|error| Violation::new(PROMISE, vec![error.to_string()]))
    }
}

/// How many keys and fields have ended and are still stored.
fn dead(keys: &mut Keyspace<'_>) -> crate::data::Result<(usize, usize)> {
    Ok((keys.due_keys(usize::MAX)?.len(), keys.dead_fields()?))
}

/// Whether `OBJECT` is asked for what a node remembers of lookups.
fn is_own_memory(words: &Words) -> bool {
    let about = words.get(1).map(|word| word.to_ascii_uppercase());
    matches!(about.as_deref(), Some(b"IDLETIME" | b"FREQ"))
}

/// Types and lengths without content.
fn shape(value: &Value) -> (u8, usize) {
    match value {
        Value::Bulk(_) => (1, 0),
        Value::Array(values) => (2, values.len()),
        Value::Null | Value::NullArray => (3, 0),
        _ => (4, 0),
    }
}

/// The keys of a part of an iteration.
fn scanned(value: &Value) -> Option<Vec<Bytes>> {
    let Value::Array(parts) = value else { return None };
    let [Value::Bulk(_), Value::Array(keys)] = &parts[..] else { return None };
    keys.iter()
        .map(|key| match key {
            Value::Bulk(key) => Some(key.clone()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;
    use crate::base::Slot;

    const TOKENS: [&str; 3] = ["token00001", "token00002", "token00003"];

    fn words(line: &str) -> Words {
        line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    fn block(number: usize, replies: Option<Vec<Value>>) -> Operation {
        let commands = [
            "APPEND {t}order #",
            "SET {t}at:# x PX 900",
            "PEXPIRETIME {t}at:#",
            "PUBLISH {t}news #",
            "INCR {t}s1",
            "SET {t}s2 v PX 50",
        ];
        let commands = commands.map(|line| words(&line.replace('#', TOKENS[number])));
        let outcome = replies.map_or(Outcome::Unknown, |noise| {
            let mut replies =
                vec![Value::Integer(10 * (number as i64 + 1)), Value::OK, Value::Integer(0), Value::Integer(0)];
            replies.extend(noise);
            Outcome::Replies(replies)
        });
        let start = Nanos(100 * number as u64);
        let end = (outcome != Outcome::Unknown).then_some(start + std::time::Duration::from_nanos(50));
        Operation {
            client: 1,
            family: 0,
            start,
            end,
            request: Request::Transaction(commands.into()),
            outcome,
            after: None,
        }
    }

    fn probe(at: u64, length: i64, line: &str, reply: Value) -> Vec<Operation> {
        let one = |line: &str, reply| Operation {
            client: 2,
            family: 0,
            start: Nanos(at),
            end: Some(Nanos(at + 1)),
            request: Request::Command(words(line)),
            outcome: Outcome::Replies(vec![reply]),
            after: None,
        };
        let order = || one("STRLEN {t}order", Value::Integer(length));
        vec![order(), one(line, reply), order()]
    }

    fn verdict<const N: usize>(steps: &[&[Operation]], moments: [u64; N]) -> Result<(), Violation> {
        let steps: Vec<(u8, &[Operation])> = steps.iter().map(|step| (12, *step)).collect();
        let moments = TOKENS.iter().zip(moments).map(|(token, at)| (Bytes::from(*token), Millis(at))).collect();
        let end = Ending {
            group: GroupId(1),
            slots: SlotRange::ALL,
            thresholds: Thresholds::default(),
            order: TOKENS[..N].concat().into(),
            published: TOKENS[..N].iter().map(|token| Bytes::from(*token)).collect(),
            moments,
        };
        check(&steps, &end)
    }

    #[test]
    fn replies_are_those_of_the_order() {
        assert!(SlotRange::ALL.contains(Slot::of(ORDER)));
        let [one, two] = [Value::Integer(1), Value::Integer(2)];
        let first = [block(0, Some(vec![one.clone(), Value::OK]))];
        let second = [block(1, Some(vec![two.clone(), Value::OK]))];
        let unknown = [block(0, None)];
        assert_eq!(verdict(&[&first, &second], [1_000, 1_010]), Ok(()));
        assert_eq!(verdict(&[&unknown, &second], [1_000, 1_010]), Ok(()), "the order knows of it");
        let wrong = [block(1, Some(vec![one, Value::OK]))];
        assert!(verdict(&[&unknown, &wrong], [1_000, 1_010]).is_err(), "a lost increment");
        assert!(verdict(&[&first, &second], [1_000, 999]).is_err(), "time goes back");
    }

    #[test]
    fn probes_see_the_state_between_two_blocks() {
        let (first, second) = ([block(0, None)], [block(1, None)]);
        let bulk = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
        let judged = |probe: Vec<Operation>, moments| verdict(&[&first, &second, &probe], moments).is_ok();
        assert!(judged(probe(60, 10, "GET {t}s1", bulk("1")), [1_000, 1_010]));
        assert!(!judged(probe(60, 10, "GET {t}s1", bulk("2")), [1_000, 1_010]));
        assert!(!judged(probe(60, 10, "GET {t}s2", Value::Null), [1_000, 1_010]), "it has not ended");
        assert!(judged(probe(60, 10, "GET {t}s2", Value::Null), [1_000, 1_060]), "it may have");
        assert!(judged(probe(60, 10, "DBSIZE", Value::Integer(2)), [1_000, 1_010]));
        assert!(!judged(probe(60, 10, "DBSIZE", Value::Integer(3)), [1_000, 1_010]));
    }

    #[test]
    fn a_dead_key_may_be_counted_until_it_is_swept_up_whatever_looked_at_it_before() {
        // The second block meets s1 only, after s2 has ended; the third comes in the same moment.
        let mut blocks = [0, 1, 2].map(|number| [block(number, None)]);
        if let Request::Transaction(commands) = &mut blocks[1][0].request {
            commands.truncate(4);
        }
        let judged = |line: &str, reply: Value, count: i64| {
            let mut probe = probe(160, 20, line, reply);
            let mut counted = probe[1].clone();
            counted.request = Request::Command(words("DBSIZE"));
            counted.outcome = Outcome::Replies(vec![Value::Integer(count)]);
            probe.insert(2, counted);
            verdict(&[&blocks[0], &blocks[1], &probe, &blocks[2]], [1_000, 1_060, 1_060]).is_ok()
        };
        let keys = || Value::Array(vec![Value::Bulk(Bytes::from_static(b"{t}s1"))]);
        assert!(judged("KEYS *", keys(), 1) && judged("KEYS *", keys(), 2));
        assert!(!judged("KEYS *", keys(), 3) && !judged("KEYS *", keys(), 0));
    }
}
