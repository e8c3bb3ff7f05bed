//! A configuration: what the cells hold after some order of operations, and which of those under way are part of it.
//!
//! An operation under way is in one of three standings:
//!
//! - *open*: it has not taken effect yet.
//! - *done*: it has.
//! - *hidden*: a write that another write has covered since it began. It may have taken effect just before that one,
//!   seen by nobody, or not yet: whichever is needed later. This is what spares the search the 2^n ways in which n
//!   writes at the same time may or may not have been overwritten.
//!
//! A configuration that is at least as good in every respect [`Configuration::covers`] another one, which then need
//! not be followed.

use super::cell::Cell;

/// How many operations of known outcome may be under way at the same time.
pub const SLOTS: usize = 256;

/// A set of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slots([u64; SLOTS / 64]);

impl Slots {
    pub fn has(&self, slot: usize) -> bool {
        self.0[slot / 64] & (1 << (slot % 64)) != 0
    }

    pub fn insert(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub fn remove(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    /// The lowest slot that is not in it.
    pub fn first_free(&self) -> Option<usize> {
        let word = self.0.iter().position(|&word| word != u64::MAX)?;
        Some(64 * word + self.0[word].trailing_ones() as usize)
    }

    /// All in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            std::iter::successors((word != 0).then_some(word), |word| {
                let rest = word & (word - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |word| 64 * at + word.trailing_zeros() as usize)
        })
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Configuration {
    pub state: Box<[Cell]>,
    pub done: Slots,
    pub hidden: Slots,
    /// How many of each class of unknown outcomes took effect: class and count, sorted, no zeros.
    pub spent: Vec<(u32, u32)>,
}

impl Configuration {
    /// How many of a class took effect.
    pub fn spent(&self, class: usize) -> u32 {
        let at = self.spent.binary_search_by_key(&(class as u32), |&(class, _)| class);
        at.map_or(0, |at| self.spent[at].1)
    }

    /// One more of a class took effect.
    pub fn spend(&mut self, class: usize) {
        match self.spent.binary_search_by_key(&(class as u32), |&(class, _)| class) {
            Ok(at) => self.spent[at].1 += 1,
            Err(at) => self.spent.insert(at, (class as u32, 1)),
        }
    }

    /// Whether everything that can follow the other one can follow this one. `inert`: slots of operations that change
    /// nothing, for which done is better than open; for others neither is better than the other.
    pub fn covers(&self, other: &Configuration, inert: &Slots) -> bool {
        let slots = (0..SLOTS / 64).all(|at| {
            let (done, hidden, inert) = (self.done.0[at], self.hidden.0[at], inert.0[at]);
            let (other_done, other_hidden) = (other.done.0[at], other.hidden.0[at]);
            let other_open = !other_done & !other_hidden;
            other_done & !(done | hidden) == 0 && other_hidden & !hidden == 0 && other_open & done & !inert == 0
        });
        slots
            && self.state == other.state
            && self.spent.iter().all(|&(class, count)| count <= other.spent(class as usize))
    }
}

/// Leaves out what another one covers.
pub fn reduce(configurations: &mut Vec<Configuration>, inert: &Slots) {
    /// Comparing all with all stops paying at some number; above it all are kept.
    const COMPARED_MAX: usize = 512;
    if configurations.len() < 2 {
        return;
    }
    configurations.sort_unstable_by(|a, b| a.state.cmp(&b.state));
    let mut kept: Vec<Configuration> = Vec::with_capacity(configurations.len());
    let mut group = 0;
    for configuration in configurations.drain(..) {
        if kept.get(group).is_some_and(|first| first.state != configuration.state) {
            group = kept.len();
        }
        if kept.len() - group <= COMPARED_MAX {
            if kept[group..].iter().any(|other| other.covers(&configuration, inert)) {
                continue;
            }
            let mut at = group;
            while at < kept.len() {
                if configuration.covers(&kept[at], inert) {
                    kept.swap_remove(at);
                } else {
                    at += 1;
                }
            }
        }
        kept.push(configuration);
    }
    *configurations = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(number: i64, done: &[usize], hidden: &[usize], spent: &[(u32, u32)]) -> Configuration {
        let slots = |from: &[usize]| {
            let mut slots = Slots::default();
            from.iter().for_each(|&slot| slots.insert(slot));
            slots
        };
        Configuration {
            state: Box::new([Cell::number(number)]),
            done: slots(done),
            hidden: slots(hidden),
            spent: spent.to_vec(),
        }
    }

    #[test]
    fn slots_are_a_set() {
        let mut slots = Slots::default();
        for slot in [200, 0, 63, 64] {
            slots.insert(slot);
        }
        slots.remove(63);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [0, 64, 200]);
        assert!(slots.has(64) && !slots.has(63));
        assert_eq!(slots.first_free(), Some(1));
        (0..SLOTS).for_each(|slot| slots.insert(slot));
        assert_eq!(slots.first_free(), None);
    }

    #[test]
    fn what_is_covered_is_left_out() {
        let none = Slots::default();
        let covers = |a: &Configuration, b: &Configuration| (a.covers(b, &none), b.covers(a, &none));
        let base = configuration(1, &[2], &[], &[]);
        assert_eq!(covers(&base, &configuration(1, &[2], &[], &[(0, 1)])), (true, false), "fewer unknown outcomes");
        assert_eq!(covers(&base, &configuration(1, &[2], &[5], &[])), (false, true), "hidden is best");
        assert_eq!(covers(&base, &configuration(1, &[], &[2], &[])), (false, true), "hidden is best");
        assert_eq!(covers(&base, &configuration(1, &[], &[], &[])), (false, false), "done or open: it depends");
        assert_eq!(covers(&base, &configuration(2, &[2], &[], &[])), (false, false));
        let mut inert = Slots::default();
        inert.insert(2);
        assert!(base.covers(&configuration(1, &[], &[], &[]), &inert), "what changes nothing is better done");

        let mut all = vec![base.clone(), configuration(1, &[2], &[], &[(3, 1)]), configuration(2, &[], &[], &[])];
        reduce(&mut all, &none);
        assert_eq!(all.len(), 2);
    }
}
