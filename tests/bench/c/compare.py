"""CPU per message of the C library beside Paho's, by one driver for both, interleaved.

    python compare.py OURS [--theirs FOLDER] [--rounds 5] [--rows REGEX] [--port PORT] [--scale 1.0] [--json FILE]

OURS is the `lib` folder of `make install`; the other library is Debian's unless a folder is named. The
same two binaries run with either by LD_LIBRARY_PATH. Each run is a process of its own; each round plays
every row with both, one after the other; a run that loses a message fails. Medians are printed as a table.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUSY = "-s 100 -w 1000 -k 1000"
# What a row is called: the API (a or c), the options, the columns of the driver's table, messages for Paho.
ROWS = {
    **{f"MQTTAsync publish QoS {q}": ("a", f"-m pub -q {q} {BUSY}", ["cpu_us_per_msg"], 20_000) for q in range(3)},
    **{f"MQTTAsync receive QoS {q}": ("a", f"-m recv -q {q} {BUSY}", ["cpu_us_per_msg"], 20_000) for q in range(3)},
    **{f"MQTTClient publish QoS {q}": ("c", f"-m pub -q {q} {BUSY}", ["cpu_us_per_msg"], 20_000) for q in range(3)},
    **{f"MQTTClient receive QoS {q}": ("c", f"-m recv -q {q} {BUSY} -c 1", ["cpu_us_per_msg"], 20_000) for q in range(3)},
    "publish and waitForCompletion QoS 1": ("c", "-m lat -q 1 -s 100", ["p50_us", "cpu_us_per_msg"], 20),
    "MQTTClient publish QoS 1, defaults": ("c", "-m pub -q 1 -s 100 -w 10", ["msg_per_s"], 100),
    "idle receiver": ("c", "-m rlat -q 0 -s 100 -c 1", ["p50_us", "p99_us"], 20),
    "MQTTAsync offline QoS 1, 16,000": ("a", "-m offline -q 1 -s 100 -k 20000", ["cpu_us_per_msg", "p50_us"], 16_000),
    "idle MQTTClient, wake-ups a second": ("c", "-m idle -t 30 -c 1", ["nvcsw_per_msg"], 0),
    "idle MQTTAsync, wake-ups a second": ("a", "-m idle -t 30", ["nvcsw_per_msg"], 0),
}
# Rows where Paho waits for its own sleeps: ours does as many messages in the same time.
MORE = {"publish and waitForCompletion QoS 1": 5_000, "MQTTClient publish QoS 1, defaults": 20_000}


def run(binary, options, count, port, libraries):
    """One run; what the driver says of it, by column."""
    command = [str(binary), *options.split(), "-r", "1", "-p", str(port), "-u", f"tcp://127.0.0.1:{port}"] + (["-n", str(count)] if count else [])
    environment = os.environ | ({"LD_LIBRARY_PATH": str(libraries)} if libraries else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and "only" not in done.stderr, f"{' '.join(command)}: {done.stderr}"
    head, line, *_ = done.stdout.splitlines()
    return dict(zip(head.lstrip("#").split("\t"), line.split("\t")))


def build(source, folder):
    """The driver, once for each API."""
    for letter, macro in ("a", "ASYNC"), ("c", "CLIENT"):
        binary = folder / f"paho_bench_{letter}"
        command = ["cc", "-O2", f"-DBENCH_{macro}", "-o", binary, source, f"-lpaho-mqtt3{letter}", "-lpthread"]
        subprocess.run(command, check=True)


def started():
    """A broker of ours on a free port, and the port."""
    broker = subprocess.Popen(
        [ROOT / "target/release/ternmq", "serve", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    for line in broker.stdout:
        if found := re.search(r"127\.0\.0\.1:(\d+)", line):
            return broker, int(found[1])
    raise SystemExit("the broker did not start")


def calls(options, port, count=200_000):
    """System calls of a process per message that it publishes with QoS 1, connecting and all."""
    with tempfile.TemporaryDirectory() as folder:
        build(options.driver, Path(folder))
        summary = Path(folder) / "calls"
        command = ["strace", "-f", "-c", "-o", summary, Path(folder) / "paho_bench_a", "-m", "pub", "-q", "1", *BUSY.split()]
        command += ["-n", str(count), "-p", str(port), "-u", f"tcp://127.0.0.1:{port}"]
        environment = os.environ | {"LD_LIBRARY_PATH": str(options.ours)}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=600)
        total = next(line for line in summary.read_text().splitlines() if line.endswith("total"))
        return int(total.split()[-2 if len(total.split()) == 5 else -3]) / count


def play(options, port):
    """All rounds; what each row, column and library gave."""
    taken = {}
    rows = {name: row for name, row in ROWS.items() if re.search(options.rows, name)}
    with tempfile.TemporaryDirectory() as folder:
        build(options.driver, Path(folder))
        for number in range(options.rounds):
            for name, (letter, flags, columns, count) in rows.items():
                for who, libraries in ("Paho", options.theirs), ("TernMQ", options.ours):
                    messages = MORE.get(name, count) if who == "TernMQ" else count
                    messages = messages and max(int(messages * options.scale), 10)
                    said = run(Path(folder) / f"paho_bench_{letter}", flags, messages, port, libraries)
                    for column in columns:
                        taken.setdefault((name, column, who), []).append(float(said[column]))
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
    return taken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path)
    parser.add_argument("--theirs", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="")
    parser.add_argument("--port", type=int, help="a broker on 127.0.0.1; without it ours is started")
    parser.add_argument("--driver", type=Path, default=HERE / "driver.c", help="another one that takes the same words")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the messages")
    parser.add_argument("--calls", action="store_true", help="count system calls by strace instead, of ours")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    broker, port = (None, options.port) if options.port else started()
    try:
        if options.calls:
            print(calls(options, port))
            return
        taken = play(options, port)
    finally:
        if broker:
            broker.terminate()
            broker.wait()
    medians = {key: statistics.median(values) for key, values in taken.items()}
    print("| row | | Paho | TernMQ | |\n|---|---|---:|---:|---:|")
    for name, column in dict.fromkeys((name, column) for name, column, _ in medians):
        theirs, ours = medians[name, column, "Paho"], medians[name, column, "TernMQ"]
        print(f"| {name} | {column} | {theirs:.2f} | {ours:.2f} | {ours / theirs if theirs else 0:.3g}x |")
    if options.json:
        options.json.write_text(json.dumps([[*key, *values] for key, values in taken.items()], indent=1))


if __name__ == "__main__":
    main()
