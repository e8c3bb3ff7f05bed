//! CONFIG GET, SET and RESETSTAT: what an operator may ask and change at run time, per node.
//!
//! Invariant: a CONFIG SET of several parameters changes all of them or none, and every value shown is one that
//! was checked. What the hot path needs of them lies in atomics beside the map.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;

use super::output_limits::{Limit, Limits};
use super::parameters::{Kind, PARAMETERS};
use super::words::{self, syntax_error, text};
use crate::base::glob;
use crate::command::events;
use crate::resp::Value;

const IMMUTABLE: &str = "can't set immutable config";

/// The parameters of a node.
#[derive(Debug)]
pub(super) struct Config {
    values: RwLock<BTreeMap<&'static str, Bytes>>,
    clients_max: AtomicUsize,
    /// Idle seconds after which a client is disconnected, 0 for never.
    timeout_seconds: AtomicU64,
    /// Microseconds from which a command is slow, negative for never.
    slow_micros: AtomicI64,
    slow_entries_max: AtomicUsize,
    query_buffer_bytes: AtomicUsize,
    bulk_bytes: AtomicUsize,
    /// Hard and soft bytes and soft seconds of `client-output-buffer-limit` for normal clients.
    output_limit: [AtomicU64; 3],
}

impl Config {
    /// Defaults, with some values replaced.
    pub fn new(replaced: &[(&'static str, String)]) -> Config {
        let mut values: BTreeMap<&'static str, Bytes> = PARAMETERS
            .iter()
            .filter(|(_, kind, _)| !matches!(kind, Kind::Alias(_)))
            .map(|&(name, _, value)| (name, Bytes::from_static(value.as_bytes())))
            .collect();
        for (name, value) in replaced {
            values.insert(name, value.clone().into());
        }
        let config = Config {
            values: RwLock::new(values),
            clients_max: AtomicUsize::new(0),
            timeout_seconds: AtomicU64::new(0),
            slow_micros: AtomicI64::new(0),
            slow_entries_max: AtomicUsize::new(0),
            query_buffer_bytes: AtomicUsize::new(0),
            bulk_bytes: AtomicUsize::new(0),
            output_limit: Default::default(),
        };
        config.refresh();
        config
    }

    /// `maxclients`.
    pub fn clients_max(&self) -> usize {
        self.clients_max.load(Relaxed)
    }

    /// `timeout`.
    pub fn timeout_seconds(&self) -> u64 {
        self.timeout_seconds.load(Relaxed)
    }

    /// `slowlog-log-slower-than`.
    pub fn slow_micros(&self) -> i64 {
        self.slow_micros.load(Relaxed)
    }

    /// `slowlog-max-len`.
    pub fn slow_entries_max(&self) -> usize {
        self.slow_entries_max.load(Relaxed)
    }

    /// `client-query-buffer-limit`.
    pub fn query_buffer_bytes(&self) -> usize {
        self.query_buffer_bytes.load(Relaxed)
    }

    /// `proto-max-bulk-len`.
    pub fn bulk_bytes(&self) -> usize {
        self.bulk_bytes.load(Relaxed)
    }

    /// `client-output-buffer-limit` for normal clients.
    pub fn output_limit(&self) -> Limit {
        let [hard, soft, seconds] = self.output_limit.each_ref().map(|number| number.load(Relaxed));
        Limit { hard, soft, patience: Duration::from_secs(seconds) }
    }

    /// `acllog-max-len`.
    pub fn acl_log_entries_max(&self) -> usize {
        std::str::from_utf8(&self.get("acllog-max-len")).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// `client-output-buffer-limit` for clients that listen to channels.
    pub fn listeners_limit(&self) -> Limit {
        self.output_limits().pubsub()
    }

    fn output_limits(&self) -> Limits {
        Limits::default().with(&text(&self.get("client-output-buffer-limit"))).unwrap_or_default()
    }

    /// The value of a parameter; empty for one that does not exist.
    pub fn get(&self, name: &str) -> Bytes {
        self.values.read().get(name).cloned().unwrap_or_default()
    }

    /// The answer to CONFIG GET: every parameter that one of the patterns matches, once. As in Redis, a name without a
    /// wildcard comes back as the client spelled it first.
    pub fn matching(&self, patterns: &[Bytes]) -> Value {
        let values = self.values.read();
        let mut found: Vec<Bytes> = Vec::new();
        let mut pairs = Vec::new();
        let mut add = |spelled: Bytes, name: &str| {
            if !found.iter().any(|earlier| earlier.eq_ignore_ascii_case(&spelled)) {
                let value = lookup(name).and_then(|(canonical, _)| values.get(canonical).cloned()).unwrap_or_default();
                pairs.push((Value::Bulk(spelled.clone()), Value::Bulk(value)));
                found.push(spelled);
            }
        };
        for pattern in patterns {
            let is_name = !pattern.iter().any(|byte| b"[*?".contains(byte));
            for (name, ..) in PARAMETERS {
                if is_name && pattern.eq_ignore_ascii_case(name.as_bytes()) {
                    add(pattern.clone(), name);
                } else if !is_name && glob::matches_ignoring_case(pattern, name.as_bytes()) {
                    add(Bytes::from_static(name.as_bytes()), name);
                }
            }
        }
        Value::Map(pairs)
    }

    /// Whether CONFIG GET with these patterns shows a parameter.
    pub fn shows(patterns: &[Bytes], name: &str) -> bool {
        patterns.iter().any(|pattern| glob::matches_ignoring_case(pattern, name.as_bytes()))
    }

    /// CONFIG SET of pairs of name and value: what is to be changed, by canonical names, or the error.
    pub fn checked(&self, pairs: &[Bytes]) -> Result<Vec<(&'static str, Bytes)>, Value> {
        let failed = |name: &Bytes, reason: &str| {
            let (head, middle) = (b"ERR CONFIG SET failed (possibly related to argument '", b"') - ");
            Value::error_with(&[head, name, middle, reason.as_bytes()])
        };
        // First all names, then all values: the order in which Redis finds mistakes.
        let mut named: Vec<(&Bytes, &Bytes, &'static str, Kind)> = Vec::new();
        let mut refused = None;
        for pair in pairs.chunks(2) {
            let [name, value] = pair else {
                return Err(syntax_error());
            };
            let Some((canonical, kind)) = lookup(&text(name).to_ascii_lowercase()) else {
                let head = b"ERR Unknown option or number of arguments for CONFIG SET - '";
                return Err(refused.unwrap_or_else(|| Value::error_with(&[head, name, b"'"])));
            };
            if refused.is_some() {
                continue;
            }
            if matches!(kind, Kind::Immutable) {
                refused = Some(failed(name, IMMUTABLE));
            } else if named.iter().any(|(_, _, earlier, _)| *earlier == canonical) {
                refused = Some(failed(name, "duplicate parameter"));
            }
            named.push((name, value, canonical, kind));
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        let mut changes: Vec<(&'static str, Bytes)> = Vec::new();
        for (name, value, canonical, kind) in named {
            // Here Redis names the parameter as its table spells it, before as the client did.
            let spelled = || Bytes::from(name.to_ascii_lowercase());
            let value = check(kind, value, &self.get(canonical)).map_err(|reason| failed(&spelled(), &reason))?;
            changes.push((canonical, value));
        }
        Ok(changes)
    }

    /// Makes changes that were checked; returns them as texts.
    pub fn commit(&self, changes: Vec<(&'static str, Bytes)>) -> Vec<(&'static str, String)> {
        let mut values = self.values.write();
        for (name, value) in &changes {
            values.insert(name, value.clone());
        }
        drop(values);
        self.refresh();
        changes.into_iter().map(|(name, value)| (name, text(&value))).collect()
    }

    /// Takes note of a parameter that is not this node's own.
    pub fn know(&self, name: &'static str, value: Bytes) {
        self.values.write().insert(name, value);
    }

    /// Copies what the hot path needs.
    fn refresh(&self) {
        let number = |name: &str| std::str::from_utf8(&self.get(name)).ok().and_then(|text| text.parse::<i64>().ok());
        self.clients_max.store(number("maxclients").unwrap_or(0) as usize, Relaxed);
        self.timeout_seconds.store(number("timeout").unwrap_or(0) as u64, Relaxed);
        self.slow_micros.store(number("slowlog-log-slower-than").unwrap_or(-1), Relaxed);
        self.slow_entries_max.store(number("slowlog-max-len").unwrap_or(0) as usize, Relaxed);
        self.query_buffer_bytes.store(number("client-query-buffer-limit").unwrap_or(0) as usize, Relaxed);
        self.bulk_bytes.store(number("proto-max-bulk-len").unwrap_or(0) as usize, Relaxed);
        let limit = self.output_limits().normal();
        for (cell, number) in self.output_limit.iter().zip([limit.hard, limit.soft, limit.patience.as_secs()]) {
            cell.store(number, Relaxed);
        }
    }
}

/// The canonical name and kind of a parameter.
fn lookup(name: &str) -> Option<(&'static str, Kind)> {
    let &(name, kind, _) = PARAMETERS.iter().find(|(known, _, _)| *known == name)?;
    match kind {
        Kind::Alias(other) => lookup(other),
        kind => Some((name, kind)),
    }
}

/// The value as it is kept and shown, or Redis's words for why it is none.
fn check(kind: Kind, value: &Bytes, present: &Bytes) -> Result<Bytes, String> {
    match kind {
        Kind::Immutable | Kind::Alias(_) => Err(IMMUTABLE.into()),
        Kind::Held if value.eq_ignore_ascii_case(present) => Ok(present.clone()),
        Kind::Held => Err(IMMUTABLE.into()),
        Kind::Text => Ok(Bytes::copy_from_slice(value)),
        Kind::YesNo => match value.to_ascii_lowercase().as_slice() {
            b"yes" => Ok("yes".into()),
            b"no" => Ok("no".into()),
            _ => Err("argument must be 'yes' or 'no'".into()),
        },
        Kind::Integer(min, max) => {
            let number = words::integer(value).ok_or("argument couldn't be parsed into an integer")?;
            if !(min..=max).contains(&number) {
                return Err(format!("argument must be between {min} and {max} inclusive"));
            }
            Ok(number.to_string().into())
        }
        Kind::Memory(min, max) => {
            let bytes = memory(value).ok_or("argument must be a memory value")?;
            if !(min..=max).contains(&bytes) {
                return Err(format!("argument must be between {min} and {max} inclusive"));
            }
            Ok(bytes.to_string().into())
        }
        Kind::OutputLimits => {
            let present = Limits::default().with(&text(present)).unwrap_or_default();
            Ok(present.with(&text(value))?.to_string().into())
        }
        Kind::OneOf(words) => words
            .iter()
            .find(|word| value.eq_ignore_ascii_case(word.as_bytes()))
            .map(|word| Bytes::from_static(word.as_bytes()))
            .ok_or_else(|| format!("argument(s) must be one of the following: {}", words.join(", "))),
        Kind::Events => events::canonical(value).map(Bytes::from).map_err(String::from),
        Kind::Percentiles => {
            for share in text(value).split_whitespace() {
                let share = share.parse::<f64>();
                let share = share.map_err(|_| String::from("Invalid latency-tracking-info-percentiles parameters"))?;
                if !(0.0..=100.0).contains(&share) {
                    return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into());
                }
            }
            Ok(Bytes::copy_from_slice(value))
        }
    }
}

/// `64`, `64k`, `64kb`, `1GB` ...: with a `b` at the end powers of 1024, without powers of 1000.
pub(super) fn memory(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match &text[digits..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    // No digits are 0 to Redis (`memtoull`).
    if digits == 0 {
        return Some(0);
    }
    text[..digits].parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(&[("maxclients", "100".into())])
    }

    fn set(config: &Config, words: &[&'static str]) -> Result<Vec<(&'static str, String)>, Value> {
        let changes =
            config.checked(&words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect::<Vec<_>>())?;
        Ok(config.commit(changes))
    }

    #[test]
    fn names_are_sorted_and_aliases_lead_somewhere() {
        assert!(PARAMETERS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (name, kind, value) in PARAMETERS {
            assert!(lookup(name).is_some(), "{name}");
            if !matches!(kind, Kind::Immutable | Kind::Alias(_)) {
                let value = Bytes::from_static(value.as_bytes());
                assert_eq!(check(*kind, &value, &value), Ok(value.clone()), "{name}");
            }
        }
    }

    #[test]
    fn refusals_are_in_redis_words() {
        let config = config();
        let check = |words: &[&'static str], reason: &str| {
            let wanted =
                format!("ERR CONFIG SET failed (possibly related to argument '{}') - {reason}", words[words.len() - 2]);
            assert_eq!(set(&config, words), Err(Value::error(wanted)));
        };
        check(&["maxclients", "x"], "argument couldn't be parsed into an integer");
        check(&["maxclients", "+1"], "argument couldn't be parsed into an integer");
        check(&["maxclients", "0"], "argument must be between 1 and 4294967295 inclusive");
        check(&["maxclients", "5", "maxclients", "6"], "duplicate parameter");
        check(&["timeout", "x", "maxclients", "6", "maxclients", "7"], "duplicate parameter");
        check(&["DATABASES", "3"], "can't set immutable config");
        let lower = "ERR CONFIG SET failed (possibly related to argument 'hash-max-ziplist-value') - \
                     argument must be a memory value";
        assert_eq!(set(&config, &["HASH-max-ziplist-value", "x"]), Err(Value::error(lower)));
        check(&["appendonly", "no"], "can't set immutable config");
        check(&["hash-max-listpack-value", "1zb"], "argument must be a memory value");
        check(&["proto-max-bulk-len", "1"], "argument must be between 1024 and 67108864 inclusive");
        let wrong = "Invalid client class specified in buffer limit configuration.";
        check(&["client-output-buffer-limit", "master 0 0 0"], wrong);
        check(&["activedefrag", "maybe"], "argument must be 'yes' or 'no'");
        let percentiles = "latency-tracking-info-percentiles";
        check(&[percentiles, "50 101"], "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
        check(&[percentiles, "x 101"], "Invalid latency-tracking-info-percentiles parameters");
        check(&["notify-keyspace-events", "Q"], "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        check(&["repl-diskless-load", "x"], "argument(s) must be one of the following: disabled, on-empty-db, swapdb");
        assert_eq!(
            set(&config, &["timeout", "5", "nosuch", "1"]),
            Err(Value::error("ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"))
        );
        assert_eq!(config.timeout_seconds(), 0, "all or none");
    }

    #[test]
    fn names_come_back_as_they_were_spelled() {
        let config = config();
        let get = |words: &[&'static str]| match config
            .matching(&words.iter().map(|w| Bytes::from(*w)).collect::<Vec<_>>())
        {
            Value::Map(pairs) => pairs.into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let names = |words: &[&'static str]| words.iter().map(|word| Value::bulk(*word)).collect::<Vec<_>>();
        assert_eq!(get(&["TimeOut", "nosuch", "timeout", "TimeOut"]), names(&["TimeOut"]));
        assert_eq!(get(&["TIMEOU?", "hash-max-ziplist-value"]), names(&["timeout", "hash-max-ziplist-value"]));
        assert_eq!(get(&["MAXCLIENT*", "maxclients"]), names(&["maxclients"]));
    }

    #[test]
    fn values_are_kept_as_redis_shows_them() {
        let config = config();
        assert_eq!(config.clients_max(), 100);
        let changed = set(&config, &["HASH-max-ziplist-value", "2kb", "timeout", "7"]).unwrap();
        assert_eq!(changed, [("hash-max-listpack-value", "2048".into()), ("timeout", "7".into())]);
        assert_eq!(config.timeout_seconds(), 7);
        let pattern = Bytes::from_static(b"*-Max-Ziplist-value");
        let Value::Map(pairs) = config.matching(&[pattern]) else { panic!("no map") };
        assert_eq!(pairs[0], (Value::bulk("hash-max-ziplist-value"), Value::bulk("2048")));
        for (given, shown) in [("KEA", "AKE"), ("Exg", "gxE"), ("", ""), ("g$lshzxetdn", "A")] {
            assert_eq!(events::canonical(given.as_bytes()), Ok(shown.to_string()));
        }
        set(&config, &["save", ""]).unwrap();
    }
}
