"""`onboard-vla measure`: figures from made-up rows, probes that cannot cheat, conditions, samples of a real world."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from onboard_vla.app import measure
from onboard_vla.app.cli import run
from onboard_vla.app.measures import collect as collecting
from onboard_vla.app.measures.collect import Job, Planned, Row, rows_of, straight_on
from onboard_vla.app.measures.conditions import (
    BLACK,
    BLIND,
    BLUR,
    CHANGES,
    CONDITIONS,
    HELD_OUT,
    NOISE,
    OWN,
    PHOTOS,
    SLOW,
    SWAPPED,
    photographs,
    seen_under,
)  # fmt: skip
from onboard_vla.app.measures.figures import CONDITIONS_OF, MEASURES, depth, doubt, pictures, probes, sight
from onboard_vla.app.measures.probes import held_out
from onboard_vla.app.measures.samples import samples_of
from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import FAST, PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.world.dataset_episode import AUXILIARY

from .test_lockstep import PatchPictures

TEXT = "straight road. lead vehicle at 12 m. follow: go straight, slow down."


def planned(ade, spread=0.1, slow=0.2, text="", vision_ood=0.5):
    return Planned(ade, ade / 2, spread, 1.0, slow, text, vision_ood)


def row(world, plans, truth=None, demanding=False, features=None, speed=8.0):
    truth = np.zeros(len(AUXILIARY), np.float32) if truth is None else truth
    return Row(world, speed, "keep forward", demanding, truth, TEXT, plans, features, 3.0)


def named(figures):
    return {figure.name: figure.estimate for figure in figures}


def test_sight_compares_wrong_pictures_and_the_blind_control_with_the_same_samples():
    rows = [row(w, {OWN: planned(1.0), SWAPPED: planned(4.0), BLIND: planned(2.0)}) for w in (1, 1, 2, 3)]
    found = named(sight(rows))
    assert found["ratio, another world's pictures over own"].value == 4.0
    assert found["gain over the blind control, share of its ADE"].value == 0.5
    assert found["ADE 5 s, constant velocity (m)"].value == 3.0
    # A sample whose plan was rejected under one of two conditions counts for neither side of their comparison.
    rows.append(row(4, {OWN: planned(100.0)}))
    assert named(sight(rows))["ratio, another world's pictures over own"].value == 4.0
    assert "gain over the blind control, share of its ADE" not in named(sight([row(1, {OWN: planned(1.0)})]))


def test_doubt_stands_beside_the_blind_controls():
    rows = [row(w, {OWN: planned(k, spread=k), BLIND: planned(k, spread=-k)}) for w in (1, 2) for k in range(10)]
    found = named(doubt(rows))
    assert found["AUROC, worst 10 %, spread in metres, model"].value == 1.0
    assert found["AUROC, worst 10 %, spread in metres, blind control"].value == 0.0
    assert found["AUROC, worst 10 %, negative log-likelihood, model"].value == 0.5


def test_pictures_from_outside_are_told_apart_and_rejections_counted():
    rows = [row(w, {OWN: planned(1.0, spread=0.1), BLACK: planned(9.0, 0.5, vision_ood=0.4)}) for w in range(4)]
    rows += [row(w, {OWN: planned(1.0, spread=0.1)}) for w in range(4)]
    found = named(pictures(rows))
    assert found["AUROC of the spread, black against own"].value == 1.0
    assert found["AUROC of vision's distance, black against own"].value == 0.0
    assert found["share without a valid plan, black"].value == 0.5
    assert found["share without a valid plan, own pictures"].value == 0.0
    assert "spread, noise (m)" not in found


def test_depth_says_where_slow_helps_and_whether_the_fork_knows():
    rows = []
    for world in (1, 2, 3):
        rows += [row(world, {OWN: planned(2.0, slow=0.9), SLOW: planned(1.0, text=TEXT)}, demanding=True)] * 2
        rows += [row(world, {OWN: planned(1.0, slow=0.1), SLOW: planned(1.5, text="blah")})] * 2
    found = named(depth(rows))
    assert found["fast minus slow, all (m)"].value == pytest.approx(0.25)
    assert found["fast minus slow, demanding samples (m)"].value == 1.0
    assert found["ADE 5 s, fast, demanding samples (m)"].value == 2.0
    assert found["ADE 5 s, fast, all others (m)"].value == 1.0
    assert found["fast minus slow, where the fork picks slow (m)"].value == 1.0
    assert found["AUROC, fork's score for slow helping"].value == 1.0
    assert found["slow texts that parse"].value == 0.5
    assert found["slow texts with the expert's intent"].value == 0.5
    assert depth([row(1, {OWN: planned(1.0)})]) == []


def test_depth_says_how_often_the_experts_object_is_named_and_how_far_off_its_distance_is():
    """The expert's is at 12 m throughout; where it names none, agreeing on none is no merit."""
    said = {"right": TEXT, "far": TEXT.replace("12", "18"), "other": TEXT.replace("lead", "parked"), "none": ""}
    said = {name: planned(1.0, text=text) for name, text in said.items()}
    rows = [row(world, {OWN: planned(1.0), SLOW: said[name]}) for world in (1, 2) for name in said]
    empty = "straight road. follow: go straight, slow down."
    rows.append(dataclasses.replace(row(3, {OWN: planned(1.0), SLOW: planned(1.0, text=empty)}), reasoning=empty))
    rows.append(dataclasses.replace(rows[0], reasoning=TEXT.replace("12", "20")))
    found = named(depth(rows))
    share = found["slow texts with the expert's object, where it names one"]
    assert (share.value, share.n) == (pytest.approx(5 / 9), 9)
    # 0, 6, 0, 6 m, and 8 m in the last row.
    assert found["error of that object's distance (m)"].value == pytest.approx(20 / 5)
    assert found["error of that object's distance, were the median always said (m)"].value == pytest.approx(8 / 5)
    assert named(depth(rows[-2:-1]))["error of that object's distance (m)"] is None


def worlds_of(count, each):
    return np.repeat(np.arange(count), each)


def test_a_probe_reads_what_is_there_and_nothing_else():
    rng = np.random.default_rng(4)
    worlds = worlds_of(20, 12)
    features = rng.normal(size=(240, 300))
    value = features[:, 3] - 2 * features[:, 7]
    predicted = held_out(features, value, worlds)
    assert np.corrcoef(predicted, value)[0, 1] > 0.7
    assert abs(np.corrcoef(held_out(features, rng.normal(size=240), worlds), value)[0, 1]) < 0.3


def test_a_probe_never_sees_the_world_that_it_is_asked_about():
    """Features name the world, values are the world's own: knowing other worlds must not help."""
    rng = np.random.default_rng(6)
    worlds = worlds_of(30, 10)
    features = np.eye(30)[worlds] + 0.01 * rng.normal(size=(300, 30))
    value = rng.normal(size=30)[worlds]
    predicted = held_out(features, value, worlds)
    assert 1 - ((value - predicted) ** 2).sum() / ((value - value.mean()) ** 2).sum() < 0.1
    assert held_out(features[:50], value[:50], worlds[:50]) is None


def test_probes_stand_beside_what_the_prompt_gives_away():
    rng = np.random.default_rng(7)
    rows = []
    for world in worlds_of(12, 8):
        truth = rng.normal(size=len(AUXILIARY)).astype(np.float32)
        truth[AUXILIARY.index("signal_near")] = rng.uniform(0.1, 1.0)
        truth[AUXILIARY.index("signal_red")] = float(rng.random() < 0.5)
        truth[AUXILIARY.index("lead_nearness")] = 0.0
        features = np.concatenate([truth, rng.normal(size=5)]).astype(np.float32)
        speed = 8.0 + float(truth[AUXILIARY.index("heading_error_rad")])
        rows.append(row(int(world), {}, truth, features=features, speed=speed))
    found = named(probes(rows))
    assert found["R2, lane offset, from the front pictures' features"].value > 0.9
    assert found["R2, lane offset, from speed and command alone"].value < 0.2
    assert found["R2, heading in the lane, from speed and command alone"].value > 0.9
    assert found["AUROC, signal not green, where one is near, from the front pictures' features"].value > 0.95
    assert found["R2, gap to the vehicle ahead, from the front pictures' features"] is None


@pytest.fixture(scope="module")
def samples():
    return samples_of(800_001, "quiet_road", 4.0, PatchPictures())


def test_samples_look_back_four_pictures_half_a_second_apart(samples):
    assert [s.frames.stamp_ns for s in samples] == [1_500_000_000, 2_500_000_000, 3_500_000_000]
    for sample in samples:
        assert set(sample.frames.images) == set(CAMERAS)
        assert all(len(images) == 4 and images[0].shape == (252, 448, 3) for images in sample.frames.images.values())
        assert set(np.diff(sample.frames.stamps_ns["front"])) == {500_000_000}
    again = samples_of(800_001, "quiet_road", 4.0, PatchPictures())
    assert all((a.poses == b.poses).all() for a, b in zip(samples, again, strict=True))


def test_conditions_change_the_pictures_and_nothing_else(samples):
    sample, other = samples[0], samples[2]
    rng = np.random.default_rng(1)
    for condition in set(CHANGES) - {PHOTOS}:
        frames = seen_under(condition, sample, other, None, rng)
        assert frames.stamps_ns == sample.frames.stamps_ns
        picture = frames.images["front_left"][2]
        own = sample.frames.images["front_left"][2]
        assert picture.shape == own.shape
        assert np.array_equal(picture, own) == (condition in (OWN, SLOW))
    assert seen_under(BLACK, sample, other, None, rng).images["back"][0].max() == 0
    assert np.ptp(seen_under(BLIND, sample, other, None, rng).images["back"][0]) == 0
    noise = seen_under(NOISE, sample, other, None, rng).images["front"]
    assert not np.array_equal(noise[0], noise[1])
    assert (
        len(np.unique(seen_under(BLUR, sample, other, None, rng).images["front"][0][:8, :8].reshape(-1, 3), axis=0))
        == 1
    )
    assert seen_under(SWAPPED, sample, other, None, rng).images is not other.frames.images


def test_photographs_are_taken_by_either_name_and_a_missing_one_is_named(samples, tmp_path):
    from PIL import Image

    for number, camera in enumerate(CAMERAS):
        name = f"{camera}.jpg" if number % 2 else f"CAM_{camera.upper()}.jpg"
        Image.new("RGB", (64, 36), (number, 0, 0)).save(tmp_path / name)
    frames = seen_under(PHOTOS, samples[0], samples[1], tmp_path, np.random.default_rng(1))
    assert frames.images["front"][0].shape == (36, 64, 3)
    (tmp_path / "CAM_FRONT.jpg").unlink()
    with pytest.raises(ConfigurationError, match=r"front\.jpg or CAM_FRONT\.jpg"):
        photographs(tmp_path)
    with pytest.raises(ConfigurationError, match="--photos"):
        photographs(None)


class StraightOn:
    """Plans constant velocity; refuses black pictures."""

    def plan(self, frames, ego, command, plan_id, *, depth):
        if not frames.images["front"][0].any():
            return PlanRejection(plan_id, frames.stamp_ns, "off", "")
        poses = np.zeros((10, 3), np.float32)
        poses[:, :2] = straight_on(ego.speed_mps, 10)
        return Plan(
            plan_id, frames.stamp_ns, frames.stamp_ns, 0.5, poses, np.zeros((50, 3), np.float32), (0,) * 10, depth,
            0.25, TEXT if depth != FAST else "", Uncertainty.sure(10, 0.3), PassCount(0, 1, 0), {"total": 0.0}, "",
        )  # fmt: skip


class LookPictures(PatchPictures):
    """Pictures of one brightness under every look but the day's."""

    def render(self, world):
        pictures = super().render(world)
        return pictures if self.look == "day" else {c: np.full_like(p, 9) for c, p in pictures.items()}


@pytest.fixture
def painted(monkeypatch):
    monkeypatch.setattr(collecting, "renderer", LookPictures)
    monkeypatch.setattr(collecting, "_planner", lambda path: StraightOn())


def test_rows_hold_each_condition_and_leave_rejections_out(painted, tmp_path):
    job = Job(800_001, "quiet_road", 3.0, (OWN, SLOW, BLACK), tmp_path, None, None, False)
    rows = rows_of(job)
    assert len(rows) == 2
    for found in rows:
        assert set(found.plans) == {OWN, SLOW}
        assert found.plans[OWN].ade_m == pytest.approx(found.constant_velocity_m, abs=1e-3)
        assert found.plans[SLOW].text == TEXT
        assert found.plans[OWN].slow_probability == 0.25


def test_a_held_out_look_is_the_same_moment_in_other_pictures(painted, tmp_path, monkeypatch):
    seen = []

    class Looks(StraightOn):
        def plan(self, frames, ego, *args, **kwargs):
            seen.append((frames.stamp_ns, ego, frames.images["front"][0]))
            return super().plan(frames, ego, *args, **kwargs)

    monkeypatch.setattr(collecting, "_planner", lambda path: Looks())
    rows = rows_of(Job(800_001, "quiet_road", 3.0, (OWN, *HELD_OUT), tmp_path, None, None, False))
    assert all(set(found.plans) == {OWN, *HELD_OUT} for found in rows)
    own, *others = seen[:4]
    for stamp_ns, ego, picture in others:
        assert (stamp_ns, ego) == own[:2]
        assert (picture == 9).all()


def test_every_measure_has_its_conditions():
    assert set(MEASURES) == set(CONDITIONS_OF)
    assert {c for conditions in CONDITIONS_OF.values() for c in conditions} == set(CONDITIONS)


def test_command_prints_and_writes_the_figures(painted, tmp_path, monkeypatch, capsys):
    class Prepared:
        path = tmp_path

        def summary(self):
            return {"core hash": "ab"}

    monkeypatch.setattr(measure, "prepare_with_progress", lambda *_, **__: Prepared())
    monkeypatch.setattr(measure, "require_cameras", lambda *_: None)
    arguments = [
        "measure",
        "depth",
        "doubt",
        "--worlds",
        "2",
        "--seconds",
        "3",
        "--workers",
        "1",
        "--out",
        str(tmp_path),
    ]
    assert run([*arguments, "--json", str(tmp_path / "m.json")]) == 0
    found = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert found["provenance"]["run"]["seeds"] == [800_000, 800_001]
    by_name = {figure["name"]: figure["estimate"] for figure in found["measures"]["depth"]}
    assert by_name["fast minus slow, all (m)"]["value"] == 0.0
    assert by_name["slow texts that parse"]["value"] == 1.0
    assert found["measures"]["doubt"][0]["name"] == "AUROC, worst 10 %, spread in metres, model"
    printed = capsys.readouterr().out
    assert re.search(r"depth: \d samples of 2 unseen worlds", printed)
    assert re.search(r"doubt: \d samples of 2 unseen worlds", printed)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["luck"], "sight, probes, signals, doubt, pictures, depth"),
        (["signals", "sight"], "ask it alone"),
        (["sight", "--precision", "int4"], "int8, fp32"),
        (["sight", "--profile", "moon"], "quiet_road"),
        (["pictures", "--photos", "nowhere"], "found neither"),
    ],
)
def test_wrong_wish_is_answered_in_one_line(arguments, words, capsys, tmp_path):
    assert run(["measure", *arguments, "--out", str(tmp_path)]) == (1 if "nowhere" in arguments else 64)
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
