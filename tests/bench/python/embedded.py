"""What an embedded broker costs a test: from construction to CONNACK, its stop, the memory of ten.

    python embedded.py [--rounds 101] [--json FILE]
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import ternmq
from ternmq.blocking import Client

TEN = 10


def resident():
    """MiB of this process that are no file's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) / 1024


def once():
    begun = time.perf_counter()
    broker = ternmq.Broker()
    broker.start()
    with Client(broker.url):
        connected = time.perf_counter()
    leaving = time.perf_counter()
    broker.stop()
    return connected - begun, time.perf_counter() - leaving


def memory():
    before = resident()
    brokers = [ternmq.Broker() for _ in range(TEN)]
    for broker in brokers:
        broker.start()
    with Client(brokers[-1].url):
        each = (resident() - before) / TEN
    for broker in brokers:
        broker.stop()
    return each


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    once()  # what is there once for all
    starts, stops = zip(*(once() for _ in range(options.rounds)))
    result = {
        "construct to CONNACK": statistics.median(starts) * 1e3,
        "stop": statistics.median(stops) * 1e3,
        "added memory": memory(),
    }
    for name, value in result.items():
        print(f"{name}: {value:.3f}")
    if options.json:
        options.json.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
