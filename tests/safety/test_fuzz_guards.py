"""A million plans through the guards: no exception, nothing broken accepted, and nothing that an oracle calls unsafe.

The full size runs in shards of 50,000 (`slow`); a shard that was green is not run again until the code changes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import onboard_vla
from onboard_vla.safety import plan_guard
from onboard_vla.safety.ego_history import advance
from onboard_vla.safety.guards import forecast
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.plan_guard import PlanGuard
from onboard_vla.safety.struck import blamed

from .driving_range import CORE_HASH, simulation_config
from .fuzz_oracle import unsafe
from .fuzz_plans import SIGHT_M, broken_plan, mild_plan, near_limit_plan, now, random_scene

CONFIG = simulation_config()
PER_SCENE = 50
NEAR_SHARE = 0.4
SHARD, SHARDS = 50_000, 20
ROOT = Path(onboard_vla.__file__).resolve().parents[1]


TALLIED = (
    "near", "near accepted", "near refused and looked at", "and called unsafe", "broken", "broken accepted", "mild",
    "mild accepted",
)  # fmt: skip


def ready(scene):
    """Inputs that have received the scene."""
    inputs = Inputs(CONFIG)
    for message in scene.messages():
        inputs.receive(message, now())
    assert not inputs.faults
    return inputs


def fuzz(seed: int, count: int) -> dict[str, int]:
    """Judge `count` plans; fail on the first that must not have passed."""
    rng = np.random.default_rng(seed)
    tally = dict.fromkeys(TALLIED, 0)
    judged = 0
    while judged < count:
        scene = random_scene(rng)
        inputs = ready(scene)
        motion = advance(inputs.history.newest, 0.0)
        for _ in range(min(PER_SCENE, count - judged)):
            judged += 1
            kind = "near" if rng.random() < NEAR_SHARE else "broken"
            plan = (near_limit_plan if kind == "near" else broken_plan)(rng, scene, judged)
            passed = accepted(plan, inputs, motion)
            tally[kind] += 1
            if passed:
                tally[f"{kind} accepted"] += 1
                found = unsafe(plan, scene, CONFIG)
                assert not found, f"seed {seed}, plan {judged}: accepted although {', '.join(found)}: {scene}"
            elif kind == "near" and judged % 10 == 0:
                tally["near refused and looked at"] += 1
                tally["and called unsafe"] += bool(unsafe(plan, scene, CONFIG))
        if not scene.objects and not scene.signals and scene.sight == SIGHT_M and scene.left > 2.5 < scene.right:
            tally["mild"] += 1
            tally["mild accepted"] += accepted(mild_plan(scene, judged), inputs, motion)
    return tally


def accepted(plan, inputs, motion) -> bool:
    judgement = PlanGuard(CONFIG, CORE_HASH).judge(plan, inputs, motion, None, now())
    assert judgement is not None
    assert judgement.passed == (not judgement.reasons)
    return judgement.passed


def check(tally) -> None:
    """Neither always yes nor always no."""
    assert tally["near"] >= 0.3 * (tally["near"] + tally["broken"])
    assert 0.05 < tally["near accepted"] / tally["near"] < 0.8
    assert tally["and called unsafe"] > 0.6 * tally["near refused and looked at"] > 0
    assert tally["mild accepted"] >= 0.99 * tally["mild"] > 0


def test_thousands_of_plans():
    check(fuzz(1, 3_000))


GONE = {
    "check_structure": lambda *_: [],
    "check_kinematics": lambda *_: [],
    "check_consistency": lambda *_: [],
    "check_age": lambda *_: None,
    "check_drivable": lambda *_: None,
    "check_signals": lambda *_: None,
    "check_sight": lambda *_: None,
    "check_collision": lambda *_: None,
}


@pytest.mark.parametrize("guard", GONE)
def test_the_oracle_notices_a_guard_that_is_gone(guard, monkeypatch):
    """Collisions are judged twice, in the plan's own timing and in a stop: both have to go."""
    monkeypatch.setattr(plan_guard, guard, GONE[guard])
    if guard == "check_collision":
        monkeypatch.setattr(plan_guard, "check_room", lambda *_: [])
        monkeypatch.setattr(plan_guard, "check_encroachment", lambda *_: None)
        monkeypatch.setattr(plan_guard, "check_recovery", lambda *_: None)
    with pytest.raises((AssertionError, IndexError, ValueError, ArithmeticError)):
        fuzz(2, 6_000)


def test_the_oracle_notices_a_contact_that_a_graze_of_the_margin_excuses(monkeypatch):
    """Where bare contact is not judged apart, plans that turn into whoever passes closely are accepted."""
    monkeypatch.setattr(forecast, "blamed", lambda found, bare, corridor: blamed(found, never, corridor))
    with pytest.raises(AssertionError, match=r"although contact with a (vehicle|cyclist)"):
        fuzz(9, 6_000)


def never(rows):
    return np.zeros(len(rows), bool)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_million_plans(shard):
    digest = hashlib.sha256()
    for path in sorted(
        [*(ROOT / "safety").rglob("*.py"), *Path(__file__).parent.glob("*fuzz_*.py"), ROOT / "core" / "geometry.py"]
    ):
        digest.update(path.read_bytes())
    kept = ROOT / "out" / "fuzz" / f"guards-{shard}.json"
    if kept.exists() and json.loads(kept.read_text(encoding="utf-8"))["code"] == digest.hexdigest():
        pytest.skip(f"green for this code already: {kept}")
    tally = fuzz(1000 + shard, SHARD)
    check(tally)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"code": digest.hexdigest(), **tally}), encoding="utf-8")
