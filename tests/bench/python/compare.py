"""CPU per message of Python's MQTT clients and ours, by the neutral drivers, interleaved.

    python compare.py DRIVERS [--rounds 5] [--clients ternmq,paho,gmqtt] [--rows pub0,...] [--broker PORT]

DRIVERS is the folder of the drivers (`clients.py`, `rawmqtt.py`, `bench_clients.py`); this adds the adapters
of ternmq to theirs. Each case is a process of its own; each round plays every row with every client, one
after the other. Medians of all rounds are printed as a table, a message lost ends the run.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

COUNTS = {"pub0": 40_000, "pub1": 10_000, "pub2": 6_000, "sub0": 40_000, "sub1": 10_000, "sub2": 6_000, "rtt0": 1_000}


def play(options, port, client, row):
    """Runs one case in a process of its own; what it says of itself."""
    kind, qos = row[:3], row[3]
    count = str(int(COUNTS[row] * options.scale))
    command = [sys.executable, __file__, str(options.drivers), "--case", client, "--rows", row, "--broker", str(port)]
    command += ["--count", count, "--loop", options.loop]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if kind == "sub":
            assert process.stdout.readline() == "ready\n", f"{client} {row} did not begin"
            blast = [sys.executable, str(options.drivers / "rawmqtt.py"), "blast", "--port", str(port)]
            blast += ["--qos", qos, "--count", count, "--size", "100"]
            subprocess.run(blast, check=True, stdout=subprocess.DEVNULL, timeout=120)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, f"{client} {row} failed"
    return json.loads(said.splitlines()[-1])


def case(options, clients, bench):
    """In the process of a case."""
    from adapters import ADAPTERS

    backends = clients.BACKENDS | ADAPTERS
    row = options.rows
    backend = backends[options.case](options.broker, int(row[3]), 100, 20)
    backend.loop = options.loop
    if row.startswith("rtt"):
        times = sorted(backend.rtt(options.count))
        print(json.dumps(times[len(times) // 2] / 1e3))
        return
    mark = bench.Mark()
    (backend.publish if row.startswith("pub") else backend.receive)(mark, options.count)
    print(json.dumps((mark.c1 - mark.c0) / options.count * 1e6))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drivers", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", default="ternmq,ternmq-batches,ternmq-blocking,paho,gmqtt")
    parser.add_argument("--rows", default=",".join(COUNTS))
    parser.add_argument("--broker", type=int, help="a port of 127.0.0.1; without it a broker of ours is started")
    parser.add_argument("--loop", default="asyncio")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(options.drivers))
    import bench_clients
    import clients

    if options.case:
        return case(options, clients, bench_clients)
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
    return None


if __name__ == "__main__":
    main()
