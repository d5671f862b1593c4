//! What was measured, for people, for programs and for plots.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];

/// What came of a scenario.
pub(super) struct Measured {
    pub(super) scenario: &'static str,
    /// Those that were connected.
    pub(super) clients: u64,
    /// Those that could not be, and the first reason.
    pub(super) failed: u64,
    pub(super) why: Option<String>,
    /// Connections that ended meanwhile.
    pub(super) cut: u64,
    /// From the first publish to the last arrival; of connections, until the last was made.
    pub(super) took: Duration,
    pub(super) interrupted: bool,
    /// Microseconds: from when a message was due to its arrival; of connections, until CONNACK.
    pub(super) latency: Histogram<u64>,
    pub(super) messages: Option<Messages>,
}

/// What became of the messages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Messages {
    pub(super) qos: u8,
    pub(super) size: u32,
    pub(super) published: u64,
    pub(super) expected: u64,
    pub(super) arrived: u64,
    pub(super) duplicates: u64,
    pub(super) late: u64,
}

impl Messages {
    fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.arrived)
    }
}

impl Measured {
    /// Whether all is as it should be.
    pub(super) fn is_right(&self) -> bool {
        let messages = self.messages.unwrap_or_default();
        let twice = messages.duplicates > 0 && messages.qos != 1;
        let lost = messages.lost() > 0 && !self.interrupted;
        self.failed == 0 && self.cut == 0 && !lost && !twice && messages.late == 0
    }

    fn rate(&self, count: u64) -> f64 {
        count as f64 / self.took.as_secs_f64().max(1e-9)
    }

    pub(super) fn json(&self) -> Value {
        let mut latency = json!({ "min": self.latency.min(), "mean": self.latency.mean(),
            "max": self.latency.max() });
        for (name, percentile) in PERCENTILES {
            latency[name] = self.latency.value_at_percentile(percentile).into();
        }
        let mut all = json!({ "scenario": self.scenario, "clients": self.clients,
            "failed": self.failed, "failure": self.why, "cut": self.cut,
            "seconds": self.took.as_secs_f64(), "interrupted": self.interrupted,
            "right": self.is_right(), "latency_us": latency });
        match &self.messages {
            Some(messages) => {
                all["messages"] = json!({ "qos": messages.qos, "size": messages.size,
                    "published": messages.published, "expected": messages.expected,
                    "arrived": messages.arrived, "lost": messages.lost(),
                    "duplicates": messages.duplicates, "out_of_order": messages.late,
                    "published_per_second": self.rate(messages.published),
                    "arrived_per_second": self.rate(messages.arrived) });
            }
            None => all["connections_per_second"] = self.rate(self.clients).into(),
        }
        all
    }

    pub(super) fn table(&self) -> String {
        let mut rows = vec![row("scenario", self.scenario.to_owned())];
        let early = if self.interrupted {
            ", interrupted"
        } else {
            ""
        };
        rows.push(row(
            "time",
            format!("{:.3} s{early}", self.took.as_secs_f64()),
        ));
        rows.push(row("clients", self.clients.to_string()));
        if let Some(why) = &self.why {
            rows.push(row("failed", format!("{}: {why}", self.failed)));
        }
        if self.cut > 0 {
            rows.push(row("connections cut", self.cut.to_string()));
        }
        match &self.messages {
            Some(messages) => {
                let (published, arrived) = (messages.published, messages.arrived);
                let rate = |count| format!("{count} ({:.0} a second)", self.rate(count));
                rows.push(row("published", rate(published)));
                rows.push(row("arrived", rate(arrived)));
                rows.push(row("lost", messages.lost().to_string()));
                rows.push(row("duplicates", messages.duplicates.to_string()));
                rows.push(row("out of order", messages.late.to_string()));
            }
            None => {
                let rate = self.rate(self.clients);
                rows.push(row("connections", format!("{rate:.0} a second")));
            }
        }
        let ms = |us: u64| format!("{:.3} ms", us as f64 / 1000.0);
        if !self.latency.is_empty() {
            for (name, percentile) in PERCENTILES {
                rows.push(row(name, ms(self.latency.value_at_percentile(percentile))));
            }
            rows.push(row("longest", ms(self.latency.max())));
        }
        rows.join("\n")
    }
}

fn row(name: &str, value: String) -> String {
    format!("{name:<16} {value}")
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// As the plotter of HdrHistogram reads it.
pub(super) fn write_distribution(path: &Path, latency: &Histogram<u64>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut sum = 0;
    for value in latency.iter_quantiles(5) {
        sum += value.count_since_last_iteration();
        let (at, quantile) = (value.value_iterated_to(), value.quantile_iterated_to());
        write!(out, "{:>12.3} {quantile:>14.12} {sum:>10}", at as f64)?;
        match quantile < 1.0 {
            true => writeln!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?,
            false => writeln!(out)?,
        }
    }
    writeln!(
        out,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        latency.mean(),
        latency.stdev()
    )?;
    writeln!(
        out,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        latency.max() as f64,
        latency.len()
    )?;
    let (buckets, sub_buckets) = (latency.buckets(), latency.distinct_values());
    writeln!(
        out,
        "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]"
    )?;
    out.flush()
}
