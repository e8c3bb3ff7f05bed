//! Histories from outside the project, in `published/`: each file's header tells where it is from and what is known
//! about it: `valid`, or (a part of) the promise that it breaks.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::judge;

#[test]
fn published_histories_get_their_published_verdicts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/published");
    let mut judged = [0, 0];
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&folder).expect("the folder of published histories") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a history is text");
        let header: Value = serde_json::from_str(text.lines().next().expect("a header")).expect("a header");
        let field = |name: &str| header[name].as_str().unwrap_or_else(|| panic!("{}: no {name}", path.display()));
        assert!(field("source").len() > 10, "{}: where is it from?", path.display());
        let report = judge(&text);
        let expected = field("expected");
        let promises: Vec<_> = report.violations().map(|(_, violation)| violation.promise).collect();
        let agrees = match expected {
            "valid" => report.is_valid(),
            promise => promises.iter().any(|found| found.contains(promise)),
        };
        judged[usize::from(expected == "valid")] += 1;
        if !agrees {
            wrong.push(format!("{}: expected {expected}, found\n{report}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(judged[0] >= 20 && judged[1] >= 8, "violated and valid ones: {judged:?}");
}

/// What a person gets to read about a few of them.
#[test]
fn explanations_name_the_few_lines_that_contradict_each_other() {
    let report = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/published");
        judge(&fs::read_to_string(folder.join(name)).expect("a published history"))
    };
    let stale = report("mit-register-stale.jsonl").to_string();
    let expected = r#"VIOLATION of linearizability: key "x"

  No order that agrees with real time explains the replies of these 3 operations:"#;
    assert!(stale.starts_with(expected), "{stale}");
    let skew = report("elle-g-single.jsonl");
    let (_, violation) = skew.violations().next().expect("a violation");
    let story = violation.story.join("\n");
    for sentence in
        ["T1 appended 1 to \"x\", T2 appended 2 after it", "read \"y\" as [], without 1, which T1 appended (rw)"]
    {
        assert!(story.contains(sentence), "{story}");
    }
    let large = report("jepsen-etcd-000.jsonl");
    let (_, violation) = large.violations().next().expect("a violation");
    assert!(violation.lines.len() <= 12, "{large}");
}
