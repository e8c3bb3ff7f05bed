//! Runs the scripts of this folder. A line `> command` is executed, the lines after it are its whole output. After an
//! intended change run with `UPDATE_SCRIPTS=1`, and commit the difference only when you understand what caused it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use holdfast::base::NodeId;
use holdfast::host::{Config, Input};

use super::world::{GROUP, World};

#[test]
fn scripts_say_what_they_said() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/group");
    let mut scripts: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    scripts.sort();
    assert!(scripts.len() >= 5, "the scripts were not found in {}", folder.display());
    for path in scripts {
        let expected = fs::read_to_string(&path).unwrap();
        let actual = run(&expected);
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            fs::write(&path, &actual).unwrap();
        } else if expected != actual {
            let line = expected.lines().zip(actual.lines()).position(|(a, b)| a != b).unwrap_or(0) + 1;
            panic!("{}, line {line}: the output differs. Now:\n{actual}", path.display());
        }
    }
}

fn run(script: &str) -> String {
    let mut world: Option<World> = None;
    let mut out = String::new();
    let mut comments_only = true;
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            comments_only = false;
            if out.ends_with('\n') && !out.ends_with("\n\n") && !out.is_empty() && !last_is_command(&out) {
                out.push('\n');
            }
            writeln!(out, "{line}").unwrap();
            out.push_str(&execute(&mut world, command));
        } else if line.starts_with('#') {
            if !comments_only && !out.ends_with("\n\n") {
                out.push('\n');
            }
            writeln!(out, "{line}").unwrap();
        }
    }
    out
}

fn last_is_command(out: &str) -> bool {
    out.lines().last().is_some_and(|line| line.starts_with("> ") || line.starts_with('#'))
}

fn execute(world: &mut Option<World>, command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap_or_else(|_| panic!("`{command}`: a number is missing"));
    if words[0] == "cluster" {
        let mut config = Config::default();
        for word in &words[2..] {
            let (name, value) = word.split_once('=').expect("name=value");
            let value: u64 = value.parse().expect("a number");
            match name {
                "log_entries_kept" => config.log_entries_kept = value,
                "uncommitted_bytes_max" => config.uncommitted_bytes_max = value,
                "use_leases" => config.use_leases = value == 1,
                "tail_bytes_kept" => config.tail_bytes_kept = value,
                _ => panic!("unknown setting {name}"),
            }
        }
        *world = Some(World::new(number(1), 1, config));
        return String::new();
    }
    let world = world.as_mut().expect("`cluster` comes first");
    match words[0] {
        "advance" => world.advance(number(1)),
        "deliver" => world.settle(),
        "isolate" => world.isolate(number(1)),
        "cut" => world.cut_link(number(1), number(2)),
        "heal" => world.heal(),
        "lose" => world.lost_kinds.extend([words[1].to_owned()]),
        "keep" => world.lost_kinds.clear(),
        "crash" => world.crash(number(1)),
        "start" => {
            if let Err(error) = world.start(number(1)) {
                return format!("{error}\n");
            }
        }
        "stall" => world.node(number(1)).disk_stalled = true,
        "unstall" => {
            world.node(number(1)).disk_stalled = false;
            world.sync_disk(number(1));
        }
        "flush" => world.flush(number(1)),
        "propose" => {
            for payload in &words[2..] {
                world.propose(number(1), payload);
            }
        }
        "read" => world.input(number(1), Input::ConfirmLeadership { group: GROUP, number: number(2) }),
        "transfer" => world.input(number(1), Input::TransferLeader { group: GROUP, to: NodeId(number(2)) }),
        "ask" => world.input(number(1), Input::AskToLead { group: GROUP }),
        "leave" => world.input(number(1), Input::TransferAll),
        "trace" => world.trace = Some(Vec::new()),
        "untrace" => {
            let lines = world.trace.take().unwrap_or_default();
            return lines.into_iter().map(|line| line + "\n").collect();
        }
        "answers" => {
            let log = std::mem::take(&mut world.machine(number(1)).log);
            return log.iter().filter_map(answer).map(|line| line + "\n").collect();
        }
        "applied" => return format!("{}\n", world.payloads(number(1)).join(" ")),
        "status" => return status(world),
        _ => panic!("unknown command `{command}`"),
    }
    String::new()
}

fn status(world: &World) -> String {
    let mut out = String::new();
    for node in world.nodes.values() {
        if node.host.is_none() {
            writeln!(out, "{} is down", node.id).unwrap();
            continue;
        }
        let (status, view) = (world.status(node.id.get()), world.view(node.id.get()));
        let serving = if view.serving { " serving" } else { "" };
        let lease = view.lease_until.0.saturating_sub(world.clock(node.id).0) / 1_000_000;
        let lease = if lease > 0 { format!(" lease={lease}ms") } else { String::new() };
        writeln!(
            out,
            "{} {} term={} commit={} applied={} log={}..{}{serving}{lease}",
            node.id, status.role, status.term, status.commit, status.applied, status.first, status.last
        )
        .unwrap();
    }
    out
}

/// What a machine was told, where it is an answer.
fn answer(input: &holdfast::machine::Input) -> Option<String> {
    use holdfast::machine::{Input, Role};
    Some(match input {
        Input::Role(Role::Follower) => "follower".to_owned(),
        Input::Role(Role::Leader { term, first }) => format!("leader term={term} first={first}"),
        Input::Proposed { sequence, index, term, .. } => format!("proposed {sequence} at {index}/{term}"),
        Input::Dropped { sequence, .. } => format!("dropped {sequence}"),
        Input::ReadIndex { number, index } => format!("read {number} at {index}"),
        Input::ReadRefused { number } => format!("read {number} refused"),
        Input::Lease { until, .. } if until.0 == 0 => "lease ended".to_owned(),
        Input::Installed { index, term } => format!("installed {index}/{term}"),
        _ => return None,
    })
}
