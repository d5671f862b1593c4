"""`ternmq serve` as a process of its own, on a free port."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build(*packages: str) -> None:
    """Has cargo build these, unless `tests/run` says that the Rust tests have."""
    if "TERNMQ_TEST_BUILT" not in os.environ:
        named = [option for package in packages for option in ("-p", package)]
        command = ["cargo", "build", "--quiet", "--locked", *named]
        subprocess.run(command, cwd=ROOT, check=True, timeout=1800)


class Broker:
    """A server that runs, and what it said of itself."""

    def __init__(self, *arguments: str) -> None:
        program = ROOT / "target/debug/ternmq"
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--json", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        listening = json.loads(self.process.stdout.readline())
        host, _, port = listening["address"].rpartition(":")
        self.host, self.port = host, int(port)

    def stop(self) -> dict:
        """Ends it as its supervisor would; the sums that it tells at its end."""
        self.process.terminate()
        said, _ = self.process.communicate(timeout=20)
        sys.stderr.write(said)
        assert self.process.returncode == 0, f"ternmq serve ended with {self.process.returncode}"
        return json.loads(said.splitlines()[-1])
