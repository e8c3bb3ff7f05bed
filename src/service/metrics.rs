//! Clients and commands as Prometheus metrics: the counters of INFO, in OpenMetrics text without its end mark.
//!
//! A request is `ok`, an `error` (it ran, or the cluster could not run it) or `rejected` before anything was tried.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::Service;

impl Service {
    /// Metric families about connections, bytes, commands and errors.
    pub fn metrics(&self) -> String {
        let stats = &self.stats;
        let totals = stats.totals();
        let counters = [
            ("client_connections", stats.connections.load(Relaxed)),
            ("client_connections_rejected", stats.rejected_connections.load(Relaxed)),
            ("client_logins_denied", stats.denied_logins.load(Relaxed)),
            ("client_query_limit_disconnections", stats.query_limit_disconnections.load(Relaxed)),
            ("client_output_limit_disconnections", stats.output_limit_disconnections.load(Relaxed)),
            ("client_input_bytes", totals.input_bytes),
            ("client_output_bytes", totals.output_bytes),
        ];
        let mut out = format!("# TYPE holdfast_clients gauge\nholdfast_clients {}\n", self.clients.count());
        // Writing to a string cannot fail.
        for (name, value) in counters {
            let _ = writeln!(out, "# TYPE holdfast_{name} counter\nholdfast_{name}_total {value}");
        }
        out += "# TYPE holdfast_error_replies counter\n";
        for (prefix, count) in stats.errors() {
            let prefix: String = prefix.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
            let _ = writeln!(out, "holdfast_error_replies_total{{prefix=\"{prefix}\"}} {count}");
        }
        let asked: Vec<_> = self
            .commands()
            .enumerate()
            .map(|(index, spec)| (spec.name, stats.command(index)))
            .filter(|(_, total)| total.calls + total.rejected > 0)
            .collect();
        out += "# TYPE holdfast_requests counter\n";
        for (name, total) in &asked {
            // Counters of one command are read one after the other: what runs meanwhile may be in the second only.
            let ok = total.calls.saturating_sub(total.failed);
            for (result, count) in [("ok", ok), ("error", total.failed), ("rejected", total.rejected)] {
                let _ = writeln!(out, "holdfast_requests_total{{command=\"{name}\",result=\"{result}\"}} {count}");
            }
        }
        // What the client waited for once its request was complete, a majority's fsync included.
        out += "# TYPE holdfast_command_seconds histogram\n# UNIT holdfast_command_seconds seconds\n";
        for (name, total) in asked.iter().filter(|(_, total)| total.calls > 0) {
            let mut sum = 0;
            for (index, count) in total.buckets.iter().enumerate() {
                sum += count;
                let bound = (1u64 << index) as f64 / 1e6;
                let bound = if index + 1 == total.buckets.len() { "+Inf".into() } else { bound.to_string() };
                let _ = writeln!(out, "holdfast_command_seconds_bucket{{command=\"{name}\",le=\"{bound}\"}} {sum}");
            }
            let seconds = total.micros as f64 / 1e6;
            let _ = writeln!(out, "holdfast_command_seconds_sum{{command=\"{name}\"}} {seconds}");
            let _ = writeln!(out, "holdfast_command_seconds_count{{command=\"{name}\"}} {sum}");
        }
        out
    }
}
