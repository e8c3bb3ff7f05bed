//! `holdfast commands`: the table of commands as the page docs/commands.md.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::command::spec::{KeyFlags, Spec};
use crate::command::table;

/// Flags of `commands`: there are none.
#[derive(Clone, Debug, Args)]
pub struct Flags {}

/// Prints the page.
pub fn run(_flags: &Flags) -> Result<ExitCode, String> {
    print!("{}", page());
    Ok(ExitCode::SUCCESS)
}

/// Every command by chapter, subcommands below their container.
fn page() -> String {
    let mut text = String::from(
        "# Commands\n\n\
         Written by `holdfast commands` from the table that also drives parsing, arity, routing and `COMMAND`. Replies and\n\
         errors are those of Redis 7.2. *Arity* counts the name; a negative one means at least so many words. *R* reads,\n\
         *W* writes; the others answer about connection, server or cluster.\n",
    );
    let mut chapters: Vec<&str> = Vec::new();
    for spec in table::all() {
        if !chapters.contains(&spec.doc.group) {
            chapters.push(spec.doc.group);
        }
    }
    for chapter in chapters {
        let _ = write!(text, "\n## {chapter}\n\n| command | arity | | what it does |\n|---|---|---|---|\n");
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
    text
}

fn row(text: &mut String, spec: &Spec) {
    let name = spec.name.to_ascii_uppercase().replace('|', " ");
    let has_keys = spec.keys.iter().any(|key| !key.flags.has(KeyFlags::of("not_key")));
    let kind = match () {
        () if spec.is_write() || (spec.may_write() && has_keys) => "W",
        () if has_keys => "R",
        () => "",
    };
    let _ = writeln!(text, "| {name} | {} | {kind} | {} |", spec.arity, spec.doc.summary);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_the_table() {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
        let text = std::fs::read_to_string(shipped).expect("docs/commands.md is part of the repository");
        assert_eq!(text, super::page(), "write it anew: holdfast commands > docs/commands.md");
    }
}
