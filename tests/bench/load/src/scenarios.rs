//! Scenarios about messages.

use std::time::Instant;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::flow::{Flow, Plan, Topics};
use crate::net::Net;
use crate::options::{Options, Scenario};
use crate::probe::Probe;

/// Seconds in which the broker handles the last acknowledgements before its CPU is looked at.
const AFTERMATH: f64 = 0.02;

/// Filters in one SUBSCRIBE.
const FILTERS: u64 = 100;

/// What a scenario gave, and whether all was as it has to be.
pub(crate) type Outcome = Result<(Value, bool), String>;

pub(crate) fn run(options: &Options) -> Outcome {
    match options.scenario {
        Scenario::Retained => retained(options),
        Scenario::Subs => subs(options),
        Scenario::Offline => offline(options),
        _ => messages(options),
    }
}

fn plan(tag: &'static str, publishers: usize, subscribers: usize) -> Plan {
    Plan {
        publishers,
        subscribers,
        tag,
        topics: Topics::Own,
        paired: false,
        anyone: false,
        kept: false,
    }
}

fn begin(options: &Options, plan: Plan) -> Result<(Net, Flow), String> {
    let flow = Flow::new(options, plan)?;
    let net = Net::new(options, flow.connections()).map_err(|error| error.to_string())?;
    Ok((net, flow))
}

/// The first error of the connections says more than the one that it led to.
fn or_of(net: &Net, result: Result<(), String>) -> Result<(), String> {
    result.map_err(|why| net.error.clone().unwrap_or(why))
}

/// What was reported so far, unless the connections are broken.
fn ended(net: &Net, report: Value, correct: bool) -> Outcome {
    match &net.error {
        Some(why) => Err(why.clone()),
        None => Ok((report, correct)),
    }
}

pub(crate) fn micros(histogram: &Histogram<u64>) -> Value {
    let at = |percent: f64| histogram.value_at_percentile(percent) as f64 / 1000.0;
    json!({ "p50": at(50.0), "p90": at(90.0), "p99": at(99.0), "max": histogram.max() as f64 / 1000.0 })
}

/// fanin, fanout, pairs, latency
fn messages(options: &Options) -> Outcome {
    let many = options.conns.unwrap_or(100);
    let (mut plan, copies) = match options.scenario {
        Scenario::Fanin => (plan("in", many, 1), 1),
        Scenario::Fanout => (plan("out", 1, many), many as u64),
        Scenario::Latency => (plan("pair", 1, 1), 1),
        _ => (plan("pair", many, many), 1),
    };
    plan.paired = matches!(options.scenario, Scenario::Pairs | Scenario::Latency);
    let (mut net, mut flow) = begin(options, plan)?;
    flow.copies = copies;
    let filter = |n: usize| match options.scenario {
        Scenario::Fanin => format!("{}/in/+", options.topic_prefix),
        Scenario::Fanout => flow.topic(0),
        _ => flow.topic(n as u64),
    };
    let filters: Vec<_> = (0..plan.subscribers).map(|n| vec![filter(n)]).collect();
    let ready = flow.connect_subscribers(&mut net);
    let ready = ready.and_then(|()| flow.subscribe(&mut net, &filters));
    let ready = ready.and_then(|()| flow.connect_publishers(&mut net));
    or_of(&net, ready)?;
    net.rest(options.settle, &mut flow);
    let (report, correct) = measure(options, &mut net, &mut flow);
    ended(&net, report, correct)
}

/// A warm-up that counts as well, then what is measured.
fn measure(options: &Options, net: &mut Net, flow: &mut Flow) -> (Value, bool) {
    flow.publish(net, options.warmup, options.duration);
    net.rest(AFTERMATH, flow);
    let warm = flow.is_correct();
    let warmup = flow.report();
    flow.reset();
    let before = Probe::take(options.broker_pid);
    flow.publish(net, options.count, options.duration);
    net.rest(AFTERMATH, flow);
    let after = Probe::take(options.broker_pid);
    let counts = &flow.counts;
    let mut report = json!({
        "messages": flow.report(),
        "latency_us": micros(&flow.latency),
        "costs": after.costs(&before, counts.seconds, "delivered_message", counts.received),
    });
    if options.rate > 0.0 {
        report["latency_since_send_us"] = micros(&flow.since_send);
    }
    if !warm {
        report["warmup"] = warmup;
    }
    (report, warm && flow.is_correct())
}

fn kilobytes_per(after: &Probe, before: &Probe, count: u64) -> Value {
    match (after.broker, before.broker) {
        (Some(after), Some(before)) => {
            json!((after.rss_kb as f64 - before.rss_kb as f64) * 1024.0 / count.max(1) as f64)
        }
        _ => Value::Null,
    }
}

fn retained(options: &Options) -> Outcome {
    let plan = Plan {
        topics: Topics::New,
        anyone: true,
        ..plan("retained", 1, 1)
    };
    let (mut net, mut flow) = begin(options, plan)?;
    let ready = flow.connect_publishers(&mut net);
    or_of(&net, ready)?;
    net.rest(options.settle, &mut flow);
    let before = Probe::take(options.broker_pid);
    flow.publish(&mut net, options.count, 0.0);
    let all =
        flow.barrier(&mut net) && flow.counts.acked == options.count && flow.counts.rejected == 0;
    net.rest(options.settle, &mut flow);
    let stored = Probe::take(options.broker_pid);
    let seconds = flow.counts.seconds;
    let mut store = flow.report();
    store["broker_bytes_per_message"] = kilobytes_per(&stored, &before, options.count);
    let ready = flow.connect_subscribers(&mut net);
    or_of(&net, ready)?;
    flow.reset();
    let asked = Probe::take(options.broker_pid);
    let begun = Instant::now();
    let ready = flow.subscribe(
        &mut net,
        &[vec![format!("{}/retained/#", options.topic_prefix)]],
    );
    or_of(&net, ready)?;
    flow.receive(&mut net, options.count);
    flow.counts.seconds = begun.elapsed().as_secs_f64();
    net.rest(AFTERMATH, &mut flow);
    let after = Probe::take(options.broker_pid);
    let report = json!({
        "store": store,
        "store_costs": stored.costs(&before, seconds, "stored_message", options.count),
        "delivery": flow.report(),
        "costs": after.costs(&asked, flow.counts.seconds, "delivered_message", flow.counts.received),
    });
    ended(&net, report, all && flow.is_correct())
}

/// Eight in ten name a topic, one ends with `+` and one with `#`; each matches one topic only.
fn filter(flow: &Flow, id: u64) -> String {
    let topic = flow.topic(id);
    match id % 10 {
        8 => format!("{}+", &topic[..topic.len() - 1]),
        9 => format!("{}#", &topic[..topic.len() - 1]),
        _ => topic,
    }
}

fn subs(options: &Options) -> Outcome {
    let (many, total) = (options.conns.unwrap_or(100), options.subscriptions);
    let plan = Plan {
        topics: Topics::Scattered(total),
        anyone: true,
        ..plan("subs", 1, many)
    };
    let (mut net, mut flow) = begin(options, plan)?;
    flow.copies = 1;
    let packet = |n: u64| {
        (n * FILTERS..total.min((n + 1) * FILTERS))
            .map(|id| filter(&flow, id))
            .collect()
    };
    let filters: Vec<Vec<String>> = (0..total.div_ceil(FILTERS)).map(packet).collect();
    let ready = flow.connect_subscribers(&mut net);
    or_of(&net, ready)?;
    net.rest(options.settle, &mut flow);
    let before = Probe::take(options.broker_pid);
    let begun = Instant::now();
    let ready = flow.subscribe(&mut net, &filters);
    let seconds = begun.elapsed().as_secs_f64();
    net.rest(options.settle, &mut flow);
    let made = Probe::take(options.broker_pid);
    let ready = ready.and_then(|()| flow.connect_publishers(&mut net));
    or_of(&net, ready)?;
    let (mut report, correct) = measure(options, &mut net, &mut flow);
    report["subscribe"] = json!({
        "wall_s": seconds,
        "per_s": total as f64 / seconds,
        "broker_bytes_per_subscription": kilobytes_per(&made, &before, total),
    });
    report["subscribe_costs"] = made.costs(&before, seconds, "subscription", total);
    ended(&net, report, correct)
}

fn offline(options: &Options) -> Outcome {
    let plan = Plan {
        kept: true,
        ..plan("offline", 1, 1)
    };
    let (mut net, mut flow) = begin(options, plan)?;
    let ready = flow.connect_subscribers(&mut net);
    let filters = [vec![format!("{}/offline/+", options.topic_prefix)]];
    let ready = ready.and_then(|()| flow.subscribe(&mut net, &filters));
    or_of(&net, ready)?;
    flow.leave(&mut net, flow.subscribers());
    let ready = flow.connect_publishers(&mut net);
    or_of(&net, ready)?;
    net.rest(options.settle, &mut flow);
    let before = Probe::take(options.broker_pid);
    flow.publish(&mut net, options.count, 0.0);
    let all = flow.counts.acked == options.count && flow.counts.rejected == 0;
    net.rest(options.settle, &mut flow);
    let queued = Probe::take(options.broker_pid);
    let seconds = flow.counts.seconds;
    let mut queue = flow.report();
    queue["broker_bytes_per_queued_message"] = kilobytes_per(&queued, &before, options.count);
    flow.reset();
    flow.present = 0;
    let begun = Instant::now();
    let ready = flow.connect_subscribers(&mut net);
    or_of(&net, ready)?;
    flow.receive(&mut net, options.count);
    flow.counts.seconds = begun.elapsed().as_secs_f64();
    net.rest(AFTERMATH, &mut flow);
    let drained = Probe::take(options.broker_pid);
    let report = json!({
        "queue": queue,
        "queue_costs": queued.costs(&before, seconds, "queued_message", options.count),
        "drain": flow.report(),
        "costs": drained.costs(&queued, flow.counts.seconds, "delivered_message", flow.counts.received),
    });
    ended(&net, report, all && flow.present == 1 && flow.is_correct())
}
