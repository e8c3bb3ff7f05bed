//! A node that is a table: it executes units directly on records in memory, one map per group, without Raft, threads
//! or time of its own. What the service makes of it can be looked at without anything else.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use holdfast::base::{Changed, ClusterId, GroupId, LogIndex, Millis, Nanos, NodeId, Publication, Rng, SlotRange, Term};
use holdfast::cluster::{GroupInfo, Map, NodeInfo};
use holdfast::command::acl::{self, Answer, Change, Users};
use holdfast::command::batch::{Call, Unit, UnitReply};
use holdfast::command::{self, Scripts};
use holdfast::data::{Counts, Events, Keyspace, Manner, Mode, Moment, Thresholds, Touched, Usage};
use holdfast::resp::{parse_reply, split_line};
use holdfast::service::node::{
    AboutScripts, FastRead, Node, Outcome, Pending, PendingScripts, PendingUsers, Saves, Saving, ScriptsTold, Shutdown,
};
use holdfast::service::pubsub::Hub;
use holdfast::service::tracking::Trackers;
use holdfast::service::{Flow, Options, Service, Session};
use holdfast::store::{self, Order, Read, Records, Visit, Write};

/// One group: its records, and which keys changed when.
struct Group {
    id: GroupId,
    slots: SlotRange,
    records: Records,
    counts: Counts,
    events: Events,
    usage: Usage,
    hub: Arc<Hub>,
    trackers: Arc<Trackers>,
    scripts: Scripts,
    rng: Rng,
    sequence: u64,
    changed: BTreeMap<(u8, Bytes), u64>,
    emptied: BTreeMap<u8, u64>,
}

/// Records, and what is said beside them.
struct Said<'a> {
    records: &'a mut Records,
    publications: Vec<Publication>,
}

impl Read for Said<'_> {
    fn get(&self, key: &[u8]) -> store::Result<Option<Bytes>> {
        self.records.get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> store::Result<()> {
        self.records.scan(start, end, order, visit)
    }
}

impl Write for Said<'_> {
    fn put(&mut self, key: Bytes, value: Bytes) {
        self.records.put(key, value);
    }

    fn delete(&mut self, key: Bytes) {
        self.records.delete(key);
    }

    fn delete_range(&mut self, start: Bytes, end: Bytes) {
        self.records.delete_range(start, end);
    }

    fn publish(&mut self, publication: Publication) {
        self.publications.push(publication);
    }
}

impl Group {
    fn execute(&mut self, call: &Call, now: u64, mode: Mode) -> Option<Bytes> {
        let mut touched = Vec::new();
        let mut said = Said { records: &mut self.records, publications: Vec::new() };
        let mut out = BytesMut::new();
        let moment = Moment { stamp: Millis(now), clock: Millis(now) };
        let mut keys = Keyspace {
            store: &mut said,
            group: self.id,
            slots: self.slots,
            moment,
            mode,
            counts: &mut self.counts,
            touched: &mut touched,
            events: &mut self.events,
            rng: &mut self.rng,
            thresholds: Thresholds::default(),
            usage: &self.usage,
            audience: &*self.hub,
            manner: Manner::default(),
            named: bytes::Bytes::new(),
        };
        command::execute_encoded(&mut keys, Some(&mut self.scripts), call, &mut out).ok()?;
        self.hub.deliver(Nanos(now.saturating_mul(1_000_000)), &said.publications);
        self.sequence += 1;
        let changes = touched.iter().map(|touched| match touched {
            Touched::Key(_, key) => Changed::Key { key: key.clone(), author: call.author },
            Touched::Database(_) => Changed::Everything,
        });
        self.trackers.changed(Nanos(now.saturating_mul(1_000_000)), &changes.collect::<Vec<_>>());
        for touched in touched {
            match touched {
                Touched::Key(db, key) => self.changed.insert((db, key), self.sequence),
                Touched::Database(db) => self.emptied.insert(db, self.sequence),
            };
        }
        Some(out.freeze())
    }

    fn run(&mut self, unit: Unit, now: u64) -> UnitReply {
        let mut execute = |call: &Call| self.execute(call, now, Mode::Leader).expect("memory never fails");
        let reply = match unit {
            // Nobody waits here: a command that may wait looks once.
            Unit::Call(call) | Unit::Block { call, .. } => UnitReply::Call(execute(&call)),
            Unit::StillBlocked { .. } | Unit::Hurry { .. } => UnitReply::Noted,
            Unit::Watch { .. } => UnitReply::Watch { term: Term(1), sequence: self.sequence },
            Unit::Change(_) => panic!("clients change no facts"),
            Unit::Atomic { watches, calls } => {
                let fresh = watches.iter().all(|watch| {
                    let changed = self.changed.get(&(watch.db, watch.key.clone())).copied().unwrap_or(0);
                    changed.max(self.emptied.get(&watch.db).copied().unwrap_or(0)) <= watch.sequence
                });
                UnitReply::Atomic(fresh.then(|| {
                    calls
                        .iter()
                        .map(|call| self.execute(call, now, Mode::Leader).expect("memory never fails"))
                        .collect()
                }))
            }
        };
        match self.scripts.read_keys() {
            Some(keys) => UnitReply::Read { reply: Box::new(reply), keys },
            None => reply,
        }
    }
}

/// The node.
pub struct TableNode {
    hub: Arc<Hub>,
    trackers: Arc<Trackers>,
    groups: Mutex<Vec<Group>>,
    /// Milliseconds.
    pub clock: AtomicU64,
    /// Whether local reads work.
    pub leads: AtomicBool,
    /// What the next submissions come to.
    pub failures: Mutex<VecDeque<Outcome>>,
    /// Units of each submission, in order.
    pub submissions: Mutex<Vec<(GroupId, usize)>>,
    /// Local reads that were answered.
    pub reads: AtomicU64,
    /// Saves that were asked for.
    pub saves: AtomicU64,
    /// Saves under way.
    pub saving: AtomicU64,
    /// Milliseconds that anything on keys takes.
    pub delay: AtomicU64,
    /// What it was told to do.
    pub told: Mutex<Vec<String>>,
    /// What other nodes say about scripts.
    pub others: Mutex<Vec<ScriptsTold>>,
    rng: Mutex<Rng>,
    /// Words of users by name, and how many changes there were.
    kept: Mutex<(u64, BTreeMap<Bytes, Vec<Bytes>>)>,
}

impl TableNode {
    /// A node with so many groups.
    pub fn new(groups: u16) -> Arc<TableNode> {
        let (hub, trackers) = (Arc::<Hub>::default(), Arc::<Trackers>::default());
        let group = |(id, slots)| Group {
            id: GroupId(id),
            slots,
            records: Records::default(),
            counts: Counts::default(),
            events: Events::default(),
            usage: Usage::default(),
            hub: hub.clone(),
            trackers: trackers.clone(),
            scripts: Scripts::new(Default::default()),
            rng: Rng::new(id),
            sequence: 0,
            changed: BTreeMap::new(),
            emptied: BTreeMap::new(),
        };
        Arc::new(TableNode {
            hub: hub.clone(),
            trackers: trackers.clone(),
            groups: Mutex::new((1..).zip(SlotRange::divide(groups)).map(group).collect()),
            clock: AtomicU64::new(1_000_000),
            leads: AtomicBool::new(true),
            failures: Mutex::default(),
            submissions: Mutex::default(),
            reads: AtomicU64::new(0),
            saves: AtomicU64::new(0),
            saving: AtomicU64::new(0),
            delay: AtomicU64::new(0),
            told: Mutex::default(),
            others: Mutex::default(),
            rng: Mutex::new(Rng::new(42)),
            kept: Mutex::default(),
        })
    }
}

impl Node for TableNode {
    fn hub(&self) -> Arc<Hub> {
        self.hub.clone()
    }

    fn ask_others(&self, about: AboutScripts) -> PendingScripts {
        self.told.lock().unwrap().push(format!("{about:?}"));
        let told = self.others.lock().unwrap().clone();
        Box::pin(std::future::ready(told))
    }

    fn trackers(&self) -> Arc<Trackers> {
        self.trackers.clone()
    }

    fn id(&self) -> NodeId {
        NodeId(1)
    }

    fn map(&self) -> Arc<Map> {
        let info = |id, slots| GroupInfo {
            id,
            slots,
            members: vec![NodeId(1)],
            leader: Some(NodeId(1)),
            term: Term(1),
            commit: LogIndex(9),
            applied: LogIndex(9),
            followers: vec![],
        };
        let groups = self.groups.lock().unwrap();
        let meta = std::iter::once(info(GroupId::META, None));
        Arc::new(Map {
            cluster: ClusterId(7),
            nodes: vec![NodeInfo {
                id: NodeId(1),
                peer: "127.0.0.1:16379".into(),
                resp: Some("127.0.0.1:6379".into()),
                http: Some("127.0.0.1:8080".into()),
                reachable: true,
                heard: Millis(0),
            }],
            groups: meta.chain(groups.iter().map(|group| info(group.id, Some(group.slots)))).collect(),
        })
    }

    fn read(&self, group: GroupId, call: &Call, out: &mut BytesMut) -> FastRead {
        if !self.leads.load(Relaxed) {
            return FastRead::Submit;
        }
        self.clock.fetch_add(self.delay.load(Relaxed), Relaxed);
        let mut groups = self.groups.lock().unwrap();
        let group = groups.iter_mut().find(|other| other.id == group).expect("a known group");
        match group.execute(call, self.clock.load(Relaxed), Mode::Local) {
            Some(reply) => {
                out.extend_from_slice(&reply);
                self.reads.fetch_add(1, Relaxed);
                FastRead::Done
            }
            None => FastRead::Submit,
        }
    }

    fn submit(&self, group: GroupId, units: Vec<Unit>) -> Pending {
        self.clock.fetch_add(self.delay.load(Relaxed), Relaxed);
        self.submissions.lock().unwrap().push((group, units.len()));
        if let Some(failure) = self.failures.lock().unwrap().pop_front() {
            return Box::pin(std::future::ready(failure));
        }
        let mut groups = self.groups.lock().unwrap();
        let group = groups.iter_mut().find(|other| other.id == group).expect("a known group");
        let now = self.clock.load(Relaxed);
        let replies = units.into_iter().map(|unit| group.run(unit, now)).collect();
        Box::pin(std::future::ready(Outcome::Replies(replies)))
    }

    fn users(&self) -> Arc<Users> {
        let (revision, words) = self.kept.lock().unwrap().clone();
        Arc::new(Users::new(revision, words))
    }

    fn users_revision(&self) -> u64 {
        self.kept.lock().unwrap().0
    }

    fn change_users(&self, change: Change) -> PendingUsers {
        if let Some(failure) = self.failures.lock().unwrap().pop_front() {
            return Box::pin(std::future::ready(Err(failure)));
        }
        let change = Change::decode(&change.encode()).expect("what was encoded");
        let mut kept = self.kept.lock().unwrap();
        let answer = match acl::decide(&change, &kept.1) {
            Ok((records, count)) => {
                kept.0 += u64::from(!records.is_empty());
                for (name, words) in records {
                    match words {
                        Some(words) => kept.1.insert(name, words),
                        None => kept.1.remove(&name),
                    };
                }
                Answer::Done { revision: kept.0, count }
            }
            Err(refusal) => Answer::Refused(refusal),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn secret(&self) -> u64 {
        self.random()
    }

    fn now(&self) -> Millis {
        Millis(self.clock.load(Relaxed))
    }

    fn monotonic(&self) -> Nanos {
        Nanos(self.clock.load(Relaxed).saturating_mul(1_000_000))
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Rounded up: who sleeps always wakes later than it lay down.
        self.clock.fetch_add(time.as_nanos().div_ceil(1_000_000) as u64, Relaxed);
        Box::pin(std::future::ready(()))
    }

    fn random(&self) -> u64 {
        self.rng.lock().unwrap().next()
    }

    fn save(&self) -> Saving {
        self.saves.fetch_add(1, Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }

    fn saves(&self) -> Saves {
        let (count, under_way) = (self.saves.load(Relaxed), self.saving.load(Relaxed));
        Saves { last: Millis(1_000_000), count, under_way, ..Saves::default() }
    }

    fn shut_down(&self, how: Shutdown) {
        self.told.lock().unwrap().push(format!("{how:?}"));
    }

    fn hand_over(&self, group: GroupId, to: NodeId) {
        self.told.lock().unwrap().push(format!("group {group} to {to}"));
    }

    fn ask_to_lead(&self, group: GroupId) {
        self.told.lock().unwrap().push(format!("asks for group {group}"));
    }

    fn facts(&self) -> Vec<(&'static str, Vec<(String, String)>)> {
        vec![
            ("Memory", vec![("used_memory".into(), "123".into())]),
            ("Keyspace", vec![("db0".into(), "keys=1,expires=0,avg_ttl=0".into())]),
            ("Raft", vec![("raft_groups".into(), "1".into())]),
        ]
    }

    fn checks(&self) -> Vec<(&'static str, Result<(), String>)> {
        let leads = if self.leads.load(Relaxed) { Ok(()) } else { Err("no leader is known".to_string()) };
        vec![("replayed", Ok(())), ("leaders", leads)]
    }

    fn configure(&self, _parameter: &str, _value: &str) {}
}

/// A service on a table.
pub fn service(node: &Arc<TableNode>, options: Options) -> Arc<Service> {
    Service::new(node.clone(), options)
}

/// A session that is spoken to in lines and answers in text.
pub struct Talk {
    service: Arc<Service>,
    session: Session,
    runtime: tokio::runtime::Runtime,
    /// What the last batch said about going on.
    pub flow: Flow,
}

impl Talk {
    /// A new connection.
    pub fn new(service: &Arc<Service>) -> Talk {
        Talk::from(service, "127.0.0.1:5000")
    }

    /// A new connection from an address.
    pub fn from(service: &Arc<Service>, address: &str) -> Talk {
        let session = service.connect(address.into(), "127.0.0.1:6379".into()).expect("room for a client");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        Talk { service: service.clone(), session, runtime, flow: Flow::Continue }
    }

    /// Sends lines as one pipeline; the raw bytes of all replies.
    pub fn raw(&mut self, lines: &[&str]) -> Bytes {
        self.send(lines.iter().map(|line| split_line(line.as_bytes()).expect("balanced quotes")).collect())
    }

    /// Sends requests as one pipeline.
    pub fn send(&mut self, mut requests: VecDeque<Vec<Bytes>>) -> Bytes {
        let mut out = BytesMut::new();
        let batch = self.service.handle_batch(&mut self.session, &mut requests, &mut out);
        self.flow = self.runtime.block_on(batch);
        out.freeze()
    }

    /// The lines that MONITOR showed since, without their times.
    pub fn shown(&self) -> Vec<String> {
        let mut lines = BytesMut::new();
        if let Some(inbox) = self.session.inbox() {
            inbox.take(&mut lines, usize::MAX);
        }
        let text = String::from_utf8_lossy(&lines).into_owned();
        text.lines().filter_map(|line| line.split_once(' ').map(|(_, line)| line.to_string())).collect()
    }

    /// Sends lines as one pipeline; one text per reply.
    pub fn pipeline(&mut self, lines: &[&str]) -> Vec<String> {
        let mut bytes = self.raw(lines);
        let mut replies = Vec::new();
        while !bytes.is_empty() {
            let (_, length) = parse_reply(&bytes).unwrap_or_else(|| panic!("whole replies: {}", bytes.escape_ascii()));
            let reply = bytes.split_to(length);
            replies.push(String::from_utf8_lossy(&reply[..reply.len() - 2]).replace("\r\n", " "));
        }
        replies
    }

    /// Sends one line; the reply with spaces for line ends.
    pub fn say(&mut self, line: &str) -> String {
        self.pipeline(&[line]).join(" | ")
    }

    /// Sends lines one after the other, each with its expected reply.
    pub fn check(&mut self, dialogue: &[(&str, &str)]) {
        for (line, reply) in dialogue {
            assert_eq!(self.say(line), *reply, "{line}");
        }
    }
}
