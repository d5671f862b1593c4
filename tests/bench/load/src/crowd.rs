//! Scenarios about connections.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use crate::net::{Client, Net, State, Welcome};
use crate::options::{Options, Scenario};
use crate::probe::Probe;
use crate::scenarios::{Outcome, micros};
use crate::wire;

struct Crowd {
    options: Options,
    /// Connections come and go.
    churns: bool,
    subacks: usize,
    refused: usize,
    pongs: usize,
    asked: usize,
    /// churn: when each was opened, and whether it has said goodbye.
    opened: Vec<u64>,
    left: Vec<bool>,
    started: u64,
    finished: u64,
    broken: u64,
    latency: Histogram<u64>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let churns = options.scenario == Scenario::Churn;
    let many = options.conns.unwrap_or(if churns { 64 } else { 1000 });
    let mut crowd = Crowd {
        options: options.clone(),
        churns,
        subacks: 0,
        refused: 0,
        pongs: 0,
        asked: 0,
        opened: vec![0; many],
        left: vec![false; many],
        started: 0,
        finished: 0,
        broken: 0,
        latency: Histogram::new_with_bounds(1, 3_600_000_000_000, 3)
            .map_err(|error| error.to_string())?,
    };
    let mut net = Net::new(options, many).map_err(|error| error.to_string())?;
    match churns {
        true => crowd.churn(&mut net),
        false => crowd.idle(&mut net),
    }
}

impl Crowd {
    fn idle(&mut self, net: &mut Net) -> Outcome {
        let options = self.options.clone();
        let many = net.conns.len();
        let before = Probe::take(options.broker_pid);
        let begun = Instant::now();
        let accepted = net.open_all(0..many, self);
        let seconds = begun.elapsed().as_secs_f64();
        let until = Instant::now() + Duration::from_secs_f64(options.stall_timeout);
        while options.subscribe && self.subacks < accepted && Instant::now() < until {
            net.poll(Duration::from_millis(50), self);
        }
        net.rest(options.settle.max(1.0), self);
        let after = Probe::take(options.broker_pid);
        if options.hold > 0.0 {
            self.hold(net);
        }
        if options.ping {
            self.ping(net);
        }
        let alive = Probe::take(options.broker_pid);
        let open = net
            .conns
            .iter()
            .filter(|conn| conn.state == State::Ready)
            .count();
        let per =
            |now: u64, then: u64| (now as f64 - then as f64) * 1024.0 / accepted.max(1) as f64;
        let mut memory = json!({
            "generator_bytes_per_connection": per(after.own.rss_kb, before.own.rss_kb),
            "kernel_slab_bytes_per_connection": per(after.slab_kb, before.slab_kb),
        });
        if let (Some(now), Some(then)) = (after.broker, before.broker) {
            memory["broker_bytes_per_connection"] = json!(per(now.rss_kb, then.rss_kb));
        }
        let report = json!({
            "connections": {
                "wanted": many, "accepted": accepted, "failed": many - accepted, "open_at_end": open,
                "subacks": self.subacks, "ping_answered": self.pongs,
                "wall_s": seconds, "per_s": accepted as f64 / seconds,
            },
            "memory": memory,
            "costs": after.costs(&before, seconds, "connection", accepted as u64),
            "after_costs": alive.costs(&after, 0.0, "ping", self.pongs as u64),
        });
        let correct = accepted == many
            && open == many
            && (!options.ping && options.hold == 0.0 || self.pongs == self.asked)
            && (!options.subscribe || self.subacks == many && self.refused == 0);
        match &net.error {
            Some(why) => Err(why.clone()),
            None => Ok((report, correct)),
        }
    }

    /// Each pings twice within its keep alive.
    fn hold(&mut self, net: &mut Net) {
        let many = net.conns.len();
        let each = f64::from(self.options.keepalive.max(2)) / 2.0;
        let begun = Instant::now();
        let mut next = 0;
        while begun.elapsed().as_secs_f64() < self.options.hold {
            let due = (begun.elapsed().as_secs_f64() / each * many as f64) as usize;
            while next < due {
                net.send(next % many, &wire::PINGREQ);
                next += 1;
            }
            net.poll(Duration::from_millis(10), self);
        }
        self.asked += next;
    }

    /// All of them, a thousand at a time.
    fn ping(&mut self, net: &mut Net) {
        let (mut next, many) = (0, net.conns.len());
        let (base, mut seen, mut progress) = (self.pongs, 0, Instant::now());
        self.asked += many;
        while self.pongs - base < many {
            while next < many && next - (self.pongs - base) < 1000 {
                net.send(next, &wire::PINGREQ);
                next += 1;
            }
            net.poll(Duration::from_millis(50), self);
            if seen != self.pongs {
                (seen, progress) = (self.pongs, Instant::now());
            } else if progress.elapsed().as_secs_f64() > self.options.stall_timeout {
                return;
            }
        }
    }

    fn churn(&mut self, net: &mut Net) -> Outcome {
        net.may_close = true;
        let before = Probe::take(self.options.broker_pid);
        let begun = Instant::now();
        for number in 0..net.conns.len() {
            self.open(net, number);
        }
        let (mut seen, mut progress) = (0, Instant::now());
        while self.finished + self.broken < self.started {
            net.poll(Duration::from_millis(50), self);
            if seen != self.finished {
                (seen, progress) = (self.finished, Instant::now());
            } else if progress.elapsed().as_secs_f64() > self.options.stall_timeout {
                break;
            }
        }
        let seconds = progress.duration_since(begun).as_secs_f64();
        net.rest(0.02, self);
        let after = Probe::take(self.options.broker_pid);
        let report = json!({
            "connections": {
                "started": self.started, "finished": self.finished, "failed": self.started - self.finished,
                "wall_s": seconds, "per_s": self.finished as f64 / seconds,
            },
            "connack_us": micros(&self.latency),
            "costs": after.costs(&before, seconds, "connection", self.finished),
        });
        match &net.error {
            Some(why) => Err(why.clone()),
            None => Ok((
                report,
                self.finished == self.options.count && self.refused == 0,
            )),
        }
    }

    fn open(&mut self, net: &mut Net, number: usize) {
        if self.started < self.options.count && net.error.is_none() {
            self.started += 1;
            self.opened[number] = net.clock();
            self.left[number] = false;
            net.open(number);
        }
    }

    fn goodbye(&mut self, net: &mut Net, number: usize) {
        self.left[number] = true;
        net.leave(number);
    }
}

impl Client for Crowd {
    fn introduce(&mut self, number: usize) -> Result<Vec<u8>, String> {
        let id = format!("lc{:08x}{number:07}", std::process::id());
        wire::connect(self.options.protocol(), &id, true, self.options.keepalive)
    }

    fn welcome(&mut self, net: &mut Net, number: usize, _welcome: Welcome) {
        if self.churns {
            self.latency
                .saturating_record(net.now.saturating_sub(self.opened[number]));
        }
        if self.options.subscribe {
            let filter = format!(
                "{}/conn/{:04}/{:04}",
                self.options.topic_prefix,
                number / 1000,
                number % 1000
            );
            match wire::subscribe(self.options.protocol(), 1, &[filter], self.options.qos) {
                Ok(packet) => net.send(number, &packet),
                Err(why) => net.fail(why),
            }
        } else if self.churns {
            self.goodbye(net, number);
        }
    }

    fn packet(&mut self, net: &mut Net, number: usize, first: u8, body: &[u8]) {
        match first >> 4 {
            wire::SUBACK => {
                self.subacks += 1;
                self.refused += usize::from(body.last() != Some(&self.options.qos));
                if self.churns {
                    self.goodbye(net, number);
                }
            }
            wire::PINGRESP => self.pongs += 1,
            _ => net.fail(format!("a packet that was not expected: {first:#04x}")),
        }
    }

    fn closed(&mut self, net: &mut Net, number: usize) {
        if self.churns {
            match self.left[number] {
                true => self.finished += 1,
                false => self.broken += 1,
            }
            self.open(net, number);
        }
    }
}
