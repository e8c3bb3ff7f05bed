//! `holdfast server`: flags that override settings, then [`crate::runtime`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::settings::{self, Sources};

/// Flags of `server` and `config`; each overrides the setting of the same meaning.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Settings file (.toml, .yaml, .yml or .json)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Id of this node, from 1
    #[arg(long, value_name = "N")]
    node_id: Option<u64>,
    /// Directory of this node's data
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where Redis clients connect
    #[arg(long, value_name = "HOST:PORT")]
    resp: Option<String>,
    /// Where other nodes connect
    #[arg(long, value_name = "HOST:PORT")]
    peer: Option<String>,
    /// Where health, status and metrics are served
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Ids and peer addresses of the first nodes, the same on each: 1=host:port,2=host:port,3=host:port
    #[arg(long, value_name = "LIST")]
    initial_cluster: Option<String>,
    /// Raft groups that share the slots, read at the first start only
    #[arg(long, value_name = "P")]
    partitions: Option<u16>,
}

impl Flags {
    /// All sources of settings, the process environment included.
    pub fn sources(self) -> Result<Sources, String> {
        let data_dir = match self.data_dir {
            Some(dir) => Some(dir.into_os_string().into_string().map_err(|_| "--data-dir must be valid UTF-8")?),
            None => None,
        };
        let flags = [
            ("node.id", self.node_id.map(|id| id.to_string())),
            ("node.data_dir", data_dir),
            ("listen.resp", self.resp),
            ("listen.peer", self.peer),
            ("listen.http", self.http),
            ("cluster.initial", self.initial_cluster),
            ("cluster.partitions", self.partitions.map(|count| count.to_string())),
        ];
        Ok(Sources {
            file: self.config,
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags: flags.into_iter().filter_map(|(path, value)| Some((path, value?))).collect(),
        })
    }
}

/// Runs a node until it is told to stop.
pub fn run(flags: Flags) -> Result<ExitCode, String> {
    let loaded = settings::load(&flags.sources()?)?;
    crate::runtime::run(loaded.settings)?;
    Ok(ExitCode::SUCCESS)
}
