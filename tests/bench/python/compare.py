"""CPU per message of Python's MQTT clients and ours, interleaved.

    python compare.py [--rounds 5] [--clients ternmq,paho,gmqtt] [--rows pub0,...] [--broker PORT] [--json FILE]

`import` is the milliseconds of an import beyond those of an empty program. Each case is a process of its own;
each round plays every row with every client, one after the other. Medians of all rounds are printed as a table,
a message lost ends the run.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import clients

HERE = Path(__file__).resolve().parent
COUNTS = {"pub0": 40_000, "pub1": 10_000, "pub2": 6_000, "sub0": 40_000, "sub1": 10_000, "sub2": 6_000, "rtt0": 1_000, "import": 1}


def play(options, port, client, row):
    """Runs one case in a process of its own; what it says of itself."""
    if row == "import":
        return imported(client)
    kind, qos = row[:3], row[3]
    count = str(int(COUNTS[row] * options.scale))
    command = [sys.executable, __file__, "--case", client, "--rows", row, "--broker", str(port)]
    command += ["--count", count, "--loop", options.loop]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if kind == "sub":
            assert process.stdout.readline() == "ready\n", f"{client} {row} did not begin"
            source = [sys.executable, str(HERE / "source.py"), str(port), clients.TOPIC, qos, count, "100"]
            subprocess.run(source, check=True, stdout=subprocess.DEVNULL, timeout=120)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, f"{client} {row} failed"
    return json.loads(said.splitlines()[-1])


def imported(client):
    """Milliseconds of CPU that a program takes longer with the import."""
    import resource

    def cpu(code):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return max(0.0, cpu(f"import {backends()[client].imports}") - cpu("pass")) * 1e3


def backends():
    from adapters import ADAPTERS

    return clients.BACKENDS | ADAPTERS


def case(options):
    """In the process of a case."""
    row = options.rows
    backend = backends()[options.case](options.broker, int(row[3]), 100, 20)
    backend.loop = options.loop
    if row.startswith("rtt"):
        times = sorted(backend.rtt(options.count))
        print(json.dumps(times[len(times) // 2] / 1e3))
        return
    mark = clients.Mark()
    (backend.publish if row.startswith("pub") else backend.receive)(mark, options.count)
    print(json.dumps((mark.ended - mark.begun) / options.count * 1e6))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", default="ternmq,ternmq-batches,ternmq-blocking,paho,gmqtt")
    parser.add_argument("--rows", default=",".join(COUNTS))
    parser.add_argument("--broker", type=int, help="a port of 127.0.0.1; without it a broker of ours is started")
    parser.add_argument("--loop", default="asyncio")
    parser.add_argument("--json", type=Path, help="where what each round gave is written too")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        return case(options)
    import ternmq

    names, rows = options.clients.split(","), options.rows.split(",")
    results = {(name, row): [] for name in names for row in rows}
    with ternmq.Broker() as broker:
        port = options.broker or int(broker.url.rpartition(":")[2])
        for _ in range(options.rounds):
            for row in rows:
                for name in names:
                    results[name, row].append(play(options, port, name, row))
    print("| client | " + " | ".join(rows) + " |\n|---|" + "---:|" * len(rows))
    for name in names:
        medians = [f"{statistics.median(results[name, row]):.2f}" for row in rows]
        print(f"| {name} | " + " | ".join(medians) + " |")
    if options.json:
        options.json.write_text(json.dumps([[*key, *values] for key, values in results.items()]))
    return None


if __name__ == "__main__":
    main()
