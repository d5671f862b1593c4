"""Overload and endurance of our broker: rows that are told of one long run each."""

import json
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import brokers
import flood
import record
from rows import Row, Target

MIB = 1 << 20
# The sums under which a shard of the overloaded broker has to stay.
CEILING = {"shard_queued_bytes": 32 * MIB, "shard_outbound_bytes": 16 * MIB, "shard_input_bytes": 16 * MIB}
SEGMENT = 20
HALF_HOUR = 1800


def rows():
    """`metric` is a key of what a run tells."""
    overload = {"group": "endurance", "seconds": 5, "rounds": 3}
    soak = {"group": "endurance", "alone": True, "seconds": HALF_HOUR / 3, "rounds": 1}
    return [
        Row("overload-memory", title="overload 10x: memory beyond the start, as part of the ceiling", metric="memory_of_ceiling",
            unit="of 64 MiB", target=Target(limit=1), **overload),
        Row("overload-latency", title="overload 10x: latency of others, p99", metric="others_p99_ms", unit="ms",
            target=Target(limit=20), **overload),
        Row("overload-unaccounted", title="overload 10x: copies neither delivered nor counted as dropped", metric="unaccounted",
            unit="copies", target=Target(limit=0), **overload),
        Row("overload-recovery", title="overload 10x: CONNECT to a message, right after", metric="recovery_ms", unit="ms",
            target=Target(limit=20), **overload),
        Row("soak-memory", title="soak at 80 % load: growth of RSS in half an hour", metric="growth_kib", unit="KiB",
            target=Target(limit=1024), **soak),
        Row("soak-cpu", title="soak: CPU per message, last quarter beside first", metric="cpu_drift", unit="times",
            target=Target(limit=1.05), **soak),
        Row("soak-latency", title="soak: p99, last quarter beside first", metric="p99_drift", unit="times",
            target=Target(limit=1.25), **soak),
    ]


class Observed(brokers.Ternmq):
    """With the page of its counters, and lower limits where memory is to be looked at."""

    def __init__(self, limits=None):
        super().__init__()
        self.page, self.limits = brokers.free_port(), limits or {}

    def command(self, port, folder, row):
        command, environment = super().command(port, folder, row)
        config = (folder / "ternmq.toml").read_text() + "".join(f"{key} = {value}\n" for key, value in self.limits.items())
        (folder / "ternmq.toml").write_text(config + f'[http]\naddress = "127.0.0.1:{self.page}"\n')
        return command, environment

    def counted(self, name):
        """The sum of a counter over its labels."""
        page = urllib.request.urlopen(f"http://127.0.0.1:{self.page}/metrics", timeout=20).read().decode()
        lines = (line.rsplit(" ", 1) for line in page.splitlines() if line.startswith(f"ternmq_{name}"))
        return sum(int(float(value)) for key, value in lines if key.split("{")[0] == f"ternmq_{name}")


def play(wanted, options, _versions):
    brokers.built()
    for prefix, measure in (("overload", overloaded), ("soak", soaked)):
        chosen = [row for row in wanted if row.name.startswith(prefix)]
        if not chosen:
            continue
        rounds = min(options.rounds, 3) if prefix == "overload" else 1
        begun, told, wrong = time.monotonic(), [], []
        try:
            told = [measure(options) for _ in range(rounds)]
        except (brokers.Failure, OSError, ValueError, LookupError, subprocess.SubprocessError) as failure:
            wrong = [(str(failure).splitlines() or [type(failure).__name__])[0][:120]]
        for row in chosen:
            entry = record.summed(row, {record.OURS: [run[row.metric] for run in told]}, {record.OURS: wrong})
            yield {**entry, "seconds": round((time.monotonic() - begun) / len(chosen), 1), "runs": told}


def status(process, name):
    """KiB of a line of /proc/PID/status."""
    line = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def latency(process, port, count):
    """A pair at 1,000 messages a second, QoS 1, as a process."""
    command = [brokers.load_program(), "latency", "--qos", 1, "--count", count, "--warmup", 100, "--port", port]
    return subprocess.Popen([*map(str, command), "--broker-pid", str(process.pid)], stdout=subprocess.PIPE, text=True)


def p99(load):
    """Milliseconds, of what such a process tells; nothing may be lost."""
    said, _ = load.communicate(timeout=120)
    told = json.loads(said.splitlines()[-1])
    if not told["verdict"]["correct"]:
        raise brokers.Failure(f"others lost something: {told['verdict']}")
    return told["latency_us"]["p99"] / 1e3


def running(broker, use):
    """Starts the broker, and has it stopped whatever becomes of its use."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=brokers.FOLDER))
    process = None
    try:
        process, port, _ = broker.started(Row("endure", "endurance", ""), folder)
        return use(process, port)
    finally:
        if process:
            brokers.stopped(process)
        shutil.rmtree(folder, ignore_errors=True)


def overloaded(options):
    broker = Observed(CEILING)
    return running(broker, lambda process, port: flooded(broker, process, port, 500 if options.quick else 3000))


def flooded(broker, process, port, count):
    address = ("127.0.0.1", port)
    calm = p99(latency(process, port, count))
    start = status(process, "VmRSS:")
    load = flood.Flood(address)

    def dropped():
        return broker.counted("messages_dropped_total")

    load.until(lambda: dropped() > 0)
    others = latency(process, port, count)
    load.until(lambda: others.poll() is not None)
    busy = p99(others)
    load.end()
    recovery = flood.round_trip(address, b"again")
    begun, behind = time.monotonic(), load.got()
    left = load.drain(dropped)
    drained = time.monotonic() - begun
    load.close()
    peak = status(process, "VmHWM:")
    return {
        "memory_of_ceiling": (peak - start) * 1024 / sum(CEILING.values()), "others_p99_ms": busy, "calm_p99_ms": calm,
        "unaccounted": abs(left), "recovery_ms": recovery, "sent": load.sent(), "delivered_under_load": behind,
        "delivered": load.got(), "dropped": dropped(), "drained_s": drained, "p99_after_ms": p99(latency(process, port, count)),
        "rss_kib": {"start": start, "most": peak, "after": status(process, "VmRSS:")},
    }


def soaked(options):
    minutes = min(options.minutes, 1) if options.quick else options.minutes
    return running(brokers.Ternmq(), lambda process, port: endured(process, port, minutes * 60))


def played(process, port, *words):
    command = [brokers.load_program(), "pairs", "--conns", 100, "--qos", 1, "--warmup", 5000, "--port", port, *words]
    done = subprocess.run([*map(str, command), "--broker-pid", str(process.pid)], capture_output=True, text=True, timeout=300)
    told = json.loads(done.stdout.splitlines()[-1])
    if not told["verdict"]["correct"]:
        raise brokers.Failure(f"not correct: {told['verdict']}")
    return told


def endured(process, port, seconds):
    """Clients come, publish at four fifths of what goes, and leave, again and again."""
    most = played(process, port, "--window", 50, "--count", 20_000_000, "--duration", 2)["messages"]["received_per_s"]
    each = max(2.0, min(SEGMENT, seconds / 8))
    rate = most * 0.8
    segments, begun = [], time.monotonic()
    while time.monotonic() - begun < seconds:
        told = played(process, port, "--rate", rate, "--count", int(rate * each), "--window", 0, "--inflight", 1000)
        segments.append({
            "at_s": time.monotonic() - begun, "rss_kib": told["costs"]["broker"]["rss_kb"],
            "cpu_us": record.look_up(told, "costs.broker.cpu_us_per_*"), "p99_us": told["latency_us"]["p99"],
        })
    return {"rate": rate, "segments": segments, **drift(segments)}


def drift(segments):
    """How memory grows after the first quarter, as a line that fits best; the last quarter beside the first."""
    quarter = max(1, len(segments) // 4)
    settled = segments[quarter:] if len(segments) > 2 else segments
    kib_per_second = slope([(one["at_s"], one["rss_kib"]) for one in settled])

    def grown(key):
        first, last = (statistics.median(one[key] for one in part) for part in (segments[:quarter], segments[-quarter:]))
        return last / first

    return {"growth_kib": max(0.0, kib_per_second * HALF_HOUR), "cpu_drift": grown("cpu_us"), "p99_drift": grown("p99_us")}


def slope(points):
    """By least squares."""
    x, y = (statistics.fmean(numbers) for numbers in zip(*points))
    spread = sum((a - x) ** 2 for a, _ in points)
    return sum((a - x) * (b - y) for a, b in points) / spread if spread else 0.0
