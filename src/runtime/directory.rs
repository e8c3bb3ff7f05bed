//! The data directory: whose it is, and that only one process uses it.
//!
//! Invariant: a directory belongs to one node of one cluster for ever. What does not match is refused before
//! anything in it is opened or changed; the facts are written once, atomically, before the first database is made, and
//! the names of the databases are durable before anything is written to them.
//!
//! The facts here are what a node must know before it can read the meta group's; those are the truth from then on.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::join::Joined;
use super::{Config, Error, Result, clock};
use crate::base::{ClusterId, NodeId};
use crate::host::meta;

/// Layout of the directory and of everything in it. A later one is refused.
const FORMAT: u64 = 1;
const FACTS: &str = "holdfast.facts";
/// Replicas of a group, or one on every node where there are fewer.
const REPLICAS: usize = 3;
const LOCK: &str = "holdfast.lock";
/// What a node that joined was told: stands for the facts of the meta group until those can be read.
const JOINED: &str = "holdfast.joined";
/// The number under which a node asks to join, until it has.
const JOINING: &str = "holdfast.joining";

/// What a directory says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Guards messages and directories.
    pub cluster: ClusterId,
    /// What the operator calls the cluster, control characters escaped.
    pub cluster_name: String,
    /// Whose directory it is.
    pub node: NodeId,
    /// Groups at first start.
    pub partitions: u16,
    /// The nodes and where their peer listeners are; a single node names itself.
    pub members: Vec<(NodeId, String)>,
}

/// A directory in use by this process.
pub struct Directory {
    path: PathBuf,
    /// What it says.
    pub facts: Facts,
    /// What this node was told when it joined a cluster that was there.
    pub joined: Option<meta::Facts>,
    /// Held for as long as the process uses the directory; the kernel frees it with the process.
    _lock: File,
}

impl Directory {
    /// Takes the directory for this process, making it at a first start. If the node is to join a cluster then, `join`
    /// asks that one, under a number that is the same after an interruption.
    pub fn open(config: &Config, join: impl FnOnce(u64) -> Result<Joined>) -> Result<Directory> {
        let path = config.data_dir.clone();
        let refuse = |reason: String| Error::Directory { path: path.clone(), reason };
        fs::create_dir_all(&path).map_err(|why| refuse(format!("it cannot be made: {why}")))?;
        let lock = lock(&path).map_err(|why| refuse(format!("another process uses it ({why})")))?;
        let stored = match fs::read_to_string(path.join(FACTS)) {
            Ok(text) => Some(Facts::parse(&text).map_err(refuse)?),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(refuse(format!("{FACTS} cannot be read: {why}"))),
        };
        let facts = match stored {
            Some(stored) => stored.reconcile(config).map_err(refuse)?,
            None => {
                if let Some(stranger) = stranger(&path).map_err(|why| refuse(why.to_string()))? {
                    return Err(refuse(format!("it has no {FACTS} but is not empty: it holds {stranger}")));
                }
                if config.join.is_empty() {
                    Facts::first(config)?
                } else {
                    let nonce = nonce(&path).map_err(|why| refuse(format!("{JOINING}: {why}")))?;
                    let joined = join(nonce)?;
                    write(&path, JOINED, &joined.facts.encode())
                        .map_err(|why| refuse(format!("{JOINED} cannot be written: {why}")))?;
                    let Joined { facts, founders: members, partitions } = joined;
                    Facts { cluster: facts.cluster, partitions, members, ..Facts::named(config) }
                }
            }
        };
        let joined = match fs::read(path.join(JOINED)) {
            Ok(told) => Some(meta::Facts::decode(&told).ok_or_else(|| refuse(format!("{JOINED} is damaged")))?),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(refuse(format!("{JOINED} cannot be read: {why}"))),
        };
        facts.write(&path).map_err(|why| refuse(format!("{FACTS} cannot be written: {why}")))?;
        // From here on there may be votes: whoever loses them is not taken for this node again.
        match fs::remove_file(path.join(JOINING)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(refuse(format!("{JOINING}: {why}"))),
            Ok(()) | Err(_) => {}
        }
        for part in ["raft", "state", "snapshots"] {
            fs::create_dir_all(path.join(part)).map_err(|why| refuse(format!("{part}: {why}")))?;
        }
        sync_names(&path).map_err(|why| refuse(format!("its names cannot be made durable: {why}")))?;
        Ok(Directory { path, facts, joined, _lock: lock })
    }

    /// The Raft log's database.
    pub fn raft(&self) -> PathBuf {
        self.path.join("raft")
    }

    /// The state's database.
    pub fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// Whether the facts of the state are from before this node joined, so that what it was told then is newer.
    pub fn are_from_before_joining(&self, facts: &meta::Facts, node: NodeId) -> bool {
        self.joined.as_ref().is_some_and(|joined| facts.are_from_before(joined.cluster, node))
    }

    /// Where arriving snapshots are put down.
    pub fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }
}

impl Facts {
    /// Of a directory that is used for the first time.
    fn first(config: &Config) -> Result<Facts> {
        let mut members = config.initial_cluster.clone();
        members.sort();
        if members.is_empty() {
            let address = config.peer.map_or_else(String::new, |address| address.to_string());
            // A cluster of one may never meet another of the same name and address.
            let cluster = ClusterId(clock::entropy()?);
            let members = vec![(config.node, address)];
            return Ok(Facts { cluster, members, ..Facts::named(config) });
        }
        check_members(config, &members)?;
        // All nodes must come to the same id without talking to each other, and only those that agree on everything.
        let nodes = members.iter().map(|(id, peer)| meta::Node::new(*id, peer)).collect();
        let token = format!("{}/{}", config.cluster_name, config.partitions);
        let cluster = meta::Facts::initial(nodes, config.partitions, REPLICAS, &token).cluster;
        Ok(Facts { cluster, members, ..Facts::named(config) })
    }

    /// What the meta group of this cluster begins with: what holds until its state can be read, and what its leader
    /// proposes while that is empty.
    pub fn beginning(&self) -> meta::Facts {
        let nodes = self.members.iter().map(|(id, peer)| meta::Node::new(*id, peer)).collect();
        // Addresses may have moved since the first start; the id is that of the first start.
        meta::Facts { cluster: self.cluster, ..meta::Facts::initial(nodes, self.partitions, REPLICAS, "") }
    }

    fn named(config: &Config) -> Facts {
        Facts {
            cluster: ClusterId(0),
            cluster_name: config.cluster_name.escape_default().to_string(),
            node: config.node,
            partitions: config.partitions,
            members: Vec::new(),
        }
    }

    /// What the operator says now against what the directory says: identity must match, addresses may move.
    fn reconcile(mut self, config: &Config) -> std::result::Result<Facts, String> {
        if self.node != config.node {
            return Err(format!("it belongs to node {}, this is node {}", self.node, config.node));
        }
        let name = config.cluster_name.escape_default().to_string();
        if self.cluster_name != name {
            return Err(format!("it belongs to cluster \"{}\", not \"{name}\"", self.cluster_name));
        }
        if config.initial_cluster.is_empty() {
            return Ok(self);
        }
        let mut told = config.initial_cluster.clone();
        told.sort();
        let ids = |members: &[(NodeId, String)]| members.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        if ids(&told) != ids(&self.members) {
            let list = |members: &[(NodeId, String)]| {
                members.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ")
            };
            let (stored, told) = (list(&self.members), list(&told));
            return Err(format!("it belongs to a cluster of nodes {stored}, the settings name nodes {told}"));
        }
        self.members = told;
        Ok(self)
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        let mut text = format!(
            "format = {FORMAT}\ncluster = {:016x}\nname = {}\nnode = {}\npartitions = {}\n",
            self.cluster.get(),
            self.cluster_name,
            self.node,
            self.partitions
        );
        for (id, address) in &self.members {
            let _ = writeln!(text, "member = {id} {address}");
        }
        let target = directory.join(FACTS);
        if fs::read_to_string(&target).is_ok_and(|present| present == text) {
            return Ok(());
        }
        write(directory, FACTS, text.as_bytes())
    }

    fn parse(text: &str) -> std::result::Result<Facts, String> {
        let damaged = || format!("{FACTS} is damaged");
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
            lines.find(|(name, _)| *name == key).map(|(_, value)| value).ok_or_else(damaged)
        };
        let number = |key: &str| value(key)?.parse::<u64>().map_err(|_| damaged());
        let format = number("format")?;
        if format > FORMAT {
            return Err(format!("it was written by a later version (format {format}, this one reads {FORMAT})"));
        }
        let members = text.lines().filter_map(|line| line.strip_prefix("member = ")).map(|line| {
            let (id, address) = line.split_once(' ').ok_or_else(damaged)?;
            Ok((NodeId(id.parse().map_err(|_| damaged())?), address.to_owned()))
        });
        Ok(Facts {
            cluster: ClusterId(u64::from_str_radix(value("cluster")?, 16).map_err(|_| damaged())?),
            cluster_name: value("name")?.to_owned(),
            node: NodeId(number("node")?),
            partitions: u16::try_from(number("partitions")?).map_err(|_| damaged())?,
            members: members.collect::<std::result::Result<_, String>>()?,
        })
    }
}

/// Writes a file of the directory as a whole, durably.
fn write(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let fresh = directory.join(format!("{name}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// The number under which the node of this directory asks to join: durable before anybody hears it.
fn nonce(directory: &Path) -> io::Result<u64> {
    match fs::read_to_string(directory.join(JOINING)) {
        Ok(text) => u64::from_str_radix(text.trim(), 16).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let nonce = clock::entropy()?;
            write(directory, JOINING, format!("{nonce:016x}\n").as_bytes())?;
            Ok(nonce)
        }
        Err(why) => Err(why),
    }
}

fn check_members(config: &Config, members: &[(NodeId, String)]) -> Result<()> {
    let refuse = |why: String| Err(Error::Config(why));
    if members.windows(2).any(|pair| pair[0].0 == pair[1].0) || members[0].0.get() == 0 {
        return refuse("the initial cluster must name each node once, with ids from 1".into());
    }
    if !members.iter().any(|(id, _)| *id == config.node) {
        return refuse(format!("node {} is not in the initial cluster", config.node));
    }
    if config.peer.is_none() && members.len() > 1 {
        return refuse("a cluster of several nodes needs a peer listener".into());
    }
    Ok(())
}

/// Takes the lock file for this process, or says who is in the way.
fn lock(directory: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(directory.join(LOCK))?;
    // SAFETY: the descriptor is open for the whole call.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        Ok(file)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes the names in the directory durable, and its own. Otherwise a power cut may leave the facts and take the databases,
/// whatever was synced in them: the node would start as one that never voted. At every start, for the one before may have
/// ended in between.
fn sync_names(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()?;
    let Some(parent) = fs::canonicalize(directory)?.parent().map(Path::to_path_buf) else { return Ok(()) };
    match File::open(parent) {
        Ok(parent) => parent.sync_all(),
        // Somebody else's, who made this one: what may not even be listed cannot be synced.
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(why) => Err(why),
    }
}

/// A name in the directory that a first start does not expect.
fn stranger(directory: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // `lost+found` is in the root of every ext file system, the others are ours.
        let ours = [LOCK, JOINING, JOINED].contains(&name.as_str())
            || name.strip_suffix(".new").is_some_and(|name| [FACTS, JOINING, JOINED].contains(&name));
        if !ours && name != "lost+found" {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path, node: u64) -> Config {
        let mut config = Config::new(NodeId(node), dir);
        config.peer = Some(([127, 0, 0, 1], 0).into());
        config.initial_cluster = (1..=3).map(|id| (NodeId(id), format!("host-{id}:16379"))).collect();
        config
    }

    fn open(config: &Config) -> Result<Directory> {
        Directory::open(config, |_| panic!("there is nothing to join"))
    }

    #[test]
    fn a_node_that_joins_asks_under_one_number_and_keeps_what_it_was_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let joining = Config { initial_cluster: Vec::new(), join: vec!["a:1".into()], ..config(dir.path(), 4) };
        let mut asked = Vec::new();
        for _ in 0..2 {
            let interrupted = Directory::open(&joining, |nonce| {
                asked.push(nonce);
                Err(Error::Config("interrupted".into()))
            });
            assert!(interrupted.is_err());
        }
        let founders = config(dir.path(), 1).initial_cluster;
        let nodes = founders.iter().map(|(id, peer)| meta::Node::new(*id, peer)).collect();
        let mut facts = meta::Facts::initial(nodes, 2, REPLICAS, "told");
        facts.join(meta::Node::new(NodeId(4), "d:1"));
        let opened = Directory::open(&joining, |nonce| {
            asked.push(nonce);
            Ok(Joined { facts: facts.clone(), founders, partitions: 2 })
        });
        let opened = opened.expect("a first start");
        assert!(asked.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!((opened.facts.cluster, opened.joined.as_ref()), (facts.cluster, Some(&facts)));
        assert_eq!(opened.facts.beginning().groups.len(), 3);
        assert_eq!(opened.facts.beginning().node(NodeId(4)), None, "it was not there");
        assert!(!dir.path().join(JOINING).exists(), "what loses its votes is another node");
        let facts = opened.facts.clone();
        drop(opened);
        let again = open(&joining).expect("it is not asked again");
        assert_eq!((again.facts, again.joined.is_some()), (facts, true));
    }

    fn reason(config: &Config) -> String {
        match open(config) {
            Ok(_) => panic!("the directory was taken"),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn all_nodes_agree_on_the_cluster_and_find_their_facts_again() {
        let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let first = open(&config(one.path(), 1)).expect("a first start").facts;
        let second = open(&config(two.path(), 2)).expect("a first start").facts;
        assert_eq!(first.cluster, second.cluster);
        let mut moved = config(one.path(), 1);
        moved.initial_cluster[1].1 = "elsewhere:1".into();
        let again = open(&moved).expect("addresses may move").facts;
        assert_eq!(again.cluster, first.cluster);
        assert_eq!(again.members[1].1, "elsewhere:1");
        moved.initial_cluster.clear();
        assert_eq!(open(&moved).expect("the list is not needed again").facts, again);
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused_and_stays_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(open(&config(dir.path(), 1)).expect("a first start"));
        let before = fs::read_to_string(dir.path().join(FACTS)).expect("facts");
        assert!(reason(&config(dir.path(), 2)).contains("belongs to node 1"));
        let mut other = config(dir.path(), 1);
        other.cluster_name = "other".into();
        assert!(reason(&other).contains("belongs to cluster \"holdfast\""));
        let mut fewer = config(dir.path(), 1);
        fewer.initial_cluster.pop();
        assert!(reason(&fewer).contains("nodes 1, 2, 3"));
        assert_eq!(fs::read_to_string(dir.path().join(FACTS)).expect("facts"), before);

        fs::write(dir.path().join(FACTS), before.replace("format = 1", "format = 2")).expect("written");
        assert!(reason(&config(dir.path(), 1)).contains("later version"));
    }

    #[test]
    fn a_directory_full_of_other_things_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("thesis.tex"), "years of work").expect("written");
        assert!(reason(&config(dir.path(), 1)).contains("thesis.tex"));
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let _held = open(&config(dir.path(), 1)).expect("a first start");
        assert!(reason(&config(dir.path(), 1)).contains("another process uses it"));
    }
}
