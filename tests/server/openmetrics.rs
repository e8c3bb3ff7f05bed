//! A strict reader of the OpenMetrics text format, as far as Holdfast uses it: what Prometheus would refuse or
//! misunderstand is an error that names the line.

use std::collections::{BTreeMap, BTreeSet};

/// What was told: the value of each series, by its name and labels as written.
#[derive(Debug, Default)]
pub struct Metrics {
    values: BTreeMap<String, f64>,
}

/// A family of series while it is being read.
struct Family {
    name: String,
    kind: String,
}

impl Metrics {
    /// Reads a whole text.
    pub fn parse(text: &str) -> Result<Metrics, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("the text does not end with # EOF")?;
        let mut metrics = Metrics::default();
        let mut seen = BTreeSet::new();
        let mut family: Option<Family> = None;
        for line in body.lines() {
            let wrong = |why: &str| format!("{why}: {line}");
            match line.strip_prefix("# ") {
                Some(remark) => {
                    let mut words = remark.splitn(3, ' ');
                    let (word, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                    let rest = words.next().unwrap_or("");
                    if !is_name(name) || rest.is_empty() {
                        return Err(wrong("not a remark about a family"));
                    }
                    if family.as_ref().is_none_or(|family| family.name != name) {
                        if !seen.insert(name.to_string()) {
                            return Err(wrong("the family was there before"));
                        }
                        family = Some(Family { name: name.into(), kind: "unknown".into() });
                    }
                    let family = family.as_mut().ok_or_else(|| wrong("no family"))?;
                    match word {
                        "TYPE" if ["counter", "gauge", "histogram"].contains(&rest) => family.kind = rest.into(),
                        "UNIT" if name.ends_with(&format!("_{rest}")) => {}
                        "HELP" => {}
                        _ => return Err(wrong("an unknown remark")),
                    }
                }
                None => {
                    let family = family.as_ref().ok_or_else(|| wrong("a series without a family"))?;
                    let (series, value) = line.rsplit_once(' ').ok_or_else(|| wrong("no value"))?;
                    let value: f64 = value.parse().map_err(|_| wrong("not a number"))?;
                    check_series(family, series).map_err(|why| wrong(&why))?;
                    if metrics.values.insert(series.to_string(), value).is_some() {
                        return Err(wrong("the series was there before"));
                    }
                }
            }
        }
        metrics.check_histograms()?;
        Ok(metrics)
    }

    /// The value of a series, written as in the text.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    /// Buckets ascend to one that holds everything, which is what the count says.
    fn check_histograms(&self) -> Result<(), String> {
        let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for (series, value) in &self.values {
            if let Some((name, labels)) = series.split_once("_bucket{") {
                let labels = labels.trim_end_matches('}');
                let (bounds, others): (Vec<&str>, Vec<&str>) =
                    labels.split(',').partition(|label| label.starts_with("le="));
                let bound = bounds.first().ok_or_else(|| format!("no le: {series}"))?;
                let bound = bound.trim_start_matches("le=\"").trim_end_matches('"').parse();
                let bound = bound.map_err(|_| format!("a bound: {series}"))?;
                let others = if others.is_empty() { String::new() } else { format!("{{{}}}", others.join(",")) };
                buckets.entry(format!("{name}_count{others}")).or_default().push((bound, *value));
            }
        }
        for (count, mut steps) in buckets {
            steps.sort_by(|a, b| a.0.total_cmp(&b.0));
            let ascends = steps.windows(2).all(|pair| pair[0].1 <= pair[1].1);
            let last = steps.last().copied().unwrap_or_default();
            if !ascends || !last.0.is_infinite() || self.value(&count) != Some(last.1) {
                return Err(format!("not a histogram: {count}: {steps:?}"));
            }
        }
        Ok(())
    }
}

/// The series is one of its family: its suffix is one of the kind's, its labels are labels.
fn check_series(family: &Family, series: &str) -> Result<(), String> {
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').ok_or("labels without an end")?),
        None => (series, ""),
    };
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => return Err("a family without a type".into()),
    };
    let suffix = name.strip_prefix(&family.name).ok_or("a series of another family")?;
    if !suffixes.contains(&suffix) {
        return Err(format!("the suffix of a {} is one of {suffixes:?}", family.kind));
    }
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (name, value) = label.split_once('=').ok_or("a label without a value")?;
        let value =
            value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or("a label without quotes")?;
        if !is_name(name) || value.contains(['"', '\\', '\n']) {
            return Err("a label that needs escaping".into());
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[test]
fn what_prometheus_would_refuse_is_refused() {
    let check = |text: &str| Metrics::parse(text).map(|_| ()).err().unwrap_or_default();
    assert_eq!(check("# TYPE a counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 2\n# EOF\n"), "");
    for (text, why) in [
        ("# TYPE a counter\na_total 1\n", "does not end"),
        ("# TYPE a counter\na 1\n# EOF\n", "suffix"),
        ("a 1\n# EOF\n", "without a family"),
        ("# TYPE a gauge\na 1\na 1\n# EOF\n", "was there before"),
        ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\n# EOF\n", "was there before"),
        ("# TYPE a gauge\na{x=1} 1\n# EOF\n", "quotes"),
        ("# TYPE a gauge\na x\n# EOF\n", "not a number"),
        ("# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n# EOF\n", "histogram"),
        ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\n# EOF\n", "histogram"),
    ] {
        assert!(check(text).contains(why), "{text}: {}", check(text));
    }
}
