//! Which keys an entry's mutations changed: for the copies that clients of this node keep.
//!
//! Records tell it themselves, so an entry carries nothing for it but what a client does not want to hear of, and a node
//! where nobody tracks pays a look at a flag.

use bytes::Bytes;

use crate::base::{Changed, Own};
use crate::store::{Mutation, keys};

/// Adds the keys whose records mutations change, without those that a neighbour has named already.
pub(super) fn add(mutations: &[Mutation], own: &[Own], changes: &mut Vec<Changed>) {
    let mut last: &[u8] = &[];
    let mut is_first = true;
    for mutation in mutations {
        match key_of_mutation(mutation) {
            Some(key) if key == last && !is_first => {}
            Some(key) => {
                let author = own.iter().find(|own| own.key == key).map_or(0, |own| own.author);
                changes.push(Changed::Key { key: Bytes::copy_from_slice(key), author });
                (last, is_first) = (key, false);
            }
            // Any other range of slots than a key's elements is a database or all of them.
            None => {
                if matches!(mutation, Mutation::DeleteRange(start, _) if keys::slot_of(start).is_some()) {
                    changes.push(Changed::Everything);
                }
            }
        }
    }
}

/// The key that a mutation is about; none for records of the group, and for ranges that are not of one key.
pub(super) fn key_of_mutation(mutation: &Mutation) -> Option<&[u8]> {
    match mutation {
        Mutation::Put(record, _) | Mutation::Delete(record) => {
            keys::slot_of(record)?;
            keys::parse_head(record).map(|head| head.key).or_else(|| keys::key_of_elements(record))
        }
        // The elements of one key start with it.
        Mutation::DeleteRange(start, _) => keys::key_of_elements(start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{GroupId, Slot, SlotRange};
    use crate::store::keys::ElementKind;

    fn changes(mutations: &[Mutation], own: &[Own]) -> Vec<Changed> {
        let mut changes = Vec::new();
        add(mutations, own, &mut changes);
        changes
    }

    #[test]
    fn records_tell_their_keys() {
        let put = |record| Mutation::Put(record, Bytes::new());
        let mutations = [
            put(keys::head(0, b"")),
            put(keys::head(0, b"a")),
            put(keys::element(0, b"a", ElementKind::Field, b"x")),
            put(keys::counts(GroupId(1))),
            Mutation::Delete(keys::head(3, b"c")),
            Mutation::Delete(keys::ordered(2, b"b", ElementKind::Entry, b"name")),
        ];
        let own = Own { author: 7, key: "c".into() };
        let of_c = Changed::Key { key: "c".into(), author: 7 };
        let expected = [Changed::key(""), Changed::key("a"), of_c, Changed::key("b")];
        assert_eq!(changes(&mutations, &[own]), expected);
    }

    #[test]
    fn ranges_are_those_of_one_key_or_of_many() {
        let range = |(start, end): (Bytes, Bytes)| changes(&[Mutation::DeleteRange(start, end)], &[]);
        assert_eq!(range(keys::elements(1, b"k")), [Changed::key("k")]);
        assert_eq!(range(keys::elements_of(1, b"k", ElementKind::Field)), [Changed::key("k")]);
        let slot = Slot::of(b"k");
        for many in [keys::slots(SlotRange::ALL), keys::heads(slot, 1), keys::elements_in(slot, 1)] {
            assert_eq!(range(many), [Changed::Everything]);
        }
        assert_eq!(range(keys::group_kind(GroupId(1), keys::GroupKind::Expiry)), []);
    }
}
