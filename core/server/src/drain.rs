//! Letting go of the clients before the server ends: because it was asked for (SIGUSR1), or because the server is to
//! stop (SIGTERM, Ctrl-C).

use std::time::{Duration, Instant};

use serde_json::json;
use ternmq_broker::{Broker, Drain};

use crate::http::Stage;
use crate::reload::Serving;
use crate::report::Report;
use crate::serve::Watch;

/// How often it is told how many are left.
const PROGRESS: Duration = Duration::from_secs(1);

/// A drain that goes on.
pub(crate) struct Leaving {
    /// What ends the server when it is over.
    pub(crate) by: &'static str,
    /// The server was told to stop, and not only to let go.
    pub(crate) stops: bool,
    next: Instant,
}

impl Leaving {
    /// At the rate of the configuration, however long that takes; `None` when the broker drains already.
    pub(crate) fn asked_for(serving: &Serving<'_>, watch: &Watch) -> Option<Self> {
        let drain = Drain {
            within: Duration::ZERO,
            ..serving.running.drain.clone()
        };
        let begun = Self::begin(serving, watch, drain, "SIGUSR1")?;
        Some(Self {
            by: "drained",
            stops: false,
            ..begun
        })
    }

    /// Within the time of the configuration; `None` when there is nobody to wait for, or no such time.
    pub(crate) fn before_the_end(
        serving: &Serving<'_>,
        watch: &Watch,
        by: &'static str,
    ) -> Option<Self> {
        let configured = &serving.running.drain;
        let clients = serving.broker.stats().mqtt.connected;
        if configured.within.is_zero() || clients == 0 {
            return None;
        }
        let needed = u32::try_from(clients.div_ceil(configured.within.as_secs().max(1)));
        let rate = match configured.rate {
            0 => 0,
            rate => rate.max(needed.unwrap_or(u32::MAX)),
        };
        let drain = Drain {
            rate,
            ..configured.clone()
        };
        let begun = Self::begin(serving, watch, drain, by)?;
        watch.supervisor.draining_to_stop();
        Some(begun)
    }

    fn begin(serving: &Serving<'_>, watch: &Watch, drain: Drain, by: &'static str) -> Option<Self> {
        // Whoever asks whether it is ready is told before the first client is.
        watch.reach(Stage::Draining);
        if !serving.broker.drain(drain.clone()) {
            return None;
        }
        tell(serving.report, &drain, by);
        Some(Self {
            by,
            stops: true,
            next: Instant::now() + PROGRESS,
        })
    }

    pub(crate) fn until_progress(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    pub(crate) fn tell_progress(&mut self, report: Report, broker: &Broker, watch: &Watch) {
        self.next = Instant::now() + PROGRESS;
        let stats = broker.stats();
        let (left, gone) = (stats.mqtt.connected, stats.drained);
        report.event(
            &format!("letting go: {gone} clients are gone, {left} left"),
            json!({ "event": "drain_progress", "gone": gone, "left": left }),
        );
        if self.stops {
            watch.supervisor.still_draining_to_stop(left);
        }
    }
}

fn tell(report: Report, drain: &Drain, by: &str) {
    let place = match &drain.server_reference {
        Some(place) => format!(", to {place}"),
        None => String::new(),
    };
    let (within, again) = match drain.within.as_secs() {
        0 => (String::new(), ""),
        seconds => (format!(" within {seconds} s"), "; once more ends at once"),
    };
    report.event(
        &format!("{by}: letting go of all clients{place}{within}{again}"),
        json!({ "event": "draining", "by": by, "server_reference": drain.server_reference,
            "moved": drain.moved, "rate": drain.rate, "seconds": drain.within.as_secs() }),
    );
}
