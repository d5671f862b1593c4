"""What was measured, as JSON and as Markdown: a record with its date and the machine it is of."""

import datetime
import json
import os
import platform
import statistics
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = "TernMQ"


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
    """Whether the target is reached; by how much it is missed."""
    ours, bound = entry["medians"].get(OURS), row.target.bound(entry["medians"])
    if entry["faults"].get(OURS):
        entry["verdict"] = "FAILED"
    elif ours is None or bound is None:
        entry["verdict"] = "not judged" if ours is not None else "not measured"
    else:
        number, entry["target"] = bound
        entry["bound"] = number
        part = number / ours if row.target.least else ours / number
        entry["verdict"] = "met" if part <= 1 else f"MISSED, {part:.2f}x of the target"


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
    "size": "Size",
}


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
        return faults[0] if faults else ""
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
