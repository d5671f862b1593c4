"""What the measurements are judged by: bounds, verdicts, drift, and what a load says of its faults."""

import importlib.machinery
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import endure
import faces
import flood
import growth
import pytest
import record
from rows import FLOOR, IN_CLOSED_LOOP, OF_DEVICES, OURS, Row, Target, all_rows

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def run():
    loader = importlib.machinery.SourceFileLoader("bench_run", str(HERE / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(module)
    return module


def entry(row, medians, faults=None, extra=None):
    return record.summed(row, {who: [value] for who, value in medians.items()}, faults or {}, extra)


def test_a_target_is_a_part_of_a_peer_or_a_multiple_of_the_floor_where_that_is_more():
    target = Target("rumqttd", 0.5, 1.5)
    assert target.bound({"rumqttd": 4.0, FLOOR: 1.0}) == (2.0, "0.50x of rumqttd")
    assert target.bound({"rumqttd": 4.0, FLOOR: 2.0}) == (3.0, "1.5x of the floor")
    assert target.bound({"mosquitto": 4.0, FLOOR: 2.0}) is None


def test_the_rule_takes_the_best_peer_of_the_run():
    medians = {OURS: 0.1, "rumqttd": 2.0, "mosquitto": 3.0, FLOOR: 0.5}
    assert IN_CLOSED_LOOP.bound(medians) == (1.0, "0.5x of rumqttd")
    assert IN_CLOSED_LOOP.bound({**medians, FLOOR: 0.8})[0] == pytest.approx(1.2)
    assert OF_DEVICES.bound(medians)[0] == pytest.approx(0.65)
    assert OF_DEVICES.bound({OURS: 1.0, "rumqttd": 2.0}) is None


def test_both_are_judged_and_one_may_be_missed_alone():
    row = Row("x", "broker", "x", target=Target("rumqttd", 0.9), rule=IN_CLOSED_LOOP)
    told = entry(row, {OURS: 1.5, "rumqttd": 2.0, FLOOR: 0.1})
    assert told["verdict"] == "met"
    assert told["rule"]["verdict"] == "MISSED, 1.50x of what the rule allows"
    assert "rule" not in entry(row, {OURS: 1.5})
    assert entry(row, {OURS: 1.5})["verdict"] == "not judged"


def test_limits_of_nothing_and_least_numbers_are_judged():
    none = Row("x", "endurance", "x", target=Target(limit=0))
    assert entry(none, {OURS: 0})["verdict"] == "met"
    assert entry(none, {OURS: 1})["verdict"].startswith("MISSED")
    least = Row("x", "durability", "x", target=Target(least=100))
    assert entry(least, {OURS: 100})["verdict"] == "met"
    assert entry(least, {OURS: 50})["verdict"] == "MISSED, 2.00x of the target"


def test_the_clock_is_told_apart_from_the_cost():
    extra = {"throughput": {OURS: 10.0, "rumqttd": 20.0, FLOOR: 99.0}, "p99": {OURS: 1.0, "rumqttd": 2.0, FLOOR: 0.1}}
    assert record.slower(extra) == ["throughput 0.50x of rumqttd"]
    assert record.slower({"p99": {OURS: 3.0, "rumqttd": 2.0}}) == ["p99 1.50x of rumqttd"]
    assert record.slower({"p99": {OURS: 3.0, FLOOR: 0.1}}) == []


def test_a_peer_that_fails_is_a_cell_and_ours_is_a_failure():
    row = Row("x", "broker", "x", target=Target("rumqttd", 0.5))
    told = entry(row, {OURS: 1.0}, {"rumqttd": ["3 lost"]})
    assert told["verdict"] == "not judged"
    assert "failed: 3 lost" in record.table([told])[-1]
    assert entry(row, {"rumqttd": 1.0}, {OURS: ["it died"]})["verdict"] == "FAILED"


def test_each_way_in_which_messages_go_wrong_is_told(run):
    correct = {"verdict": {"correct": True}}
    assert run.faults({**correct, "messages": {"lost": 0}}) == []
    assert run.faults({**correct, "messages": {"lost": 2, "duplicated": 1}}) == ["2 lost", "1 twice"]
    # Nobody is there who could get what is only stored.
    assert run.faults({**correct, "store": {"lost": 5, "rejected": 1}}) == ["1 refused"]
    assert run.faults({"verdict": {"correct": False}}) == ["not correct"]


def test_rows_have_names_of_their_own_and_the_soak_is_measured_when_it_is_named(run):
    rows = all_rows() + faces.rows()
    assert len({row.name for row in rows}) == len(rows)
    assert {row.group for row in rows} <= set(record.GROUPS)
    assert not any(row.name.startswith("soak") for row in run.chosen([]))
    assert [row.name for row in run.chosen(["soak"])] == ["soak-memory", "soak-cpu", "soak-latency"]
    with pytest.raises(SystemExit):
        run.chosen(["nothing-of-this-name"])


def test_latency_and_cpu_at_a_low_rate_are_found_in_one_run(run):
    rows = {row.name: row for row in all_rows()}
    assert rows["latency-q1"].run == rows["calm-q1"].run != rows["latency-q2"].run
    options = SimpleNamespace(rounds=5, peers="TernMQ,floor", quick=False)
    assert run.estimate(rows["latency-q1"], options) == 2 * 5 * rows["latency-q1"].seconds
    # The floor knows no topics.
    assert run.estimate(rows["subs-1k"], options) == 3 * rows["subs-1k"].seconds


def test_a_quick_look_shortens_times_and_large_numbers_only():
    row = Row("x", "other", "x", ("conns", "--conns", "19500", "--hold", "10", "--qos", "1", "--duration", "0.5"))
    assert row.load_args(False) == row.args
    assert row.load_args(True) == ("conns", "--conns", "1950", "--hold", "1", "--qos", "1", "--duration", "0.1")


def test_drift_is_the_slope_of_memory_once_it_has_settled():
    def segments(rss):
        return [{"at_s": 20.0 * n, "rss_kib": kib, "cpu_us": 1.0 + 0.1 * n, "p99_us": 5.0} for n, kib in enumerate(rss)]

    # What the first quarter takes is taken once; 1 KiB in 20 s is 90 in half an hour.
    steady = endure.drift(segments([100, 900, 1000, 1001, 1002, 1003, 1004, 1005]))
    assert steady["growth_kib"] == pytest.approx(90)
    assert steady["cpu_drift"] == pytest.approx(1.65 / 1.05)
    assert steady["p99_drift"] == 1.0
    assert endure.drift(segments([9, 8, 7, 6]))["growth_kib"] == 0.0


def test_the_exponents_of_a_curve():
    assert growth.slopes([(1, 2.0), (10, 2.0), (100, 20.0)]) == pytest.approx([0.0, 1.0])


def test_a_curve_may_be_as_steep_as_the_floor_is_there():
    payload = next(one for one in growth.ALL if one.name == "payload")
    proportional, steeper = [(1, 1.0), (4, 4.0), (16, 16.0)], [(1, 1.0), (4, 6.0), (16, 24.0)]
    assert growth.steep(payload, proportional, []) == []
    assert growth.steep(payload, steeper, []) == [(1, 4)]
    assert growth.steep(payload, steeper, [(1, 1.0), (4, 6.0), (16, 24.0)]) == []
    assert growth.steep(payload, steeper, [(1, 1.0), (4, 1.0), (16, 24.0)]) == [(1, 4)]
    told = growth.described(payload, {"QoS 0": steeper, "floor": proportional})
    assert "STEEPER than 1 and the floor from 1 to 4" in told[2] and "STEEPER" not in told[3]


def test_a_flood_is_of_packets_of_two_lengths():
    for qos, first in ((0, 0x30), (1, 0x32)):
        packets = flood.batch(qos)
        assert len(packets) == flood.BATCH * flood.SIZES[first]
        assert all(packets[at] == first for at in range(0, len(packets), flood.SIZES[first]))
