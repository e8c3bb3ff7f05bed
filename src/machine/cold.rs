//! Records on disk, read at the same time before what needs them is evaluated, instead of one after the other while
//! it is.
//!
//! Where everything is in memory this costs nothing: evaluation asks memory first, which is the same lookup, and only
//! one that has to ask again, waiting, makes the machine look beforehand for the records of what waits next. Many
//! looks in a row that find all of them in memory end that.
//!
//! Only head records are looked for: the elements of a large value are not known before its head is read.

use std::cell::Cell;

use bytes::Bytes;

use super::Machine;
use crate::command;
use crate::command::batch::{Call, Unit};
use crate::store::{Engine, Error, Order, Read, Result, Visit, keys};

/// After so many looks without a record on disk there are no more looks.
const LOOKS: u32 = 64;
/// Records of one look: a bound on how long the machine waits for them.
const RECORDS_MAX: usize = 1_024;

/// How likely it is that a record is not in memory.
#[derive(Debug, Default)]
pub(super) struct Cold {
    /// Looks that are still worth their price.
    looks: Cell<u32>,
}

impl Cold {
    /// The engine as evaluation reads it.
    pub(super) fn view<'a>(&'a self, engine: &'a dyn Engine) -> Noticing<'a> {
        Noticing { engine, cold: self }
    }
}

/// Reads memory first and takes notice when that is not enough.
pub(super) struct Noticing<'a> {
    engine: &'a dyn Engine,
    cold: &'a Cold,
}

impl Read for Noticing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.engine.peek_in_memory(key) {
            Err(Error::WouldBlock) => {
                self.cold.looks.set(LOOKS);
                self.engine.get(key)
            }
            answer => answer,
        }
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        self.engine.scan(start, end, order, visit)
    }
}

impl Machine {
    /// Records that what waits will need and that are not in memory: read any way, in any order, they are when the
    /// next [`Machine::turn`] evaluates. Empty, at no cost, unless evaluation met such records lately.
    pub fn cold_records(&self) -> Vec<Bytes> {
        let mut records = Vec::new();
        if self.cold.looks.get() == 0 || self.waiting.is_empty() {
            return records;
        }
        let is_cold = |record: &Bytes| self.engine.peek_in_memory(record) == Err(Error::WouldBlock);
        let units = self.waiting.iter().flat_map(|waiting| waiting.submission.units.iter());
        records.extend(units.flat_map(heads).filter(is_cold).take(RECORDS_MAX));
        self.cold.looks.set(if records.is_empty() { self.cold.looks.get() - 1 } else { LOOKS });
        records.sort_unstable();
        records.dedup();
        records
    }
}

/// The head records of all keys that a unit names.
fn heads(unit: &Unit) -> impl Iterator<Item = Bytes> {
    let (calls, db, watched): (&[Call], u8, &[Bytes]) = match unit {
        Unit::Call(call) | Unit::Block { call, .. } => (std::slice::from_ref(call), 0, &[]),
        Unit::Atomic { calls, .. } => (calls, 0, &[]),
        Unit::Watch { db, keys } => (&[], *db, keys),
        Unit::Change(_) | Unit::StillBlocked { .. } | Unit::Hurry { .. } => (&[], 0, &[]),
    };
    let of_call = |call: &'_ Call| {
        let spec = command::check(&call.args).ok();
        let keys = spec.into_iter().flat_map(|spec| spec.keys_of(&call.args));
        let keys = keys.filter_map(|(position, _)| call.args.get(position));
        keys.map(|key| keys::head(call.db, key)).collect::<Vec<_>>()
    };
    calls.iter().flat_map(of_call).chain(watched.iter().map(move |key| keys::head(db, key)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::base::{GroupId, LogIndex, Millis, Nanos, SlotRange, Term, Ticket};
    use crate::command::batch::Watch;
    use crate::data::Thresholds;
    use crate::machine::{Committed, Content, Input, Now, Output, Role, Settings, Submission};
    use crate::resp::Protocol;
    use crate::store::memory::MemoryEngine;
    use crate::store::{Batch, Figures, Record, Snapshot};

    /// An engine of which some records are on disk until they are read, and what was asked of it.
    #[derive(Default)]
    struct Disk {
        memory: MemoryEngine,
        cold: Mutex<BTreeSet<Bytes>>,
        /// Lookups that had to wait, and lookups of memory.
        asked: Mutex<(usize, usize)>,
    }

    impl Read for Disk {
        fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
            self.asked.lock().0 += usize::from(self.cold.lock().remove(key));
            self.memory.get(key)
        }

        fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
            self.memory.scan(start, end, order, visit)
        }
    }

    impl Engine for Disk {
        fn write(&self, batch: &Batch) -> Result<()> {
            self.memory.write(batch)
        }

        fn get_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>> {
            self.asked.lock().1 += 1;
            if self.cold.lock().contains(key) { Err(Error::WouldBlock) } else { self.memory.get(key) }
        }

        fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>> {
            self.memory.get_persisted(key)
        }

        fn snapshot(&self) -> Result<Snapshot> {
            self.memory.snapshot()
        }

        fn flush(&self) -> Result<()> {
            self.memory.flush()
        }

        fn ingest(&self, clear: &[(Bytes, Bytes)], records: &mut dyn Iterator<Item = Result<Record>>) -> Result<()> {
            self.memory.ingest(clear, records)
        }

        fn figures(&self) -> Figures {
            self.memory.figures()
        }
    }

    impl Disk {
        fn put_down(&self, names: &[&str]) {
            self.cold.lock().extend(names.iter().map(|name| keys::head(0, name.as_bytes())));
        }
    }

    /// A leader that may evaluate.
    fn leader() -> (Arc<Disk>, Machine) {
        let disk = Arc::new(Disk::default());
        let settings = Settings::new(Thresholds::default());
        let mut machine =
            Machine::new(GroupId(1), Content::Keys(SlotRange::ALL), 1, disk.clone(), settings, 1).unwrap();
        let (term, first) = (Term(1), LogIndex(1));
        let entry = Committed { index: first, term, data: Bytes::new(), conf_state: None };
        let mut out = Vec::new();
        machine.handle(now(), Input::Role(Role::Leader { term, first }), &mut out).unwrap();
        machine.handle(now(), Input::Commit(vec![entry]), &mut out).unwrap();
        (disk, machine)
    }

    fn now() -> Now {
        Now { wall: Millis(1), mono: Nanos(1) }
    }

    fn call(line: &str) -> Call {
        let args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        Call::new(0, Protocol::Resp2, args)
    }

    fn submit(machine: &mut Machine, units: Vec<Unit>) {
        let submission = Submission { ticket: Ticket(1), origin: None, units: Arc::new(units) };
        machine.handle(now(), Input::Submit(submission), &mut Vec::new()).unwrap();
    }

    fn turn(machine: &mut Machine) -> Vec<Output> {
        let mut out = Vec::new();
        machine.turn(now(), &mut out).unwrap();
        out
    }

    #[test]
    fn nothing_is_looked_for_while_everything_is_in_memory() {
        let (disk, mut machine) = leader();
        for _ in 0..100 {
            submit(&mut machine, vec![Unit::Call(call("INCR n"))]);
            let before = *disk.asked.lock();
            assert_eq!(machine.cold_records(), [] as [Bytes; 0]);
            assert_eq!(*disk.asked.lock(), before, "not one lookup");
            turn(&mut machine);
        }
        assert_eq!(disk.asked.lock().0, 0);
    }

    #[test]
    fn after_one_record_on_disk_all_that_waits_is_looked_for_at_once() {
        let (disk, mut machine) = leader();
        disk.put_down(&["first"]);
        submit(&mut machine, vec![Unit::Call(call("GET first"))]);
        assert_eq!(machine.cold_records(), [] as [Bytes; 0], "nothing is known yet");
        turn(&mut machine);
        assert_eq!(disk.asked.lock().0, 1);

        disk.put_down(&["a", "b", "c", "d", "e"]);
        let key = Bytes::from_static(b"e");
        let watches = vec![Watch { db: 0, key: key.clone(), term: Term(1), sequence: 0 }];
        submit(&mut machine, vec![Unit::Call(call("MSET a 1 warm 2 b 3"))]);
        submit(&mut machine, vec![Unit::Atomic { watches, calls: vec![call("INCR c"), call("GET d")] }]);
        submit(&mut machine, vec![Unit::Watch { db: 0, keys: vec![key] }, Unit::Call(call("GET a"))]);
        let mut expected: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| keys::head(0, name.as_bytes())).into();
        expected.sort();
        let found = machine.cold_records();
        assert_eq!(found, expected);
        found.iter().for_each(|record| drop(disk.get(record).unwrap()));
        let waited = disk.asked.lock().0;
        let out = turn(&mut machine);
        assert!(matches!(out[..], [Output::Propose(_)]), "{out:?}");
        assert_eq!(disk.asked.lock().0, waited, "evaluation waited for nothing");
    }

    #[test]
    fn many_looks_in_vain_are_the_last() {
        let (disk, mut machine) = leader();
        disk.put_down(&["cold"]);
        submit(&mut machine, vec![Unit::Call(call("GET cold"))]);
        turn(&mut machine);
        for _ in 0..LOOKS {
            submit(&mut machine, vec![Unit::Call(call("GET warm"))]);
            let before = disk.asked.lock().1;
            assert_eq!(machine.cold_records(), [] as [Bytes; 0]);
            assert_eq!(disk.asked.lock().1, before + 1);
            turn(&mut machine);
        }
        submit(&mut machine, vec![Unit::Call(call("GET warm"))]);
        let before = disk.asked.lock().1;
        assert_eq!(machine.cold_records(), [] as [Bytes; 0]);
        assert_eq!(disk.asked.lock().1, before);
    }
}
