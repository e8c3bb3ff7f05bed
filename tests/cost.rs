//! What a SET and a GET cost, counted, so that it does not creep up: allocations and bytes in them, on three nodes in one
//! thread, from the bytes of the request to the bytes of the reply. `scripts/cost` adds the instructions.
//!
//! The counts are the same in every run of a build, and from build to build as good as the same. tests/cost.txt holds
//! what they may be, with the rule.

#[path = "cost/cluster.rs"]
mod cluster;
#[path = "cost/counter.rs"]
mod counter;

use std::fs;
use std::path::Path;

use cluster::Cluster;
use counter::{Cost, counted};

#[global_allocator]
static ALLOCATOR: counter::Counter = counter::Counter;

/// More than so many percent above its figure, and it costs more than it did.
const PERCENT_MAX: f64 = 5.0;
/// Commands before counting begins: tables have grown by then.
const WARM_UP: u64 = 2_000;
/// Commands that are counted.
const COUNTED: u64 = 4_000;
/// Keys they are about.
const KEYS: u64 = 1_000;

/// What is counted, by the name that it has in the file.
const CASES: &[(&str, Case)] = &[
    ("set", |cluster, n| cluster.run(&[set(n)])),
    ("set-16", |cluster, n| {
        if n % 16 == 0 {
            cluster.run(&(n..n + 16).map(set).collect::<Vec<_>>());
        }
    }),
    ("get", |cluster, n| cluster.read(&get(n))),
];

type Case = fn(&mut Cluster, u64);

fn set(n: u64) -> Vec<u8> {
    let key = format!("key:{:012}", n * 7_919 % KEYS);
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$100\r\n{:0100}\r\n", key.len(), n).into_bytes()
}

fn get(n: u64) -> Vec<u8> {
    let key = format!("key:{:012}", n * 7_919 % KEYS);
    format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).into_bytes()
}

/// A cluster where every key is set.
fn cluster() -> Cluster {
    let mut cluster = Cluster::started();
    (0..WARM_UP).for_each(|n| cluster.run(&[set(n)]));
    cluster
}

/// Of one command on average.
fn cost(case: Case) -> Cost {
    let mut cluster = cluster();
    let cost = counted(|| (0..COUNTED).for_each(|n| case(&mut cluster, n)));
    Cost { allocations: cost.allocations / COUNTED as f64, bytes: cost.bytes / COUNTED as f64 }
}

/// A row of the file.
struct Row {
    case: String,
    what: String,
    figure: f64,
    words: String,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cost.txt");
    let text = fs::read_to_string(path).expect("tests/cost.txt");
    let row = |line: &str| {
        let (figures, words) = line.split_once('|').unwrap_or_else(|| panic!("a row without words: {line}"));
        let [case, what, figure] = figures.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("a row is a case, what is counted, a figure, and words of CHANGELOG.md behind |: {line}")
        };
        let figure = figure.parse().unwrap_or_else(|_| panic!("no figure: {line}"));
        Row { case: case.to_owned(), what: what.to_owned(), figure, words: words.trim().to_owned() }
    };
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(row).collect()
}

#[test]
fn a_command_costs_no_more_than_it_did() {
    let rows = rows();
    let mut wrong = Vec::new();
    for (name, case) in CASES {
        let Cost { allocations, bytes } = cost(*case);
        for (what, counted) in [("allocations", allocations), ("bytes", bytes)] {
            println!("{name} {what} {counted:.1}");
            let row = rows.iter().find(|row| row.case == *name && row.what == what);
            let Some(Row { figure, .. }) = row else {
                wrong.push(format!("{name} {what} {counted:.1} has no row in tests/cost.txt"));
                continue;
            };
            let percent = (counted / figure - 1.0) * 100.0;
            if percent > PERCENT_MAX {
                wrong.push(format!("{name} {what}: {counted:.1} instead of {figure}, {percent:.1} % more"));
            } else if percent < -PERCENT_MAX {
                println!("{name} {what} is {:.1} % cheaper: write the new figure into tests/cost.txt", -percent);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{}\nA command may cost {PERCENT_MAX} % more only if CHANGELOG.md says so: make it cheaper, or change its row in \
         tests/cost.txt as the head of that file tells.",
        wrong.join("\n")
    );
}

#[test]
fn counts_are_the_same_in_every_run() {
    for (name, case) in CASES {
        assert_eq!(cost(*case), cost(*case), "{name}");
    }
}

#[test]
fn the_changelog_has_a_word_for_every_figure() {
    let changelog =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md")).expect("CHANGELOG.md");
    let changelog = changelog.split_whitespace().collect::<Vec<_>>().join(" ");
    for Row { case, what, words, .. } in rows() {
        assert!(words.len() > 20, "{case} {what}: {words:?} tells nobody why");
        assert!(changelog.contains(&words), "{case} {what}: CHANGELOG.md does not say {words:?}");
    }
}

/// For `scripts/cost`, which runs it in a machine that counts instructions: a case, and how many commands of it.
#[test]
fn one_case_alone() {
    let Some(asked) = std::env::var_os("HOLDFAST_COST_CASE") else { return };
    let asked = asked.into_string().expect("text");
    let (name, commands) = asked.split_once(' ').expect("a case and a number");
    let (_, case) = CASES.iter().find(|(known, _)| *known == name).expect("a case of this file");
    let commands: u64 = commands.parse().expect("a number of commands");
    let mut cluster = cluster();
    (0..commands).for_each(|n| case(&mut cluster, n));
}
