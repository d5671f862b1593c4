"""What `make bench` makes of numbers: a void run is told, a missed target is a miss, a steep curve is named."""

import importlib.machinery
import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"


def module(name: str) -> ModuleType:
    """A module of the command, which is no package; `run` has no ending."""
    path = BENCH / (name if name == "run" else f"{name}.py")
    loader = importlib.machinery.SourceFileLoader(f"bench_{name}", str(path))
    made = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(made)
    return made


@pytest.fixture(autouse=True)
def among_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


def judged(target: dict, ours: float, **others: float) -> str:
    from rows import Row, Target

    row = Row("r", "broker", "a row", target=Target(**target))
    values = {"TernMQ": [ours], **{who: [value] for who, value in others.items()}}
    return module("record").summed(row, values, {})["verdict"]


def test_a_target_is_met_or_missed_by_so_much() -> None:
    beside = {"beside": "rumqttd", "ratio": 0.5, "floor": 1.5}
    assert judged(beside, 0.5, rumqttd=1.0) == "met"
    assert judged(beside, 1.0, rumqttd=1.0) == "MISSED, 2.00x of the target"
    assert judged(beside, 0.6, rumqttd=1.0, floor=0.4) == "met"
    assert judged(beside, 0.5) == "not judged"
    assert judged({"limit": 700}, 701).startswith("MISSED")
    assert judged({"least": 100}, 50) == "MISSED, 2.00x of the target"
    assert judged({"least": 100}, 101) == "met"


def test_the_middle_of_all_rounds_counts() -> None:
    from rows import Row, Target

    row = Row("r", "broker", "a row", target=Target(limit=2))
    assert module("record").summed(row, {"TernMQ": [1, 9, 2, 8, 2]}, {})["medians"] == {"TernMQ": 2}


@pytest.mark.parametrize("key", ["lost", "duplicated", "out_of_order", "misrouted", "foreign", "rejected"])
def test_a_run_with_a_fault_is_void(key: str) -> None:
    run = module("run")
    told = {"messages": {key: 3}, "verdict": {"correct": False}}
    assert len(run.faults(told)) == 1
    assert run.faults({"messages": {key: 0}, "verdict": {"correct": True}}) == []
    assert run.faults({"messages": {}, "verdict": {"correct": False}}) == ["not correct"]


def test_a_failure_of_ours_is_no_miss_but_a_failure() -> None:
    from rows import Row, Target

    row = Row("r", "broker", "a row", target=Target(limit=2))
    entry = module("record").summed(row, {"TernMQ": []}, {"TernMQ": ["3 lost"]})
    assert entry["verdict"] == "FAILED"


def test_a_plot_is_a_picture_with_all_points() -> None:
    text = module("plot").svg("a <title>", "x", "y", {"QoS 0": [(1, 0.5), (1000, 2)], "QoS 1": [(10, 1)]})
    picture = xml.fromstring(text)
    assert len(picture.findall("{http://www.w3.org/2000/svg}circle")) == 3


def test_a_curve_that_is_steeper_than_its_text_says_is_named() -> None:
    growth = module("growth")
    flat = growth.ALL[0]
    assert "STEEPER" not in "".join(growth.described(flat, {"QoS 0": [(1, 1.0), (10, 1.0), (100, 1.1)]}))
    assert "STEEPER" in "".join(growth.described(flat, {"QoS 0": [(1, 1.0), (10, 1.0), (100, 10.0)]}))


def test_all_rows_have_names_of_their_own_and_a_target() -> None:
    said = subprocess.run([sys.executable, BENCH / "run", "--list"], capture_output=True, text=True, check=True)
    *rows, total = said.stdout.splitlines()
    assert total.startswith("about ")
    lines = [line.split() for line in rows]
    names = [line[1] for line in lines]
    assert len(names) == len(set(names)) > 70
    assert {line[0] for line in lines} == {"broker", "other", "size", "endurance", "c", "python", "durability"}
