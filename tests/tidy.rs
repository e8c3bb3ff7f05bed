//! The structure of the crate as a test: which module may use which, which crates are fenced where, and what must
//! not be left lying about. docs/architecture.md explains the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules and what each may use, from vocabulary to wiring. A new arrow is a commit of its own with its reason.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("resp", &["base"]),
    // Scores are written as replies show them.
    ("rdb", &["base", "resp"]),
    ("store", &["base"]),
    ("data", &["base", "store"]),
    ("command", &["base", "resp", "rdb", "store", "data"]),
    ("cluster", &["base"]),
    ("group", &["base", "store", "cluster"]),
    ("machine", &["base", "resp", "store", "data", "command", "group"]),
    // What rules make of a user is decided where facts are.
    ("host", &["base", "store", "command", "cluster", "group", "machine"]),
    ("service", &["base", "resp", "command", "cluster", "machine"]),
    ("front", &["base", "resp", "service", "cluster"]),
    (
        "runtime",
        &["base", "resp", "store", "data", "command", "cluster", "group", "machine", "host", "service", "front"],
    ),
    ("sim", &["base", "resp", "store", "data", "command", "cluster", "group", "machine", "host", "service"]),
    // The checker stands outside: it shares no more than the vocabulary with what it judges.
    ("check", &["base"]),
    // So does the load generator.
    ("bench", &["base"]),
    ("settings", &["base"]),
    // `cli` prints the table of commands, so it names it.
    ("cli", &["base", "command", "settings", "runtime", "sim", "check", "bench"]),
];

/// Outside crates and the only files or folders (below `src`) that may name them.
const FENCES: &[(&str, &[&str])] = &[
    ("rocksdb", &["store/rocks"]),
    ("moka", &["store/cached"]),
    ("raft", &["group/"]),
    ("protobuf", &["group/"]),
    ("slog", &["group/"]),
    ("bincode", &["group/entry"]),
    ("mlua", &["command/script/"]),
    ("axum", &["front/"]),
    ("hyper", &["front/"]),
    ("hyper_util", &["front/"]),
    ("tonic", &["front/", "runtime/", "bench/etcd"]),
    ("tokio", &["front/", "runtime/", "bench/etcd"]),
    ("prost", &["runtime/", "bench/etcd"]),
    ("mio", &["bench/"]),
    ("socket2", &["bench/"]),
    ("opentelemetry", &["runtime/"]),
    ("prometheus_client", &["runtime/"]),
    ("clap", &["cli/"]),
    ("config", &["settings/"]),
];

/// A file longer than this holds more than one idea.
const FILE_LINES_MAX: usize = 900;

struct Source {
    path: PathBuf,
    /// Below `src`, with forward slashes.
    name: String,
    text: String,
}

impl Source {
    /// First path component: the layer.
    fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or("")
    }

    /// Code without comments, strings left in, up to the file's unit tests.
    fn code(&self) -> String {
        let production = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
        production.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let source = |(path, text): (PathBuf, String)| {
        let name = path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
        Source { path, name, text }
    };
    let mut found: Vec<_> = rust_files(&root).into_iter().map(source).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() > 20, "the sources were not found below {}", root.display());
    found
}

/// Path and text of every Rust file below a folder.
fn rust_files(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("source is UTF-8");
                found.push((path, text));
            }
        }
    }
    found
}

/// What follows each `word::` that starts a path.
fn paths<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(word).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back();
        let starts = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '.' || c == '"');
        let rest = code[at + word.len()..].strip_prefix("::")?;
        starts.then_some(rest)
    })
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// First components of what follows `crate::`, one level of braces included.
fn crate_modules(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for rest in paths(code, "crate") {
        let Some(group) = rest.strip_prefix('{') else {
            modules.push(identifier(rest).to_owned());
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => modules.push(identifier(std::mem::take(&mut item).trim()).to_owned()),
                _ if depth == 0 => item.push(c),
                _ => {}
            }
        }
        modules.push(identifier(item.trim()).to_owned());
    }
    modules.retain(|module| !module.is_empty());
    modules
}

#[test]
fn arrows_between_modules_point_downwards() {
    let table: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let from = source.module();
        if matches!(from, "lib" | "main" | "bin") {
            continue;
        }
        let Some(allowed) = table.get(from) else {
            wrong.push(format!("{}: module {from} has no row in the table", source.name));
            continue;
        };
        for to in crate_modules(&source.code()) {
            if to != from && table.contains_key(to.as_str()) && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{}: {from} may not use {to}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_machine_knows_only_entries_of_the_group() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.module() == "machine") {
        for rest in source.code().split("crate::group::").skip(1) {
            if !rest.starts_with("entry") {
                wrong.push(format!("{}: group::{}", source.name, identifier(rest)));
            }
        }
    }
    assert!(wrong.is_empty(), "machine may only use group::entry:\n{}", wrong.join("\n"));
}

#[test]
fn outside_crates_stay_behind_their_fences() {
    let mut wrong = Vec::new();
    for source in sources() {
        let code = source.code();
        for (name, places) in FENCES {
            // `config` is also a module of runtime and cli; the crate is only ever named by settings.
            let own_module = *name == "config" && source.module() != "settings";
            let inside = places.iter().any(|place| source.name.starts_with(place));
            if !inside && !own_module && paths(&code, name).next().is_some() {
                wrong.push(format!("{}: {name} belongs to {}", source.name, places.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_its_purpose() {
    let silent: Vec<_> =
        sources().into_iter().filter(|source| !source.text.starts_with("//!")).map(|source| source.name).collect();
    assert!(silent.is_empty(), "these start without //!: {silent:?}");
}

#[test]
fn nothing_is_left_behind() {
    let words =
        ["TODO", "FIXME", "XXX:", "todo!(", "unimplemented!(", "dbg!(", "#[ignore", "allow(dead_code", "allow(unused"];
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                found.push(format!("{}:{}: {word}", source.name, number + 1));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_file_is_part_of_the_crate() {
    let all = sources();
    let mut orphans = Vec::new();
    for source in &all {
        let stem = source.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        if matches!(source.name.as_str(), "lib.rs" | "main.rs") || source.module() == "bin" {
            continue;
        }
        let folder = Path::new(&source.name).parent().unwrap_or(Path::new(""));
        let (name, parents) = if stem == "mod" {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
            (name, folder.parent().unwrap_or(Path::new("")).to_owned())
        } else {
            (stem.to_owned(), folder.to_owned())
        };
        let parent = if parents.as_os_str().is_empty() {
            "lib.rs".to_owned()
        } else {
            let folder = parents.to_string_lossy().replace('\\', "/");
            let module = format!("{folder}/mod.rs");
            if all.iter().any(|other| other.name == module) { module } else { format!("{folder}.rs") }
        };
        let declares = |line: &str| {
            let line = line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            line.strip_prefix("mod ").is_some_and(|rest| rest.trim_end_matches(';') == name)
        };
        if !all.iter().any(|other| other.name == parent && other.text.lines().any(declares)) {
            orphans.push(format!("{}: no `mod {name};` in {parent}", source.name));
        }
    }
    assert!(orphans.is_empty(), "\n{}", orphans.join("\n"));
}

#[test]
fn files_hold_one_idea() {
    let large: Vec<_> = sources()
        .into_iter()
        .map(|source| (source.text.lines().count(), source.name))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(large.is_empty(), "over {FILE_LINES_MAX} lines, split them: {large:?}");
}

/// A Ready of the raft crate is a view of the moment: whatever moves the crate before it was advanced past is lost or
/// handed out twice. The crate does not notice, so the one place that takes a Ready is read instead.
#[test]
fn rule_02_nothing_moves_the_crate_between_ready_and_advance() {
    let group: String =
        sources().iter().filter(|source| source.module() == "group").map(|source| source.code() + "\n").collect();
    let taken: Vec<_> = group.match_indices("node.ready()").map(|(at, _)| at).collect();
    assert_eq!(taken.len(), 1, "a Ready is taken in one place");
    let after = &group[taken[0]..];
    let end = after.find("\n    }\n").expect("the end of the function");
    let advances: Vec<_> = after.match_indices("advance_append_async(ready)").map(|(at, _)| at).collect();
    assert!(!advances.is_empty() && advances.iter().all(|at| *at < end), "it is advanced past in the same function");
    // Two branches of one `if`: each hands over to the crate once, and neither ends before it did.
    let between = &after[..*advances.last().expect("just checked")];
    let moves = [
        ".step(",
        ".tick(",
        ".propose",
        ".campaign(",
        ".read_index(",
        ".transfer_leader(",
        ".apply_conf_change(",
        ".report_",
        ".on_persist_ready(",
        ".advance_apply",
        ".settle(",
        ".observe(",
        "return",
        "?;",
        "become_",
    ];
    let found: Vec<_> = moves.into_iter().filter(|word| between.contains(word)).collect();
    assert!(found.is_empty(), "between ready() and advance_append_async(): {found:?}");
}

/// Rules of docs/engine-rules.md without a test of their own, and why.
const UNTESTED: &[(u32, &str)] = &[];

#[test]
fn every_rule_of_the_engine_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = fs::read_to_string(root.join("docs/engine-rules.md")).expect("docs/engine-rules.md");
    let numbers: Vec<u32> = rules.lines().filter_map(|line| line.split_once(". ")?.0.parse().ok()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>(), "rules are numbered without gaps");
    assert!(numbers.len() >= 40, "the rules were not found");
    let mut tested = BTreeSet::new();
    for (_, text) in ["src", "tests"].iter().flat_map(|folder| rust_files(&root.join(folder))) {
        for (at, _) in text.match_indices("#[test]\n") {
            let function = text[at..].lines().find_map(|line| line.trim_start().strip_prefix("fn "));
            let number = function.and_then(|name| name.strip_prefix("rule_")?.split('_').next()?.parse::<u32>().ok());
            tested.extend(number);
        }
    }
    for number in numbers {
        let excused = UNTESTED.iter().any(|(untested, _)| *untested == number);
        let tested = tested.contains(&number);
        assert!(tested != excused, "rule {number}: it has a test: {tested}; it has an excuse: {excused}");
    }
}

#[test]
fn every_test_that_the_list_of_regressions_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("docs/regressions.md")).expect("docs/regressions.md");
    let code: String =
        ["src", "tests"].iter().flat_map(|folder| rust_files(&root.join(folder))).map(|(_, text)| text).collect();
    let named = list.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: BTreeSet<_> = named.filter(|name| !name.contains(['/', '.'])).collect();
    assert!(named.len() > 20, "the list was not found");
    let missing: Vec<_> = named.into_iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
}

/// The names of the known bugs that can be put back in, with what each breaks, from their list.
fn known_bugs() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("src/base/mutants.rs")).expect("the list of known bugs");
    let rows = list.split_once("mutants! {").and_then(|(_, rest)| rest.split_once("\n}\n")).expect("the list itself").0;
    let rows = rows.lines().filter(|line| line.trim_end().ends_with("\";"));
    let parse = |line: &str| {
        let (name, rest) = line.trim().split_once(", \"").expect("a name first");
        let breaks = rest.split('"').next().unwrap_or("").split(", ").map(str::to_owned).collect();
        (name.to_owned(), breaks)
    };
    let found: Vec<_> = rows.map(parse).collect();
    assert!(found.len() >= 30, "the list was not found");
    found
}

#[test]
fn every_known_bug_is_put_in_at_one_place_and_breaks_a_rule_or_repeats_a_regression() {
    let bugs = known_bugs();
    let code: String = sources()
        .iter()
        .filter(|source| source.name != "base/mutants.rs")
        .map(|source| source.code())
        .collect::<Vec<_>>()
        .join("\n");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = |name: &str| fs::read_to_string(root.join(name)).expect("a page of docs");
    let (rules, regressions) = (page("docs/engine-rules.md"), page("docs/regressions.md"));
    let mut wrong = Vec::new();
    for (name, breaks) in &bugs {
        let places = code.matches(&format!("Mutant::{name}.is_in()")).count();
        if places != 1 {
            wrong.push(format!("{name} is put in at {places} places"));
        }
        for broken in breaks {
            let known = rules.contains(&format!("\n{broken}. ")) || regressions.contains(&format!("\n| {broken} |"));
            if !known {
                wrong.push(format!("{name} breaks {broken}, which is no rule and no regression"));
            }
        }
    }
    for rest in paths(&code, "Mutant") {
        let name = identifier(rest);
        let known = bugs.iter().any(|(bug, _)| bug == name) || matches!(name, "ALL" | "named");
        if !known {
            wrong.push(format!("Mutant::{name} is not in the list"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn nobody_gets_a_known_bug_without_asking() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml");
    let features = manifest.split_once("\n[features]\n").expect("features").1;
    let features = features.split("\n[").next().unwrap_or("");
    assert!(features.contains("\nmutants = []\n") && !features.contains("\ndefault"), "{features}");
    for shipped in ["scripts/run", ".ci/run"] {
        let text = fs::read_to_string(root.join(shipped)).expect("a script");
        assert!(!text.contains("--features"), "{shipped} builds what others run");
    }
}

#[test]
fn the_table_of_known_bugs_is_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/reliability.md")).expect("docs/reliability.md");
    let hyphens = |name: &str| {
        let mut words = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !words.is_empty() {
                words.push('-');
            }
            words.push(letter.to_ascii_lowercase());
        }
        words
    };
    let bugs = known_bugs();
    let missing: Vec<_> = bugs.iter().filter(|(name, _)| !page.contains(&format!("| {} |", hyphens(name)))).collect();
    assert!(missing.is_empty(), "make the table anew (scripts/mutants): {missing:?}");
}
