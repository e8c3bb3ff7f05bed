//! What every log does.

use super::{GROUP, grow, hard_state, read, records, state};
use crate::base::{GroupId, LogIndex, Term};
use crate::store::{Log, LogState, LogWrite};

/// Runs every test of the log suite over the logs that `make` gives; each must be empty.
pub fn log_suite<L: Log>(make: impl Fn() -> L) {
    a_log_grows_and_is_read(&make());
    an_overwritten_tail_is_gone(&make());
    rule_04_hard_state_and_entries_go_together(&make());
    a_cut_log_keeps_its_hard_state(&make());
    a_reset_log_goes_on_after_the_snapshot(&make());
    groups_do_not_mix(&make());
}

fn a_log_grows_and_is_read(log: &impl Log) {
    assert_eq!(log.load().unwrap(), []);
    log.append(&[]).unwrap();
    log.append(&[grow(GROUP, 1, 1..=3), grow(GROUP, 1, 4..=5)]).unwrap();
    assert_eq!(read(log, 1, 6).unwrap(), records(1, 1..=5));
    assert_eq!(read(log, 2, 4).unwrap(), records(1, 2..=3));
    assert_eq!(read(log, 3, 3).unwrap(), []);
    let one = log.records(GROUP, LogIndex(2), LogIndex(6), 1).unwrap();
    assert_eq!(one, records(1, 2..=2), "at least one entry, whatever the bound");
    let size = records(1, 1..=1)[0].data.len() as u64;
    assert_eq!(log.records(GROUP, LogIndex(1), LogIndex(6), 2 * size).unwrap(), records(1, 1..=2));
    assert!(read(log, 0, 2).is_err() && read(log, 1, 7).is_err(), "what is not stored is an error");
    assert!(log.records(GroupId(9), LogIndex(1), LogIndex(2), 1).is_err());
    let expected = LogState { group: GROUP, hard_state: hard_state(1, 0), last: LogIndex(5), ..LogState::default() };
    assert_eq!(log.load().unwrap(), [expected]);
}

fn an_overwritten_tail_is_gone(log: &impl Log) {
    log.append(&[grow(GROUP, 1, 1..=9)]).unwrap();
    log.append(&[grow(GROUP, 2, 4..=5)]).unwrap();
    assert_eq!(state(log).last, LogIndex(5));
    assert_eq!(read(log, 3, 6).unwrap(), [records(1, 3..=3), records(2, 4..=5)].concat());
    assert!(read(log, 6, 7).is_err());
    log.append(&[grow(GROUP, 2, 6..=6)]).unwrap();
    assert_eq!(read(log, 6, 7).unwrap(), records(2, 6..=6));
}

fn rule_04_hard_state_and_entries_go_together(log: &impl Log) {
    let vote = LogWrite { group: GROUP, hard_state: Some(hard_state(3, 0)), ..LogWrite::default() };
    log.append(&[vote]).unwrap();
    assert_eq!(state(log), LogState { group: GROUP, hard_state: hard_state(3, 0), ..LogState::default() });
    let mut write = grow(GROUP, 4, 1..=2);
    write.hard_state = Some(hard_state(4, 1));
    log.append(&[write]).unwrap();
    assert_eq!(state(log).hard_state, hard_state(4, 1));
    assert_eq!(state(log).last, LogIndex(2));
    let entries = LogWrite { group: GROUP, records: records(4, 3..=3), ..LogWrite::default() };
    log.append(&[entries]).unwrap();
    assert_eq!(state(log).hard_state, hard_state(4, 1));
}

fn a_cut_log_keeps_its_hard_state(log: &impl Log) {
    log.append(&[grow(GROUP, 2, 1..=8)]).unwrap();
    let cut = |index| LogWrite { group: GROUP, cut: Some((LogIndex(index), Term(2))), ..LogWrite::default() };
    log.append(&[cut(5)]).unwrap();
    log.append(&[cut(3)]).unwrap();
    let expected = LogState {
        group: GROUP,
        hard_state: hard_state(2, 0),
        before_first: (LogIndex(5), Term(2)),
        last: LogIndex(8),
    };
    assert_eq!(state(log), expected);
    assert!(read(log, 5, 7).is_err());
    assert_eq!(read(log, 6, 9).unwrap(), records(2, 6..=8));
    log.append(&[cut(8)]).unwrap();
    assert_eq!(state(log).before_first, (LogIndex(8), Term(2)));
    assert_eq!(state(log).last, LogIndex(8), "a log without entries remembers where it ends");
    log.append(&[grow(GROUP, 2, 9..=9)]).unwrap();
    assert_eq!(read(log, 9, 10).unwrap(), records(2, 9..=9));
}

fn a_reset_log_goes_on_after_the_snapshot(log: &impl Log) {
    log.append(&[grow(GROUP, 1, 1..=4)]).unwrap();
    let reset = LogWrite {
        group: GROUP,
        reset: Some((LogIndex(100), Term(5))),
        records: records(6, 101..=102),
        hard_state: Some(hard_state(6, 100)),
        ..LogWrite::default()
    };
    log.append(&[reset]).unwrap();
    let expected = LogState {
        group: GROUP,
        hard_state: hard_state(6, 100),
        before_first: (LogIndex(100), Term(5)),
        last: LogIndex(102),
    };
    assert_eq!(state(log), expected);
    assert!(read(log, 1, 2).is_err());
    assert_eq!(read(log, 101, 103).unwrap(), records(6, 101..=102));
    // A log may also be reset backwards, to the place of the state.
    let back = LogWrite {
        group: GROUP,
        reset: Some((LogIndex(50), Term(5))),
        hard_state: Some(hard_state(6, 50)),
        ..LogWrite::default()
    };
    log.append(&[back]).unwrap();
    assert_eq!((state(log).before_first.0, state(log).last), (LogIndex(50), LogIndex(50)));
    assert!(read(log, 101, 102).is_err());
}

fn groups_do_not_mix(log: &impl Log) {
    log.append(&[grow(GROUP, 1, 1..=3), grow(GroupId(2), 1, 1..=5), grow(GroupId(256), 1, 1..=1)]).unwrap();
    log.append(&[LogWrite { group: GroupId(2), destroy: true, ..LogWrite::default() }]).unwrap();
    let groups: Vec<GroupId> = log.load().unwrap().into_iter().map(|state| state.group).collect();
    assert_eq!(groups, [GROUP, GroupId(256)]);
    assert_eq!(read(log, 1, 4).unwrap(), records(1, 1..=3));
    log.append(&[grow(GroupId(2), 1, 1..=1)]).unwrap();
    assert_eq!(log.load().unwrap().len(), 3, "a destroyed group may begin anew");
}
