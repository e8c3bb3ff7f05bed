//! The dialogues of `tests/commands/*.txt`: one file per family of commands, each command with the replies it must
//! give, errors included. They are the documentation of what Holdfast answers, and the same files run against
//! every way to reach it: the evaluation in this process, and whatever RESP address `HOLDFAST_DIALOGUE_ADDRESS` names
//! (a node, a cluster, or a redis-server, to see that the files tell the truth).

#[path = "commands/dialogue.rs"]
mod dialogue;
mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;

use dialogue::Patient;
use holdfast::command::{self, Handler, table};
use holdfast::data::Thresholds;
use holdfast::store::memory::MemoryEngine;
use holdfast::store::rocks::{RocksEngine, StateOptions};
use support::client::Client;
use support::local::Local;

/// Redis's default sizes of small values.
const THRESHOLDS: Thresholds = Thresholds::REDIS;

/// Names an address to run the dialogues against, `host:port`.
const ADDRESS: &str = "HOLDFAST_DIALOGUE_ADDRESS";

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/commands");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the dialogues are part of the repository")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no dialogue in {folder}");
    files
}

fn run_all(target: &mut dyn Patient) {
    let failures: Vec<String> = files().iter().flat_map(|file| dialogue::run(file, target)).collect();
    assert!(failures.is_empty(), "{} wrong replies\n\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn dialogues_in_this_process() {
    run_all(&mut Local::over(MemoryEngine::new(), THRESHOLDS));
}

#[test]
fn dialogues_over_rocksdb() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine = RocksEngine::open(directory.path(), &StateOptions::default()).expect("RocksDB opens");
    run_all(&mut Local::over(engine, THRESHOLDS));
}

#[test]
fn dialogues_over_a_socket() {
    let Ok(address) = std::env::var(ADDRESS) else {
        println!("not run: {ADDRESS} is not set");
        return;
    };
    run_all(&mut Client::connect(&address).unwrap_or_else(|error| panic!("{address}: {error}")));
}

#[test]
fn every_command_on_keys_has_a_dialogue() {
    let asked = files().iter().flat_map(|file| dialogue::commands(file)).collect::<Vec<_>>();
    let asked: BTreeSet<&str> =
        asked.iter().filter_map(|args| command::check(args).ok()).map(|spec| spec.name).collect();
    let rows = table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    // The other rows are asked in `tests/service/words`.
    let missing: Vec<&str> = rows
        .filter(|spec| !matches!(spec.handler, Handler::Session))
        .filter(|spec| !spec.name.starts_with("cluster|"))
        .map(|spec| spec.name)
        .filter(|name| !asked.contains(name))
        .collect();
    assert!(missing.is_empty(), "no dialogue shows {missing:?}");
}
