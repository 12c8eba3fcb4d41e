"""`onboard-vla evaluate` with planners that need no model: same files, same figures, kept results, and errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onboard_vla.app import evaluate
from onboard_vla.app.cli import run
from onboard_vla.app.evaluation import episode
from onboard_vla.app.evaluation.closed_loop_score import score_windows
from onboard_vla.app.evaluation.episode import Job, run_job
from onboard_vla.app.evaluation.open_loop import plan_along
from onboard_vla.app.evaluation.rollout import rolled_out
from onboard_vla.app.evaluation.trace import Trace, instant_of
from onboard_vla.app.evaluation.variant import Variant, with_ablation
from onboard_vla.core.cameras import FRONT, FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.geometry import compose, inverse
from onboard_vla.core.plan import FAST, PassCount, Plan, Uncertainty
from onboard_vla.world.expert import Expert
from onboard_vla.world.looks import require_look
from onboard_vla.world.unsupervised import unsupervised_trajectory
from onboard_vla.world.world import World

from .test_lockstep import PatchPictures


@pytest.fixture
def painted(monkeypatch):
    """Pictures that take no time."""
    monkeypatch.setattr(episode, "renderer", PatchPictures)


def job(planner="expert", seed=3, seconds=8.3, **changes):
    variant = Variant(sensor="perfect", planner=planner, **changes)
    return Job(variant, seed, seconds, "quiet_road", 100.0, False, False, "")


def test_the_expert_as_planner_scores_well_and_its_windows_follow_one_another(painted):
    found = run_job(job(), None)
    assert [w["start_s"] for w in found["windows"]] == [0.0, 4.0]
    for window in found["windows"]:
        assert (window["own"]["nc"], window["own"]["dac"], window["own"]["ddc"], window["own"]["tlc"]) == (1, 1, 1, 1)
        assert window["own"]["lane_keeping"] == 1.0
        assert window["epdms"] > 0.8
    assert found["drawing"].startswith("<svg")
    # It plans one step of 20 ms after the pictures that its plans are stamped with, and from there.
    assert 0.0 < max(plan["ade_m"] for plan in found["plans"]) < 0.25


def test_the_experts_successive_plans_agree_when_nobody_changes_them(painted):
    found = run_job(job(supervised=False), None)
    assert [w["extended_comfort"] for w in found["windows"]] == [1.0, 1.0]


def test_a_look_reaches_the_closed_loop_and_the_open_one_and_has_a_name_of_its_own(monkeypatch):
    asked = []

    def renderer(look):
        asked.append(look)
        return PatchPictures(look)

    monkeypatch.setattr(episode, "renderer", renderer)
    found = run_job(job(seconds=4.3, look="fog"), None)
    assert asked == ["fog"]
    assert found["variant"] == "perfect sensors, expert, fog"
    assert with_ablation(Variant(), "night").look == "night"
    with pytest.raises(ConfigurationError, match="look 'dusk': expected one of day, fog, rain, night"):
        require_look("dusk")


def test_without_supervisor_constant_velocity_leaves_the_road_and_scores_nothing(painted):
    found = run_job(job("constant_velocity", seconds=12.3, supervised=False), None)
    assert found["figures"]["off_road"] >= 1
    assert found["figures"]["mode_shares"]["L0"] == 1.0
    off = [w for w in found["windows"] if w["own"]["dac"] == 0.0]
    assert off
    assert all(w["pdms"] == w["epdms"] == 0.0 for w in off)
    assert "off road</text>" in found["drawing"], "what went wrong is marked where it did"
    assert "off road" not in run_job(job(seconds=4.3), None)["drawing"]


def test_windows_after_a_collision_count_nothing(painted):
    """The expert drives into somebody who appears 6 m ahead; its own forecast, which did not know, excuses nothing."""
    world = World(3, "quiet_road")
    expert, trace = Expert(world), Trace(engaged=0)
    ahead = world.traffic.moving[0]
    for tenth in range(82):
        trace.instants.append(instant_of(world, expert, None))
        for _ in range(5):
            world.step(expert.control())
        if tenth == 20:  # put somebody onto the vehicle's way
            ahead.s_m, ahead.d_m, ahead.speed_mps, ahead.behaviour = world.ego_s_m + 6.0, 0.0, 0.0, None
            ahead.place(world.road)
    first, second = score_windows(trace, world)
    assert (first.own.nc, first.epdms) == (0.0, 0.0)
    assert second.after_collision
    assert (second.pdms, second.epdms) == (0.0, 0.0)


def test_a_rolled_out_plan_is_driven_with_the_vehicles_lag():
    ego = EgoState(0, 5.0, -3.0, 0.4, 10.0, 0.0, 0.0)
    fine = np.stack([np.arange(1, 51) * 1.0, np.zeros(50), np.zeros(50)], axis=1)
    motion = rolled_out(unsupervised_trajectory(fine, ego), ego)
    assert len(motion) == 41
    expected = np.array([5.0, -3.0]) + 40.0 * np.array([np.cos(0.4), np.sin(0.4)])
    assert motion.poses[-1, :2] == pytest.approx(expected, abs=0.3)
    stop = np.zeros((50, 3))
    braked = rolled_out(unsupervised_trajectory(stop, ego), ego)
    assert braked.speed_mps[1] > 8.5, "a vehicle does not stop within 0.1 s"
    assert braked.speed_mps[-1] < 1.0


class Echo:
    """A planner that plans what it is told and remembers what it saw."""

    def __init__(self, fine):
        self.fine, self.seen = fine, []

    def plan(self, frames: FrameSet, ego, command, plan_id, *, depth):
        self.seen.append(frames)
        fine = self.fine(ego).astype(np.float32)
        return Plan(
            plan_id, frames.stamp_ns, frames.stamp_ns, 0.5, fine[4::5], fine, (0,) * 10, depth, 0.2, "",
            Uncertainty.sure(10, 0.1), PassCount(0, 1, 0), {"total": 0.0}, "",
        )  # fmt: skip


def test_plans_of_the_expert_along_its_own_drive_have_hardly_any_error():
    world, expert = World(3, "quiet_road"), None
    expert = Expert(world)
    planner = Echo(lambda ego: np.asarray(expert.plan().fine, np.float64))
    scores = plan_along(world, planner, PatchPictures(), 4.0, (FAST,))
    assert [score.time_s for score in scores] == [2.0, 3.0, 4.0, 5.0]
    assert all(score.displacement.ade_m < 1.5 and not score.hit_5s for score in scores)
    assert np.mean([score.displacement.l2_1s_m for score in scores]) < 0.1
    assert all(score.epdms > 0.8 for score in scores)
    spacing = {np.diff(frames.stamps_ns[FRONT]).tolist().__repr__() for frames in planner.seen}
    assert spacing == {"[500000000, 500000000, 500000000]"}


def test_a_plan_straight_through_the_vehicle_ahead_is_a_hit_and_standing_still_is_not_the_experts_action():
    world = World(3, "quiet_road")
    ahead = world.traffic.moving[0]
    ahead.s_m, ahead.d_m, ahead.behaviour, ahead.speed_mps = world.ego_s_m + 80.0, 0.0, None, 0.0
    ahead.place(world.road)

    def along_the_road_at_20_mps(ego):
        here = np.array([ego.x_m, ego.y_m, ego.heading_rad])
        poses = np.array([world.road.pose_at(world.ego_s_m + 2.0 * k) for k in range(1, 51)])
        return compose(inverse(here), poses)

    (score,) = plan_along(world, Echo(along_the_road_at_20_mps), PatchPictures(), 1.0, (FAST,))
    assert score.hit_5s
    assert not score.hit_1s
    still = Echo(lambda ego: np.zeros((50, 3)))
    (score,) = plan_along(World(3, "quiet_road"), still, PatchPictures(), 1.0, (FAST,))
    assert not score.longitudinal
    assert score.displacement.fde_m > 10.0


def test_pictures_that_the_planner_is_not_to_see_are_grey():
    planner = Echo(lambda ego: np.zeros((50, 3)))
    plan_along(World(3, "quiet_road"), planner, PatchPictures(), 1.0, (FAST,), seen=(FRONT,))
    (frames,) = planner.seen
    assert np.ptp(frames.images[FRONT][0]) > 0
    assert all(np.ptp(image) == 0 for role, images in frames.images.items() if role != FRONT for image in images)


@pytest.fixture
def command(painted, tmp_path):
    def command(*more):
        arguments = ["evaluate", "--planner", "expert", "--worlds", "1", "--seconds", "4.3", "--workers", "1"]
        files = ["--out", str(tmp_path), "--json", str(tmp_path / "e.json"), "--resume", str(tmp_path / "kept")]
        assert run([*arguments, *files, *more]) == 0
        return json.loads((tmp_path / "e.json").read_text(encoding="utf-8"))

    return command


def test_command_writes_json_that_fits_its_schema_and_a_page_and_goes_on_from_kept_results(
    command, tmp_path, capsys, monkeypatch
):
    first = command()
    assert first["format"] == evaluate.EVALUATION_FORMAT
    assert [e["seed"] for e in first["episodes"]] == [100]
    assert first["summaries"][0]["sensor"] == "modelled"
    assert first["episodes"][0]["windows"][0]["own"]["contact_s"] is None
    assert "PDMS" in capsys.readouterr().out
    page = (tmp_path / "evaluation.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 1

    def refuse(*_):
        raise AssertionError("a kept result was made again")

    monkeypatch.setattr("onboard_vla.app.evaluation.work.run_job", refuse)
    assert command()["summaries"] == first["summaries"]


def test_both_sensor_kinds_and_an_ablation_stand_side_by_side(command):
    found = command("--sensor", "both", "--ablation", "supervisor")
    names = [summary["name"] for summary in found["summaries"]]
    assert names == ["perfect sensors, expert", "modelled sensors, expert", "perfect sensors, expert, unaided"]
    assert len(found["episodes"]) == 3


def test_a_damaged_kept_result_is_named(command, tmp_path, capsys):
    command()
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_text("{", encoding="utf-8")
    files = ["--out", str(tmp_path), "--resume", str(tmp_path / "kept")]
    wanted = ["evaluate", "--planner", "expert", "--worlds", "1", "--seconds", "4.3", "--workers", "1"]
    assert run([*wanted, *files]) == 1
    assert f"{kept}: not an episode's result" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ablation", "weather"], "expected one of depth"),
        (["--depth", "deep"], "fast, slow, model"),
        (["--seeds", "4,5,4"], "seed 4 stands there twice"),
        (["--bundle", "a", "--checkpoint", "b"], "expected one of them"),
        (["--planner", "expert", "--checkpoint", "b"], "--checkpoint: the planner 'expert' has no model"),
        (["--bundle", "nowhere"], "nowhere is no bundle"),
    ],
)
def test_wrong_wish_is_answered_in_one_line(arguments, words, capsys, tmp_path):
    assert run(["evaluate", *arguments, "--out", str(tmp_path)]) == (1 if "nowhere" in arguments else 64)
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--json", "--html", "--resume", "--out"])
def test_a_place_that_cannot_be_written_is_named_before_any_world_is_driven(option, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(evaluate, "run_jobs", lambda *_: pytest.fail("worlds were driven"))
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "result"
    asked = ["evaluate", "--planner", "expert", "--out", str(tmp_path / "out"), option, str(place)]
    assert run(asked) == 1
    assert f"{option} {place}" in capsys.readouterr().err
