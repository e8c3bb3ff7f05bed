//! `holdfast commands`: the table of commands as the page docs/commands.md.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::command::spec::{KeyFlags, Spec, Verdict};
use crate::command::table;

/// Flags of `commands`: there are none.
#[derive(Clone, Debug, Args)]
pub struct Flags {}

/// Prints the page.
pub fn run(_flags: &Flags) -> Result<ExitCode, String> {
    print!("{}", page());
    Ok(ExitCode::SUCCESS)
}

/// Every command by chapter, subcommands below their container; then those of Redis that are not there.
fn page() -> String {
    let mut text = String::from(HEAD);
    let _ = writeln!(text, "{}", summary());
    let mut chapters: Vec<&str> = Vec::new();
    for spec in table::all() {
        if !chapters.contains(&spec.doc.group) {
            chapters.push(spec.doc.group);
        }
    }
    for chapter in chapters {
        let head = "| command | arity | | what it does | compared with Redis 7.2 |\n|---|---|---|---|---|\n";
        let _ = write!(text, "\n## {chapter}\n\n{head}");
        let mut rows: Vec<&Spec> = table::all().filter(|spec| spec.doc.group == chapter).collect();
        rows.sort_by_key(|spec| spec.name);
        for spec in rows {
            row(&mut text, spec);
            let mut below: Vec<&Spec> = spec.subcommands.iter().collect();
            below.sort_by_key(|spec| spec.name);
            for spec in below {
                row(&mut text, spec);
            }
        }
    }
    text += "\n## Not in the table\n\nAnswered as an unknown command.\n\n| command | why |\n|---|---|\n";
    for name in table::redis_names() {
        if let Some(why) = table::absence(name) {
            let _ = writeln!(text, "| {} | {why} |", shown(name));
        }
    }
    text
}

const HEAD: &str = "\
# Commands

Written by `holdfast commands` from the table that also drives parsing, arity, routing and `COMMAND`. *Arity* counts the
name; a negative one means at least so many words. *R* reads, *W* writes; the others answer about connection, server or
cluster.

Replies, errors and effects are those of Redis 7.2 (*same*) but for what the last column says. For all of them:

- With several partitions the keys of a call, a transaction or a script must lie in one group, else the answer is
  `CROSSSLOT`, as in a Redis Cluster. With one partition, the default, there is no such bound.
- A key or string has at most 64 MiB.
- What was answered is durable. When nobody can know whether a command ran, the answer is `UNKNOWNOUTCOME`.
- Words about connections and server (`CLIENT`, `CONFIG`, `SLOWLOG`, `LATENCY`, `MEMORY` ...) speak of the node that is asked.

";

/// How many there are of each kind.
fn summary() -> String {
    let rows: Vec<&Spec> = table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).collect();
    let of_redis = |spec: &&&Spec| table::redis_names().any(|name| name == spec.name);
    let count =
        |wanted: fn(&Verdict) -> bool| rows.iter().filter(of_redis).filter(|spec| wanted(&verdict(spec))).count();
    let (same, differs) =
        (count(|verdict| *verdict == Verdict::Same), count(|verdict| matches!(verdict, Verdict::Differs(_))));
    let refused = count(|verdict| matches!(verdict, Verdict::Refused(_)));
    let absent = table::redis_names().filter(|name| table::absence(name).is_some()).count();
    format!(
        "Of the {} commands and {} subcommands of Redis 7.2, {same} are the same, {differs} differ in something, {} are not \
         offered ({absent} of them are not in the table).",
        table::COMMANDS.len(),
        table::SUBCOMMANDS.len(),
        refused + absent
    )
}

/// What the table says. What explains subcommands is a text of our own; only OBJECT HELP has Redis's lines.
fn verdict(spec: &Spec) -> Verdict {
    match spec.verdict {
        Verdict::Same if spec.word() == "help" && spec.name != "object|help" => Verdict::Differs("its text is our own"),
        verdict => verdict,
    }
}

fn shown(name: &str) -> String {
    name.to_ascii_uppercase().replace('|', " ")
}

fn row(text: &mut String, spec: &Spec) {
    let has_keys = spec.keys.iter().any(|key| !key.flags.has(KeyFlags::of("not_key")));
    let kind = match () {
        () if matches!(spec.verdict, Verdict::Refused(_)) => "",
        () if spec.is_write() || (spec.may_write() && has_keys) => "W",
        () if has_keys => "R",
        () => "",
    };
    let compared = match verdict(spec) {
        _ if table::redis_names().all(|name| name != spec.name) => "Redis 7.2 has no such command".to_string(),
        Verdict::Same => "same".to_string(),
        Verdict::Differs(how) => format!("differs: {how}"),
        Verdict::Refused(why) => format!("not offered: {why}"),
    };
    let (name, doc) = (shown(spec.name), &spec.doc);
    let _ = writeln!(text, "| {name} | {} | {kind} | {} | {compared} |", spec.arity, doc.summary);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_the_table() {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
        let text = std::fs::read_to_string(shipped).expect("docs/commands.md is part of the repository");
        assert_eq!(text, super::page(), "write it anew: holdfast commands > docs/commands.md");
    }

    /// Whoever looks for a name of Redis 7.2 finds it here with a verdict.
    #[test]
    fn every_name_of_redis_has_a_line() {
        let page = super::page();
        for name in crate::command::table::redis_names() {
            let start = format!("| {} | ", super::shown(name));
            let line =
                page.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no line for {name}"));
            let last = line.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
            assert!(last.len() > 3, "{line}");
        }
    }
}
