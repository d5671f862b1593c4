"""The rows of the C library, of Python, of durability and of very many clients: each is measured by a command of
its own, which plays its rounds and tells what each gave."""

import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import endure
import record
from brokers import FOLDER, ROOT, TARGET, Failure, built
from rows import Row, Target

HERE = Path(__file__).resolve().parent
FAILURES = (Failure, OSError, ValueError, LookupError, subprocess.SubprocessError)
NAMES = {"ternmq": "TernMQ", "paho": "paho-mqtt"}
# µs per message for QoS 0, 1, 2: the target, and what Debian's Paho C had on the day when it was set.
BUSY_C = {
    "MQTTAsync publish": ((0.6, 1.8, 3.0), (8.7, 28, 61)),
    "MQTTAsync receive": ((0.7, 1.2, 2.5), (6.3, 9.0, 41)),
    "MQTTClient publish": ((0.4, 1.5, 2.5), (3.4, 24, 38)),
    "MQTTClient receive": ((0.7, 1.2, 2.5), (6.6, 9.2, 49)),
}
# The same beside gmqtt; and of batches, which nobody else has.
BUSY_PYTHON = {"pub": ((1.5, 7, 9), (5.7, 14, 23)), "sub": ((1.2, 2.5, 4), (9.1, 14, 20))}


def c_rows():
    """Named as `c/compare.py` names them; `metric` is the column of its driver."""
    rows = []
    for name, (goals, theirs) in BUSY_C.items():
        for qos in range(3):
            title = f"{name} QoS {qos}"
            rows.append(Row(slug("c", title), "c", title, metric="cpu_us_per_msg", target=Target("Paho", goals[qos] / theirs[qos])))
    for title, metric, unit, target in (
        ("publish and waitForCompletion QoS 1", "p50_us", "p50 µs", Target(limit=80)),
        ("MQTTClient publish QoS 1, defaults", "msg_per_s", "messages a second", Target(least=10_000)),
        ("idle receiver", "p99_us", "worst µs", Target(limit=2000)),
        ("MQTTAsync offline QoS 1, 16,000", "p50_us", "ns of a send", Target(limit=1000)),
        ("idle MQTTClient, wake-ups a second", "nvcsw_per_msg", "a second", Target(limit=0.2)),
        ("idle MQTTAsync, wake-ups a second", "nvcsw_per_msg", "a second", Target(limit=0.2)),
        ("system calls per QoS 1 publish", "calls", "calls", Target(limit=0.2)),
    ):
        waits = {"seconds": 70, "rounds": 1} if title.startswith("idle MQTT") else {"seconds": 6}
        rows.append(Row(slug("c", title), "c", title, unit=unit, metric=metric, target=target, **waits))
    return rows


def slug(group, title):
    return f"{group}-" + re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")


def python_rows():
    """`args` is the row of `python/compare.py`, and who takes part."""
    everybody = "ternmq,ternmq-paho,gmqtt,paho,aiomqtt"
    rows = []
    for kind, word in (("pub", "publish"), ("sub", "receive")):
        for qos, (goal, theirs) in enumerate(zip(*BUSY_PYTHON[kind])):
            rows.append(Row(f"python-{kind}{qos}", "python", f"{word} QoS {qos}", (f"{kind}{qos}", everybody),
                            target=Target("gmqtt", goal / theirs)))
    rows.append(Row("python-batches", "python", "receive in batches, QoS 0", ("sub0", "ternmq-batches,gmqtt"),
                    target=Target("gmqtt", 0.6 / 9.1)))
    rows.append(Row("python-rtt", "python", "round trip", ("rtt0", everybody), unit="p50 µs", target=Target("gmqtt", 50 / 65)))
    rows.append(Row("python-import", "python", "import", ("import", everybody), unit="CPU ms", target=Target(limit=10)))
    rows.append(Row("python-paho-pub0", "python", "ternmq.paho beside paho-mqtt, publish QoS 0", ("pub0", "ternmq-paho,paho"),
                    target=Target("paho-mqtt", 4 / 28)))
    rows.append(Row("python-paho-sub0", "python", "ternmq.paho beside paho-mqtt, receive QoS 0", ("sub0", "ternmq-paho,paho"),
                    target=Target("paho-mqtt", 4 / 16)))
    for kind in ("pub0", "sub0"):
        rows.append(Row(f"python-aiomqtt-{kind}", "python", f"aiomqtt on ternmq.paho beside aiomqtt, {kind}",
                        (kind, "aiomqtt-on-ternmq,aiomqtt"), target=Target("aiomqtt", 1 / 1.4)))
    for title, unit, limit in (("construct to CONNACK", "ms", 3), ("stop", "ms", 2), ("added memory", "MiB", 3)):
        rows.append(Row(slug("python-embedded", title), "python", f"embedded broker: {title}", ("embedded", title), unit=unit,
                        target=Target(limit=limit)))
    return rows


def durability_rows():
    """`metric` is a key of what `durable/queue.py` tells."""
    slow = {"seconds": 10, "rounds": 3}
    return [
        Row("durable-rate", "durability", "acknowledged a second, mode `group`", metric="acknowledged_per_second",
            unit="messages", target=Target(least=100_000), **slow),
        Row("durable-cpu", "durability", "CPU per message, `group` beside `none`", metric="server_us_per_message",
            target=Target("mode none", 3), **slow),
        Row("durable-drain", "durability", "drained a second after kill -9", metric="drained_per_second",
            unit="messages", target=Target(least=300_000), **slow),
        Row("durable-connack", "durability", "first CONNACK after kill -9, queued and as many retained",
            metric="connack_after_kill_s", unit="s", target=Target(limit=1), **slow),
        Row("durable-all", "durability", "the same, until all is there", metric="all_there_after_kill_s", unit="s",
            target=Target(limit=20), **slow),
    ]


def size_rows():
    return [
        Row("in-process", "size", "idle connection in process, both ends, of 1,000,000", unit="bytes",
            target=Target(limit=700)),
    ]


def rows():
    return size_rows() + endure.rows() + c_rows() + python_rows() + durability_rows()


def play(wanted, options, versions):
    """Yields a row of the record for each that is wanted."""
    for group, measure in PLAYS.items():
        chosen = [row for row in wanted if row.group == group]
        if not chosen:
            continue
        told, begun = set(), time.monotonic()
        try:
            for entry in measure(chosen, options, versions):
                told.add(entry["name"])
                yield {"seconds": round(time.monotonic() - begun, 1), **entry}
                begun = time.monotonic()
        except FAILURES as failure:
            yield from (failed(row, failure) for row in chosen if row.name not in told)


def failed(row, failure):
    words = (str(failure).splitlines() or [type(failure).__name__])[0][:120]
    return record.summed(row, {}, {record.OURS: [words]})


def each(wanted, measure):
    """The entry of each row; one that fails is told, and the others go on."""
    for row in wanted:
        try:
            yield measure(row)
        except FAILURES as failure:
            yield failed(row, failure)


def play_size(wanted, options, _versions):
    built()
    count = 100_000 if options.quick else 1_000_000
    for row in wanted:
        done = subprocess.run([TARGET / "release/in-process", str(count)], capture_output=True, text=True, timeout=1800)
        if done.returncode:
            raise Failure(done.stderr.strip())
        yield record.summed(row, {record.OURS: [json.loads(done.stdout)["bytes_per_connection"]]}, {})


def told(*command, timeout=7200):
    """What a command writes as JSON into the file that it is given last."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        words = [str(word) for word in command]
        done = subprocess.run([*words, "--json", file.name], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=timeout)
        if done.returncode:
            raise Failure(f"{Path(words[1]).name} ended with status {done.returncode}")
        return json.loads(Path(file.name).read_text())


def play_c(wanted, options, versions):
    built()
    prefix = FOLDER / "installed"
    command = ["make", "--silent", "install", f"PREFIX={prefix}", "BUILD=--release --package=ternmq-bench-load"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    versions["Paho"] = "C of Debian, " + paho_version()
    scale = ["--scale", "0.1"] if options.quick else []

    def measure(row):
        if row.metric == "calls":
            return system_calls(row, prefix / "lib")
        pattern = f"^{re.escape(row.title)}$"
        taken = told(sys.executable, HERE / "c/compare.py", prefix / "lib", "--rounds", rounds(row, options), "--rows", pattern, *scale)
        return record.summed(row, {who: values for _, column, who, *values in taken if column == row.metric}, {})

    yield from each(wanted, measure)


def rounds(row, options):
    return min(options.rounds, row.rounds or options.rounds)


def paho_version():
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "libpaho-mqtt1.3"], capture_output=True, text=True)
    return said.stdout.strip() or "?"


def system_calls(row, libraries):
    """Counted by strace over a whole run, with those for connecting."""
    said = subprocess.run([sys.executable, HERE / "c/compare.py", libraries, "--calls"], cwd=ROOT, capture_output=True, text=True)
    if said.returncode:
        return record.summed(row, {}, {record.OURS: [(said.stderr.strip().splitlines() or ["failed"])[-1][:120]]})
    return record.summed(row, {record.OURS: [float(said.stdout)]}, {})


def play_python(wanted, options, _versions):
    scale = ["--scale", "0.1"] if options.quick else []
    embedded = {}

    def measure(row):
        if row.args[0] == "embedded":
            if not embedded:
                embedded.update(told(sys.executable, HERE / "python/embedded.py", "--rounds", 5 if options.quick else 101))
            return record.summed(row, {record.OURS: [embedded[row.args[1]]]}, {})
        part, who = row.args
        taken = told(sys.executable, HERE / "python/compare.py", "--rounds", options.rounds, "--clients", who, "--rows", part, *scale)
        names = dict(NAMES)
        # The first of them is the one that is judged.
        names[who.split(",")[0]] = record.OURS
        return record.summed(row, {names.get(name, name): values for name, _, *values in taken}, {})

    yield from each(wanted, measure)


def play_durability(wanted, options, _versions):
    built()
    count = 100_000 if options.quick else 1_000_000
    command = [sys.executable, HERE / "durable/queue.py", "--messages", count, "--folder", TARGET]
    modes = {record.OURS: ["--mode", "group"], "mode none": ["--mode", "none"]}
    plain, full = {who: [] for who in modes}, []
    for _, (who, words) in itertools.product(range(min(options.rounds, 3)), modes.items()):
        plain[who].append(queue(*command, *words))
    if any(row.metric in ("connack_after_kill_s", "all_there_after_kill_s") for row in wanted):
        full = [queue(*command, *modes[record.OURS], "--retained", count) for _ in range(min(options.rounds, 3))]
    for row in wanted:
        if full and row.metric in full[0] and row.metric not in ("acknowledged_per_second", "server_us_per_message", "drained_per_second"):
            yield record.summed(row, {record.OURS: [run[row.metric] for run in full]}, {})
            continue
        yield record.summed(row, {who: [run[row.metric] for run in runs if row.metric in run] for who, runs in plain.items()}, {})


def queue(*command):
    done = subprocess.run([*map(str, command), "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=3600)
    if done.returncode:
        raise Failure(f"queue.py ended with status {done.returncode}")
    return json.loads(done.stdout)


PLAYS = {"size": play_size, "endurance": endure.play, "c": play_c, "python": play_python, "durability": play_durability}
