//! Chance against the group: random faults, then a healed cluster must agree; random messages, and nothing may panic.
//! Small beside the simulator, but it runs in a second and names its seed.

use holdfast::base::{LogIndex, NodeId, PeerId, Rng, Term};
use holdfast::host::{Config, Input};
use holdfast::machine;
use raft::eraftpb::{Entry, Message, MessageType};

use super::world::{GROUP, World, envelope};

#[test]
fn random_faults_then_agreement() {
    for seed in 0..150 {
        one_life(seed);
    }
}

fn one_life(seed: u64) {
    let mut rng = Rng::new(seed);
    let config = Config {
        log_entries_kept: rng.below(10),
        follower_lag_max: rng.below(20),
        tail_bytes_kept: if rng.chance(1, 2) { 0 } else { 1 << 20 },
        unapplied_bytes_max: if rng.chance(1, 2) { 1 } else { 1 << 20 },
        uncommitted_bytes_max: if rng.chance(1, 3) { 20 } else { 1 << 20 },
        use_leases: rng.chance(3, 4),
        snapshot_ticks: 100,
        ..Config::default()
    };
    let nodes = *rng.pick(&[1, 2, 3, 3, 3]);
    let mut world = World::new(nodes, if seed.is_multiple_of(3) { 6 } else { 1 }, config);
    let mut proposed = 0;
    for _ in 0..250 {
        let id = rng.range(1, nodes + 1);
        let up = world.nodes[&NodeId(id)].host.is_some();
        match rng.below(22) {
            0 if up => world.crash(id),
            0..=2 if !up => world.start(id).unwrap_or_else(|error| panic!("seed {seed}: {error}")),
            3 => world.cut_link(id, rng.range(1, nodes + 1)),
            4 => world.heal(),
            5 => world.node(id).disk_stalled = true,
            6 | 7 => {
                world.node(id).disk_stalled = false;
                world.sync_disk(id);
            }
            8 if up => world.flush(id),
            9 => world.machine(id).paused = true,
            10 | 11 => world.resume_machine(id),
            12 => world.input(id, Input::TransferLeader { group: GROUP, to: NodeId(rng.range(1, nodes + 1)) }),
            13 => world.input(id, Input::ConfirmLeadership { group: GROUP, number: rng.below(1000) }),
            14 => world.snapshots_fail = rng.chance(1, 2),
            15 => {
                if rng.chance(1, 2) {
                    world
                        .lost_kinds
                        .insert(rng.pick(&["MsgAppend", "MsgHeartbeatResponse", "MsgRequestVote"]).to_string());
                } else {
                    world.lost_kinds.clear();
                }
            }
            16 => {
                // Messages overtake each other.
                if let Some(envelope) = world.network.pop_front() {
                    world.network.push_back(envelope);
                }
            }
            _ => {
                if let Some(leader) = world.leader() {
                    proposed += 1;
                    world.propose(leader, &format!("p{proposed}"));
                    let refused = world.machine(leader).log.iter().any(|i| matches!(i, machine::Input::Dropped { .. }));
                    if refused {
                        world.machine(leader).log.clear();
                        world.next_generation(leader);
                    }
                }
            }
        }
        match rng.below(3) {
            0 => world.advance(rng.below(30) * 10),
            1 => drop(world.deliver_one()),
            _ => world.settle(),
        }
        for node in world.nodes.values() {
            assert!(node.faults.is_empty(), "seed {seed}: {:?}", node.faults);
        }
    }
    world.heal();
    world.lost_kinds.clear();
    world.snapshots_fail = false;
    for id in 1..=nodes {
        if world.nodes[&NodeId(id)].host.is_none() {
            world.start(id).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        world.node(id).disk_stalled = false;
        world.sync_disk(id);
        world.resume_machine(id);
    }
    world.advance(5000);
    let leader = world.leader().unwrap_or_else(|| panic!("seed {seed}: no leader after all faults ended"));
    world.next_generation(leader);
    world.propose(leader, "last");
    world.advance(1000);
    let end = world.machine(leader).state.clone();
    assert_eq!(end.payloads.last().map(|(_, data)| &data[1..]), Some(&b"last"[..]), "seed {seed}");
    for id in 1..=nodes {
        assert_eq!(world.machine(id).state, end, "seed {seed}, node {id}");
    }
}

#[test]
fn no_message_panics() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut world = World::new(3, 1, Config { log_entries_kept: 0, ..Config::default() });
        let mut snapshots = 0;
        for _ in 0..2000 {
            let from = rng.range(2, 4);
            let envelope = envelope(&world, from, 1, |message| random_message(&mut rng, message));
            let host = world.nodes.get_mut(&NodeId(1)).unwrap().host.as_mut().unwrap();
            let now = world.now;
            if rng.chance(1, 12) {
                snapshots += 1;
                host.handle(now, Input::SnapshotReceived { envelope, snapshot: (1 << 63) + snapshots });
            } else {
                host.handle(now, Input::Message(envelope));
            }
            if rng.chance(1, 4) {
                host.handle(now, Input::Tick);
            }
            if rng.chance(1, 10) {
                host.handle(now, Input::SnapshotInstalled { group: GROUP, snapshot: (1 << 63) + snapshots });
                host.handle(
                    now,
                    Input::SnapshotSent { group: GROUP, snapshot: 1, to_peer: PeerId(2), delivered: true },
                );
                let (index, term) = (LogIndex(rng.below(9)), Term(rng.below(5)));
                let conf_state = bytes::Bytes::new();
                host.handle(now, Input::SnapshotTaken { group: GROUP, snapshot: 1, index, term, conf_state });
            }
            let effects = host.ready(now);
            let mut inputs: Vec<Input> = effects.persist.iter().map(|write| Input::Persisted(write.number)).collect();
            for effect in effects.snapshots {
                if let holdfast::host::SnapshotEffect::Install { snapshot, group, .. } = effect {
                    inputs.push(Input::SnapshotInstalled { group, snapshot });
                }
            }
            for (group, input) in effects.machine {
                match input {
                    machine::Input::Commit(entries) => {
                        let index = entries.last().unwrap().index;
                        inputs.push(Input::Applied { group, index, hash: 0 });
                        inputs.push(Input::Flushed { group, index });
                    }
                    machine::Input::Installed { index, .. } => inputs.push(Input::Applied { group, index, hash: 0 }),
                    _ => {}
                }
            }
            if let Some(write) = effects.persist {
                use holdfast::store::Log;
                let node = &world.nodes[&NodeId(1)];
                node.log.append(&write.writes).unwrap();
            }
            let host = world.nodes.get_mut(&NodeId(1)).unwrap().host.as_mut().unwrap();
            for input in inputs {
                host.handle(now, input);
            }
            world.now = world.now + std::time::Duration::from_millis(1);
        }
    }
}

fn random_message(rng: &mut Rng, message: &mut Message) {
    let kinds = [
        MessageType::MsgAppend,
        MessageType::MsgAppend,
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgSnapshot,
        MessageType::MsgTimeoutNow,
        MessageType::MsgPropose,
        MessageType::MsgReadIndex,
        MessageType::MsgReadIndexResp,
        MessageType::MsgTransferLeader,
        MessageType::MsgHup,
    ];
    message.set_msg_type(*rng.pick(&kinds));
    let number = |rng: &mut Rng| if rng.chance(1, 40) { rng.next() } else { rng.below(12) };
    message.term = if rng.chance(1, 30) { number(rng) } else { rng.range(1, 4) };
    message.index = number(rng);
    message.log_term = rng.below(4);
    // A leader that claims entries which are not here ends the replica's part; that is another test.
    message.commit = if message.get_msg_type() == MessageType::MsgHeartbeat { 0 } else { number(rng) };
    message.commit_term = rng.below(4);
    message.reject = rng.chance(1, 3);
    message.reject_hint = number(rng);
    if rng.chance(1, 4) {
        message.context = (*rng.pick(&[&b""[..], b"CampaignTransfer", b"\0\0\0\0\0\0\0\x01"])).into();
    }
    let mut index = message.index;
    let entries = (0..rng.below(5)).map(|_| {
        index = if rng.chance(1, 30) { number(rng) } else { index.wrapping_add(1) };
        let mut entry = Entry::default();
        entry.index = index;
        entry.term = if rng.chance(1, 4) { rng.below(4) } else { message.log_term.max(1) };
        entry.data = b"\x01x"[..].into();
        entry
    });
    let entries: Vec<Entry> = entries.collect();
    message.set_entries(entries.into());
    if message.get_msg_type() == MessageType::MsgSnapshot {
        let metadata = message.mut_snapshot().mut_metadata();
        metadata.index = number(rng);
        metadata.term = rng.below(4);
        let voters = (0..rng.below(5)).map(|_| rng.below(5)).collect();
        metadata.mut_conf_state().voters = if rng.chance(1, 2) { vec![1, 2, 3] } else { voters };
        metadata.mut_conf_state().learners = (0..rng.below(2)).map(|_| rng.below(6)).collect();
    }
}
