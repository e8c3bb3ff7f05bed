//! The report's picture: for each kind of fault how long no write was acknowledged, as a histogram of one row.

use std::fmt::Write as _;

use serde_json::Value;

use crate::report::{EDGES_MS, histogram};

const LEFT: usize = 150;
const CELL: usize = 62;
const ROW: usize = 22;
const TOP: usize = 70;

/// Draws a report's JSON. An error when it is none.
pub fn draw(report: &Value) -> Result<String, String> {
    let faults = report["faults"].as_object().ok_or("the report has no faults")?;
    let columns = EDGES_MS.len() + 1;
    let (width, height) = (LEFT + columns * CELL + 90, TOP + faults.len() * ROW + 24);
    let mut svg = String::new();
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(svg, "{text}");
    };
    line(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">"
    ));
    line(format!("<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"));
    let operations = ["ok", "fail", "unknown"].map(|word| report["operations"][word].as_u64().unwrap_or(0));
    let seconds = report["seconds"].as_f64().unwrap_or(0.0);
    line(
        "<text x=\"10\" y=\"20\" font-size=\"14\">Longest time without an acknowledged write, per fault: how many faults \
         fell into each column</text>".to_string()
    );
    line(format!(
        "<text x=\"10\" y=\"38\" fill=\"#555555\">{seconds:.0} s, {} operations, {} unknown, seed {}</text>",
        operations.iter().sum::<u64>(),
        operations[2],
        report["seed"]
    ));
    for column in 0..columns {
        let name = match column {
            0 => format!("&lt; {} ms", EDGES_MS[0]),
            n if n == EDGES_MS.len() => format!("≥ {} ms", EDGES_MS[n - 1]),
            n => format!("&lt; {}", EDGES_MS[n]),
        };
        let x = LEFT + column * CELL + CELL / 2;
        line(format!("<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{name}</text>", TOP - 10));
    }
    for (row, (name, fault)) in faults.iter().enumerate() {
        let y = TOP + row * ROW;
        let gaps: Vec<u64> = fault["gaps_ms"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let most = gaps.len().max(1);
        line(format!("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", LEFT - 10, y + 15));
        for (column, count) in histogram(&gaps).into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let x = LEFT + column * CELL;
            let shade = 0.15 + 0.85 * count as f64 / most as f64;
            line(format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"#1f6fb2\" fill-opacity=\"{shade:.2}\"/>",
                CELL - 2,
                ROW - 2
            ));
            let color = if shade > 0.55 { "#ffffff" } else { "#000000" };
            line(format!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{color}\">{count}</text>",
                x + CELL / 2,
                y + 15
            ));
        }
        let fired = fault["fired"].as_u64().unwrap_or(0);
        line(format!("<text x=\"{}\" y=\"{}\" fill=\"#555555\">of {fired}</text>", LEFT + columns * CELL + 8, y + 15));
    }
    line("</svg>".to_owned());
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_rows_and_columns() {
        let report = serde_json::json!({
            "seed": 7, "seconds": 60.0, "operations": {"ok": 10, "fail": 1, "unknown": 2},
            "faults": {"kill-all": {"fired": 3, "effects": 3, "gaps_ms": [10, 20, 700]}},
        });
        let svg = draw(&report).expect("a report");
        assert!(svg.contains(">kill-all<") && svg.contains(">2</text>") && svg.contains("of 3"));
        assert!(svg.contains("13 operations, 2 unknown, seed 7"));
        assert!(draw(&serde_json::json!({})).is_err());
    }
}
