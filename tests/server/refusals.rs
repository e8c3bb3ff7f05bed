//! Starts that must fail: each with a sentence that names what is wrong, an exit code that is not zero, and not a byte
//! of the data directory changed.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::nodes::Nodes;
use crate::ports::free_ports;
use crate::resp::{Client, Reply};

/// Every file and folder below a directory, files with their bytes.
type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn tree(directory: &Path) -> Tree {
    let mut found = Tree::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(tree(&path));
            found.insert(path, None);
        } else {
            let bytes = fs::read(&path).expect("a file");
            found.insert(path, Some(bytes));
        }
    }
    found
}

/// Runs a start that is expected to fail; its exit code and what it said.
fn refused(directory: &Path, more: &[&str]) -> (i32, String) {
    let ports = free_ports(3);
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.arg("server").arg("--data-dir").arg(directory);
    for (flag, port) in ["--resp", "--peer", "--http"].into_iter().zip(&ports) {
        // A flag may be given once only.
        if !more.contains(&flag) {
            command.args([flag, &format!("127.0.0.1:{port}")]);
        }
    }
    let output = command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).output().expect("the program starts");
    (output.status.code().expect("it ended by itself"), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A start that fails with this code and says this, and leaves everything as it was.
#[track_caller]
fn check(directory: &Path, more: &[&str], code: i32, words: &[&str]) {
    let before = tree(directory);
    let (ended, said) = refused(directory, more);
    assert_eq!(ended, code, "{said}");
    let last = said.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.starts_with("holdfast: ") && last.contains(word), "{word:?} in the last line of:\n{said}");
    }
    let after = tree(directory);
    let changed: Vec<_> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "changed by a refused start ({said}): {changed:?}");
}

/// The directory of a node that held data and ended in good order, or was killed.
fn used_directory(killed: bool) -> (Nodes, PathBuf) {
    let mut nodes = Nodes::start(1, &[]);
    let port = nodes.addresses()[0].rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut client = Client::connect(port).expect("connected");
    for n in 0..300 {
        let reply = client.call(&["SET", &format!("key-{n}"), &"value".repeat(200)]).expect("a reply");
        assert_eq!(reply, Reply::Simple("OK".into()));
    }
    if killed {
        nodes.kill(0)
    } else {
        nodes.end()
    }
    let directory = nodes.home().join("node-1");
    (nodes, directory)
}

/// Replaces text in a file for as long as the value lives.
struct Edited(PathBuf, Vec<u8>);

impl Edited {
    fn new(path: PathBuf, edit: impl FnOnce(&mut Vec<u8>)) -> Edited {
        let before = fs::read(&path).expect("a file");
        let mut bytes = before.clone();
        edit(&mut bytes);
        assert_ne!(bytes, before, "{} stays the same", path.display());
        fs::write(&path, bytes).expect("written");
        Edited(path, before)
    }

    fn text(path: PathBuf, from: &str, to: &str) -> Edited {
        Edited::new(path, |bytes| *bytes = String::from_utf8_lossy(bytes).replace(from, to).into_bytes())
    }
}

impl Drop for Edited {
    fn drop(&mut self) {
        fs::write(&self.0, &self.1).expect("written");
    }
}

#[test]
fn a_directory_of_somebody_else() {
    let (_nodes, directory) = used_directory(false);
    check(&directory, &["--node-id", "2"], 66, &["belongs to node 1"]);
    let list = "1=127.0.0.1:1,2=127.0.0.1:2,3=127.0.0.1:3";
    check(&directory, &["--initial-cluster", list], 66, &["belongs to a cluster of nodes 1", "1, 2, 3"]);
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    fs::write(file.path(), "[cluster]\ntoken = \"another\"\n").expect("written");
    let config = file.path().to_string_lossy().into_owned();
    check(&directory, &["--config", &config], 66, &["belongs to cluster \"holdfast\""]);

    let strange = tempfile::tempdir().expect("a directory");
    fs::write(strange.path().join("thesis.tex"), "years of work").expect("written");
    let (code, said) = refused(strange.path(), &[]);
    assert!(code == 66 && said.contains("thesis.tex"), "{code}: {said}");
    assert_eq!(fs::read(strange.path().join("thesis.tex")).expect("still there"), b"years of work");
}

#[test]
fn a_directory_of_a_newer_version() {
    let (_nodes, directory) = used_directory(false);
    let facts = Edited::text(directory.join("holdfast.facts"), "format = 1", "format = 2");
    check(&directory, &[], 66, &["written by a later version", "format 2"]);
    drop(facts);
    for database in ["raft", "state"] {
        let _format = Edited::text(directory.join(database).join("FORMAT"), " 1\n", " 2\n");
        check(&directory, &[], 74, &["a newer program wrote it (format 2", "nothing was changed"]);
    }
    let _facts = Edited::text(directory.join("holdfast.facts"), "partitions = 1", "partitions = many");
    check(&directory, &[], 66, &["holdfast.facts is damaged"]);
}

#[test]
fn a_port_in_use() {
    let (_nodes, directory) = used_directory(false);
    for (flag, purpose) in [("--resp", "RESP clients"), ("--peer", "peers"), ("--http", "HTTP")] {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address").to_string();
        check(&directory, &[flag, &address], 69, &[&format!("cannot listen on {address} for {purpose}"), "in use"]);
    }
    check(&directory, &["--resp", "nowhere.invalid:1"], 64, &["listen.resp", "nowhere.invalid:1"]);
}

#[test]
fn a_directory_that_another_process_uses() {
    let nodes = Nodes::start(1, &[]);
    let (code, said) = refused(&nodes.home().join("node-1"), &[]);
    assert!(code == 66 && said.contains("another process uses it"), "{code}: {said}");
    nodes.stop();
}

/// The newest file of the log, by its number.
fn newest_wal(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory.join("raft")).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut logs: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    logs.sort();
    logs.pop().expect("a log file")
}

#[test]
fn damage_in_the_middle_of_the_log() {
    let (mut nodes, directory) = used_directory(true);
    let wal = newest_wal(&directory);
    let middle = fs::metadata(&wal).expect("a file").size() as usize / 2;
    let damage = Edited::new(wal, |bytes| bytes[middle] ^= 0xff);
    check(&directory, &[], 74, &["storage: ", &directory.join("raft").to_string_lossy()]);
    drop(damage);
    // The same directory without the damage: everything is there.
    nodes.restart(0);
    let port = nodes.addresses()[0].rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let reply = Client::connect(port).and_then(|mut client| client.call(&["GET", "key-299"])).expect("a reply");
    assert_eq!(reply, Reply::Bulk(Some("value".repeat(200).into_bytes())));
    nodes.stop();
}

#[test]
fn wrong_settings() {
    let home = tempfile::tempdir().expect("a directory");
    let start = |name: &str, text: &str| {
        let file = home.path().join(name);
        fs::write(&file, text).expect("written");
        let data = home.path().join("data");
        let (code, said) = refused(&data, &["--config", &file.to_string_lossy()]);
        assert!(!data.exists(), "a refused start made a directory: {said}");
        assert_eq!(code, 1, "{said}");
        said
    };
    for (name, text) in [
        ("a.toml", "# Settings.\n[cache]\nbytse = 7\n"),
        ("a.yaml", "# Settings.\ncache:\n  bytse: 7\n"),
        ("a.json", "{\n\"cache\": {\n\"bytse\": 7}}\n"),
    ] {
        let said = start(name, text);
        for part in [name, "line 3", "\"cache.bytse\"", "the nearest is \"cache.bytes\""] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
    for (name, text, part) in [
        ("b.toml", "[cache]\nbytes = \"many\"\n", "line 2: cache.bytes must be a number"),
        ("b.yaml", "raft:\n  read_mode: maybe\n", "line 2: raft.read_mode must be one of lease, read-index"),
        ("b.json", "{\"node\": {\"id\": 0}}", "line 1: node.id must be a whole number from 1"),
        ("c.toml", "[cache\nbytes = 1\n", "line 1"),
        ("c.yaml", "cache:\n\tbytes: 1\n", "line 2"),
        ("c.json", "{\"cache\": \n{\"bytes\" 1}}", "line 2"),
        ("c.ini", "", "must end in .toml, .yaml, .yml or .json"),
    ] {
        let said = start(name, text);
        assert!(said.starts_with("holdfast: ") && said.contains(part) && said.contains(name), "{part} in {said}");
    }
}
