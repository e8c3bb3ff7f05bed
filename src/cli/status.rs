//! `holdfast status`: asks a node over HTTP and prints tables.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::http::Target;

/// Flags of `status`.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    target: Target,
}

/// Prints nodes and groups as the asked node knows them.
pub fn run(flags: &Flags) -> Result<ExitCode, String> {
    let answer = flags.target.get("/status")?;
    if answer.code != 200 {
        return Err(format!("/status was answered with the HTTP status {}", answer.code));
    }
    let status: Value =
        serde_json::from_str(&answer.body).map_err(|why| format!("the answer of /status is not JSON: {why}"))?;
    print!("{}", tables(&status));
    Ok(ExitCode::SUCCESS)
}

fn tables(status: &Value) -> String {
    let mut nodes = vec![["node", "resp", "peer", "http", "reachable"].map(str::to_owned).to_vec()];
    for node in list(status, "nodes") {
        nodes.push(["id", "resp", "peer", "http", "reachable"].map(|key| word(node, key)).to_vec());
    }
    let mut groups =
        vec![["group", "slots", "leader", "term", "commit", "applied", "members"].map(str::to_owned).to_vec()];
    for group in list(status, "groups") {
        let slots = match list(group, "slots") {
            [first, last] => format!("{first}-{last}"),
            _ => "meta".to_owned(),
        };
        let members = list(group, "members").iter().map(Value::to_string).collect::<Vec<_>>().join(",");
        let [id, leader, term, commit, applied] =
            ["id", "leader", "term", "commit", "applied"].map(|key| word(group, key));
        groups.push(vec![id, slots, leader, term, commit, applied, members]);
    }
    format!("{}\n{}", table(&nodes), table(&groups))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn word(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Columns as wide as their widest cell, two spaces between.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_two_tables() {
        let status = serde_json::json!({
            "node": 1,
            "nodes": [
                {"id": 1, "resp": "127.0.0.1:6379", "peer": "127.0.0.1:16379", "http": "127.0.0.1:8080", "reachable": true},
                {"id": 2, "resp": null, "peer": "127.0.0.1:16380", "http": null, "reachable": false},
            ],
            "groups": [
                {"id": 0, "slots": null, "leader": 1, "term": 2, "commit": 3, "applied": 3, "members": [1]},
                {"id": 1, "slots": [0, 16383], "leader": null, "term": 3, "commit": 10, "applied": 9, "members": [1]},
            ],
        });
        assert_eq!(
            tables(&status),
            "node  resp            peer             http            reachable\n\
             1     127.0.0.1:6379  127.0.0.1:16379  127.0.0.1:8080  true\n\
             2     -               127.0.0.1:16380  -               false\n\
             \n\
             group  slots    leader  term  commit  applied  members\n\
             0      meta     1       2     3       3        1\n\
             1      0-16383  -       3     10      9        1\n"
        );
    }
}
