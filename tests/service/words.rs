//! Dialogues of the words that a session answers, in the notation of `tests/commands/dialogue.rs`, and whether dialogues
//! ask every row of the table at least once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use holdfast::command::{self, table};
use holdfast::service::{Options, Service};

use crate::dialogue::{self, Patient};
use crate::support::Target;
use crate::support::reply::Reply;
use crate::table::{TableNode, Talk, service};

/// Rows that no dialogue asks, and where they are tested.
const ELSEWHERE: &[(&str, &str)] = &[("shutdown", "it ends the connection: tests/service/administration.rs")];

/// A connection to a service.
struct Words {
    node: Arc<TableNode>,
    service: Arc<Service>,
    talk: Talk,
}

impl Words {
    fn new() -> Words {
        let node = TableNode::new(1);
        let service = service(&node, Options { debug_command: "yes", ..Options::default() });
        let talk = Talk::new(&service);
        Words { node, service, talk }
    }
}

impl Target for Words {
    fn call(&mut self, args: &[Bytes]) -> Reply {
        let reply = self.talk.send([args.to_vec()].into());
        let mut rest = &reply[..];
        let decoded = Reply::read(&mut rest).unwrap_or_else(|error| panic!("reply to {args:?}: {error}"));
        assert!(rest.is_empty(), "{args:?}: bytes behind the reply: {}", rest.escape_ascii());
        decoded
    }

    fn protocol(&mut self, version: u8) {
        self.call(&["HELLO".into(), version.to_string().into()]);
    }

    fn select(&mut self, db: u8) {
        self.call(&["SELECT".into(), db.to_string().into()]);
    }

    /// Another connection to a service that knows of nothing.
    fn reset(&mut self) {
        *self = Words::new();
    }
}

impl Patient for Words {
    fn pass(&mut self, millis: u64) {
        self.node.clock.fetch_add(millis, Relaxed);
        let _ = &self.service;
    }
}

/// The dialogues in a folder of the tests.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no dialogue in {}", folder.display());
    files
}

#[test]
fn dialogues_with_a_session() {
    let mut target = Words::new();
    let failures: Vec<String> =
        files("service/words").iter().flat_map(|file| dialogue::run(file, &mut target)).collect();
    assert!(failures.is_empty(), "{} wrong replies\n\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_row_and_subcommand_of_the_table_is_asked_in_a_dialogue() {
    let asked: BTreeSet<&str> = ["commands", "service/words"]
        .into_iter()
        .flat_map(files)
        .flat_map(|file| dialogue::commands(&file))
        .filter_map(|args| command::check(&args).ok().map(|spec| spec.name))
        .collect();
    let rows = table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands).chain(spec.parts));
    // A word with subcommands that cannot stand alone is asked with one.
    let leaves: Vec<&str> = rows
        .filter(|spec| spec.subcommands.is_empty() || spec.fits(1))
        .map(|spec| spec.name)
        .filter(|name| !ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == name))
        .collect();
    let missing: Vec<&str> = leaves.into_iter().filter(|name| !asked.contains(name)).collect();
    assert!(missing.is_empty(), "no dialogue asks {missing:?}");
    for (name, _) in ELSEWHERE {
        assert!(!asked.contains(name), "{name} is asked in a dialogue after all");
    }
}
