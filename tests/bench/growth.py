"""How the broker's CPU per message grows, one plot for each thing that may."""

import math
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import brokers
import plot
import record
from rows import CLOSED, CPU, FLOOR, Row

NO_SIZE = CLOSED.removesuffix(" --size 64")


@dataclass(frozen=True)
class Growth:
    """`args` of the load have {x} where the numbers go. `most` is the steepest exponent that is no surprise: 0
    is a cost that stays, 1 one that is proportional. With `floor` the relay that knows no MQTT has a curve as
    well: where that is steep, it is the system, and ours may be."""

    name: str
    title: str
    axis: str
    numbers: tuple
    args: str
    qos: tuple
    most: float
    why: str
    floor: bool = False


ALL = (
    Growth("subscribers", "CPU per delivered message by subscribers of one topic", "subscribers", (1, 10, 100, 1000, 5000),
           f"fanout --conns {{x}} --window 32 --warmup 32 {CLOSED}", (0, 1, 2), 0.15,
           "One match and one decoded packet are shared out among all who get it, so the curve falls at first. Up to 1,000 "
           "subscribers a message is 0.04 writes, at 5,000 it is 0.07 (strace): what may gather before it is flushed is "
           "131,072 copies, which keeps others from waiting for longer. With thousands the memory of all connections, most of "
           "it the kernel's, no longer fits the caches, and the floor rises too.", floor=True),
    Growth("subscriptions", "CPU per message by filters in the index", "subscriptions", (1000, 10_000, 100_000, 1_000_000),
           "subs --conns 10 --subscriptions {x} --window 100 --duration 0.5 --count 20000000 --warmup 5000", (0, 1), 0.35,
           "The index is looked at by level, not by filter: the number of looks stays. What grows is the memory that they "
           "touch: beyond the caches each look is a miss. All filters belong to ten connections; in the rows of the tables there "
           "are a hundred, of which ten have any with 1,000 filters and all with more, so that a message there is 0.11 writes "
           "with 1,000 filters and 0.7 with 100,000 (strace), which is what makes that row dearer."),
    Growth("connections", "CPU per message by connections in pairs", "pairs", (10, 100, 1000, 4000),
           f"pairs --conns {{x}} --window 50 --warmup 4000 {CLOSED}", (0, 1), 0.25,
           "Nothing is done for those who are silent. More of them that talk mean smaller batches for each "
           "turn of the poller, and state that is out of the cache when its turn comes.", floor=True),
    Growth("payload", "CPU per message by payload", "bytes", (64, 256, 1024, 4096, 16_384, 65_536),
           f"fanin --conns 20 --window 50 --warmup 200 {NO_SIZE} --size {{x}}", (0, 1), 1.0,
           "The kernel copies every byte in and out, the broker once more below 4 KiB; from there on it passes payloads by "
           "reference. So it is flat while a message is less work than its bytes, and then proportional: system calls go by the "
           "bytes (0.024, 0.037, 0.079, 0.26 reads a message of 1, 2, 4, 16 KiB). A thousand messages are on their way, which "
           "are 4 MB at 4 KiB and in no cache at 16 KiB: the curve of the floor is steeper than proportional there, too.",
           floor=True),
    Growth("shards", "CPU per message by shards", "shards", (1, 2, 4),
           f"pairs --conns 100 --window 50 --warmup 5000 {CLOSED}", (0, 1), 0.3,
           "Sessions fill one shard until it is busy, so that a pair is on one shard as a rule and mail between threads is "
           "rare. Where it isn't, a message costs a wake-up of the other thread."),
)


def slopes(points):
    """The exponents between neighbours: what the cost is multiplied by when the number is, both as logarithms."""
    return [math.log(b / a) / math.log(y / x) for (x, a), (y, b) in zip(points, points[1:])]


def measured(growth, rounds, options):
    """Medians by QoS and those of the floor, points in turn within each round."""
    numbers = growth.numbers[:3] if options.quick else growth.numbers
    curves = {f"QoS {qos}": qos for qos in growth.qos} | ({FLOOR: 0} if growth.floor else {})
    taken = {(name, x): [] for name in curves for x in numbers}
    for _ in range(rounds):
        for name, x in taken:
            args = (*growth.args.format(x=x).split(), "--qos", str(curves[name]))
            ours = brokers.Ternmq(shards=x if growth.name == "shards" else 1)
            broker = brokers.Floor() if name == FLOOR else ours
            value = once(broker, Row(growth.name, "growth", growth.title, args), options)
            taken[name, x] += [value] if value else []
    return {name: [(x, statistics.median(taken[name, x])) for x in numbers if taken[name, x]] for name in curves}


def once(broker, row, options):
    """A run that loses something gives no point."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=brokers.FOLDER))
    process = None
    try:
        process, port, _ = broker.started(row, folder)
        told = brokers.load(broker, process, port, row, options.quick)
        return record.look_up(told, CPU) if told["verdict"]["correct"] else None
    except brokers.Failure as failure:
        print(f"{row.name}: {failure}", file=sys.stderr)
        return None
    finally:
        if process:
            brokers.stopped(process)
        shutil.rmtree(folder, ignore_errors=True)


def play(words, options, where, found):
    """Measures, writes the plots beside the record, and adds the text to it."""
    lines = ["", "## How cost grows", ""]
    for growth in ALL:
        if words and "growth" not in words and f"growth-{growth.name}" not in words:
            continue
        curves = {name: points for name, points in measured(growth, min(options.rounds, 3), options).items() if points}
        if not curves:
            continue
        file = where.with_name(f"{where.name}-{growth.name}.svg")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(plot.svg(growth.title, growth.axis, "CPU µs per message", curves))
        found.setdefault("curves", {})[growth.name] = curves
        lines += [f"![{growth.title}]({file.name})", "", *described(growth, curves), ""]
    found["growth"] = lines


def steep(growth, points, floor):
    """Between which numbers it is steeper than it may be: than `most`, and than the floor there with a tenth more."""
    there = {(x, y): exponent for ((x, _), (y, _)), exponent in zip(zip(floor, floor[1:]), slopes(floor))}
    spans = [(x, y) for (x, _), (y, _) in zip(points, points[1:])]
    return [span for span, exponent in zip(spans, slopes(points)) if exponent > max(growth.most, there.get(span, 0.0) + 0.1)]


def described(growth, curves):
    lines = [growth.why, ""]
    for name, points in curves.items():
        numbers = ", ".join(f"{plot.short(x)}: {record.number(y)}" for x, y in points)
        steepest = f"Steepest exponent {max(slopes(points), default=0.0):.2f}"
        if name != FLOOR:
            spans = steep(growth, points, curves.get(FLOOR, []))
            words = ", ".join(f"from {plot.short(x)} to {plot.short(y)}" for x, y in spans)
            steepest += f": STEEPER than {growth.most:g} and the floor {words}, beyond what the text explains" if spans else ": as it should be"
        lines.append(f"- {name}: {numbers} µs. {steepest}.")
    return lines
