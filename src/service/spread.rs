//! Commands over all groups: asked of each at the same time, answered as one.
//!
//! Nothing is atomic over groups here; each group's part is. What changed only some groups before a failure is an
//! unknown outcome, never a definite error. With a single group these commands are ordinary calls and do not come here.

use bytes::{Bytes, BytesMut};

use super::Service;
use super::batch::{UNKNOWN, all, failure};
use super::node::{FastRead, Outcome, Pending};
use super::route::Routes;
use super::words::integer;
use crate::base::{GroupId, Rng, Slot};
use crate::command::batch::{Call, Unit, UnitReply};
use crate::command::spec::Merge;
use crate::command::{Flags, Spec, debug, events};
use crate::resp::{Protocol, Value, parse_reply};

/// Bits of a SCAN cursor below the slot.
const CURSOR_SLOT_SHIFT: u32 = 32;

impl Service {
    /// Runs a command on every group that it concerns and puts the replies together.
    pub(super) async fn spread(&self, routes: &Routes, spec: &Spec, merge: Merge, call: Call) -> Value {
        let groups: Vec<GroupId> = routes.groups().collect();
        let reads = spec.flags.has(Flags::of("readonly"));
        match merge {
            Merge::Cursor => {
                let cursor = call.args.get(1).and_then(|cursor| integer(cursor)).unwrap_or(0);
                let slot = u16::try_from(cursor >> CURSOR_SLOT_SHIFT).ok().and_then(Slot::new);
                // A cursor that is none goes anywhere: the group finds the words for it.
                let group = slot.map_or_else(|| groups.first().copied(), |slot| routes.of_slot(slot).ok());
                match group {
                    Some(group) => one(self.ask(&[group], reads, &call).await),
                    None => Value::error(super::route::NOT_SERVED),
                }
            }
            Merge::Any => self.any(groups, &call).await,
            Merge::Sum => sum(self.ask(&groups, reads, &call).await),
            Merge::Join => join(self.ask(&groups, reads, &call).await),
            Merge::AllOk => all_ok(self.ask(&groups, reads, &call).await),
            Merge::Same => same(self.ask(&groups, reads, &call).await),
            Merge::Least => least(self.ask(&groups, reads, &call).await),
            Merge::Digest => {
                let mut args = call.args.clone();
                args.push(Bytes::from_static(debug::PARTS.as_bytes()));
                digest(self.ask(&groups, reads, &Call { args, ..call }).await)
            }
        }
    }

    /// Which keyspace events are told, as the first group has it: all have the same, but while they are being set.
    pub(super) async fn events(&self) -> Result<Bytes, Value> {
        let routes = Routes::new(&self.node.map());
        let Some(group) = routes.groups().next() else { return Err(Value::error(super::route::NOT_SERVED)) };
        let call = Call::new(0, Protocol::Resp2, events::get_words());
        match one(self.ask(&[group], true, &call).await) {
            Value::Bulk(letters) => Ok(letters),
            refusal => Err(refusal),
        }
    }

    /// What the first group answers to a call that only reads, for what all groups keep alike.
    pub(super) async fn ask_first(&self, call: Call) -> Result<Value, Outcome> {
        let routes = Routes::new(&self.node.map());
        let Some(group) = routes.groups().next() else { return Err(Outcome::Down) };
        self.ask(&[group], true, &call).await.pop().unwrap_or(Err(Outcome::Unknown))
    }

    /// Has every group tell these.
    pub(super) async fn set_events(&self, letters: Bytes) -> Result<(), Value> {
        let groups: Vec<GroupId> = Routes::new(&self.node.map()).groups().collect();
        let call = Call::new(0, Protocol::Resp2, events::set_words(Bytes::copy_from_slice(&letters)));
        match all_ok(self.ask(&groups, false, &call).await) {
            Value::Simple(_) => Ok(()),
            refusal => Err(refusal),
        }
    }

    /// A key of any group, each group as likely as it has keys.
    async fn any(&self, mut groups: Vec<GroupId>, call: &Call) -> Value {
        let sizes = Call { args: vec![Bytes::from_static(b"DBSIZE")], ..call.clone() };
        let mut weights = Vec::new();
        for reply in self.ask(&groups, true, &sizes).await {
            match reply {
                Ok(Value::Integer(size)) => weights.push(size.max(0) as u64),
                Ok(_) => weights.push(0),
                Err(outcome) => return Value::error(failure(&outcome)),
            }
        }
        let mut rng = Rng::new(self.node.random());
        // A group may be empty by the time it is asked: then another one is.
        loop {
            let total: u64 = weights.iter().sum();
            if total == 0 {
                return Value::Null;
            }
            let mut ticket = rng.below(total);
            let chosen = weights.iter().position(|weight| {
                let hit = ticket < *weight;
                ticket = ticket.saturating_sub(*weight);
                hit
            });
            let Some(chosen) = chosen else { return Value::Null };
            match one(self.ask(&[groups[chosen]], true, call).await) {
                Value::Null => {
                    groups.remove(chosen);
                    weights.remove(chosen);
                }
                reply => return reply,
            }
        }
    }

    /// Asks groups the same: replies in the order of the groups.
    async fn ask(&self, groups: &[GroupId], reads: bool, call: &Call) -> Vec<Result<Value, Outcome>> {
        let mut replies: Vec<Option<Result<Value, Outcome>>> = Vec::new();
        let mut pending: Vec<Pending> = Vec::new();
        for &group in groups {
            let mut out = BytesMut::new();
            if reads && self.node.read(group, call, &mut out) == FastRead::Done {
                replies.push(Some(parse(&out.freeze())));
            } else {
                replies.push(None);
                pending.push(self.node.submit(group, vec![Unit::Call(call.clone())]));
            }
        }
        let mut outcomes = all(pending).await.into_iter().map(|outcome| match outcome {
            Outcome::Replies(replies) => match replies.first() {
                Some(UnitReply::Call(bytes)) => parse(bytes),
                _ => Err(Outcome::Unknown),
            },
            failed => Err(failed),
        });
        replies.into_iter().map(|reply| reply.or_else(|| outcomes.next()).unwrap_or(Err(Outcome::Unknown))).collect()
    }
}

fn parse(bytes: &Bytes) -> Result<Value, Outcome> {
    parse_reply(bytes).map(|(value, _)| value).ok_or(Outcome::Unknown)
}

/// The only reply.
fn one(replies: Vec<Result<Value, Outcome>>) -> Value {
    match replies.into_iter().next() {
        Some(Ok(value)) => value,
        Some(Err(outcome)) => Value::error(failure(&outcome)),
        None => Value::error(UNKNOWN),
    }
}

/// The first thing that is no ordinary reply, as one for the client.
fn first_failure(replies: &[Result<Value, Outcome>]) -> Option<Value> {
    replies.iter().find_map(|reply| match reply {
        Ok(value) if value.is_error() => Some(value.clone()),
        Ok(_) => None,
        Err(outcome) => Some(Value::error(failure(outcome))),
    })
}

fn sum(replies: Vec<Result<Value, Outcome>>) -> Value {
    if let Some(failed) = first_failure(&replies) {
        return failed;
    }
    Value::Integer(replies.iter().map(|reply| if let Ok(Value::Integer(number)) = reply { *number } else { 0 }).sum())
}

fn join(replies: Vec<Result<Value, Outcome>>) -> Value {
    if let Some(failed) = first_failure(&replies) {
        return failed;
    }
    let items = replies.into_iter().filter_map(Result::ok).flat_map(|reply| match reply {
        Value::Array(items) | Value::Set(items) => items,
        _ => Vec::new(),
    });
    Value::Array(items.collect())
}

fn digest(replies: Vec<Result<Value, Outcome>>) -> Value {
    if let Some(failed) = first_failure(&replies) {
        return failed;
    }
    let parts: Vec<Value> = replies.into_iter().filter_map(Result::ok).collect();
    debug::join_digests(&parts).unwrap_or_else(|| Value::error(UNKNOWN))
}

/// What every group answered, once all did.
fn same(replies: Vec<Result<Value, Outcome>>) -> Value {
    let first = replies.first().and_then(|reply| reply.clone().ok());
    match (all_ok(replies), first) {
        (Value::Simple(_), Some(value)) => value,
        (failed, _) => failed,
    }
}

/// The least integer at each place.
fn least(replies: Vec<Result<Value, Outcome>>) -> Value {
    if let Some(failed) = first_failure(&replies) {
        return failed;
    }
    let mut rows = replies.into_iter().filter_map(|reply| match reply {
        Ok(Value::Array(items)) => Some(items),
        _ => None,
    });
    let mut least = rows.next().unwrap_or_default();
    for row in rows {
        for (least, item) in least.iter_mut().zip(row) {
            if let (Value::Integer(number), Value::Integer(other)) = (least, item) {
                *number = (*number).min(other);
            }
        }
    }
    Value::Array(least)
}

/// `OK` once every group did it. What some did and others refused is not known as a whole.
fn all_ok(replies: Vec<Result<Value, Outcome>>) -> Value {
    let Some(failed) = first_failure(&replies) else { return Value::OK };
    let some_ran = replies.iter().any(|reply| match reply {
        Ok(value) => !value.is_error(),
        Err(outcome) => *outcome == Outcome::Unknown,
    });
    if some_ran { Value::error(UNKNOWN) } else { failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_flush_is_unknown() {
        assert_eq!(all_ok(vec![Ok(Value::OK), Ok(Value::OK)]), Value::OK);
        assert_eq!(all_ok(vec![Ok(Value::OK), Err(Outcome::Down)]), Value::error(UNKNOWN));
        assert_eq!(all_ok(vec![Err(Outcome::Down), Err(Outcome::Unknown)]), Value::error(UNKNOWN));
        assert_eq!(all_ok(vec![Err(Outcome::Down), Err(Outcome::Down)]), Value::error(super::super::batch::DOWN));
        let syntax = Value::error("ERR syntax error");
        assert_eq!(all_ok(vec![Ok(syntax.clone()), Ok(syntax.clone())]), syntax);
    }

    #[test]
    fn what_all_say_and_the_least_of_it() {
        let digest = || Ok(Value::bulk("digest"));
        assert_eq!(same(vec![digest(), digest()]), Value::bulk("digest"));
        assert_eq!(same(vec![digest(), Err(Outcome::Down)]), Value::error(UNKNOWN));
        let row = |a, b| Ok(Value::Array(vec![Value::Integer(a), Value::Integer(b)]));
        assert_eq!(least(vec![row(1, 1), row(0, 1)]), Value::Array(vec![Value::Integer(0), Value::Integer(1)]));
    }

    #[test]
    fn sums_and_joins() {
        assert_eq!(sum(vec![Ok(Value::Integer(2)), Ok(Value::Integer(3))]), Value::Integer(5));
        let part = |key: &'static str| Ok(Value::Array(vec![Value::bulk(key)]));
        assert_eq!(join(vec![part("a"), part("b")]), Value::Array(vec![Value::bulk("a"), Value::bulk("b")]));
        assert!(join(vec![part("a"), Err(Outcome::Down)]).is_error());
    }
}
