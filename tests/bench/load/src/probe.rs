//! What a process and the machine have used, by /proc.

use std::fs;

use serde_json::{Value, json};

/// A process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    pub(crate) rss_kb: u64,
    pub(crate) switches: u64,
}

/// Broker and machine at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probe {
    pub(crate) broker: Option<Usage>,
    pub(crate) own: Usage,
    pub(crate) slab_kb: u64,
    busy_ticks: u64,
}

impl Probe {
    pub(crate) fn take(broker: Option<u32>) -> Self {
        Self {
            broker: broker.and_then(|pid| usage(&pid.to_string())),
            own: usage("self").unwrap_or_default(),
            slab_kb: field("/proc/meminfo", "Slab:"),
            busy_ticks: busy(),
        }
    }

    /// What was used since `before`, for so many of something.
    pub(crate) fn costs(&self, before: &Self, seconds: f64, what: &str, count: u64) -> Value {
        let count = count.max(1) as f64;
        let own = (self.own.cpu_ns - before.own.cpu_ns) as f64;
        let mut costs = json!({
            "generator": { "cpu_s": own / 1e9, format!("cpu_us_per_{what}"): own / 1e3 / count },
        });
        let mut both = own;
        if let (Some(now), Some(then)) = (self.broker, before.broker) {
            let used = now.cpu_ns.saturating_sub(then.cpu_ns) as f64;
            both += used;
            costs["broker"] = json!({
                "cpu_s": used / 1e9,
                format!("cpu_us_per_{what}"): used / 1e3 / count,
                "rss_kb": now.rss_kb,
                "voluntary_switches": now.switches.saturating_sub(then.switches),
            });
        }
        if seconds > 0.0 {
            // Ticks of the kernel are a hundredth of a second.
            let all = (self.busy_ticks - before.busy_ticks) as f64 / 100.0;
            costs["machine"] =
                json!({ "others_cpu_share": ((all - both / 1e9) / seconds).max(0.0) });
        }
        costs
    }
}

/// `schedstat` counts nanoseconds where `stat` counts hundredths of a second.
fn usage(pid: &str) -> Option<Usage> {
    let (mut cpu_ns, mut switches) = (0, 0);
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let path = task.ok()?.path();
        // A thread may have ended by now.
        let Ok(text) = fs::read_to_string(path.join("schedstat")) else {
            continue;
        };
        cpu_ns += text.split(' ').next()?.parse::<u64>().ok()?;
        switches += field(path.join("status").to_str()?, "voluntary_ctxt_switches:");
    }
    let rss_kb = field(&format!("/proc/{pid}/status"), "VmRSS:");
    Some(Usage {
        cpu_ns,
        rss_kb,
        switches,
    })
}

fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn busy() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text.lines().next().unwrap_or("").split_whitespace().skip(1);
    let ticks: Vec<u64> = ticks.map_while(|tick| tick.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|at| ticks.get(*at))
        .sum()
}
