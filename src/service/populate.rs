//! DEBUG POPULATE: many strings at once, for test suites. They are made by commands like any others, a portion at a time.

use bytes::Bytes;

use super::Service;
use super::batch::{all, failure};
use super::node::{Outcome, Pending};
use super::route::Routes;
use super::session::Session;
use super::words::{integer, is};
use crate::base::{GroupId, limits};
use crate::command::batch::Unit;
use crate::command::lookup;
use crate::resp::Value;

/// Keys that are made before the next ones are thought of.
const PORTION: u64 = 1_000;
/// Bytes of one portion, as far as values make them.
const PORTION_BYTES: u64 = 8 << 20;

const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";

/// Whether a call of DEBUG makes keys.
pub(super) fn is_populate(args: &[Bytes]) -> bool {
    args.get(1).is_some_and(|word| is(word, "populate")) && (3..=5).contains(&args.len())
}

impl Service {
    /// `DEBUG POPULATE count [prefix] [size]`: `prefix:0` and so on, those that there are stay as they are.
    pub(super) async fn populate(&self, session: &mut Session, args: &[Bytes]) -> Value {
        let positive = |word: &Bytes| integer(word).and_then(|number| u64::try_from(number).ok());
        let Some(count) = positive(&args[2]) else { return Value::error(NOT_POSITIVE) };
        let prefix = args.get(3).map_or(&b"key"[..], |prefix| prefix);
        // 0 is as long as the value is.
        let size = match args.get(4).map(positive) {
            None => 0,
            Some(Some(size)) if size <= limits::BULK_BYTES_MAX as u64 => size as usize,
            Some(_) => return Value::error(NOT_POSITIVE),
        };
        let portion = PORTION.min(PORTION_BYTES / (size as u64 + 64)).max(1);
        let mut next = 0;
        while next < count && !session.client.is_ending() {
            let end = count.min(next + portion);
            if let Err(refusal) = self.make(session, prefix, size, next..end).await {
                return refusal;
            }
            next = end;
        }
        Value::OK
    }

    async fn make(
        &self,
        session: &mut Session,
        prefix: &[u8],
        size: usize,
        numbers: std::ops::Range<u64>,
    ) -> Result<(), Value> {
        let routes = Routes::new(&self.node.map());
        let Some(spec) = lookup(b"setnx") else { return Ok(()) };
        let mut units: Vec<(GroupId, Vec<Unit>)> = Vec::new();
        for number in numbers {
            let key = [prefix, b":", number.to_string().as_bytes()].concat();
            let mut value = format!("value:{number}").into_bytes();
            if size > 0 {
                value.resize(size, 0);
            }
            let args = vec![Bytes::from_static(b"SETNX"), key.into(), value.into()];
            let group = routes.of_call(spec, &args)?;
            let unit = Unit::Call(session.call(args));
            match units.iter_mut().find(|(known, _)| *known == group) {
                Some((_, units)) => units.push(unit),
                None => units.push((group, vec![unit])),
            }
        }
        let pending: Vec<Pending> = units.into_iter().map(|(group, units)| self.node.submit(group, units)).collect();
        let failed = all(pending).await.into_iter().find(|outcome| !matches!(outcome, Outcome::Replies(_)));
        failed.map_or(Ok(()), |outcome| Err(Value::error(failure(&outcome))))
    }
}
