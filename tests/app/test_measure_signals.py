"""`onboard-vla measure signals`: samples placed before signals by lot, and what a probe makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.app.cli import run
from onboard_vla.app.measures import collect as collecting
from onboard_vla.app.measures.collect import Job, Row, rows_of
from onboard_vla.app.measures.figures import signals
from onboard_vla.app.measures.samples import truth_index
from onboard_vla.app.measures.staged import staged_before_signals
from onboard_vla.world.dataset_episode import AUXILIARY, SIGNAL_SIGHT_M
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.world import World

from .test_lockstep import PatchPictures

SEEDS = range(800_000, 800_012)


@pytest.fixture(scope="module")
def staged():
    return {seed: staged_before_signals(seed, "urban", PatchPictures()) for seed in SEEDS}


def column(staged, name):
    return np.array([sample.truth[truth_index(name)] for samples in staged.values() for sample in samples])


def test_there_is_one_sample_before_each_signal_and_lots_are_drawn_anew_for_each(staged):
    for seed, samples in staged.items():
        assert len(samples) == sum(j.signal_id is not None for j in World(seed, "urban").road.junctions)
    distances = (1.0 - column(staged, "signal_near")) * SIGNAL_SIGHT_M
    assert 3.9 < distances.min() < 12.0
    assert 40.0 < distances.max() < 50.1
    red = column(staged, "signal_red")
    assert 0.3 < red.mean() < 0.8
    speeds = np.array([sample.ego.speed_mps for samples in staged.values() for sample in samples])
    for other in (distances, speeds):
        assert abs(np.corrcoef(red, other)[0, 1]) < 0.35
    again = staged_before_signals(SEEDS[0], "urban", PatchPictures())
    assert [s.truth.tolist() for s in again] == [s.truth.tolist() for s in staged[SEEDS[0]]]


def test_pictures_are_half_a_second_of_way_apart_and_show_the_state():
    """The newest front picture has green lamps, and else none: nothing else in this world is as green."""
    shown = staged_before_signals(800_003, "urban", Renderer(default_rig()))
    assert len(shown) > 2
    for sample in shown:
        stamps = sample.frames.stamps_ns["front"]
        assert set(np.diff(stamps)) == {500_000_000}
        newest = np.asarray(sample.frames.images["front"][-1], int)[:140]
        green = (newest[..., 1] - newest[..., 0]).max() > 70
        assert green == (sample.truth[truth_index("signal_red")] < 0.5)


def rows(reads, seed=3):
    """Samples of 12 worlds whose features are noise and, if the tower reads signals, their state."""
    rng, found = np.random.default_rng(seed), []
    for world in np.repeat(np.arange(12), 10):
        truth = np.zeros(len(AUXILIARY), np.float32)
        red = rng.random() < 0.5
        truth[truth_index("signal_red")], truth[truth_index("signal_near")] = red, rng.uniform(0.2, 0.9)
        features = rng.normal(size=6).astype(np.float32)
        features[2] += 4.0 * red * reads
        found.append(Row(int(world), rng.uniform(0, 12), "keep forward", False, truth, "", {}, features, 0.0))
    return found


def test_a_tower_that_reads_signals_is_told_from_one_that_does_not():
    found = {figure.name: figure.estimate for figure in signals(rows(reads=True))}
    assert found["AUROC, signal not green, from the front pictures' features"].value > 0.95
    close = found["AUROC, the same within 25 m, from the front pictures' features"]
    assert close.value > 0.9
    assert 20 < close.n < 90
    assert abs(found["AUROC, signal not green, from speed and command alone"].value - 0.5) < 0.2
    (blind, *_) = signals(rows(reads=False))
    assert abs(blind.estimate.value - 0.5) < 0.2


def test_rows_are_the_staged_samples_and_a_road_without_signals_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(collecting, "renderer", PatchPictures)
    monkeypatch.setattr(collecting, "_planner", lambda path: None)
    monkeypatch.setattr(collecting, "front_tokens", lambda planner, sample: np.zeros(4, np.float32))
    found = rows_of(Job(800_003, "urban", 20.0, (), tmp_path, None, None, True, True))
    expected = staged_before_signals(800_003, "urban", PatchPictures())
    assert [row.truth.tolist() for row in found] == [sample.truth.tolist() for sample in expected]
    assert all(row.features is not None for row in found)

    class Prepared:
        path = tmp_path

    monkeypatch.setattr("onboard_vla.app.measure.prepare_with_progress", lambda *_, **__: Prepared())
    monkeypatch.setattr("onboard_vla.app.measure.require_cameras", lambda *_: None)
    assert run(["measure", "signals", "--worlds", "2", "--workers", "1", "--out", str(tmp_path)]) == 1
    assert "quiet_road has no signals: --profile urban has" in capsys.readouterr().err
