"""What type checkers say of the package, its stubs and the examples."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/python"
# From npm, as its makers publish it; tests/setup installs it.
PYRIGHT = ROOT / "target/node/node_modules/.bin/pyright"


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a checker that takes this interpreter for the user's."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def check(*command: str | Path, cwd: Path = ROOT) -> None:
    """Runs a checker that has to find nothing."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def test_stubs_say_what_the_native_module_has(tmp_path: Path) -> None:
    # Before Python 3.12 the buffer protocol has no method that could be seen.
    allowed = tmp_path / "allowed"
    allowed.write_text("ternmq._ternmq.Message.__buffer__\nternmq._ternmq.__all__\n")
    options = ["--ignore-unused-allowlist", "--allowlist", allowed]
    check(sys.executable, "-m", "mypy.stubtest", "ternmq", *options, cwd=tmp_path)


def test_mypy_finds_nothing_in_the_package_and_the_examples(tmp_path: Path) -> None:
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path]
    check(*mypy, "-p", "ternmq", cwd=tmp_path)
    check(*mypy, EXAMPLES, cwd=EXAMPLES)


def test_pyright_finds_nothing_in_the_package_and_the_examples() -> None:
    check(PYRIGHT, "--pythonpath", sys.executable, ROOT / "py/python/ternmq", EXAMPLES)


def test_every_public_name_has_a_type_for_users() -> None:
    told = run(PYRIGHT, "--verifytypes", "ternmq", "--ignoreexternal", "--outputjson").stdout
    symbols = json.loads(told)["typeCompleteness"]["symbols"]
    assert any(symbol["name"] == "ternmq.aio.Client" for symbol in symbols)
    # The names of paho-mqtt are typed as that has them, which leaves constants to be inferred.
    gaps = [
        symbol["name"]
        for symbol in symbols
        if not (symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"])
        and not symbol["name"].startswith(("ternmq.paho.", "ternmq._ternmq.MQTT"))
    ]
    assert gaps == []


def test_a_wrong_use_of_the_package_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import ternmq\nternmq.Client(5).publish(b'topic')\n")
    with pytest.raises(AssertionError, match="reportArgumentType"):
        check(PYRIGHT, "--pythonpath", sys.executable, tmp_path)
