"""`onboard-vla roofline`: floors from counts, verdicts from floors, and one line for what cannot be."""

import json
from pathlib import Path

import pytest

import onboard_vla
from onboard_vla.app import cli
from onboard_vla.app.roofline import autovla, probe, timing
from onboard_vla.app.roofline.devices import DEVICES, device_of
from onboard_vla.app.roofline.floors import PlanFloor, StageFloor, floors
from onboard_vla.app.roofline.of_bundle import sizes_of
from onboard_vla.app.roofline.stages import DECODE, STAGES, VISION, costs
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.graph_cost import Cost
from onboard_vla.runtime.bundle import Bundle

CHECKPOINT = (Path(onboard_vla.__file__).parent / "world" / "reference").resolve()
PICTURE = (448, 252)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The reference checkpoint's bundle, in float."""
    return export_bundle(CHECKPOINT, tmp_path_factory.mktemp("bundle") / "b", precision="fp32")


def costs_of(cameras, precision="int8", *, cold=False):
    vision, language = autovla.graphs(precision)
    return costs(autovla.autovla(cameras, (1600, 900)), vision, language, cold=cold)


def plan_of(device, floor_ms, expected_ms, measured=None):
    """A plan all of whose time is vision's."""
    stages = tuple(
        StageFloor(stage, 1, 0, 0, *((floor_ms, 0.0, expected_ms) if stage == VISION else (0.0, 0.0, 0.0)), measured)
        for stage in STAGES
    )
    return PlanFloor("m", "int8", device, autovla.autovla(3, PICTURE), 4, stages, stages)


def test_autovla_costs_what_public_arithmetic_says():
    """2.77 G parameters beside the embedding and 0.67 G of vision; 36,864 bytes of cache a token in fp16."""
    stages = costs_of(3, cold=True)

    assert autovla.autovla(3, (1600, 900)).prompt == 720 + 501
    assert stages[DECODE].bytes(2) == pytest.approx(2.77e9 + 0.315e9 + 1251 * 36_864, rel=0.01)
    assert stages[VISION].operations == pytest.approx(2 * 0.67e9 * 6 * 480 * 0.97, rel=0.03)
    assert costs_of(3, "fp16")[DECODE].bytes(2) == pytest.approx(2 * 3.09e9, rel=0.02)


def test_a_known_pair_halves_vision():
    warm, cold = costs_of(6), costs_of(6, cold=True)

    assert 2 * warm[VISION].operations == cold[VISION].operations
    assert warm[DECODE] == cold[DECODE]


def test_the_floor_is_the_longer_of_bytes_and_operations():
    device = device_of("agx-orin-64")
    heavy = Cost(int8_operations=int(85e9), float_operations=0, elements=0, float_values=0, other_bytes=1)
    wide = Cost(int8_operations=1, float_operations=0, elements=0, float_values=1_024_000_000 // 2, other_bytes=0)

    found = {s.stage: s for s in floors(dict(zip(STAGES, (heavy, wide, heavy, wide, wide), strict=True)), device, None)}

    assert (found["patches"].floor_ms, found["patches"].bound) == (pytest.approx(1.0), "compute")
    assert (found[VISION].floor_ms, found[VISION].bound) == (pytest.approx(5.0), "memory")


def test_a_plan_is_one_prefill_and_the_other_passes():
    stages = tuple(StageFloor(stage, 1, 0, 0, 10.0, 0.0, 20.0, None) for stage in STAGES)
    plan = PlanFloor("m", "int8", DEVICES[0], autovla.autovla(3, PICTURE), 4, stages, stages)

    assert plan.floor_ms == 3 * 10 + 3 * 10, "patches, vision, prefill and three steps, of which the head is part"
    assert plan.expected_ms == 120


@pytest.mark.parametrize(
    ("floor_ms", "expected_ms", "measured_ms", "verdict"),
    [
        (94.0, 94.9, None, "reachable"),
        (95.1, 200.0, None, "not reachable"),
        (47.5, 96.0, None, "only above 50%"),
        (95.1, 200.0, 10.0, "not reachable"),
        (10.0, 10.0, 40.0, "not reached"),
        (10.0, 10.0, 2.0, "reachable"),
    ],
)
def test_verdicts(floor_ms, expected_ms, measured_ms, verdict):
    """Measured: each of three stages and of three steps takes as long."""
    plan = plan_of(DEVICES[0], floor_ms, expected_ms, measured_ms)

    assert plan.verdict(95.0) == verdict
    assert plan.kind == ("PROJECTION" if measured_ms is None else "measured")


def test_agx_orin_cannot_run_autovla_with_six_cameras_in_time():
    device = device_of("agx-orin-64")
    plan = PlanFloor(
        autovla.NAME,
        "int8",
        device,
        autovla.autovla(6, (1600, 900)),
        4,
        floors(costs_of(6), device, None),
        floors(costs_of(6, cold=True), device, None),
    )

    assert plan.verdict(95.0) == plan.verdict(120.0) == "not reachable"
    assert plan.cold_floor_ms > plan.floor_ms


def test_a_working_set_has_its_own_bandwidth():
    device = probe.Device("x", "x", ((100.0, 9.0), (200.0, 4.0)), 1, 1, 4, "", ())

    assert [device.bandwidth(size) for size in (100, 101, 10_000)] == [9.0, 4.0, 4.0]


def test_fewer_cameras_are_fewer_tokens(bundle):
    """The last of six cameras' text and pictures are left out; what comes before the first picture stays."""
    opened = Bundle.open(bundle)
    six, five = (sizes_of(opened, count, PICTURE) for count in (6, 5))
    last = opened.manifest.cameras[-1]
    visual = opened.pairs_per_camera * last.grid_h * last.grid_w // 4

    assert visual < six.prompt - five.prompt < visual + 12
    assert (six.kept, six.cameras, five.cameras) == (five.kept, 6, 5)


def test_the_command_writes_what_it_says(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "SPENT_S", 0.0)
    monkeypatch.setattr(timing, "LEAST_RUNS", 1)
    monkeypatch.setattr(probe, "WORKING_SETS", (1 << 20, 1 << 22))
    out = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]

    asked = ["--device", "this", "--device", "thor", "--cameras", "3,6", "--picture", "448x252"]
    assert cli.run(["roofline", str(bundle), *asked, *out]) == 0

    told = capsys.readouterr().out
    found = json.loads((tmp_path / "r.json").read_text())
    plans = {(p["model"].split()[0], p["device"], p["cameras"], p["precision"]): p for p in found["plans"]}
    mine = plans["bundle", "this", 6, "fp32"]
    assert mine["kind"] == "measured"
    assert all(stage["over_floor"] > 0 and stage["measured_ms"] > 0 for stage in mine["stages"])
    assert plans["bundle", "thor", 6, "fp32"]["kind"] == "PROJECTION"
    assert {key[2] for key in plans if key[0] == "AutoVLA-3B"} == {3, 6}
    assert all(set(plan["verdicts"]) == {"95", "120"} for plan in found["plans"])
    assert all(device["sources"] for device in found["devices"])
    assert all(assumption in " ".join(told.split()) for assumption in found["assumptions"])
    page = (tmp_path / "r.html").read_text()
    assert page.count("<svg") == 2
    assert "PROJECTION" in page
    assert not any(f'{name}="http' in page for name in ("src", "href")), "nothing is fetched"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--device", "orin"], "agx-orin-64"),
        (["--device", "thor", "--cameras", "7"], "1 to 6"),
        (["--cameras", "3;6"], "3,6"),
        (["--cameras", "0"], "3,6"),
        (["--picture", "big"], "1600x900"),
    ],
)
def test_what_cannot_be_is_one_line(bundle, options, expected, capsys):
    assert cli.run(["roofline", str(bundle), *options]) == 64

    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_no_bundle_is_one_line(tmp_path, capsys):
    assert cli.run(["roofline", str(tmp_path), "--device", "thor"]) == 1
    assert str(tmp_path) in capsys.readouterr().err
