"""What was measured, as JSON and as Markdown: a record with its date and the machine it is of."""

import datetime
import json
import os
import platform
import statistics
import subprocess
from pathlib import Path

from rows import FLOOR, OURS

HERE = Path(__file__).resolve().parent


def machine():
    """What numbers depend on; nothing by which the machine could be named."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 2**20
    return {
        "cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_gib": memory,
        "kernel": platform.release().split("-")[0], "load": [round(load, 1) for load in os.getloadavg()],
    }


def commit():
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


def begun(options):
    """The head of a record."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"), "commit": commit(),
        "machine": machine(), "rounds": options.rounds, "quick": options.quick, "versions": {}, "rows": [],
    }


def look_up(told, path):
    """Follows the dots; a part that ends with * is the first key that begins so."""
    for part in path.split("."):
        if not isinstance(told, dict):
            return None
        if part.endswith("*"):
            part = next((key for key in told if key.startswith(part[:-1])), None)
        told = told.get(part)
    return told


def summed(row, values, faults, extra=None):
    """A row of the record. `values` are numbers by who had them; those whose runs all failed have none."""
    medians = {who: statistics.median(numbers) for who, numbers in values.items() if numbers}
    entry = {
        "name": row.name, "group": row.group, "title": row.title, "unit": row.unit, "values": values,
        "medians": medians, "faults": {who: words for who, words in faults.items() if words},
        "verdict": "not measured", "target": "",
    }
    if extra:
        entry["extra"] = {
            metric: {who: statistics.median(numbers) for who, numbers in by.items() if numbers}
            for metric, by in extra.items()
        }
    judge(row, entry)
    return entry


def judge(row, entry):
    """Whether the target is reached, and the rule behind it kept; by how much it is missed."""
    ours, bound = entry["medians"].get(OURS), row.target.bound(entry["medians"])
    if entry["faults"].get(OURS):
        entry["verdict"] = "FAILED"
        return
    if ours is None:
        return
    entry["verdict"] = "not judged"
    if bound:
        number, entry["target"] = bound
        entry["bound"] = number
        part = number / max(ours, 1e-9) if row.target.least is not None else ours / max(number, 1e-9)
        entry["verdict"] = verdict(part, "the target")
    if row.rule:
        entry["wall"] = slower(entry.get("extra", {}))
        if bound := row.rule.bound(entry["medians"]):
            entry["rule"] = {"bound": bound[0], "words": bound[1], "verdict": verdict(ours / bound[0], "what the rule allows")}


def verdict(part, what):
    return "met" if part <= 1 else f"MISSED, {part:.2f}x of {what}"


def slower(extra):
    """In what a peer is ahead by the clock, throughput and latency at the 99th percentile; empty if in nothing."""
    words = []
    for metric, better in (("throughput", max), ("p99", min)):
        by = {who: value for who, value in extra.get(metric, {}).items() if who not in (OURS, FLOOR)}
        ours = extra.get(metric, {}).get(OURS)
        if ours is None or not by:
            continue
        best = better(by, key=by.get)
        if better(ours, by[best]) != ours:
            words.append(f"{metric} {ours / by[best]:.2f}x of {best}")
    return words


def number(value):
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.01 else f"{value:.4f}"


GROUPS = {
    "broker": "Broker: CPU µs of the broker per delivered message",
    "other": "Broker: other rows",
    "c": "C library: CPU µs of the client's process per message of 100 B",
    "python": "Python: CPU µs of the client's process per message of 100 B",
    "durability": "Durability",
    "endurance": "Overload and endurance",
    "size": "Size",
}


def ruled(rows):
    """By what targets were made, and by the clock: a sum, and each row that is not as it has to be."""
    by_rule = [row for row in rows if row.get("rule")]
    broken = [row for row in by_rule if row["rule"]["verdict"] != "met"]
    by_clock = [row for row in rows if "wall" in row]
    behind = [row for row in by_clock if row["wall"]]
    lines = []
    if by_rule:
        lines += ["", f"{len(by_rule) - len(broken)} of {len(by_rule)} rows keep the rule: at most half of the best peer, or "
                  "1.5x of the floor where that is more; within 1.3x of the floor for devices.", ""]
        lines += [f"- {row['title']}: {row['rule']['verdict']} ({row['rule']['words']}: {number(row['rule']['bound'])})" for row in broken]
    if by_clock:
        lines += ["", f"In {len(by_clock) - len(behind)} of {len(by_clock)} of them no peer has more throughput or a lower p99.", ""]
        lines += [f"- {row['title']}: {', '.join(row['wall'])}" for row in behind]
    return lines


def table(rows):
    """Markdown of one group: medians by who had them, ours against each, the target."""
    names = list(dict.fromkeys(who for row in rows for who in [*row["values"], *row["faults"]] if who != OURS))
    lines = ["| row | " + " | ".join([OURS, *names]) + " | target | |", "|---|" + "---:|" * (1 + len(names)) + "---|---|"]
    for row in rows:
        cells = [cell(row, OURS, row["medians"].get(OURS))]
        cells += [cell(row, who, row["medians"].get(OURS)) for who in names]
        unit = "" if row["unit"].startswith("CPU µs per") else f", {row['unit']}"
        target = f"{row['target']}: {number(row.get('bound'))}" if " of " in row["target"] else row["target"]
        lines.append(f"| {row['title']}{unit} | " + " | ".join(cells) + f" | {target} | {row['verdict']} |")
    return lines


def cell(row, who, ours):
    value = row["medians"].get(who)
    faults = row["faults"].get(who)
    if value is None:
        return f"failed: {faults[0]}" if faults else ""
    text = number(value)
    if who != OURS and ours is not None and value:
        text += f" ({ours / value:.2g}x)"
    return text + (f" [{faults[0]}]" if faults else "")


def speed(rows):
    """Wall figures beside the CPU: messages a second and latency at the 99th percentile."""
    rows = [row for row in rows if row.get("extra", {}).get("throughput")]
    if not rows:
        return []
    names = list(dict.fromkeys(who for row in rows for who in row["extra"]["throughput"]))
    lines = ["", "Messages (or connections) a second in thousands / p99 latency in ms, medians:", ""]
    lines += ["| row | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for row in rows:
        rate, late = row["extra"]["throughput"], row["extra"].get("p99", {})
        cells = [fast(rate.get(who), late.get(who)) for who in names]
        lines.append(f"| {row['title']} | " + " | ".join(cells) + " |")
    return lines


def fast(rate, late):
    if rate is None:
        return ""
    return f"{number(rate / 1e3)}" + (f" / {number(late / 1e3)}" if late is not None else "")


def markdown(record):
    told = record["machine"]
    load = ", ".join(map(str, told["load"]))
    lines = [
        f"# Measured {record['date'].replace('T', ' ')[:16]} UTC", "",
        f"Commit {record['commit']}; {told['cores']} cores of {told['cpu']}, {told['memory_gib']} GiB, "
        f"Linux {told['kernel']}; load when it began {load}. Medians of {record['rounds']} rounds"
        f"{', shortened (`--quick`)' if record['quick'] else ''}, everybody in turn within each; in brackets "
        f"{OURS} as part of theirs. Generated by `make bench`; numbers of one record only are to be compared.", "",
    ]
    if record["versions"]:
        lines += ["Versions: " + ", ".join(f"{who} {what}" for who, what in record["versions"].items()) + ".", ""]
    judged = [row for row in record["rows"] if row["verdict"] not in ("not measured", "not judged")]
    missed = [row for row in judged if row["verdict"] != "met"]
    lines += [f"{len(judged) - len(missed)} of {len(judged)} rows with a target meet it."]
    lines += [""] + [f"- {row['title']}: {row['verdict']}" for row in missed] if missed else []
    lines += ruled(record["rows"])
    for group, title in GROUPS.items():
        rows = [row for row in record["rows"] if row["group"] == group]
        if rows:
            lines += ["", f"## {title}", "", *table(rows), *speed(rows)]
    lines += record.get("growth", [])
    return "\n".join(lines) + "\n"


def write(record, where):
    where.parent.mkdir(parents=True, exist_ok=True)
    where.with_suffix(".json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    where.with_suffix(".md").write_text(markdown(record))
