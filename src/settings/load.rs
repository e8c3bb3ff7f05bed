//! From files, environment and flags to one checked [`Settings`]. What is wrong is named with its line and the
//! nearest thing that would have been right.

use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, File, FileFormat, Value, ValueKind};

use super::table::{DEBUG_COMMAND, Kind, ROWS, Row};
use super::{CachePolicy, LogFormat, ReadMode, Settings};

/// Where settings may come from; later fields override earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file whose name ends in `.toml`, `.yaml`, `.yml` or `.json`.
    pub file: Option<PathBuf>,
    /// Environment variables, all of them: those named `HOLDFAST_SECTION__KEY` count.
    pub environment: Vec<(String, String)>,
    /// From flags: path of the setting and value.
    pub flags: Vec<(&'static str, String)>,
}

/// The variables of this process, for [`Sources::environment`]; what is no UTF-8 is no setting.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Which source a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The built-in default.
    Default,
    /// The file, at this line when it could be found.
    File(Option<usize>),
    /// An environment variable.
    Environment,
    /// A flag.
    Flag,
}

/// The settings in effect, and for people every value with its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Checked and typed.
    pub settings: Settings,
    /// One per row of the table: path, value as text, origin.
    pub values: Vec<(&'static str, String, Origin)>,
}

/// Gathers and checks the settings. The error is a sentence for the operator.
pub fn load(sources: &Sources) -> Result<Loaded, String> {
    let mut values: Vec<(&'static str, String, Origin)> =
        ROWS.iter().map(|row| (row.path, row.default.to_owned(), Origin::Default)).collect();
    let mut set = |path: &str, value: String, origin: Origin| {
        if let Some(slot) = values.iter_mut().find(|slot| slot.0 == path) {
            slot.1 = value;
            slot.2 = origin;
        }
    };
    if let Some(file) = &sources.file {
        for (path, value, line) in read_file(file)? {
            set(path, value, Origin::File(line));
        }
    }
    for (name, value) in &sources.environment {
        let Some(rest) = name.strip_prefix("HOLDFAST_").filter(|rest| rest.contains("__")) else { continue };
        let path = rest.to_ascii_lowercase().replace("__", ".");
        let row = find(&path).ok_or_else(|| format!("environment variable {name}: {}", unknown(&path)))?;
        check(row, value).map_err(|why| format!("environment variable {name}: {why}"))?;
        set(row.path, value.clone(), Origin::Environment);
    }
    for (path, value) in &sources.flags {
        let row = find(path).ok_or_else(|| unknown(path))?;
        check(row, value).map_err(|why| format!("flag for {path}: {why}"))?;
        set(path, value.clone(), Origin::Flag);
    }
    let settings = typed(&values)?;
    Ok(Loaded { settings, values })
}

/// Path of the setting, value, line.
type Found = (&'static str, String, Option<usize>);

fn read_file(file: &Path) -> Result<Vec<Found>, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|why| format!("{name}: cannot be read: {why}"))?;
    let format = match file.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => FileFormat::Toml,
        Some("yaml" | "yml") => FileFormat::Yaml,
        Some("json") => FileFormat::Json,
        _ => return Err(format!("{name}: the name must end in .toml, .yaml, .yml or .json")),
    };
    let config =
        Config::builder().add_source(File::from_str(&text, format)).build().map_err(|why| format!("{name}: {why}"))?;
    let mut found = Vec::new();
    for (section, content) in config.cache.into_table().map_err(|why| format!("{name}: {why}"))? {
        let ValueKind::Table(keys) = content.kind else {
            return Err(format!("{}: {}", at(&name, line_of(&text, &section, None)), unknown(&section)));
        };
        for (key, value) in keys {
            let path = format!("{section}.{key}");
            let line = line_of(&text, &section, Some(&key));
            let row = find(&path).ok_or_else(|| format!("{}: {}", at(&name, line), unknown(&path)))?;
            let value = as_text(row, value).map_err(|why| format!("{}: {why}", at(&name, line)))?;
            check(row, &value).map_err(|why| format!("{}: {why}", at(&name, line)))?;
            found.push((row.path, value, line));
        }
    }
    Ok(found)
}

fn at(name: &dyn std::fmt::Display, line: Option<usize>) -> String {
    line.map_or_else(|| name.to_string(), |line| format!("{name}, line {line}"))
}

fn find(path: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.path == path)
}

/// `there is no setting "x.y"`, with the nearest that exists.
fn unknown(path: &str) -> String {
    let nearest =
        ROWS.iter().max_by(|a, b| strsim::jaro_winkler(a.path, path).total_cmp(&strsim::jaro_winkler(b.path, path)));
    let nearest = nearest.map_or("", |row| row.path);
    format!("there is no setting \"{path}\"; the nearest is \"{nearest}\"")
}

/// Line (from 1) where a key of a section stands, in any of the formats: what they share is that the section's name
/// comes first, and that a name is followed by `:`, `=`, `]` or `.`. The libraries tell lines of broken syntax only.
fn line_of(text: &str, section: &str, key: Option<&str>) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| names(line, section))?;
    let Some(key) = key else { return Some(start + 1) };
    let others = || ROWS.iter().filter_map(|row| row.path.split_once('.')).map(|(other, _)| other);
    // A section ends where another one begins; it may begin on the same line (JSON).
    let is_another = |line: &str| others().any(|other| other != section && names(line, other));
    let end = lines[start + 1..].iter().position(|line| is_another(line) && !names(line, key));
    let end = end.map_or(lines.len(), |offset| start + 1 + offset);
    let found = lines[start..end].iter().position(|line| names(line, key));
    found.map(|offset| start + offset + 1)
}

/// Whether a line has this word as a name, not in a value or a remark.
fn names(line: &str, word: &str) -> bool {
    let line = line.split('#').next().unwrap_or("");
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].trim_start_matches(['"', '\'']).trim_start();
        before.is_none_or(|c| c.is_whitespace() || "\"'{[,.".contains(c)) && after.starts_with([':', '=', ']', '.'])
    })
}

fn as_text(row: &Row, value: Value) -> Result<String, String> {
    match (row.kind, value.kind) {
        (Kind::Integer(..), ValueKind::I64(number)) => Ok(number.to_string()),
        (Kind::Integer(..), ValueKind::U64(number)) => Ok(number.to_string()),
        (Kind::Ratio(..), ValueKind::I64(number)) => Ok(number.to_string()),
        (Kind::Ratio(..), ValueKind::U64(number)) => Ok(number.to_string()),
        (Kind::Ratio(..), ValueKind::Float(number)) => Ok(number.to_string()),
        (Kind::Integer(..) | Kind::Ratio(..), other) => {
            Err(format!("{} must be a number, not {}", row.path, describe(&other)))
        }
        (_, ValueKind::String(text)) => Ok(text),
        (_, other) => Err(format!("{} must be a text in quotes, not {}", row.path, describe(&other))),
    }
}

fn describe(value: &ValueKind) -> String {
    match value {
        ValueKind::String(text) => format!("the text \"{text}\""),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Nil => "nothing".to_owned(),
        other => other.to_string(),
    }
}

fn check(row: &Row, value: &str) -> Result<(), String> {
    let path = row.path;
    match row.kind {
        Kind::Integer(low, high) => match value.parse::<u64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(()),
            _ => Err(format!("{path} must be a whole number from {low} to {high}, not \"{value}\"")),
        },
        Kind::Ratio(low, high) => match value.parse::<f64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(()),
            _ => Err(format!("{path} must be a number from {low} to {high}, not \"{value}\"")),
        },
        Kind::Text => Ok(()),
        Kind::Address => address(value).map_err(|why| format!("{path}: {why}")),
        Kind::MaybeAddress if value.is_empty() => Ok(()),
        Kind::MaybeAddress => told(value).map_err(|why| format!("{path}: {why}")),
        Kind::Cluster => cluster(value).map(|_| ()).map_err(|why| format!("{path}: {why}")),
        Kind::Addresses => {
            let mut parts = value.split(',').filter(|part| !part.is_empty());
            parts.try_for_each(told).map_err(|why| format!("{path}: {why}"))
        }
        Kind::Choice(words) if words.contains(&value) => Ok(()),
        Kind::Choice(words) => {
            let nearest =
                words.iter().max_by(|a, b| strsim::jaro_winkler(a, value).total_cmp(&strsim::jaro_winkler(b, value)));
            Err(format!(
                "{path} must be one of {}, not \"{value}\"; the nearest is \"{}\"",
                words.join(", "),
                nearest.unwrap_or(&"")
            ))
        }
    }
}

fn address(text: &str) -> Result<(), String> {
    let valid = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if valid { Ok(()) } else { Err(format!("\"{text}\" is not host:port")) }
}

/// An address that others are told: what only a listener can be is none.
fn told(text: &str) -> Result<(), String> {
    address(text)?;
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    let is_wildcard = host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified());
    match (is_wildcard, port.parse()) {
        (true, _) => Err(format!("nobody can connect to the wildcard of \"{text}\"; name a host")),
        (false, Ok(0_u16)) => Err(format!("nobody can connect to port 0 of \"{text}\"")),
        (false, _) => Ok(()),
    }
}

/// `1=host:port,2=host:port` to pairs, sorted by id.
fn cluster(text: &str) -> Result<Vec<(u64, String)>, String> {
    let mut nodes = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (id, at) = part.split_once('=').ok_or_else(|| format!("\"{part}\" is not id=host:port"))?;
        let id = id.trim().parse::<u64>().ok().filter(|&id| id >= 1);
        let id = id.ok_or_else(|| format!("\"{part}\": the id must be a whole number from 1"))?;
        address(at)?;
        if nodes.iter().any(|(other, _)| *other == id) {
            return Err(format!("node {id} is named twice"));
        }
        nodes.push((id, at.to_owned()));
    }
    nodes.sort_unstable();
    Ok(nodes)
}

fn typed(values: &[(&'static str, String, Origin)]) -> Result<Settings, String> {
    let text = |path: &str| -> Result<&str, String> {
        values.iter().find(|value| value.0 == path).map(|value| value.1.as_str()).ok_or_else(|| unknown(path))
    };
    let number = |path: &str| -> Result<u64, String> {
        text(path)?.parse().map_err(|_| format!("{path} must be a whole number"))
    };
    let size = |path: &str| -> Result<usize, String> {
        usize::try_from(number(path)?).map_err(|_| format!("{path} is larger than this machine's memory can be"))
    };
    let initial_cluster = cluster(text("cluster.initial")?)?;
    let node_id = number("node.id")?;
    if !initial_cluster.is_empty() && initial_cluster.iter().all(|(id, _)| *id != node_id) {
        return Err(format!("cluster.initial does not name this node: node.id is {node_id}"));
    }
    if !initial_cluster.is_empty() && !text("cluster.join")?.is_empty() {
        return Err("cluster.initial and cluster.join exclude each other: a node begins a cluster or joins one".into());
    }
    Ok(Settings {
        node_id,
        data_dir: PathBuf::from(text("node.data_dir")?),
        resp: text("listen.resp")?.to_owned(),
        peer: text("listen.peer")?.to_owned(),
        http: text("listen.http")?.to_owned(),
        advertise_peer: text("advertise.peer")?.to_owned(),
        advertise_resp: text("advertise.resp")?.to_owned(),
        advertise_http: text("advertise.http")?.to_owned(),
        initial_cluster,
        join: text("cluster.join")?.split(',').filter(|at| !at.is_empty()).map(str::to_owned).collect(),
        partitions: u16::try_from(number("cluster.partitions")?).map_err(|_| "cluster.partitions is too large")?,
        cluster_token: text("cluster.token")?.to_owned(),
        clients_max: size("clients.max")?,
        password: text("clients.password")?.to_owned(),
        users: text("clients.users")?.to_owned(),
        debug_command: DEBUG_COMMAND
            .into_iter()
            .find(|word| text("clients.debug_command").is_ok_and(|given| given == *word))
            .unwrap_or("no"),
        idle_timeout: Duration::from_secs(number("clients.idle_timeout_s")?),
        request_deadline: Duration::from_millis(number("clients.request_deadline_ms")?),
        query_buffer_bytes: size("clients.query_buffer_bytes")?,
        output_buffer_bytes: size("clients.output_buffer_bytes")?,
        bulk_bytes: size("clients.bulk_bytes")?,
        read_mode: if text("raft.read_mode")? == "lease" { ReadMode::Lease } else { ReadMode::ReadIndex },
        lease: Duration::from_millis(number("raft.lease_ms")?),
        log_keep_entries: number("raft.log_keep_entries")?,
        write_buffer_bytes: size("storage.write_buffer_bytes")?,
        block_cache_bytes: size("storage.block_cache_bytes")?,
        flush_interval: Duration::from_secs(number("storage.flush_interval_s")?),
        flush_log_bytes: number("storage.flush_log_bytes")?,
        cache_bytes: number("cache.bytes")?,
        cache_policy: if text("cache.policy")? == "lru" { CachePolicy::Lru } else { CachePolicy::TinyLfu },
        hash_entries_max: size("hash.max_listpack_entries")?,
        hash_value_bytes_max: size("hash.max_listpack_value_bytes")?,
        set_integers_max: size("set.max_intset_entries")?,
        set_entries_max: size("set.max_listpack_entries")?,
        set_value_bytes_max: size("set.max_listpack_value_bytes")?,
        zset_entries_max: size("zset.max_listpack_entries")?,
        zset_value_bytes_max: size("zset.max_listpack_value_bytes")?,
        log_level: text("log.level")?.to_owned(),
        log_format: if text("log.format")? == "json" { LogFormat::Json } else { LogFormat::Text },
        otlp_endpoint: text("telemetry.otlp_endpoint")?.to_owned(),
        sample_ratio: text("telemetry.sample_ratio")?.parse().map_err(|_| "telemetry.sample_ratio must be a number")?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn from_file(suffix: &str, text: &str) -> Result<Loaded, String> {
        let mut file = tempfile::Builder::new().suffix(suffix).tempfile().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        load(&Sources { file: Some(file.path().to_owned()), ..Sources::default() })
    }

    #[test]
    fn defaults_are_a_single_node_on_the_usual_ports() {
        let settings = load(&Sources::default()).expect("defaults are valid").settings;
        assert_eq!(settings.resp, "127.0.0.1:6379");
        assert_eq!(settings.data_dir, PathBuf::from("data"));
        assert!(settings.initial_cluster.is_empty());
    }

    #[test]
    fn three_formats_say_the_same() {
        let toml = from_file(".toml", "[cache]\nbytes = 7\n[log]\nformat = \"json\"\n").expect("toml");
        let yaml = from_file(".yaml", "cache:\n  bytes: 7\nlog:\n  format: json\n").expect("yaml");
        let json = from_file(".json", r#"{"cache": {"bytes": 7}, "log": {"format": "json"}}"#).expect("json");
        assert_eq!(toml.settings.cache_bytes, 7);
        assert_eq!(toml.settings, yaml.settings);
        assert_eq!(toml.settings, json.settings);
    }

    #[test]
    fn environment_overrides_the_file_and_flags_override_both() {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a temporary file");
        file.write_all(b"[cache]\nbytes = 7\n[node]\nid = 2\n").expect("written");
        let sources = Sources {
            file: Some(file.path().to_owned()),
            environment: vec![
                ("HOLDFAST_CACHE__BYTES".into(), "8".into()),
                ("HOLDFAST_NODE__ID".into(), "3".into()),
                ("HOLDFAST_OTHER".into(), "ignored".into()),
            ],
            flags: vec![("node.id", "4".into())],
        };
        let loaded = load(&sources).expect("valid");
        assert_eq!((loaded.settings.cache_bytes, loaded.settings.node_id), (8, 4));
        let origin = |path| loaded.values.iter().find(|value| value.0 == path).map(|value| value.2.clone());
        assert_eq!(origin("cache.bytes"), Some(Origin::Environment));
        assert_eq!(origin("node.id"), Some(Origin::Flag));
        assert_eq!(origin("log.level"), Some(Origin::Default));
    }

    #[test]
    fn a_wrong_key_is_refused_with_its_line_and_the_nearest() {
        let why = from_file(".toml", "# comment\n[cache]\nbytse = 7\n").expect_err("no such key");
        assert!(why.contains("line 3") && why.contains("\"cache.bytse\"") && why.contains("\"cache.bytes\""), "{why}");
        let why = from_file(".yaml", "cache:\n  polcy: lru\n").expect_err("no such key");
        assert!(why.contains("line 2") && why.contains("\"cache.policy\""), "{why}");
    }

    #[test]
    fn lines_are_those_of_names_in_their_section() {
        let toml = "# cache: max\n[node]\ndata_dir = \"/var/cache\"\nid = 1\n[clients]\nmax = 5\n[cache]\nmax = 7\n";
        let yaml = "node:\n  data_dir: cache\nclients:\n  max: 5\ncache:\n  max: 7\n";
        let json = "{\n\"node\": {\"data_dir\": \"cache\"},\n\"clients\": {\n\"max\": 5},\n\"cache\": {\n\"max\": 7}}";
        for (suffix, text, line) in [(".toml", toml, 8), (".yaml", yaml, 6), (".json", json, 6)] {
            let why = from_file(suffix, text).expect_err("no such key");
            assert!(why.contains(&format!("line {line}: there is no setting \"cache.max\"")), "{why}");
        }
        let why =
            from_file(".json", r#"{"cache": {"policy": "lru"}, "log": {"policy": "x"}}"#).expect_err("no such key");
        assert!(why.contains("line 1: there is no setting \"log.policy\""), "{why}");
        let why =
            from_file(".toml", "[log]\nlevel = \"info\"\n\n[lgo]\nlevel = \"info\"\n").expect_err("no such section");
        assert!(why.contains("line 5: there is no setting \"lgo.level\"; the nearest is \"log.level\""), "{why}");
        let why = from_file(".toml", "id = 3\n").expect_err("no section");
        assert!(why.contains("line 1: there is no setting \"id\""), "{why}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line() {
        let why = from_file(".toml", "[cache]\n\npolicy = \"lfu\"\n").expect_err("no such policy");
        assert!(why.contains("line 3") && why.contains("tiny-lfu, lru"), "{why}");
        let why = from_file(".json", "{\n\"clients\": {\n\"max\": \"many\"}}").expect_err("not a number");
        assert!(why.contains("line 3") && why.contains("must be a number"), "{why}");
        let why = from_file(".toml", "[cluster]\ninitial = \"1=a:1,1=b:2\"\n").expect_err("twice");
        assert!(why.contains("named twice"), "{why}");
    }

    #[test]
    fn what_is_advertised_can_be_connected_to() {
        let advertise = |value: &str| {
            let environment = vec![("HOLDFAST_ADVERTISE__RESP".into(), value.into())];
            load(&Sources { environment, ..Sources::default() }).map(|loaded| loaded.settings.advertise_resp)
        };
        for right in ["", "node1:6379", "10.0.0.1:6380", "[fe80::1]:6379"] {
            assert_eq!(advertise(right).as_deref(), Ok(right));
        }
        for (wrong, why) in [
            ("node1", "not host:port"),
            (":6379", "not host:port"),
            ("0.0.0.0:6379", "wildcard"),
            ("[::]:6379", "wildcard"),
            ("node1:0", "port 0"),
        ] {
            let said = advertise(wrong).expect_err(wrong);
            assert!(said.contains("advertise.resp") && said.contains(why), "{said}");
        }
    }

    #[test]
    fn an_unknown_environment_variable_is_refused() {
        let environment = vec![("HOLDFAST_CACHE__BYTSE".into(), "8".into())];
        let why = load(&Sources { environment, ..Sources::default() }).expect_err("no such key");
        assert!(why.contains("HOLDFAST_CACHE__BYTSE") && why.contains("cache.bytes"), "{why}");
    }
}
