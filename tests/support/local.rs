//! Holdfast's evaluation in this process: the machine's way from a call to a reply, without Raft around it.
//!
//! Every call is an entry of its own on an overlay over an engine, and entries reach the engine a few calls later,
//! as they do while a majority is being asked. Whatever only reads is asked a second time of the engine alone, as a
//! lease holder would, and must get the same reply.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use holdfast::base::{GroupId, Millis, Nobody, Rng, SlotRange};
use holdfast::command::{self, Call, Handler, Scripts, block};
use holdfast::data::{self, Counts, Events, Keyspace, Manner, Mode, Moment, Thresholds, Usage};
use holdfast::resp::Protocol;
use holdfast::store::overlay::{Overlay, OverlayView, ReadOnly};
use holdfast::store::{Batch, Engine, Mutation, keys};

use super::Target;
use super::reply::Reply;

/// Entries that are decided and not yet in the engine.
const IN_FLIGHT_MAX: usize = 3;

/// A leader without a log: one group that owns all slots.
pub struct Local<E> {
    engine: E,
    overlay: Overlay,
    in_flight: VecDeque<(u64, Batch)>,
    entry: u64,
    counts: Counts,
    /// None are told.
    events: Events,
    stamp: Millis,
    /// Milliseconds that this clock is ahead of the real one.
    pub passed: u64,
    rng: Rng,
    thresholds: Thresholds,
    usage: Usage,
    scripts: Scripts,
    db: u8,
    protocol: Protocol,
}

impl<E: Engine> Local<E> {
    /// Over an empty engine, with these sizes of small values.
    pub fn over(engine: E, thresholds: Thresholds) -> Local<E> {
        Local {
            engine,
            overlay: Overlay::default(),
            in_flight: VecDeque::new(),
            entry: 0,
            counts: Counts::default(),
            events: Events::default(),
            stamp: Millis(0),
            passed: 0,
            rng: Rng::new(1),
            thresholds,
            usage: Usage::default(),
            scripts: Scripts::new(Default::default()),
            db: 0,
            protocol: Protocol::Resp2,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the clock must be the one of the server that replies are compared with"
    )]
    fn clock(&self) -> Millis {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        Millis(now.as_millis() as u64 + self.passed)
    }

    /// Runs a call as the leader's machine does.
    fn lead(&mut self, call: &Call) -> Bytes {
        self.stamp = self.stamp.max(self.clock());
        self.entry += 1;
        self.overlay.begin(self.entry);
        let mut touched = Vec::new();
        let mut view = OverlayView::new(&self.engine, &mut self.overlay);
        let mut keyspace = Keyspace {
            store: &mut view,
            group: GroupId(1),
            slots: SlotRange::ALL,
            moment: Moment { stamp: self.stamp, clock: self.stamp },
            mode: Mode::Leader,
            counts: &mut self.counts,
            touched: &mut touched,
            events: &mut self.events,
            rng: &mut self.rng,
            thresholds: self.thresholds,
            usage: &self.usage,
            audience: &Nobody,
            manner: Manner::default(),
            named: bytes::Bytes::new(),
        };
        let mut out = BytesMut::new();
        command::execute_encoded(&mut keyspace, Some(&mut self.scripts), call, &mut out)
            .expect("the engine in memory does not fail");
        // Nobody listens here.
        self.overlay.take_publications();
        let mutations = self.overlay.take_mutations();
        let of_keys = mutations.iter().any(|mutation| match mutation {
            Mutation::Put(record, _) | Mutation::Delete(record) | Mutation::DeleteRange(record, _) => {
                keys::slot_of(record).is_some()
            }
        });
        assert!(!of_keys || !touched.is_empty(), "{call:?} changed {mutations:?} and told no WATCH of it");
        self.in_flight.push_back((self.entry, Batch { mutations }));
        while self.in_flight.len() > IN_FLIGHT_MAX {
            self.apply_one();
        }
        out.freeze()
    }

    /// Runs a call as a lease holder does that has applied everything; `None` if it asks the leader's machine.
    fn follow(&mut self, call: &Call) -> Option<Bytes> {
        while !self.in_flight.is_empty() {
            self.apply_one();
        }
        let mut view = ReadOnly::new(&self.engine);
        let mut keyspace = Keyspace {
            store: &mut view,
            group: GroupId(1),
            slots: SlotRange::ALL,
            moment: Moment { stamp: self.stamp, clock: self.stamp },
            mode: Mode::Local,
            counts: &mut self.counts,
            touched: &mut Vec::new(),
            events: &mut self.events,
            rng: &mut self.rng,
            thresholds: self.thresholds,
            usage: &self.usage,
            audience: &Nobody,
            manner: Manner::default(),
            named: bytes::Bytes::new(),
        };
        let mut out = BytesMut::new();
        match command::execute_encoded(&mut keyspace, None, call, &mut out) {
            Ok(()) => {
                view.check().unwrap_or_else(|error| panic!("{call:?}: {error}"));
                Some(out.freeze())
            }
            Err(command::Error::NeedsLog) => None,
            Err(error) => panic!("{call:?}: {error}"),
        }
    }

    fn apply_one(&mut self) {
        if let Some((entry, batch)) = self.in_flight.pop_front() {
            self.engine.write(&batch).expect("the engine in memory does not fail");
            self.overlay.retire(entry);
        }
    }
}

impl<E: Engine> Target for Local<E> {
    fn call(&mut self, args: &[Bytes]) -> Reply {
        let call = Call::new(self.db, self.protocol, args.to_vec());
        let reply = self.lead(&call);
        if let Ok(spec) = command::check(args)
            && !spec.is_write()
            && !["publish", "randomkey", "hrandfield", "spublish", "srandmember", "zrandmember"].contains(&spec.name)
            && !matches!(spec.handler, Handler::Session)
            && let Some(second) = self.follow(&call)
        {
            assert_eq!(reply, second, "{args:?}: a lease holder's reply differs from the leader's");
        }
        let mut bytes = &reply[..];
        let decoded = Reply::read(&mut bytes).unwrap_or_else(|error| panic!("reply to {args:?}: {error}"));
        let waits = command::check(args).is_ok_and(|spec| block::patience(spec.name, args, self.stamp).is_some());
        if waits && decoded == Reply::Null {
            // Nobody is there to push anything meanwhile: its time is over at once.
            return if self.protocol == Protocol::Resp3 { decoded } else { Reply::NullArray };
        }
        assert!(bytes.is_empty(), "{args:?}: bytes behind the reply: {bytes:?}");
        decoded
    }

    fn protocol(&mut self, version: u8) {
        self.protocol = if version == 3 { Protocol::Resp3 } else { Protocol::Resp2 };
    }

    fn select(&mut self, db: u8) {
        self.db = db;
    }

    fn audit(&mut self) {
        while !self.in_flight.is_empty() {
            self.apply_one();
        }
        let wrong = data::audit(&self.engine, GroupId(1), SlotRange::ALL, &self.counts);
        assert_eq!(wrong, Ok(vec![]));
    }
}
