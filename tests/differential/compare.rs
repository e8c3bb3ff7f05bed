//! What "the same reply" means, command by command, and what is accepted although it differs.
//!
//! Accepted, with the reason beside each: [`is_known`].

use std::fmt;

use bytes::Bytes;
use holdfast::rdb;
use holdfast::sim::grammar;

use crate::steps::{Act, Step};
use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::{Target, notation, words};

/// Databases that the grammar uses.
const DATABASES: [u8; 4] = [0, 1, 2, 15];
/// Milliseconds by which the clocks of two evaluations of one command may differ.
const CLOCK_TOLERANCE: i64 = 2_000;
/// Parts of one iteration, after which it counts as endless.
const SCAN_PARTS_MAX: usize = 10_000;

/// Two replies to one command.
pub struct Difference {
    command: String,
    holdfast: Reply,
    redis: Reply,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (holdfast, redis) = (notation::reply(&self.holdfast), notation::reply(&self.redis));
        write!(f, "> {}\nRedis:\n{redis}\nHoldfast:\n{holdfast}", self.command)
    }
}

/// How replies of a command are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// To the byte.
    Exact,
    /// The same elements in any order.
    Unordered,
    /// Names, each with a value behind it, in any order.
    Pairs,
    /// Fields of a hash, values of a hash, or both: ordered while the hash is small.
    Fields,
    /// Numbers that depend on the time, with a tolerance in the command's unit.
    Near(i64),
    /// Elements drawn at random: as many, and all from what there is.
    Random,
    /// A part of an iteration: the whole iteration gives the same elements.
    Cursor,
    /// Facts of streams: without the times in them, which are those of two clocks, and what 7.2 added.
    Facts,
    /// A payload of DUMP: the same value, whatever the version and the order.
    Dumped,
    /// Something that differs from server to server: only the kind of the reply is the same.
    Any,
    /// Lists of lists, each in any order.
    Deep,
    /// A payload of FUNCTION DUMP: the same libraries.
    Libraries,
    /// Scores that are the same numbers, whatever their digits.
    Scores,
    /// A number of keys. Redis counts a key that SET gave a deadline in the past until something looks at it.
    Size,
}

fn kind(args: &[Bytes]) -> Kind {
    let word = |at: usize| args.get(at).map(|word| String::from_utf8_lossy(word).to_uppercase()).unwrap_or_default();
    // Distances are nowhere else, and nobody adds to them.
    if args.get(1).is_some_and(|key| &key[..] == b"{t}d1") && word(0).starts_with('Z') {
        return Kind::Scores;
    }
    match word(0).as_str() {
        "FUNCTION" if word(1) == "LIST" => Kind::Deep,
        "FUNCTION" if word(1) == "DUMP" => Kind::Libraries,
        // Redis 7.0 has no small sets of other words than integers, so the order of its members is no promise.
        "DUMP" => Kind::Dumped,
        "XINFO" | "XPENDING" if word(1) != "HELP" => Kind::Facts,
        "KEYS" | "SDIFF" | "SINTER" | "SMEMBERS" | "SUNION" => Kind::Unordered,
        "DBSIZE" => Kind::Size,
        "HGETALL" | "HKEYS" | "HVALS" => Kind::Fields,
        "TTL" | "EXPIRETIME" => Kind::Near(CLOCK_TOLERANCE / 1000),
        "PTTL" | "PEXPIRETIME" => Kind::Near(CLOCK_TOLERANCE),
        "RANDOMKEY" | "HRANDFIELD" | "SRANDMEMBER" | "SPOP" | "ZRANDMEMBER" => Kind::Random,
        "SCAN" | "HSCAN" | "SSCAN" | "ZSCAN" => Kind::Cursor,
        // Redis's access clock belongs to the object, and small integers are one object for everybody.
        "OBJECT" if word(1) == "IDLETIME" => Kind::Any,
        "MEMORY" if word(1) == "USAGE" => Kind::Any,
        "CLIENT" if ["ID", "INFO", "LIST"].contains(&word(1).as_str()) => Kind::Any,
        // These have tests of their own: facts.rs.
        "COMMAND" if ["", "COUNT", "INFO", "LIST"].contains(&word(1).as_str()) => Kind::Any,
        "CONFIG" if word(1) == "GET" => Kind::Pairs,
        "LATENCY" if word(1) == "HISTOGRAM" => Kind::Any,
        "HELLO" | "INFO" | "LASTSAVE" | "LOLWUT" | "ROLE" | "SLOWLOG" | "TIME" | "WAIT" => Kind::Any,
        _ => Kind::Exact,
    }
}

/// All connections, each on both sides.
pub struct Sessions<'a> {
    pairs: Vec<Session<'a>>,
}

/// One connection on both sides, and what it was told that outlives a command.
struct Session<'a> {
    holdfast: &'a mut dyn Target,
    redis: &'a mut Client,
    db: u8,
    /// The commands between MULTI and EXEC.
    queue: Option<Vec<Vec<Bytes>>>,
    /// Parameters that both have, with one value at the start: others differ by what the servers are and where they
    /// run (persistence, addresses, directories, limits).
    parameters: Vec<Reply>,
}

impl<'a> Sessions<'a> {
    /// All from the start.
    pub fn new(holdfast: &'a mut [Box<dyn Target>], redis: &'a mut [Client]) -> Sessions<'a> {
        let pairs = holdfast.iter_mut().zip(redis).map(|(holdfast, redis)| Session {
            holdfast: &mut **holdfast,
            redis,
            db: 0,
            queue: None,
            parameters: Vec::new(),
        });
        let mut sessions = Sessions { pairs: pairs.collect() };
        for session in &mut sessions.pairs {
            session.reset();
            let (_, theirs) = pairs_of(&session.redis.call(&words("CONFIG GET *")));
            let (_, ours) = pairs_of(&session.holdfast.call(&words("CONFIG GET *")));
            session.parameters =
                ours.into_iter().filter(|pair| theirs.contains(pair)).map(|pair| pair[0].clone()).collect();
        }
        sessions
    }

    /// Takes one step on both sides.
    pub fn step(&mut self, step: &Step) -> Option<Difference> {
        let session = &mut self.pairs[step.on];
        match &step.act {
            Act::Call(args) => {
                let uncertain = session.ends_block_with(args, is_uncertain);
                let empties = session.empties(args) || uncertain;
                let is_untold = |args: &[Bytes]| leaves_watchers_alone(args);
                let untold =
                    if session.queue.is_none() { is_untold(args) } else { session.ends_block_with(args, is_untold) };
                let difference = session.call(args);
                if uncertain {
                    session.holdfast.call(&words("FLUSHALL"));
                    session.redis.call(&words("FLUSHALL"));
                }
                if empties || untold {
                    // Redis stops an EXEC only for watched keys that were there; here emptying a database touches
                    // all of it. And it does not tell watchers of what it keeps beside the entries of a stream.
                    self.pairs.iter_mut().for_each(Session::unwatch);
                }
                return difference;
            }
            Act::Select(_) | Act::Protocol(_) if session.queue.is_some() => {}
            Act::Select(db) => {
                session.db = *db;
                session.select(*db);
            }
            Act::Protocol(version) => {
                session.holdfast.protocol(*version);
                session.redis.protocol(*version);
            }
        }
        None
    }

    /// Compares everything that is stored, as far as a connection is free to ask.
    pub fn audit(&mut self) -> Option<Difference> {
        self.pairs.iter_mut().find(|session| session.queue.is_none())?.audit()
    }
}

impl Session<'_> {
    fn reset(&mut self) {
        for target in [&mut *self.holdfast, &mut *self.redis as &mut dyn Target] {
            // Leaves a transaction that an earlier run did not end; elsewhere it is an error, which is fine.
            target.call(&words("DISCARD"));
            target.call(&words("UNWATCH"));
            target.call(&words("SCRIPT FLUSH"));
            target.call(&words("FUNCTION FLUSH"));
            target.reset();
        }
    }

    fn audit(&mut self) -> Option<Difference> {
        let difference = DATABASES.into_iter().find_map(|db| {
            self.select(db);
            self.audit_database()
        });
        self.select(self.db);
        difference
    }

    fn audit_database(&mut self) -> Option<Difference> {
        for line in ["DBSIZE", "KEYS *"] {
            if let Some(difference) = self.call(&words(line)) {
                return Some(difference);
            }
        }
        let keys = self.redis.call(&words("KEYS *")).elements();
        keys.iter().find_map(|key| {
            let Reply::Bulk(key) = key else { return None };
            let questions: [&[&str]; 3] = [&["TYPE"], &["OBJECT", "ENCODING"], &["PEXPIRETIME"]];
            let questions = questions.map(|question| command(question, key));
            [self.read_all(key)].into_iter().chain(questions).find_map(|question| self.call(&question))
        })
    }

    fn select(&mut self, db: u8) {
        self.holdfast.select(db);
        self.redis.select(db);
    }

    /// Whether a command empties a database, now or as the end of a transaction.
    fn empties(&self, args: &[Bytes]) -> bool {
        let is_flush = |args: &[Bytes]| args[0].to_ascii_uppercase().starts_with(b"FLUSH");
        if self.queue.is_none() { is_flush(args) } else { self.ends_block_with(args, is_flush) }
    }

    /// Whether this is the end of a transaction with such a command in it.
    fn ends_block_with(&self, args: &[Bytes], is_such: impl Fn(&[Bytes]) -> bool) -> bool {
        let queue = self.queue.as_ref().filter(|_| args[0].eq_ignore_ascii_case(b"exec"));
        queue.is_some_and(|queue| queue.iter().any(|args| is_such(args)))
    }

    /// Forgets what is watched, and with it a transaction that depends on it.
    fn unwatch(&mut self) {
        let word = if self.queue.take().is_some() { "DISCARD" } else { "UNWATCH" };
        self.holdfast.call(&words(word));
        self.redis.call(&words(word));
    }

    /// In 7.2 a consumer is there as soon as it asked for something, in 7.0 once it got something (#11099).
    fn make_consumers(&mut self, args: &[Bytes]) {
        let Ok(spec) = holdfast::command::check(args) else { return };
        let at = match spec.name {
            "xclaim" | "xautoclaim" => 2,
            "xreadgroup" => args.iter().position(|word| word.eq_ignore_ascii_case(b"group")).map_or(0, |at| at + 1),
            _ => return,
        };
        for (key, _) in spec.keys_of(args) {
            let words = ["XGROUP", "CREATECONSUMER"].map(|word| Bytes::from_static(word.as_bytes()));
            let names = [key, at, at + 1].map(|at| args[at].clone());
            self.redis.call(&words.into_iter().chain(names).collect::<Vec<_>>());
        }
    }

    /// 7.2 does not set the last id of a stream below one that was deleted (#11444): both go on without the stream.
    fn is_refused_by_7_2(&mut self, args: &[Bytes], holdfast: &Reply, redis: &Reply) -> bool {
        let is_refused = args[0].eq_ignore_ascii_case(b"xsetid")
            && matches!(holdfast, Reply::Error(line) if line.ends_with("smaller than current max_deleted_entry_id"));
        if is_refused && !redis.is_error() {
            let end = command(&["DEL"], &args[1]);
            self.holdfast.call(&end);
            self.redis.call(&end);
        }
        is_refused
    }

    fn call(&mut self, args: &[Bytes]) -> Option<Difference> {
        if self.queue.is_none() && is_sort(args) {
            // Redis reads numbers with what an earlier command left in C's `errno`: once one was too large, every SORT
            // is refused. This call is as well, and clears it.
            self.redis.call(&words("HINCRBYFLOAT {t}nothing f x"));
        }
        let holdfast = self.holdfast.call(args);
        let redis = self.redis.call(args);
        if self.queue.is_none() && !redis.is_error() {
            self.make_consumers(args);
        }
        if self.queue.is_none() && self.is_refused_by_7_2(args, &holdfast, &redis) {
            return None;
        }
        let queued = self.queue.as_mut();
        let same = match (args[0].to_ascii_uppercase().as_slice(), queued) {
            (b"EXEC", Some(_)) if !redis.is_error() => {
                let queue = self.queue.take().unwrap_or_default();
                self.executed(&queue, &holdfast, &redis)
            }
            (b"RESET", _) if !redis.is_error() => {
                (self.queue, self.db) = (None, 0);
                holdfast == redis
            }
            (b"DISCARD", Some(_)) if !redis.is_error() => {
                self.queue = None;
                holdfast == redis
            }
            (_, Some(_)) if matches!(&redis, Reply::Error(line) if line.starts_with("EXECABORT")) => {
                self.queue = None;
                holdfast == redis
            }
            // Commands over all keys need all groups, and a transaction works on one of them, until two-phase commit
            // is built.
            (
                b"DBSIZE" | b"FLUSHALL" | b"FLUSHDB" | b"FUNCTION" | b"KEYS" | b"RANDOMKEY" | b"SCAN" | b"SCRIPT",
                Some(_),
            ) if matches!(&holdfast, Reply::Error(line) if line.starts_with("CROSSSLOT")) => {
                self.unwatch();
                true
            }
            (_, Some(queue)) => {
                if redis == Reply::Simple("QUEUED".into()) {
                    queue.push(args.to_vec());
                }
                holdfast == redis
            }
            (b"MULTI", None) => {
                self.queue = (!redis.is_error()).then(Vec::new);
                holdfast == redis
            }
            (_, None) => {
                self.note_database(args, &redis);
                self.same(args, &holdfast, &redis)
            }
        };
        if same || is_known(args, &holdfast, &redis) {
            return None;
        }
        Some(Difference { command: notation::command(args), holdfast, redis })
    }

    /// Remembers the database that a SELECT chose.
    fn note_database(&mut self, args: &[Bytes], reply: &Reply) {
        let number = args.get(1).and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        if let (true, false, Some(db)) = (args[0].eq_ignore_ascii_case(b"select"), reply.is_error(), number) {
            self.db = db;
        }
    }

    /// The replies of a transaction, each by its command; what was true in the middle of it cannot be asked any more.
    fn executed(&mut self, queue: &[Vec<Bytes>], holdfast: &Reply, redis: &Reply) -> bool {
        let (ours, theirs) = match (holdfast, redis) {
            (Reply::Array(ours), Reply::Array(theirs)) if ours.len() == theirs.len() => (ours, theirs),
            _ => return holdfast == redis,
        };
        for (args, theirs) in queue.iter().zip(theirs) {
            self.note_database(args, theirs);
            if !theirs.is_error() {
                self.make_consumers(args);
            }
        }
        if queue.iter().any(|args| is_uncertain(args)) {
            // Both drew, or Redis refused to sort, and what came after depends on it.
            return true;
        }
        queue.iter().zip(ours.iter().zip(theirs)).all(|(args, (ours, theirs))| {
            let same = match kind(args) {
                Kind::Exact => ours == theirs,
                Kind::Pairs => self.same_parameters(ours, theirs),
                Kind::Dumped => dumped(ours) == dumped(theirs),
                Kind::Deep => deep(ours) == deep(theirs),
                Kind::Libraries => libraries(ours) == libraries(theirs),
                Kind::Scores => are_same_numbers(ours, theirs),
                Kind::Facts => plain(ours) == plain(theirs),
                Kind::Unordered | Kind::Fields => sorted(ours) == sorted(theirs),
                Kind::Near(tolerance) => is_near(ours, theirs, tolerance),
                Kind::Random | Kind::Cursor | Kind::Size | Kind::Any => ours.is_error() == theirs.is_error(),
            };
            // A value that this very block set is also referred to by Redis's queue of the block, until it ends.
            let is_queued =
                args[0].eq_ignore_ascii_case(b"object") && (ours, theirs) == (&Reply::Integer(1), &Reply::Integer(2));
            same || is_queued || is_known(args, ours, theirs) || self.is_refused_by_7_2(args, ours, theirs)
        })
    }

    fn same(&mut self, args: &[Bytes], holdfast: &Reply, redis: &Reply) -> bool {
        if holdfast.is_error() || redis.is_error() {
            return holdfast == redis;
        }
        match kind(args) {
            Kind::Exact => holdfast == redis,
            Kind::Dumped => dumped(holdfast) == dumped(redis),
            Kind::Deep => deep(holdfast) == deep(redis),
            Kind::Libraries => libraries(holdfast) == libraries(redis),
            Kind::Scores => are_same_numbers(holdfast, redis),
            Kind::Facts => plain(holdfast) == plain(redis),
            Kind::Unordered => sorted(holdfast) == sorted(redis),
            Kind::Pairs => self.same_parameters(holdfast, redis),
            Kind::Fields if holdfast == redis => true,
            Kind::Fields => {
                let encoding = self.redis.call(&command(&["OBJECT", "ENCODING"], &args[1]));
                encoding == Reply::Bulk(b"hashtable".to_vec()) && sorted(holdfast) == sorted(redis)
            }
            Kind::Near(tolerance) => is_near(holdfast, redis, tolerance),
            Kind::Size if holdfast == redis => true,
            Kind::Size => {
                let look = grammar::KEYS.iter().map(|key| Bytes::from_static(key.as_bytes()));
                let look: Vec<Bytes> = [Bytes::from_static(b"EXISTS")].into_iter().chain(look).collect();
                self.redis.call(&look);
                *holdfast == self.redis.call(args)
            }
            Kind::Any => std::mem::discriminant(holdfast) == std::mem::discriminant(redis),
            Kind::Random => self.is_drawn(args, holdfast, redis),
            // A cursor that nobody gave out may stand for any place.
            Kind::Cursor if !is_start(args) => holdfast.elements().len() == redis.elements().len(),
            Kind::Cursor => {
                let ours = whole(self.holdfast, args, holdfast);
                let theirs = whole(self.redis, args, redis);
                ours == theirs
            }
        }
    }

    /// Whether CONFIG GET showed the same values of all parameters that can be compared.
    fn same_parameters(&self, holdfast: &Reply, redis: &Reply) -> bool {
        let (mut ours, mut theirs) = (pairs_of(holdfast), pairs_of(redis));
        if ours != theirs {
            let compared = |pair: &Vec<Reply>| self.parameters.contains(&pair[0]);
            ours.1.retain(compared);
            theirs.1.retain(compared);
        }
        ours == theirs
    }

    /// Whether a random reply has the right size and only elements that exist.
    fn is_drawn(&mut self, args: &[Bytes], holdfast: &Reply, redis: &Reply) -> bool {
        let (ours, theirs) = (leaves(holdfast), leaves(redis));
        if std::mem::discriminant(holdfast) != std::mem::discriminant(redis) || ours.len() != theirs.len() {
            return false;
        }
        let all = match args.get(1) {
            Some(key) => self.read_all(key),
            None => words("KEYS *"),
        };
        let mut all = leaves(&self.redis.call(&all));
        if args[0].eq_ignore_ascii_case(b"spop") {
            all.extend_from_slice(&theirs);
            self.align(&args[1], &ours, &theirs);
        }
        ours.iter().all(|leaf| all.contains(leaf))
    }

    /// Holdfast drew other members than Redis: puts them back and takes those that Redis drew.
    fn align(&mut self, key: &[u8], ours: &[Reply], theirs: &[Reply]) {
        for (word, members) in [("SADD", ours), ("SREM", theirs)] {
            let members = members.iter().filter_map(|member| match member {
                Reply::Bulk(member) => Some(Bytes::copy_from_slice(member)),
                _ => None,
            });
            let mut args = command(&[word], key);
            args.extend(members);
            // Where Redis took all, so did Holdfast.
            if args.len() > 2 && self.redis.call(&command(&["EXISTS"], key)) == Reply::Integer(1) {
                self.holdfast.call(&args);
            }
        }
    }

    /// The call that reads everything at a key.
    fn read_all(&mut self, key: &[u8]) -> Vec<Bytes> {
        let key = Bytes::copy_from_slice(key);
        let line = match self.redis.call(&command(&["TYPE"], &key)) {
            Reply::Simple(kind) if kind == "hash" => "HGETALL key",
            Reply::Simple(kind) if kind == "list" => "LRANGE key 0 -1",
            Reply::Simple(kind) if kind == "set" => "SMEMBERS key",
            Reply::Simple(kind) if kind == "zset" => "ZRANGE key 0 -1 WITHSCORES",
            Reply::Simple(kind) if kind == "stream" => "XINFO STREAM key FULL COUNT 0",
            _ => "GET key",
        };
        let mut args = words(line);
        let at = if args[0] == "XINFO" { 2 } else { 1 };
        args[at] = key;
        args
    }
}

/// Where the cursor of an iteration is, and how many words stand for one element.
fn iteration(args: &[Bytes]) -> (usize, usize) {
    match args[0].to_ascii_lowercase().as_slice() {
        b"hscan" | b"zscan" => (2, 2),
        b"sscan" => (2, 1),
        _ => (1, 1),
    }
}

/// Removes members that it draws, or stores what Redis may refuse to sort: in a block nothing can be done about it.
fn is_uncertain(args: &[Bytes]) -> bool {
    args[0].eq_ignore_ascii_case(b"spop") || is_sort(args)
}

fn is_sort(args: &[Bytes]) -> bool {
    args[0].eq_ignore_ascii_case(b"sort") || args[0].eq_ignore_ascii_case(b"sort_ro")
}

/// Changes what Redis keeps beside the entries of a stream, and tells no watcher of it.
fn leaves_watchers_alone(args: &[Bytes]) -> bool {
    let words: [&[u8]; 6] = [b"xack", b"xautoclaim", b"xclaim", b"xgroup", b"xreadgroup", b"xsetid"];
    words.iter().any(|word| args[0].eq_ignore_ascii_case(word))
}

fn is_start(args: &[Bytes]) -> bool {
    let (at, _) = iteration(args);
    args[at].is_empty() || args[at] == "0"
}

/// The parts of an iteration that a reply of SCAN or its family starts, put together; fields stay with their values.
fn whole(target: &mut dyn Target, args: &[Bytes], first: &Reply) -> Vec<Vec<Reply>> {
    let (at, width) = iteration(args);
    let mut found = Vec::new();
    let mut part = first.elements();
    for _ in 0..SCAN_PARTS_MAX {
        let [Reply::Bulk(cursor), Reply::Array(elements)] = &part[..] else {
            panic!("{}: a part without cursor and elements: {part:?}", notation::command(args));
        };
        found.extend(elements.chunks(width).map(<[Reply]>::to_vec));
        if cursor == b"0" {
            found.sort();
            found.dedup();
            return found;
        }
        let mut next = args.to_vec();
        next[at] = Bytes::copy_from_slice(cursor);
        part = target.call(&next).elements();
    }
    panic!("{}: the iteration does not end", notation::command(args));
}

fn command(words: &[&'static str], key: &[u8]) -> Vec<Bytes> {
    let words = words.iter().map(|word| Bytes::from_static(word.as_bytes()));
    words.chain([Bytes::copy_from_slice(key)]).collect()
}

/// Elements in order of their bytes; pairs of a map stay together where the reply says that they are pairs.
/// The value in a payload of DUMP, in one order; another reply as it is.
fn dumped(reply: &Reply) -> Result<rdb::Object, &Reply> {
    let Reply::Bulk(payload) = reply else { return Err(reply) };
    let mut object = rdb::load(&Bytes::from(payload.clone())).map_err(|_| reply)?;
    match &mut object {
        rdb::Object::Set(members) => members.sort(),
        rdb::Object::Hash(pairs) => pairs.sort(),
        rdb::Object::Zset(members) => members.sort_by(|(one, _), (other, _)| one.cmp(other)),
        rdb::Object::Stream(stream) => {
            // Redis keeps what was deleted as long as its page, and two clocks tell two times.
            stream.pages = vec![stream.pages.concat()];
            stream.pages[0].retain(|entry| !entry.is_dead);
            for group in &mut stream.groups {
                group.pending.iter_mut().for_each(|pending| pending.delivered = 0);
                group.consumers.iter_mut().for_each(|consumer| (consumer.seen, consumer.active) = (0, None));
            }
        }
        _ => {}
    }
    Ok(object)
}

/// A reply whose lists, down to the innermost, are in one order.
fn deep(reply: &Reply) -> Reply {
    match reply {
        Reply::Array(items) => sorted(&Reply::Array(items.iter().map(deep).collect())),
        Reply::Set(items) => sorted(&Reply::Set(items.iter().map(deep).collect())),
        Reply::Map(pairs) => sorted(&Reply::Map(pairs.iter().map(|(key, value)| (deep(key), deep(value))).collect())),
        other => other.clone(),
    }
}

/// The libraries in a payload of FUNCTION DUMP, in one order; another reply as it is.
fn libraries(reply: &Reply) -> Result<Vec<Bytes>, &Reply> {
    let Reply::Bulk(payload) = reply else { return Err(reply) };
    let mut codes = rdb::load_functions(&Bytes::from(payload.clone())).map_err(|_| reply)?;
    codes.sort();
    Ok(codes)
}

/// Whether two replies are equal but for the digits of numbers.
fn are_same_numbers(ours: &Reply, theirs: &Reply) -> bool {
    are_same_but_for(ours, theirs, &|_| true)
}

/// Whether two replies are equal but for the digits of numbers that Redis writes in a certain way.
fn are_same_but_for(ours: &Reply, theirs: &Reply, is_such: &dyn Fn(&str) -> bool) -> bool {
    let text = |reply: &Reply| match reply {
        Reply::Bulk(text) => String::from_utf8(text.clone()).ok(),
        Reply::Double(text) => Some(text.to_string()),
        _ => None,
    };
    let number = |reply: &Reply| text(reply)?.parse::<f64>().ok();
    match (ours, theirs) {
        (Reply::Array(ours), Reply::Array(theirs)) => {
            let mut pairs = ours.iter().zip(theirs);
            ours.len() == theirs.len() && pairs.all(|(ours, theirs)| are_same_but_for(ours, theirs, is_such))
        }
        _ if ours == theirs => true,
        _ => {
            text(theirs).is_some_and(|text| is_such(&text)) && number(ours).is_some() && number(ours) == number(theirs)
        }
    }
}

fn sorted(reply: &Reply) -> Reply {
    match reply.clone() {
        Reply::Array(mut items) => {
            items.sort();
            Reply::Array(items)
        }
        Reply::Set(mut items) => {
            items.sort();
            Reply::Set(items)
        }
        Reply::Map(mut pairs) => {
            pairs.sort();
            Reply::Map(pairs)
        }
        other => other,
    }
}

/// Names with their values, sorted; the errors of a reply that has none are told apart from no pairs.
fn pairs_of(reply: &Reply) -> (bool, Vec<Vec<Reply>>) {
    let mut pairs: Vec<Vec<Reply>> = reply.elements().chunks(2).map(<[Reply]>::to_vec).collect();
    pairs.sort();
    (reply.is_error(), pairs)
}

/// Everything in a reply that is not a list.
fn leaves(reply: &Reply) -> Vec<Reply> {
    match reply {
        Reply::Null | Reply::NullArray => Vec::new(),
        Reply::Array(_) | Reply::Set(_) | Reply::Map(_) => reply.elements().iter().flat_map(leaves).collect(),
        leaf => vec![leaf.clone()],
    }
}

/// Facts of streams without times, in one shape, and as 7.0 has them.
fn plain(reply: &Reply) -> Reply {
    let items = match reply {
        Reply::Array(items) => items.clone(),
        Reply::Map(pairs) => pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
        other => return other.clone(),
    };
    let is_word = |reply: &Reply, words: &[&[u8]]| matches!(reply, Reply::Bulk(word) if words.contains(&&word[..]));
    let mut found = Vec::new();
    let mut rest = items.into_iter().peekable();
    while let Some(item) = rest.next() {
        if is_word(&item, &[b"inactive", b"active-time"]) && matches!(rest.peek(), Some(Reply::Integer(_))) {
            rest.next();
        } else if is_word(&item, &[b"idle", b"seen-time"]) && matches!(rest.peek(), Some(Reply::Integer(_))) {
            rest.next();
            found.push(item);
        } else {
            found.push(plain(&item));
        }
    }
    // An entry that is pending: id, consumer if it is not known, time, number of deliveries.
    if let [Reply::Bulk(_), .., Reply::Integer(_), Reply::Integer(_)] = &found[..]
        && found.len() <= 4
    {
        let at = found.len() - 2;
        found[at] = Reply::Integer(0);
    }
    Reply::Array(found)
}

fn is_near(holdfast: &Reply, redis: &Reply, tolerance: i64) -> bool {
    match (holdfast, redis) {
        (Reply::Integer(ours), Reply::Integer(theirs)) => {
            (*ours < 0) == (*theirs < 0) && ours.abs_diff(*theirs) <= tolerance.unsigned_abs()
        }
        _ => holdfast == redis,
    }
}

/// Differences that are meant to be.
fn is_known(args: &[Bytes], holdfast: &Reply, redis: &Reply) -> bool {
    let bulk = |reply: &Reply, text: &str| *reply == Reply::Bulk(text.into());
    match args[0].to_ascii_uppercase().as_slice() {
        // The deadline of 2^63 - 1 ms: Redis rounds to seconds by adding 500, which overflows in C.
        b"EXPIRETIME" | b"TTL" => matches!(redis, Reply::Integer(seconds) if *seconds < -2),
        // A whole number that INCRBYFLOAT made is text to the Redis that made it, and an integer to that Redis's
        // replicas and after a restart. Here it is always an integer.
        b"OBJECT" => {
            // 7.2 has small sets of any words and small lists.
            bulk(holdfast, "listpack") && (bulk(redis, "hashtable") || bulk(redis, "quicklist"))
                // SORT converts the sorted set that it reads.
                || bulk(holdfast, "listpack") && bulk(redis, "skiplist")
                || bulk(holdfast, "int") && bulk(redis, "embstr")
                || *holdfast == Reply::Integer(i64::from(i32::MAX)) && *redis == Reply::Integer(1)
        }
        // 7.2 names the command, and the id that it knows (#11799, #12238).
        b"XREAD" | b"XREADGROUP" => {
            let is_unbalanced =
                |reply: &Reply| matches!(reply, Reply::Error(line) if line.starts_with("ERR Unbalanced"));
            is_unbalanced(holdfast) && is_unbalanced(redis)
        }
        // Places at the same distance come in the order in which a partial sort leaves them.
        b"GEOSEARCH" | b"GEORADIUS" | b"GEORADIUS_RO" | b"GEORADIUSBYMEMBER" | b"GEORADIUSBYMEMBER_RO" => {
            let is_limited = args.iter().any(|word| word.eq_ignore_ascii_case(b"count"));
            is_limited && !holdfast.is_error() && holdfast.elements().len() == redis.elements().len()
        }
        // Texts that are equal come in the order of a hash table or of an unstable sort, and sets have an order here.
        b"SORT" | b"SORT_RO" => {
            let has = |word: &str| args.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
            let is_loose = has("by") && (has("alpha") || has("nosort")) && !holdfast.is_error() && !redis.is_error();
            if has("limit") {
                is_loose && holdfast.elements().len() == redis.elements().len()
            } else {
                is_loose && sorted(holdfast) == sorted(redis)
            }
        }
        // A number of seconds beyond 64 bits of milliseconds: in C its conversion has no meaning.
        b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BRPOPLPUSH" | b"BLMPOP" | b"BZPOPMIN" | b"BZPOPMAX" | b"BZMPOP" => {
            *holdfast == Reply::Error("ERR timeout is out of range".into())
                && *redis == Reply::Error("ERR timeout is negative".into())
        }
        // 7.2 reads all words before it looks for the key (#11734).
        b"BITCOUNT" | b"BITPOS" => holdfast.is_error() && matches!(redis, Reply::Integer(0 | -1) | Reply::Error(_)),
        // Scores are those of places, by weights, and 7.2 writes such large ones without an exponent (#10587).
        [b'Z', ..] => are_same_but_for(holdfast, redis, &|text| text.contains("e+")),
        // 7.2 reads all options before it takes the first (#11659), so it meets another mistake.
        b"HELLO" => holdfast.is_error() && redis.is_error(),
        _ => false,
    }
}
