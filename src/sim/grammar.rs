//! Random commands: one line of syntax per command, and small pools of words for its parameters, so that commands
//! meet each other's keys, types and limits. One in twenty is then broken: a word too many, too few, or another.
//! The simulator's noise is drawn from it, and the differential test against a redis-server.
//!
//! In a line, capital words stand for themselves, small words are parameters ([`Grammar::parameter`]), `[a|b]` is
//! optional, `(a b)` is a group, and `+` repeats what stands before it one to four times. All keys carry the same
//! hash tag, so that commands with several keys work on a cluster as well.

use bytes::Bytes;

use crate::base::{Millis, Rng};
use crate::command::script::sha1;

/// Commands on keys, as documented by Redis.
pub const SYNTAX: &[&str] = &[
    "APPEND string value",
    "BITCOUNT string [integer integer [BYTE|BIT]]",
    "BITFIELD string (GET bits bit|SET bits bit integer|INCRBY bits bit integer|OVERFLOW (WRAP|SAT|FAIL))+",
    "BITFIELD_RO string (GET bits bit)+",
    "BITOP (AND|OR|XOR|NOT) string string+",
    "BITPOS string (0|1) [integer [integer [BYTE|BIT]]]",
    "BLMOVE list list (LEFT|RIGHT) (LEFT|RIGHT) 0.001",
    "BLMPOP 0.001 (1 list|2 list list|numkeys list) (LEFT|RIGHT) [COUNT integer]",
    "BLPOP list+ 0.001",
    "BRPOP list+ 0.001",
    "BRPOPLPUSH list list 0.001",
    "BZMPOP 0.001 (1 zset|2 zset zset|numkeys zset) (MIN|MAX) [COUNT integer]",
    "BZPOPMAX zset+ 0.001",
    "BZPOPMIN zset+ (0.001|-1|value)",
    "COPY key key [DB db] [REPLACE]",
    "DBSIZE",
    "DECR string",
    "DECRBY string integer",
    "DEL key+",
    "DUMP key",
    "FCALL NOSUCH (0|1 key) [value]",
    "FCALL_RO NOSUCH (0|1 key) [value]",
    "EVAL script (0|1 key|2 key key|numkeys key) [value] [value]",
    "EVALSHA digest (0|1 key)",
    "EVALSHA_RO digest (0|1 key)",
    "EVAL_RO script (0|1 key|2 key key|numkeys key) [value] [value]",
    "EXISTS key+",
    "EXPIRE key seconds [NX|XX|GT|LT] [XX|GT]",
    "EXPIREAT key unix-seconds [NX|XX|GT|LT] [XX|GT]",
    "EXPIRETIME key",
    "FLUSHALL [ASYNC|SYNC]",
    "FLUSHDB [ASYNC|SYNC]",
    // No STOREDIST: Redis 7.0 prints other digits of a distance that became a score than 7.2.
    "GEOADD geo [NX|XX] [CH] (longitude latitude member)+",
    "GEODIST geo member member [unit]",
    "GEOHASH geo member+",
    "GEOPOS geo member+",
    "GEORADIUS geo longitude latitude radius unit [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT integer [ANY]] [ASC|DESC]",
    "GEORADIUS geo longitude latitude radius unit STORE geo",
    "GEORADIUSBYMEMBER geo member radius unit [WITHDIST] [COUNT integer [ANY]] [ASC|DESC]",
    "GEORADIUSBYMEMBER geo member radius unit STORE geo",
    "GEORADIUSBYMEMBER_RO geo member radius unit [WITHCOORD] [WITHDIST] [ASC|DESC]",
    "GEORADIUS_RO geo longitude latitude radius unit [WITHDIST] [WITHHASH] [COUNT integer] [ASC|DESC]",
    "GEOSEARCH geo (FROMMEMBER member|FROMLONLAT longitude latitude) (BYRADIUS radius unit|BYBOX radius radius unit) [ASC|DESC] [COUNT integer [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
    "GEOSEARCHSTORE geo geo (FROMMEMBER member|FROMLONLAT longitude latitude) (BYRADIUS radius unit|BYBOX radius radius unit) [ASC|DESC]",
    "GET string",
    "GETBIT string bit",
    "GETDEL string",
    "GETEX string [EX seconds|PX millis|EXAT unix-seconds|PXAT unix-millis|PERSIST]",
    "GETRANGE string integer integer",
    "GETSET string value",
    "HDEL hash field+",
    "HEXISTS hash field",
    "HGET hash field",
    "HGETALL hash",
    "HINCRBY hash field integer",
    "HINCRBYFLOAT hash field float",
    "HKEYS hash",
    "HLEN hash",
    "HMGET hash field+",
    "HMSET hash (field value)+",
    "HRANDFIELD hash [count [WITHVALUES]]",
    "HSCAN hash cursor [MATCH pattern] [COUNT integer]",
    "HSET hash (field value)+",
    "HSETNX hash field value",
    "HSTRLEN hash field",
    "HVALS hash",
    "INCR string",
    "INCRBY string integer",
    "INCRBYFLOAT string float",
    "KEYS pattern",
    "LCS string string [LEN] [IDX] [MINMATCHLEN integer] [WITHMATCHLEN]",
    "LINDEX list integer",
    "LINSERT list (BEFORE|AFTER|integer) element element",
    "LLEN list",
    "LMOVE list list (LEFT|RIGHT) (LEFT|RIGHT)",
    "LMPOP (1 list|2 list list|3 list list list|numkeys list) (LEFT|RIGHT) [COUNT integer]",
    "LOLWUT [VERSION integer]",
    "LPOP list [count]",
    "LPOS list element [RANK rank] [COUNT integer] [MAXLEN integer]",
    "LPUSH list element+",
    "LPUSHX list element+",
    "LRANGE list integer integer",
    "LREM list integer element",
    "LSET list integer element",
    "LTRIM list integer integer",
    "MEMORY USAGE key [SAMPLES integer]",
    "MGET string+",
    "MOVE key db",
    "MSET (string value)+",
    "MSETNX (string value)+",
    "OBJECT (ENCODING key|REFCOUNT key|IDLETIME key|FREQ key|HELP)",
    "PERSIST key",
    "PEXPIRE key millis [NX|XX|GT|LT] [XX|LT]",
    "PEXPIREAT key unix-millis [NX|XX|GT|LT] [XX|LT]",
    "PEXPIRETIME key",
    "PUBLISH channel value",
    "PFADD sketch [value+]",
    "PFCOUNT sketch",
    "PFCOUNT sketch+",
    "PFDEBUG (DECODE|ENCODING|TODENSE|GETREG|X) sketch",
    "PFMERGE sketch sketch+",
    "PFSELFTEST",
    "PSETEX string millis value",
    "PTTL key",
    "RANDOMKEY",
    "RENAME key key",
    "RENAMENX key key",
    "RESTORE key millis payload [REPLACE] [ABSTTL] [IDLETIME integer|FREQ integer]",
    "RESTORE-ASKING key 0 payload REPLACE",
    "RPOP list [count]",
    "RPOPLPUSH list list",
    "RPUSH list element+",
    "RPUSH list element+",
    "RPUSHX list element+",
    "SADD set member+",
    "SCAN cursor [MATCH pattern] [COUNT integer] [TYPE type]",
    "SCARD set",
    "SDIFF set+",
    "SDIFFSTORE set set+",
    "SET string value [NX|XX] [GET] [EX seconds|PX millis|EXAT unix-seconds|PXAT unix-millis|KEEPTTL]",
    "SETBIT string bit (0|1)",
    "SETEX string seconds value",
    "SETNX string value",
    "SETRANGE string offset value",
    "SINTER set+",
    "SINTERCARD (1 set|2 set set|3 set set set|numkeys set) [LIMIT integer]",
    "SINTERSTORE set set+",
    "SISMEMBER set member",
    "SMEMBERS set",
    "SMISMEMBER set member+",
    "SMOVE set set member",
    "SORT sortable [BY weight] [LIMIT integer integer] [(GET gotten)+] [ASC|DESC] [ALPHA]",
    // Not by texts, which may be equal: what is stored must be the same everywhere.
    "SORT sortable [BY weight] [LIMIT integer integer] [(GET gotten)+] [ASC|DESC] STORE list",
    "SORT sortable [LIMIT integer integer] [(GET gotten)+] [ASC|DESC] ALPHA STORE list",
    "SORT_RO sortable [BY weight] [ALPHA] [DESC] [LIMIT integer integer] [(GET gotten)+]",
    "SPOP set [count]",
    "SPUBLISH channel value",
    "SRANDMEMBER set [count]",
    "SREM set member+",
    "SSCAN set cursor [MATCH pattern] [COUNT integer]",
    "STRLEN string",
    "SUBSTR string integer integer",
    "SUNION set+",
    "SUNIONSTORE set set+",
    "TOUCH key+",
    "TTL key",
    "TYPE key",
    "UNLINK key+",
    "XACK stream group stream-id+",
    "XADD stream entry-id (field value)+",
    "XADD stream entry-id field value",
    "XADD stream entry-id field value",
    "XADD stream [NOMKSTREAM] [MAXLEN [=|~] trim-length|MINID [=|~] stream-id] [LIMIT integer] entry-id (field value)+",
    "XADD stream (MAXLEN|MINID) ~ trim-length [LIMIT integer] entry-id field value",
    "XAUTOCLAIM stream group consumer min-idle start-id [COUNT integer] [JUSTID]",
    "XCLAIM stream group consumer min-idle stream-id+ [IDLE idle] [TIME idle] [RETRYCOUNT integer] [FORCE] [JUSTID] \
     [LASTID stream-id]",
    "XCLAIM stream group consumer 0 stream-id+",
    "XDEL stream stream-id+",
    "XGROUP CREATE stream group (stream-id|$|0) [MKSTREAM] [ENTRIESREAD integer]",
    "XGROUP CREATE stream group (0|$) MKSTREAM",
    "XGROUP (CREATECONSUMER|DELCONSUMER) stream group consumer",
    "XGROUP DESTROY stream group",
    "XGROUP SETID stream group (stream-id|$|end-id) [ENTRIESREAD integer]",
    "XINFO (STREAM stream [FULL [COUNT integer]]|GROUPS stream|CONSUMERS stream group)",
    "XLEN stream",
    "XPENDING stream group [[IDLE min-idle] start-id end-id integer [consumer]]",
    "XRANGE stream start-id end-id [COUNT integer]",
    // No BLOCK: a redis-server would wait.
    "XREAD [COUNT integer] [BLOCK 1] STREAMS (stream (stream-id|$)|stream stream stream-id stream-id)",
    "XREADGROUP GROUP group consumer [COUNT integer] [NOACK] STREAMS (stream (>|>|stream-id|0)|stream stream > >)",
    "XREADGROUP GROUP group consumer COUNT 2 [BLOCK 1] STREAMS stream >",
    "XREVRANGE stream end-id start-id [COUNT integer]",
    "XSETID stream stream-id [ENTRIESADDED integer] [MAXDELETEDID stream-id]",
    "XTRIM stream (MAXLEN [=|~] trim-length|MINID [=|~] stream-id) [LIMIT integer]",
    "ZADD zset [NX|XX] [GT|LT] [CH] [INCR] score member",
    "ZADD zset [NX|XX|GT|LT] [CH] (score member)+",
    "ZADD zset (score member)+",
    "ZADD lexset (0 member)+",
    "ZCARD zset",
    "ZCOUNT zset bound bound",
    "ZDIFF (1 zsource|2 zsource zsource|3 zsource zsource zsource|numkeys zsource) [WITHSCORES]",
    "ZDIFFSTORE zset (1 zsource|2 zsource zsource|3 zsource zsource zsource|numkeys zsource)",
    "ZINCRBY zset score member",
    "ZINTER (1 zsource|2 zsource zsource|3 zsource zsource zsource|numkeys zsource) \
     [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]",
    "ZINTERCARD (1 zsource|2 zsource zsource|3 zsource zsource zsource|numkeys zsource) [LIMIT integer]",
    "ZINTERSTORE zset (1 zsource|2 zsource zsource|3 zsource zsource zsource|numkeys zsource) \
     [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)]",
    "ZLEXCOUNT lexset edge edge",
    "ZMPOP (1 zset|2 zset zset|3 zset zset zset|numkeys zset) (MIN|MAX) [COUNT integer]",
    "ZMSCORE zset member+",
    "ZPOPMAX zset [count]",
    "ZPOPMIN zset [count]",
    "ZRANDMEMBER zset [count [WITHSCORES]]",
    "ZRANGE zset (integer integer|integer integer REV|bound bound BYSCORE [REV]) \
     [LIMIT integer integer] [WITHSCORES]",
    "ZRANGE lexset edge edge BYLEX [REV] [LIMIT integer integer]",
    "ZRANGEBYLEX lexset edge edge [LIMIT integer integer]",
    "ZRANGEBYSCORE zset bound bound [WITHSCORES] [LIMIT integer integer]",
    "ZRANGESTORE zset zset (integer integer|integer integer REV|bound bound BYSCORE [REV]) \
     [LIMIT integer integer]",
    "ZRANK zset member",
    "ZREM zset member+",
    "ZREM lexset member",
    "ZREMRANGEBYLEX lexset edge edge",
    "ZREMRANGEBYRANK zset integer integer",
    "ZREMRANGEBYSCORE zset bound bound",
    "ZREVRANGE zset integer integer [WITHSCORES]",
    "ZREVRANGEBYLEX lexset edge edge [LIMIT integer integer]",
    "ZREVRANGEBYSCORE zset bound bound [WITHSCORES] [LIMIT integer integer]",
    "ZREVRANK zset member",
    "ZSCAN zset cursor [MATCH pattern] [COUNT integer]",
    "ZSCORE zset member",
    "ZUNION (1 zsource|2 zsource zsource|3 zsource zsource zsource|numkeys zsource) \
     [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]",
    "ZUNIONSTORE zset (1 zsource|2 zsource zsource|3 zsource zsource zsource|numkeys zsource) \
     [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)]",
];

/// Commands and options on keys that Redis 7.2 does not have: those of Redis 7.4, 8.0 and 8.4 and of Valkey 9.
pub const BEYOND: &[&str] = &[
    "DELEX string [IFEQ value|IFNE value|(IFDEQ|IFDNE) xxh3]",
    "DELIFEQ string value",
    "DIGEST string",
    "HEXPIRE hash seconds [NX|XX|GT|LT] FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HEXPIREAT hash unix-seconds [NX|XX|GT|LT] FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HEXPIRETIME hash FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HGETDEL hash FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HGETEX hash [EX seconds|PX millis|EXAT unix-seconds|PXAT unix-millis|PERSIST] FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HPERSIST hash FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HPEXPIRE hash millis [NX|XX|GT|LT] FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HPEXPIREAT hash unix-millis [NX|XX|GT|LT] FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HPEXPIRETIME hash FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HPTTL hash FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "HSETEX hash [FNX|FXX] [EX seconds|PX millis|EXAT unix-seconds|PXAT unix-millis|KEEPTTL] FIELDS \
     (1 field value|2 field value field value)",
    "HTTL hash FIELDS (1 field|2 field field|3 field field field|numfields field)",
    "MSETEX (1 string value|2 string value string value|numkeys string value) [NX|XX] \
     [EX seconds|PX millis|EXAT unix-seconds|PXAT unix-millis|KEEPTTL]",
    "SET string value (IFEQ value|IFNE value|(IFDEQ|IFDNE) xxh3) [GET] [EX seconds|PX millis|KEEPTTL]",
];

/// What depends on who asks.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Words for the number of a database.
    pub databases: &'static [&'static str],
    /// Where deadlines are.
    pub deadlines: Deadlines,
}

/// Where deadlines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadlines {
    /// Clearly past or far away, so that nobody's clock matters.
    Far,
    /// Mostly within a few seconds: clocks matter all the time.
    Near,
}

/// Draws commands; the same generator and lines give the same commands.
pub struct Grammar {
    rng: Rng,
    dialect: Dialect,
    lines: Vec<Node>,
    /// Moments in deadlines are counted from here.
    now: Millis,
    /// The latest id of an entry: those of a stream only grow.
    entry: u64,
}

/// A parsed piece of syntax.
enum Node {
    Literal(String),
    Parameter(String),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Optional(Box<Node>),
    Repeat(Box<Node>),
}

impl Grammar {
    /// Draws from these lines, each as often as the others.
    pub fn new<'a>(rng: Rng, dialect: Dialect, lines: impl IntoIterator<Item = &'a str>) -> Grammar {
        Grammar { rng, dialect, lines: lines.into_iter().map(parse).collect(), now: Millis(0), entry: 0 }
    }

    /// The next command.
    pub fn command(&mut self, now: Millis) -> Vec<Bytes> {
        self.now = now;
        let lines = std::mem::take(&mut self.lines);
        let mut args = Vec::new();
        let at = self.rng.below(lines.len() as u64) as usize;
        self.write(&lines[at], &mut args);
        // An emptied keyspace hides what came before it: mostly another command takes the place.
        if args[0].to_ascii_uppercase().starts_with(b"FLUSH") && self.rng.chance(3, 4) {
            args.clear();
            self.write(&lines[0], &mut args);
        }
        self.lines = lines;
        if self.rng.chance(1, 20) {
            self.damage(&mut args);
        }
        args
    }

    /// Chance, for what is drawn beside commands.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn write(&mut self, node: &Node, args: &mut Vec<Bytes>) {
        match node {
            Node::Literal(word) if self.rng.chance(1, 20) => args.push(word.to_lowercase().into()),
            Node::Literal(word) => args.push(word.clone().into()),
            Node::Parameter(name) => {
                let word = self.parameter(name);
                args.push(word);
            }
            Node::Sequence(items) => items.iter().for_each(|item| self.write(item, args)),
            Node::Choice(choices) => {
                let at = self.rng.below(choices.len() as u64) as usize;
                self.write(&choices[at], args);
            }
            Node::Optional(item) if self.rng.chance(2, 5) => self.write(item, args),
            Node::Optional(_) => {}
            Node::Repeat(item) => (0..self.rng.range(1, 5)).for_each(|_| self.write(item, args)),
        }
    }

    /// Breaks a command; its name stays, and the keys stay in their slot.
    fn damage(&mut self, args: &mut Vec<Bytes>) {
        let at = self.rng.range(1, args.len() as u64 + 1) as usize;
        match self.rng.below(3) {
            0 => args.insert(at, Bytes::from_static(b"{t}extra")),
            1 => args.truncate(at),
            // What has one score for all members keeps it.
            _ if args.get(1).is_some_and(|key| key.starts_with(b"{t}y")) => {}
            // A star without a tag is a pattern of keys in every slot.
            _ if args[0].to_ascii_uppercase().starts_with(b"SORT") => {}
            _ if at < args.len() && !args[at].starts_with(b"{t}") => args[at] = self.parameter("junk"),
            _ => {}
        }
    }

    fn parameter(&mut self, name: &str) -> Bytes {
        match name {
            "key" => self.word(KEYS),
            "string" if self.rng.chance(1, 8) => self.parameter("key"),
            "string" => self.word(&["{t}s1", "{t}s2", "{t}s3"]),
            "channel" => self.word(&["{t}c1", "{t}c2"]),
            "sketch" if self.rng.chance(1, 8) => self.parameter("key"),
            "sketch" => self.word(&["{t}p1", "{t}p2", "{t}p3"]),
            "hash" | "list" | "set" | "zset" if self.rng.chance(1, 10) => self.parameter("key"),
            "hash" => self.word(&["{t}h1", "{t}h2", "{t}h3"]),
            "list" => self.word(&["{t}l1", "{t}l2", "{t}l3"]),
            "set" => self.word(&["{t}e1", "{t}e2", "{t}e3"]),
            "zset" => self.word(&["{t}z1", "{t}z2", "{t}z3"]),
            "zsource" => {
                let name = *self.rng.pick(&["zset", "zset", "zset", "set"]);
                self.parameter(name)
            }
            "sortable" => {
                let name = *self.rng.pick(&["list", "list", "set", "zset"]);
                self.parameter(name)
            }
            // Elements are numbers, and so are the ends of keys.
            "weight" => self.word(&["NOSORT", "{t}s*", "{t}h*->a", "{t}h*->b", "{t}*1->c", "{t}z*", "{t}*nothing"]),
            "gotten" => self.word(&["#", "#", "{t}s*", "{t}h*->a", "{t}h*->b", "{t}h*->", "{t}*->c", "{t}s1"]),
            // Of one score each, so that ranges of members mean something.
            "lexset" => self.word(&["{t}y1", "{t}y2"]),
            // Where keys are counted: no number that makes a key of another word.
            "numkeys" => self.word(&["0", "-1", "x", "", "9223372036854775807", "1"]),
            "numfields" => self.word(&["0", "-1", "x", "2", "9223372036854775807", "1"]),
            "score" => self.word(SCORES),
            "bound" if self.rng.chance(1, 3) => {
                self.word(&["-inf", "+inf", "(1", "(-1.5", "(inf", "(x", "(", " 1", "1 "])
            }
            "bound" => self.word(SCORES),
            "edge" => self.word(&["-", "+", "-", "+", "[a", "(a", "[c", "(c", "[1", "(3", "[", "(", "a", "", "--"]),
            "geo" if self.rng.chance(1, 10) => self.parameter("key"),
            "geo" => self.word(&["{t}g1", "{t}g2", "{t}g3"]),
            "longitude" => self.word(&["13.361389", "15.087269", "12.5", "14", "-170.25", "180", "-180", "180.1", "x"]),
            "latitude" => {
                self.word(&["38.115556", "37.502669", "38.01", "37.5", "-60.5", "0", "85.05112878", "86", "x"])
            }
            "radius" => self.word(&["0", "1", "50", "200", "1000.5", "20000", "-1", "x"]),
            "unit" => self.word(&["m", "km", "KM", "km", "mi", "ft", "x"]),
            "stream" if self.rng.chance(1, 12) => self.parameter("key"),
            "stream" => self.word(&["{t}x1", "{t}x1", "{t}x2"]),
            "group" => self.word(&["g1", "g1", "g1", "g2", ""]),
            "consumer" => self.word(&["c1", "c1", "c2", "c3", ""]),
            "entry-id" | "stream-id" | "start-id" | "end-id" => self.id(name),
            "trim-length" => self.word(&["0", "1", "3", "5", "8", "10", "20", "-1", "x"]),
            // Far from each other, so that nobody's clock matters.
            "min-idle" => self.word(&["0", "0", "0", "1000000", "-1", "x", "9223372036854775807"]),
            "idle" => self.word(&["0", "2000000", "100000000", "x", "-1", "9223372036854775807"]),
            "member" => self.word(MEMBERS),
            "element" if self.rng.chance(1, 10) => self.word(VALUES),
            "element" => self.word(MEMBERS),
            "rank" => self.word(&["0", "1", "-1", "2", "-2", "3", "10", "x", "9223372036854775807"]),
            "field" => self.word(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "", "10", "a field that is not short"]),
            "value" => self.word(VALUES),
            "integer" => self.word(INTEGERS),
            "count" => self.word(&["0", "1", "-1", "2", "-2", "5", "-10", "100", "x", "-9223372036854775808"]),
            "offset" => {
                self.word(&["0", "0", "1", "2", "5", "10", "100", "-1", "536870912", "9223372036854775807", "x"])
            }
            "bit" => self.word(&["0", "1", "7", "8", "20", "100", "#0", "#1", "#5", "-1", "4294967296", "x"]),
            "bits" => self.word(&["u1", "u8", "u63", "i1", "i5", "i16", "i64", "u64", "i65", "x"]),
            "float" => self.word(FLOATS),
            "payload" => Bytes::from_static(PAYLOADS[self.rng.below(PAYLOADS.len() as u64) as usize]),
            "pattern" => self.word(PATTERNS),
            "cursor" => self.word(&["0", "0", "0", "0", "0", "0", "x", "", "18446744073709551616", "0 "]),
            "type" => self.word(&["string", "hash", "HASH", "list", "set", "zset", "stream", "nothing"]),
            "db" => self.word(self.dialect.databases),
            "junk" => {
                self.word(&["", "NOPE", "nx", "-1", "0", "1e3", "EX", "\r\n", "*", "COUNT", "99999999999999999999"])
            }
            "seconds" | "millis" => self.moment(name == "millis", false),
            "script" => self.word(SCRIPTS),
            "lua" => self.word(LUA),
            "known-digest" => sha1::hex(&sha1::digest(&self.word(LUA))).into(),
            "library" => self.word(LIBRARIES),
            "library-name" => self.word(&["one", "two", "restored", "One", "none", "*", "o*"]),
            "function" => self.word(&["get_one", "GET_ONE", "ro", "put", "restored", "none"]),
            "functions" => Bytes::from_static(FUNCTIONS[self.rng.below(FUNCTIONS.len() as u64) as usize]),
            "policy" => self.word(&["APPEND", "REPLACE", "REPLACE", "FLUSH", "X"]),
            "dist" => self.word(&["{t}d1"]),
            // Of two values, the empty one, and one of another length.
            "xxh3" => self.word(&["2d06800538d394c2", "e6c632b61e964e1f", "ABCDEF0123456789", "0"]),
            // Never known: which scripts are depends on what was asked before, also of the server compared with.
            "digest" => self.word(&["ffffffffffffffffffffffffffffffffffffffff", "f", ""]),
            "unix-seconds" | "unix-millis" => self.moment(name == "unix-millis", true),
            _ => unreachable!("the grammar has no words for {name:?}"),
        }
    }

    /// An id of a new entry, above all before it, or of one that may be there.
    fn id(&mut self, name: &str) -> Bytes {
        let near = self.entry.saturating_sub(self.rng.below(12));
        match name {
            "start-id" if self.rng.chance(1, 3) => self.word(&["-", "-", "(0", "+", "("]),
            "end-id" if self.rng.chance(1, 3) => self.word(&["+", "+", "-", "(0-0", "(-"]),
            "start-id" | "end-id" if self.rng.chance(1, 4) => format!("({near}").into(),
            "entry-id" if self.dialect.deadlines == Deadlines::Near && self.rng.chance(1, 12) => self.word(&["*"]),
            "entry-id" if self.rng.chance(15, 16) => {
                self.entry += self.rng.below(3);
                match self.rng.below(4) {
                    0 => format!("{}-*", self.entry).into(),
                    seq => format!("{}-{seq}", self.entry).into(),
                }
            }
            _ if self.rng.chance(1, 20) => self.word(IDS),
            _ => match self.rng.below(5) {
                0 => near.to_string().into(),
                seq => format!("{near}-{}", seq - 1).into(),
            },
        }
    }

    fn moment(&mut self, millis: bool, is_absolute: bool) -> Bytes {
        if self.rng.chance(1, 10) {
            return self.word(if is_absolute { &["1", "0", "-1"] } else { &["-5", "-1", "0"] });
        }
        if self.rng.chance(1, 10) {
            return self.word(&["9223372036854775807", "-9223372036854775807", "9223372036854775", "x", "1.5", ""]);
        }
        let milliseconds = match self.dialect.deadlines {
            // Distances are all different: two equal ones, a millisecond apart, would make GT and LT a matter of
            // chance.
            Deadlines::Far => self.rng.range(10_000, 10_000_000) * 1_000,
            Deadlines::Near => self.rng.range(1, 3_000),
        };
        let base = match (is_absolute, self.dialect.deadlines) {
            (false, _) => 0,
            (true, Deadlines::Far) => 33_177_117_420_000,
            (true, Deadlines::Near) => self.now.0,
        };
        let number = base + milliseconds;
        if millis { number.to_string().into() } else { number.div_ceil(1_000).to_string().into() }
    }

    fn word(&mut self, words: &[&'static str]) -> Bytes {
        Bytes::from_static(self.rng.pick(words).as_bytes())
    }
}

/// What they reply does not depend on the order in which a set or hash is stored.
const SCRIPTS: &[&str] = &[
    "return {KEYS, ARGV}",
    "return redis.call('GET', KEYS[1] or '{t}s1')",
    "return redis.pcall('INCR', KEYS[1] or '{t}s1')",
    "return redis.pcall('APPEND', KEYS[1] or '{t}s2', ARGV[1] or 'x')",
    "redis.call('SET', KEYS[1] or '{t}s1', ARGV[1] or '') return redis.status_reply('SET')",
    "redis.call('SET', '{t}s3', #ARGV) return redis.call('LPOP', KEYS[1] or '{t}s3')",
    "return redis.pcall('LRANGE', KEYS[1] or '{t}l1', 0, -1)",
    "return redis.pcall('RPUSH', KEYS[1] or '{t}l2', unpack(ARGV))",
    "return redis.pcall('HSET', KEYS[1] or '{t}h1', ARGV[1] or 'a', 1.5)",
    "return #redis.pcall('ZRANGE', KEYS[1] or '{t}z1', 0, -1)",
    "return cjson.encode({redis.call('EXISTS', KEYS[1] or '{t}s1'), ARGV[1], KEYS[2]})",
    "local n = 0 for i = 1, 100 do n = n + i end return {n, n / 3, n > 1, n < 1}",
    "return redis.call('NOPE')",
    "return nothing",
    "return 1 +",
    "#!lua flags=no-writes\nreturn redis.call('SET', KEYS[1] or '{t}s1', 1)",
];

/// What else scripts can do: Redis's own libraries, types of RESP3, errors of all sorts. The simulator does not draw them.
const LUA: &[&str] = &[
    "return cmsgpack.pack({1, -2, ARGV[1] or 'x'}, 'y', 1.5, false, 70000)",
    "return cmsgpack.unpack(cmsgpack.pack({KEYS, #ARGV, 'z'}))",
    "return {struct.pack('>I4hs', #ARGV, -2, KEYS[1] or 'k'), struct.size('>I4h')}",
    "return {struct.unpack('<i2', 'ab')}",
    "return struct.pack('>I99', 1)",
    "return {bit.band(255, #KEYS + 7), bit.tohex(-1), bit.lshift(1, 31), bit.bswap(0x12345678), bit.arshift(-8, 1)}",
    "redis.setresp(3) local m = redis.pcall('HGETALL', KEYS[1] or '{t}h1').map or {} \
     local n = 0 for _ in pairs(m) do n = n + 1 end return n",
    "redis.setresp(3) return type(redis.pcall('SMEMBERS', KEYS[1] or '{t}e1').set)",
    "redis.setresp(3) return redis.pcall('ZSCORE', KEYS[1] or '{t}z1', ARGV[1] or 'a')",
    "redis.setresp(3) return redis.pcall('GET', KEYS[1] or '{t}s1')",
    "redis.setresp(4)",
    "return {map={a=1}}",
    "return {set={a=true}}",
    "return {double=1.5}",
    "return {big_number='123'}",
    "return {verbatim_string={string='x', format='txt'}}",
    "local t = cjson.decode('{\"a\":[1,2,{\"b\":null}]}') return {t.a[1], t.a[3].b == cjson.null, cjson.encode(t.a)}",
    "return cjson.decode('{')",
    "return redis.sha1hex(ARGV[1] or '')",
    "return redis.pcall('SET', KEYS[1] or '{t}s1')",
    "return redis.error_reply('MY ERR')",
    "return {err='x y', ok='z'}",
    "local ok, e = pcall(function() error({err='E x'}) end) return e",
    "local ok, e = pcall(redis.call, 'NOPE') return e",
    "return tostring(redis.REPL_ALL) .. redis.LOG_WARNING",
    "return redis.call('SELECT', 1)",
    "return redis.call('CLIENT', 'ID')",
    "return string.rep('ab', #KEYS + 1) .. table.concat(ARGV, ',')",
];

/// Libraries of functions, and what is none.
const LIBRARIES: &[&str] = &[
    "#!lua name=one\nredis.register_function('get_one', function(keys) return redis.call('GET', keys[1] or '{t}s1') end)\n\
     redis.register_function{function_name='ro', callback=function(keys) return #keys end, flags={'no-writes'}}",
    "#!lua name=two\nredis.register_function('put', function(keys, args) \
     redis.call('SET', keys[1] or '{t}s2', args[1] or 'x') return redis.status_reply('PUT') end)",
    "#!lua name=three\nredis.register_function('ro', function() return 3 end)",
    "#!lua name=none",
    "no first line",
    "#!lua name=bad x=y\nreturn 1",
    "#!lua name=bad\nerror('x')",
    "#!lua name=bad\nreturn 1 +",
    "#!lua name=bad\nredis.register_function('a b', function() end)",
    "#!js name=bad\n1",
    "#!lua\nreturn 1",
];

/// What FUNCTION DUMP gave of a library, with a damaged one.
const FUNCTIONS: &[&[u8]] = &[
    b"\xf5\xc3@J@Y\x13#!lua name=restored\x0a \x03\x15is.register_function('\xc0!\x02', \xe0\x00\x14\x08) return \xe0\x01\x1d\x04 end)\x0a\x00\x02L\xa1\xb5\xe6R$\x88",
    b"\xf5\xc3@J@Y\x13#!lua name=restored\x0a \x03\x15is.register_function('\xc0!\x02', \xe0\x00\x14\x08) return \xe0\x01\x1d\x04 end)\x0a\x00\x02L\xa1\xb5\xe6R$\x89",
    b"",
];

/// Every key that a command can have; "extra" is the word too many.
pub const KEYS: &[&str] = &[
    "{t}s1", "{t}s2", "{t}s3", "{t}h1", "{t}h2", "{t}h3", "{t}l1", "{t}l2", "{t}l3", "{t}e1", "{t}e2", "{t}e3",
    "{t}z1", "{t}z2", "{t}z3", "{t}g1", "{t}g2", "{t}g3", "{t}p1", "{t}p2", "{t}p3", "{t}x1", "{t}x2", "{t}new",
    "{t}extra",
];

const MEMBERS: &[&str] =
    &["1", "2", "3", "4", "10", "-5", "007", "a", "b", "c", "d", "e", "", "member", "a member that is not short"];

/// Ids that are none, or strange ones.
const IDS: &[&str] = &[
    "0",
    "0-0",
    "x",
    "",
    "1-",
    "-1",
    "1-x",
    "1-*",
    " 1-+2",
    "007",
    "1--1",
    "99999-18446744073709551615",
    "18446744073709551616-1",
    "$",
    ">",
];

/// What DUMP gave: a text, an integer, small and large hashes and sorted sets, a list; a large set, a damaged
/// one, a stream with a group.
const PAYLOADS: &[&[u8]] = &[
    b"\x00\x05hello\x0a\x00cr\xdfve4 \x0a",
    b"\x00\xc0\xf4\x0a\x00Dt\xce\xd7Z\xa7\xef\x82",
    b"\x10\x1a\x1a\x00\x00\x00\x04\x00\x81f\x02\x81v\x02\x81g\x02\xf4\xff\xff\xff\xff\xff\xff\xff\x7f\x09\xff\x0a\x00\xb6\x93\xa9>g\xf3wN",
    b"\x04\x01\x01f\x01v\x0a\x00\xad\xf2CV\xb1\x86\x0e\xfc",
    b"\x02\x01\x01a\x0a\x00b\x96\xe9~D\xd2\x1am",
    b"\x02\x01\x01b\x0a\x00b\x96\xe9~D\xd2\x1am",
    b"\x12\x01\x02\xc3\x1a@Z\x12Z\x00\x00\x00\x04\x00\x81a\x02\x01\x01\xf2\x90\xee\xfe\x04\xe0Fb\xe0<\x00\x01H\xff\x0a\x00\xfb\xb4\xe5\xb3\xc5]`\x8a",
    b"\x11%%\x00\x00\x00\x08\x00\x81d\x02\x84-inf\x05\x81a\x02\x01\x01\x81b\x02\x832.5\x04\x81c\x02\x83inf\x04\xff\x0a\x00\xaf\xec\x997\x1a\x11`\x0f",
    b"\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01@BB\x00\x00\x00\x18\x00\x02\x01\x01\x01\x01\x01\x81a\x02\x00\x01\x02\x01\x00\x01\x00\x01\x01\x01\x04\x01\x01\x01\x00\x01\x01\x01\x02\x01\x81a\x02\x85hello\x06\x81b\x02\xdf\xf9\x02\x08\x01\x02\x01\x04\x01\xdf\xff\x02\xc1,\x02\x04\x01\xff\x02\x05\x00\x01\x01\x01\x02\x03\x01\x01g\x01\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xe8\x03\x00\x00\x00\x00\x00\x00\x05\x02\x01c\xb8\xceB\x1c\xa2\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01d\xbb\xceB\x1c\xa2\x01\x00\x00\x00\x0a\x00\xc8\x97!M\xb8u\x19\xa9",
    b"\x05\x02\x01b\x00\x00\x00\x00\x00\x00\x04@\x01a\x00\x00\x00\x00\x00\x00\xf0?\x0a\x00\xf4n\xb79\x19vr\x91",
];

const VALUES: &[&str] = &[
    "",
    "a",
    "hello",
    "hello world",
    "0",
    "1",
    "10",
    "-7",
    "3.25",
    "007",
    " 1",
    "1e2",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "inf",
    "a value longer than a small hash takes",
    "a string of exactly forty-four bytes: 3456789",
    "line\r\nbreak\0end",
];

/// Sums and products of them are exact, and look alike in every way of printing doubles.
const SCORES: &[&str] = &[
    "0", "1", "-1", "2", "3", "5", "10", "-10", "100", "1.5", "-1.5", "2.25", "3e3", "0x1p3", "inf", "-inf", "+inf",
    "nan", "x", "", "1e400", "1e-400", " 1", "1_0",
];

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "3",
    "5",
    "10",
    "-10",
    "100",
    "x",
    "",
    "1.5",
    "+1",
    "01",
    " 2",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
];

const FLOATS: &[&str] = &[
    "0", "1", "-1", "0.1", "-0.1", "3.0e3", "1e-5", "1e17", "2.5", "-0", "inf", "-inf", "nan", "x", "", "1e400",
    "1e5000", "0x1p3", " 1", "1_0",
];

const PATTERNS: &[&str] = &[
    "*",
    "**",
    "{t}*",
    "*1",
    "*[12]",
    "*[^12]",
    "*[1-2]",
    "*[2-1]",
    "{t}s?",
    "{t}?[0-9]",
    "{t}s1",
    "",
    "?",
    "[",
    "*[",
    "*[^",
    "*[1-",
    "*\\1",
    "\\{t\\}*",
    "[a-e]",
    "[^a]",
    "?*",
    "a*field*",
    "*h*1",
];

/// The lines are constants, and a test reads every one of them: a wrong one cannot be met later.
fn parse(line: &str) -> Node {
    let mut rest = line;
    let node = parse_choice(&mut rest);
    assert!(rest.is_empty(), "{line:?}: unexpected {rest:?}");
    node
}

fn parse_choice(rest: &mut &str) -> Node {
    let mut choices = vec![parse_sequence(rest)];
    while let Some(after) = rest.strip_prefix('|') {
        *rest = after;
        choices.push(parse_sequence(rest));
    }
    if choices.len() == 1 { choices.remove(0) } else { Node::Choice(choices) }
}

fn parse_sequence(rest: &mut &str) -> Node {
    let mut items = Vec::new();
    loop {
        *rest = rest.trim_start();
        let item = match rest.bytes().next() {
            None | Some(b'|' | b']' | b')') => return Node::Sequence(items),
            Some(b'[') => Node::Optional(Box::new(parse_enclosed(rest, ']'))),
            Some(b'(') => parse_enclosed(rest, ')'),
            Some(_) => parse_word(rest),
        };
        items.push(match rest.strip_prefix('+') {
            Some(after) => {
                *rest = after;
                Node::Repeat(Box::new(item))
            }
            None => item,
        });
    }
}

fn parse_enclosed(rest: &mut &str, close: char) -> Node {
    *rest = &rest[1..];
    let node = parse_choice(rest);
    *rest = rest.strip_prefix(close).unwrap_or(rest);
    node
}

fn parse_word(rest: &mut &str) -> Node {
    let length = rest.find([' ', '|', '[', ']', '(', ')', '+']).unwrap_or(rest.len());
    let (word, after) = rest.split_at(length);
    *rest = after;
    if word.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Node::Parameter(word.into())
    } else {
        Node::Literal(word.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Handler, check, table};

    fn grammar(deadlines: Deadlines) -> Grammar {
        Grammar::new(
            Rng::new(1),
            Dialect { databases: &["0", "1", "x"], deadlines },
            SYNTAX.iter().chain(BEYOND).copied(),
        )
    }

    #[test]
    fn every_command_on_keys_is_drawn() {
        let mut drawn = crate::base::HashSet::default();
        for deadlines in [Deadlines::Far, Deadlines::Near] {
            let mut grammar = grammar(deadlines);
            for number in 0..20_000 {
                let words = grammar.command(Millis(number));
                if check(&words).is_ok() {
                    drawn.insert(words[0].to_ascii_uppercase());
                }
            }
        }
        for spec in table::all().filter(|spec| !matches!(spec.handler, Handler::Session)) {
            let name = spec.name.to_uppercase();
            assert!(drawn.contains(name.as_bytes()), "the grammar never draws a sound {name}");
        }
    }
}
