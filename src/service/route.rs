//! Which group a call belongs to.

use bytes::Bytes;

use super::words::integer;
use crate::base::{GroupId, Slot, SlotRange};
use crate::cluster::Map;
pub(super) use crate::command::error::CROSS_SLOT;
use crate::command::{self, Spec};
use crate::resp::Value;

/// No group owns the slot.
pub(super) const NOT_SERVED: &str = "CLUSTERDOWN Hash slot not served";

/// The groups of one map, looked at once for a whole batch of requests.
#[derive(Debug)]
pub(super) struct Routes {
    /// Ranges and their groups, ascending.
    ranges: Vec<(SlotRange, GroupId)>,
}

impl Routes {
    pub fn new(map: &Map) -> Routes {
        let mut ranges: Vec<_> =
            map.groups.iter().filter_map(|group| group.slots.map(|slots| (slots, group.id))).collect();
        ranges.sort_unstable();
        Routes { ranges }
    }

    /// All groups with slots, by their slots.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.ranges.iter().map(|(_, group)| *group)
    }

    /// The group that owns everything, if there is just one.
    pub fn only(&self) -> Option<GroupId> {
        match self.ranges.as_slice() {
            [(SlotRange::ALL, group)] => Some(*group),
            _ => None,
        }
    }

    /// The group of a slot.
    pub fn of_slot(&self, slot: Slot) -> Result<GroupId, Value> {
        let owner = self.ranges.iter().find(|(range, _)| range.contains(slot));
        owner.map(|(_, group)| *group).ok_or_else(|| Value::error(NOT_SERVED))
    }

    /// The group of all these keys; the first group if there is none (a script without keys).
    pub fn of_keys<'a>(&self, mut keys: impl Iterator<Item = &'a Bytes>) -> Result<GroupId, Value> {
        if let Some(only) = self.only() {
            return Ok(only);
        }
        let Some(first) = keys.next() else {
            return self.groups().next().ok_or_else(|| Value::error(NOT_SERVED));
        };
        let group = self.of_slot(Slot::of(first))?;
        for key in keys {
            if self.of_slot(Slot::of(key))? != group {
                return Err(Value::error(CROSS_SLOT));
            }
        }
        Ok(group)
    }

    /// The group of a call.
    pub fn of_call(&self, spec: &Spec, args: &[Bytes]) -> Result<GroupId, Value> {
        self.place(spec, args).map(|(group, _)| group)
    }

    /// The group of a call, and whether it must be that one: what has no keys, or is wrong in itself, may go anywhere.
    pub fn place(&self, spec: &Spec, args: &[Bytes]) -> Result<(GroupId, bool), Value> {
        match self.only() {
            Some(only) => Ok((only, true)),
            // Their keys are those of a slot. What is no slot is refused by whichever group is asked.
            None if matches!(spec.name, "cluster|countkeysinslot" | "cluster|getkeysinslot") => {
                match args.get(2).and_then(|slot| integer(slot)).and_then(|slot| Slot::new(u16::try_from(slot).ok()?)) {
                    Some(slot) => self.of_slot(slot).map(|group| (group, true)),
                    None => self.of_keys(std::iter::empty()).map(|group| (group, false)),
                }
            }
            // Any group can carry its message; the same one each time, so that a channel has an order. It binds no
            // block.
            None if spec.name == "publish" => self.of_keys(args.get(1).into_iter()).map(|group| (group, false)),
            None => {
                let keys = || spec.keys_of(args).filter_map(|(position, _)| args.get(position));
                match self.of_keys(keys()) {
                    // Any of the groups finds the words for a call that is wrong wherever it runs.
                    Err(_) if command::mistake(args).is_some() => Ok((self.of_keys(keys().take(1))?, false)),
                    group => Ok((group?, keys().next().is_some())),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::GroupInfo;

    fn routes(count: u16) -> Routes {
        let group = |(id, range)| GroupInfo {
            id: GroupId(id),
            slots: Some(range),
            members: vec![],
            leader: None,
            term: Default::default(),
            commit: Default::default(),
            applied: Default::default(),
            followers: vec![],
        };
        let groups = (1..).zip(SlotRange::divide(count)).map(group).collect();
        Routes::new(&Map { groups, ..Map::default() })
    }

    fn of(routes: &Routes, keys: &[&'static str]) -> Result<GroupId, Value> {
        let keys: Vec<Bytes> = keys.iter().map(|key| Bytes::from_static(key.as_bytes())).collect();
        routes.of_keys(keys.iter())
    }

    #[test]
    fn keys_of_one_group_in_different_slots_are_fine() {
        // foo: 12182, bar: 5061, a: 15495.
        let halves = routes(2);
        assert_eq!(of(&halves, &["foo", "a"]), Ok(GroupId(2)));
        assert_eq!(of(&halves, &["foo", "bar"]), Err(Value::error(CROSS_SLOT)));
        assert_eq!(of(&halves, &["{bar}1", "bar"]), Ok(GroupId(1)));
        assert_eq!(of(&halves, &[]), Ok(GroupId(1)));
        assert_eq!(of(&routes(1), &["foo", "bar"]), Ok(GroupId(1)));
    }

    #[test]
    fn a_malformed_call_is_for_whoever_tells_so() {
        let halves = routes(2);
        let of = |line: &'static str| {
            let args: Vec<Bytes> = line.split(' ').map(|word| Bytes::from_static(word.as_bytes())).collect();
            halves.of_call(command::lookup(&args[0]).unwrap(), &args)
        };
        assert_eq!(of("MSET foo 1 bar"), Ok(GroupId(2)));
        assert_eq!(of("MSET foo 1 bar 2"), Err(Value::error(CROSS_SLOT)));
        assert_eq!(of("COPY bar foo DB x"), Ok(GroupId(1)));
        assert_eq!(of("RENAME foo bar"), Err(Value::error(CROSS_SLOT)));
        assert_eq!(of("SORT bar STORE foo X"), Ok(GroupId(1)));
    }

    #[test]
    fn sort_goes_with_what_it_stores() {
        let halves = routes(2);
        let of = |line: &'static str| {
            let args: Vec<Bytes> = line.split(' ').map(|word| Bytes::from_static(word.as_bytes())).collect();
            halves.of_call(command::lookup(&args[0]).unwrap(), &args)
        };
        assert_eq!(of("SORT foo BY {a}* STORE a"), Ok(GroupId(2)));
        assert_eq!(of("SORT foo DESC STORE bar"), Err(Value::error(CROSS_SLOT)));
        assert_eq!(of("SORT_RO bar BY foo_*"), Ok(GroupId(1)));
    }

    #[test]
    fn a_map_without_groups_serves_nothing() {
        assert_eq!(of(&Routes::new(&Map::default()), &["a"]), Err(Value::error(NOT_SERVED)));
        assert_eq!(of(&Routes::new(&Map::default()), &[]), Err(Value::error(NOT_SERVED)));
    }
}
