//! What clients ask: commands over families of a few keys that influence each other, transactions with and without
//! WATCH, and unique tokens for what must happen exactly once.
//!
//! Families are worn out and replaced: a history of a few hundred operations is judged quickly, and an operation of
//! unknown outcome makes judging harder for as long as its family lives.

use std::time::Duration;

use bytes::Bytes;

use super::check::once::TOKEN_BYTES;
use super::check::{Request, Words};
use super::clock::true_wall;
use super::noise::Noise;
use crate::base::{Nanos, Rng};

/// Operations after which a family is replaced.
const FAMILY_OPERATIONS_MAX: u64 = 300;
/// Unknown outcomes after which a family is replaced.
const FAMILY_UNKNOWN_MAX: u64 = 4;
/// Families in use at a time.
const FAMILIES: usize = 6;
/// Keys that only tokens are appended to.
const TOKEN_KEYS: u64 = 3;
/// Keys that are only incremented.
const COUNTER_KEYS: u64 = 2;
/// Family numbers at or above this are token keys, one each.
const TOKENS_FROM: u64 = 1 << 32;
/// Family numbers at or above this are counters, one each.
const COUNTERS_FROM: u64 = 2 << 32;
/// Keys that are queues: tokens are pushed on one end and waited for at the other.
const QUEUE_KEYS: u64 = 2;
/// Family numbers at or above this are queues, one each.
const QUEUES_FROM: u64 = 3 << 32;
/// Keys that are incremented by clients that watch them.
const OPTIMISTIC_KEYS: u64 = 2;
/// Family numbers at or above this are such keys, one each.
const OPTIMISTIC_FROM: u64 = 4 << 32;
/// Keys that are set with deadlines and read.
const MORTAL_KEYS: u64 = 2;
/// Family numbers at or above this are such keys, one each.
const MORTAL_FROM: u64 = 5 << 32;
/// Family numbers at or above this are noise, one per database.
pub const NOISE_FROM: u64 = 6 << 32;

/// What kind of history a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any commands of the model.
    Mixed,
    /// Appends of tokens and reads of one key.
    Tokens,
    /// Increments and reads of one key.
    Counter,
    /// Pushes of tokens on one key, and clients that wait for them.
    Queue,
    /// WATCH and a read of one key, and transactions that increment it.
    Optimistic,
    /// Short-lived unique values of one key, and reads.
    Mortal,
    /// Blocks and probes of noise; those of all databases are judged together.
    Noise,
}

/// A generator of requests.
pub struct Workload {
    rng: Rng,
    noise: Noise,
    families: Vec<Family>,
    next_family: u64,
    next_token: u64,
    /// One family for everybody, and `FLUSHALL` among its commands: it touches every family there is.
    wipes: bool,
}

#[derive(Clone, Copy)]
struct Family {
    number: u64,
    operations: u64,
    unknown: u64,
}

/// A client's next request: consecutive steps of one family; more than one is a pipeline.
#[derive(Clone, Debug)]
pub struct Step {
    /// The family.
    pub family: u64,
    /// What to send, in order.
    pub requests: Vec<Request>,
}

/// What kind a family is.
pub fn kind(family: u64) -> Kind {
    match family {
        NOISE_FROM.. => Kind::Noise,
        MORTAL_FROM.. => Kind::Mortal,
        OPTIMISTIC_FROM.. => Kind::Optimistic,
        QUEUES_FROM.. => Kind::Queue,
        COUNTERS_FROM.. => Kind::Counter,
        TOKENS_FROM.. => Kind::Tokens,
        _ => Kind::Mixed,
    }
}

/// The key of a family that has one.
pub fn single_key(family: u64) -> Bytes {
    match kind(family) {
        Kind::Tokens => format!("tokens:{}", family - TOKENS_FROM).into(),
        Kind::Counter => format!("counter:{}", family - COUNTERS_FROM).into(),
        Kind::Queue => format!("queue:{}", family - QUEUES_FROM).into(),
        Kind::Optimistic => format!("optimistic:{}", family - OPTIMISTIC_FROM).into(),
        Kind::Mortal => format!("mortal:{}", family - MORTAL_FROM).into(),
        Kind::Mixed | Kind::Noise => format!("{{f{family}}}a").into(),
    }
}

/// All families of one key whose value in the end matters to their judge.
pub fn single_families() -> impl Iterator<Item = u64> {
    let from = [
        (TOKENS_FROM, TOKEN_KEYS),
        (COUNTERS_FROM, COUNTER_KEYS),
        (QUEUES_FROM, QUEUE_KEYS),
        (OPTIMISTIC_FROM, OPTIMISTIC_KEYS),
    ];
    from.into_iter().flat_map(|(from, keys)| from..from + keys)
}

/// How long a request wants to wait for a key.
pub fn patience(request: &Request) -> Option<Duration> {
    match request {
        Request::Command(words) if words[0] == "BLPOP" => {
            let seconds: f64 = std::str::from_utf8(&words[2]).ok()?.parse().ok()?;
            Some(Duration::from_secs_f64(seconds))
        }
        _ => None,
    }
}

impl Workload {
    /// A generator.
    pub fn new(mut rng: Rng, wipes: bool) -> Workload {
        let noise = Noise::new(&mut rng);
        let count = if wipes { 1 } else { FAMILIES as u64 };
        let families = (0..count).map(Family::new).collect();
        Workload { rng, noise, families, next_family: count, next_token: 0, wipes }
    }

    /// What a client does next. `watching`: the family that the client has watched keys of, whose transaction comes now.
    /// In a hurry, mostly what can be judged however much of it there is.
    pub fn next(&mut self, now: Nanos, watching: Option<u64>, hurry: bool) -> Step {
        if let Some(family) = watching {
            if kind(family) == Kind::Optimistic {
                let increment = vec![word("INCR"), single_key(family)];
                return Step { family, requests: vec![Request::Transaction(vec![increment])] };
            }
            return Step { family, requests: vec![self.transaction(now, family)] };
        }
        if self.wipes {
            return self.mixed(now);
        }
        let (tokens, counters, queues, optimistic, mortal, noise) =
            if hurry { (18, 64, 74, 84, 88, 91) } else { (12, 20, 29, 33, 36, 57) };
        match self.rng.below(100) {
            draw if draw < tokens => self.single(TOKENS_FROM, TOKEN_KEYS, "APPEND"),
            draw if draw < counters => self.single(COUNTERS_FROM, COUNTER_KEYS, "INCR"),
            draw if draw < queues => self.queue(),
            draw if draw < optimistic => self.optimistic(),
            draw if draw < mortal => self.mortal(),
            draw if draw < noise => self.noise(now),
            _ => self.mixed(now),
        }
    }

    fn mixed(&mut self, now: Nanos) -> Step {
        let family = self.family();
        let requests = match self.rng.below(100) {
            0..8 => vec![self.watch(family)],
            8..16 => vec![self.transaction(now, family)],
            16..28 => {
                let length = self.rng.range(2, 6);
                (0..length).map(|_| Request::Command(self.command(now, family))).collect()
            }
            _ => vec![Request::Command(self.command(now, family))],
        };
        Step { family, requests }
    }

    /// What a client that only reads does next: it looks where a stale answer shows. Nothing that might write: it would
    /// wait at a leader that is cut off, just when that one's reads matter.
    pub fn read(&mut self) -> Step {
        let (from, keys, name) = match self.rng.below(4) {
            0 => (TOKENS_FROM, TOKEN_KEYS, "STRLEN"),
            _ => (COUNTERS_FROM, COUNTER_KEYS, "GET"),
        };
        let family = from + self.rng.below(keys);
        Step { family, requests: vec![Request::Command(vec![word(name), single_key(family)])] }
    }

    /// A token for a queue, or a client that waits for one.
    fn queue(&mut self) -> Step {
        let family = QUEUES_FROM + self.rng.below(QUEUE_KEYS);
        let words = if self.rng.chance(1, 2) {
            self.next_token += 1;
            vec![word("RPUSH"), single_key(family), format!("token{:05}", self.next_token).into()]
        } else {
            let seconds = self.rng.range(1, 3_000) as f64 / 1_000.0;
            vec![word("BLPOP"), single_key(family), seconds.to_string().into()]
        };
        Step { family, requests: vec![Request::Command(words)] }
    }

    /// What comes before an increment that must find the counter as it was read.
    fn optimistic(&mut self) -> Step {
        let family = OPTIMISTIC_FROM + self.rng.below(OPTIMISTIC_KEYS);
        let key = single_key(family);
        let read = Request::Command(vec![word("GET"), key.clone()]);
        Step { family, requests: vec![Request::Watch(vec![key]), read] }
    }

    /// A value that ends soon, or a look whether it has.
    fn mortal(&mut self) -> Step {
        let family = MORTAL_FROM + self.rng.below(MORTAL_KEYS);
        let words = if self.rng.chance(1, 2) {
            let milliseconds = self.rng.range(1, 800).to_string().into();
            vec![word("SET"), single_key(family), self.token(), word("PX"), milliseconds]
        } else {
            vec![word("GET"), single_key(family)]
        };
        Step { family, requests: vec![Request::Command(words)] }
    }

    /// What a client does while nobody writes: it also looks at keys that may end.
    pub fn look(&mut self) -> Step {
        if self.wipes || self.rng.chance(1, 2) {
            return self.read();
        }
        if self.rng.chance(2, 3) {
            let family = MORTAL_FROM + self.rng.below(MORTAL_KEYS);
            return Step { family, requests: vec![Request::Command(vec![word("GET"), single_key(family)])] };
        }
        let family = self.family();
        Step { family, requests: vec![Request::Command(vec![word("GET"), self.key(family)])] }
    }

    /// An operation of this family ended without its outcome being known.
    pub fn note_unknown(&mut self, family: u64) {
        if let Some(family) = self.families.iter_mut().find(|known| known.number == family) {
            family.unknown += 1;
        }
    }

    fn family(&mut self) -> u64 {
        let at = self.rng.below(self.families.len() as u64) as usize;
        let family = &mut self.families[at];
        let worn = family.operations >= FAMILY_OPERATIONS_MAX || family.unknown >= FAMILY_UNKNOWN_MAX;
        if worn && !self.wipes {
            *family = Family::new(self.next_family);
            self.next_family += 1;
        }
        family.operations += 1;
        family.number
    }

    fn single(&mut self, from: u64, keys: u64, write: &str) -> Step {
        let family = from + self.rng.below(keys);
        let key = single_key(family);
        let words = match self.rng.below(10) {
            0..5 if write == "APPEND" => vec![word("APPEND"), key, self.token()],
            0..5 => vec![word(write), key],
            5..8 if write == "APPEND" => vec![word("STRLEN"), key],
            _ => vec![word("GET"), key],
        };
        Step { family, requests: vec![Request::Command(words)] }
    }

    fn noise(&mut self, now: Nanos) -> Step {
        let family = NOISE_FROM + u64::from(self.noise.database());
        let requests = if self.rng.chance(2, 3) {
            let token = self.token();
            self.noise.block(now, &token)
        } else {
            self.noise.probe(now)
        };
        Step { family, requests }
    }

    fn token(&mut self) -> Bytes {
        self.next_token += 1;
        let token = format!("{:0width$x}", self.next_token, width = TOKEN_BYTES);
        token.into()
    }

    fn watch(&mut self, family: u64) -> Request {
        let mut keys = vec![self.key(family)];
        if self.rng.chance(1, 3) {
            let other = self.key(family);
            if other != keys[0] {
                keys.push(other);
            }
        }
        Request::Watch(keys)
    }

    fn transaction(&mut self, now: Nanos, family: u64) -> Request {
        let length = self.rng.range(1, 5);
        let mut commands: Vec<Words> = (0..length).map(|_| self.command(now, family)).collect();
        // An absolute deadline may be over when the block runs; then the rest of the block finds the key gone, which a
        // model with uncertain time cannot follow.
        let is_absolute = |words: &Words| words.iter().any(|word| word == "PXAT" || word == "PEXPIREAT");
        for words in commands.iter_mut().filter(|words| is_absolute(words)) {
            *words = vec![word("GET"), words[1].clone()];
        }
        Request::Transaction(commands)
    }

    fn key(&mut self, family: u64) -> Bytes {
        let name = *self.rng.pick(&["a", "a", "b", "c"]);
        format!("{{f{family}}}{name}").into()
    }

    fn field(&mut self) -> Bytes {
        let name = *self.rng.pick(&["x", "y", "z", "long-field-name"]);
        word(name)
    }

    fn value(&mut self) -> Bytes {
        match self.rng.below(4) {
            0 => self.rng.below(100).to_string().into(),
            // Unique values make stale reads visible.
            1 | 2 => self.token(),
            _ => {
                let length = self.rng.below(200) as usize;
                Bytes::from(vec![b'v'; length])
            }
        }
    }

    fn number(&mut self) -> Bytes {
        (self.rng.below(200) as i64 - 100).to_string().into()
    }

    /// A deadline some time from now, as an absolute moment in milliseconds.
    fn moment(&mut self, now: Nanos) -> Bytes {
        (true_wall(now).0 + self.rng.range(1, 4_000)).to_string().into()
    }

    fn milliseconds(&mut self) -> Bytes {
        self.rng.range(1, 4_000).to_string().into()
    }

    /// One command of the model's table on keys of a family.
    fn command(&mut self, now: Nanos, family: u64) -> Words {
        let key = self.key(family);
        if self.wipes && self.rng.chance(1, 20) {
            return vec![word("FLUSHALL")];
        }
        match self.rng.below(100) {
            0..18 => vec![word("GET"), key],
            18..30 => vec![word("SET"), key, self.value()],
            30..34 => self.set_with_options(now, key),
            34..37 => vec![word("GETSET"), key, self.value()],
            37 => vec![word("GETDEL"), key],
            38..40 => vec![word("GETEX"), key, word("PX"), self.milliseconds()],
            40 => vec![word("GETEX"), key, word("PERSIST")],
            41..44 => vec![word("APPEND"), key, self.value()],
            44 => vec![word("STRLEN"), key],
            45..49 => vec![word("INCR"), key],
            49 => vec![word("DECRBY"), key, self.number()],
            50..52 => vec![word("SETNX"), key, self.value()],
            52 => vec![word("PSETEX"), key, self.milliseconds(), self.value()],
            53 => vec![word("SETRANGE"), key, self.rng.below(40).to_string().into(), self.value()],
            54 => vec![word("GETRANGE"), key, self.number(), self.number()],
            55..58 => self.set_many(family, key),
            58..61 => vec![word("MGET"), key, self.key(family), self.key(family)],
            61..65 => vec![word("DEL"), key],
            65 => vec![word("UNLINK"), key, self.key(family)],
            66..68 => vec![word("EXISTS"), key.clone(), self.key(family), key],
            68 => vec![word("TYPE"), key],
            69 => vec![word("RENAME"), key, self.key(family)],
            70 => vec![word("RENAMENX"), key, self.key(family)],
            71..73 => vec![word("PEXPIRE"), key, self.milliseconds()],
            73..76 => vec![word("PEXPIREAT"), key, self.moment(now)],
            76 => vec![word("PERSIST"), key],
            77 => vec![word("PTTL"), key],
            78 => vec![word("TTL"), key],
            79 => vec![word("PEXPIRETIME"), key],
            80..85 => vec![word("HSET"), key, self.field(), self.value()],
            85 => vec![word("HSETNX"), key, self.field(), self.value()],
            86..89 => vec![word("HINCRBY"), key, self.field(), self.number()],
            89..92 => vec![word("HGET"), key, self.field()],
            92 => vec![word("HMGET"), key, self.field(), self.field()],
            93..96 => vec![word("HGETALL"), key],
            96 => vec![word("HDEL"), key, self.field(), self.field()],
            97 => vec![word("HLEN"), key],
            98 => vec![word("HKEYS"), key],
            _ => vec![word("HEXISTS"), key, self.field()],
        }
    }

    fn set_with_options(&mut self, now: Nanos, key: Bytes) -> Words {
        let mut words = vec![word("SET"), key, self.value()];
        match self.rng.below(6) {
            0 => words.push(word("NX")),
            1 => words.push(word("XX")),
            2 => words.push(word("GET")),
            3 => words.push(word("KEEPTTL")),
            4 => words.extend([word("PX"), self.milliseconds()]),
            _ => words.extend([word("PXAT"), self.moment(now)]),
        }
        words
    }

    fn set_many(&mut self, family: u64, key: Bytes) -> Words {
        let name = *self.rng.pick(&["MSET", "MSET", "MSETNX"]);
        vec![word(name), key, self.value(), self.key(family), self.value()]
    }
}

impl Family {
    fn new(number: u64) -> Family {
        Family { number, operations: 0, unknown: 0 }
    }
}

fn word(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::check::linear::{Verdict, check};
    use super::super::check::model::Family as Model;
    use super::super::check::{Operation, Outcome};
    use super::super::client::{call, family_database};
    use super::super::clock::EPOCH;
    use super::*;
    use bytes::BytesMut;

    use crate::base::Millis;
    use crate::command;
    use crate::data::Moment;
    use crate::data::testing::World;
    use crate::resp::parse_reply;

    /// The model was written from Redis's documentation, the commands too: where they differ, one is wrong.
    #[test]
    fn the_model_and_the_commands_agree_on_what_the_workload_asks() {
        for seed in 0..60 {
            let mut workload = Workload::new(Rng::new(seed), seed.is_multiple_of(4));
            let mut world = World::new(EPOCH.0);
            let mut time = Nanos(0);
            let mut history = Vec::new();
            for _ in 0..800 {
                time = time + std::time::Duration::from_millis(workload.rng.below(300));
                let wall = Millis(EPOCH.0 + time.0 / 1_000_000);
                world.moment = Moment { stamp: wall, clock: wall };
                let step = workload.next(time, None, false);
                for request in step.requests {
                    time.0 += 1;
                    let commands = match &request {
                        Request::Command(words) => vec![words.clone()],
                        Request::Transaction(commands) => commands.clone(),
                        Request::Watch(_) => continue,
                    };
                    if kind(step.family) != Kind::Mixed {
                        continue;
                    }
                    let db = family_database(step.family);
                    // As a client sees it: a map of RESP3 is a flat array to the simulated ones.
                    let run = |words: &Words, world: &mut World| {
                        let call = call(db, words);
                        let mut bytes = BytesMut::new();
                        let done = world.keys(|keys| command::execute_encoded(keys, None, &call, &mut bytes));
                        done.expect("memory does not fail");
                        parse_reply(&bytes.freeze()).expect("a whole reply").0
                    };
                    let replies = commands.iter().map(|words| run(words, &mut world)).collect();
                    let outcome = Outcome::Replies(replies);
                    let (family, start, end) = (step.family, time, Some(time));
                    history.push(Operation { client: 0, family, start, end, request, outcome, after: None });
                }
            }
            let model = Model { epoch: EPOCH, wall_error_ms: 0 };
            let families: std::collections::BTreeSet<u64> = history.iter().map(|operation| operation.family).collect();
            for family in families {
                let history: Vec<_> = history.iter().filter(|operation| operation.family == family).cloned().collect();
                let verdict = check(&model, &history, 100_000);
                if let Verdict::Violated(violation) = &verdict {
                    panic!("seed {seed}, family {family}:\n{}", violation.story.join("\n"));
                }
                assert_eq!(verdict, Verdict::Linearizable);
            }
        }
    }
}
