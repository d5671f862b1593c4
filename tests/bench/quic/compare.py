#!/usr/bin/env python3
"""What QUIC costs the server beside TLS over TCP: `compare.py TERNMQ [--rounds 5]`. For each scenario a fresh server
for each way, in turn; CPU of the server process per delivered message, and the median latency, as medians."""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

SCENARIOS = {
    "fan-in 100, QoS 0": "fanin -n 100 -q 0 --count 200000",
    "fan-out 100, QoS 0": "fanout -n 100 -q 0 --count 4000",
    "pairs 100, QoS 1": "pairs -n 100 -q 1 --count 100000 --inflight 10",
    "1,000 msg/s, QoS 1": "pairs -n 1 -q 1 --rate 1000 --count 3000",
}
TICK = 1e6 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificate(folder)
        print(f"{'':20} {'mqtts µs':>9} {'quic µs':>9} {'':>6} {'mqtts p50':>10} {'quic p50 µs':>11}")
        for title, words in SCENARIOS.items():
            runs: dict[str, list[tuple[float, float]]] = {"mqtts": [], "quic": []}
            for _ in range(args.rounds):
                for scheme, got in runs.items():
                    got.append(measure(args.program.resolve(), folder, scheme, words.split()))
            cpu = {scheme: statistics.median(run[0] for run in got) for scheme, got in runs.items()}
            p50 = {scheme: statistics.median(run[1] for run in got) for scheme, got in runs.items()}
            ratio = cpu["quic"] / cpu["mqtts"]
            print(
                f"{title:20} {cpu['mqtts']:9.2f} {cpu['quic']:9.2f} {ratio:5.2f}x {p50['mqtts']:10.0f} {p50['quic']:11.0f}",
                flush=True,
            )


def certificate(folder: Path) -> None:
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    more = ["-addext", "basicConstraints=critical,CA:FALSE"]
    command = ["openssl", "req", "-x509", *curve, "-keyout", "key.pem", "-out", "cert.pem", *subject, *more]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def measure(program: Path, folder: Path, scheme: str, words: list[str]) -> tuple[float, float]:
    listen = ["--listen", f"{scheme}://127.0.0.1:0", "--cert", "cert.pem", "--key", "key.pem"]
    (folder / "one.toml").write_text("shards = 1\n")
    serving = [program, "serve", "-c", "one.toml", *listen]
    with subprocess.Popen(
        serving, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout
        url = server.stdout.readline().split()[-1]
        before = cpu(server.pid)
        bench = [program, "bench", words[0], "-L", url, "--cafile", "cert.pem", "--json", *words[1:]]
        done = subprocess.run(bench, cwd=folder, capture_output=True, text=True, timeout=600)
        used = cpu(server.pid) - before
        server.kill()
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} by {scheme}: {done.stdout}{done.stderr}")
    said = json.loads(done.stdout)
    return used / said["messages"]["arrived"], said["latency_us"]["p50"]


def cpu(pid: int) -> float:
    """Microseconds, of all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


if __name__ == "__main__":
    main()
