"""Verdicts from recorded streams: every outcome from a stream that was planted by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest

from onboard_vla.app.campaign.episode import Harm, Published, Stream
from onboard_vla.app.campaign.fault_case import DANGEROUS, NUISANCE, REACH, REFUSE, STAY, FaultCase
from onboard_vla.app.campaign.outcome import judge, rear_end_hits
from onboard_vla.app.campaign.tamper import Tamper
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.world.violations import COLLISION, OFF_ROAD

MS = 1_000_000
EFFECT_NS = 5_000 * MS
CASE = FaultCase("F3", "black", DANGEROUS, Tamper(), REACH, Mode.FALLBACK, 150.0, ("BLACK",), "camera guard")
DROVE_INTO = Harm(EFFECT_NS + 900 * MS, COLLISION, True, "drove into a lead at 4.0 m/s")


def stream(
    *changes: tuple[int, int, tuple[str, ...]], harms: tuple[Harm, ...] = (), last_ms: int = 3000, camera: str = ""
) -> Stream:
    """50 Hz from one second before the effect on; changes are (ms after the effect, mode, codes), about one camera."""
    published = []
    for at in range(-1000, last_ms + 1, 20):
        mode, codes = 0, ()
        for since, new_mode, new_codes in changes:
            if at >= since:
                mode, codes = new_mode, new_codes
        published.append(
            Published(EFFECT_NS + at * MS, mode, "engaged", "model", 7, True, codes, (camera,) * len(codes))
        )
    return Stream(published, list(harms), EFFECT_NS + 3000 * MS)


def test_reaction_within_the_limit_is_handled_and_its_times_are_those_of_the_stream():
    verdict = judge(CASE, stream((60, 0, ("BLACK",)), (100, 2, ("BLACK",))), EFFECT_NS)
    assert verdict.outcome == "handled"
    assert (verdict.detection_ms, verdict.handling_ms, verdict.reaction_ms) == (60.0, 100.0, 40.0)


@pytest.mark.parametrize(("at_ms", "outcome"), [(140, "handled"), (160, "late")])
def test_limit_divides_handled_from_late(at_ms, outcome):
    assert judge(CASE, stream((at_ms, 2, ())), EFFECT_NS).outcome == outcome


def test_no_reaction_without_harm_is_late_and_never():
    verdict = judge(CASE, stream((100, 1, ())), EFFECT_NS)
    assert (verdict.outcome, verdict.handling_ms) == ("late", None)


def test_harm_before_any_reaction_is_silent_unsafe():
    late = stream((1200, 4, ()), harms=(DROVE_INTO,))
    assert judge(CASE, late, EFFECT_NS).outcome == "silent unsafe"
    assert judge(CASE, stream(harms=(DROVE_INTO,)), EFFECT_NS).outcome == "silent unsafe"


def test_harm_after_a_reaction_is_unsafe_even_if_that_was_in_time():
    verdict = judge(CASE, stream((100, 2, ()), harms=(DROVE_INTO,)), EFFECT_NS)
    assert verdict.outcome == "unsafe"
    assert "drove into" in verdict.harm


def test_harm_before_the_fault_or_by_others_does_not_count():
    before = dataclasses.replace(DROVE_INTO, time_ns=EFFECT_NS - 1)
    hit = Harm(EFFECT_NS + 900 * MS, COLLISION, False, "hit from behind by a car")
    verdict = judge(CASE, stream((100, 2, ()), harms=(before, hit)), EFFECT_NS)
    assert verdict.outcome == "handled"
    assert rear_end_hits([before, hit]) == 1


def test_number_that_is_not_finite_or_an_exception_is_a_crash():
    broken = stream((100, 2, ()))
    broken.published[80] = dataclasses.replace(broken.published[80], finite=False)
    assert judge(CASE, broken, EFFECT_NS).outcome == "crash"
    raised = stream((100, 2, ()))
    raised.error = "RuntimeError: out of the process"
    assert judge(CASE, raised, EFFECT_NS).outcome == "crash"


@pytest.mark.parametrize(("silent_ms", "outcome"), [(180, "handled"), (240, "hang")])
def test_silence_longer_than_the_gate_waits_is_a_hang(silent_ms, outcome):
    quiet = stream((100, 2, ()))
    begin, end = EFFECT_NS + 500 * MS, EFFECT_NS + (500 + silent_ms) * MS
    quiet.published = [p for p in quiet.published if not begin < p.received_ns < end]
    assert judge(CASE, quiet, EFFECT_NS).outcome == outcome


def test_stream_that_ends_early_is_a_hang():
    assert judge(CASE, stream((100, 2, ()), last_ms=1500), EFFECT_NS).outcome == "hang"


def test_nuisance_may_not_make_the_system_do_more_than_allowed():
    nuisance = dataclasses.replace(CASE, danger=NUISANCE, asks=STAY, mode=Mode.REDUCED)
    assert judge(nuisance, stream((100, 1, ())), EFFECT_NS).outcome == "masked"
    assert judge(nuisance, stream((100, 2, ())), EFFECT_NS).outcome == "false alarm"
    assert judge(nuisance, stream((100, 1, ()), (900, 0, ())), EFFECT_NS).outcome == "masked"
    flapping = stream((100, 1, ()), (900, 0, ()), (1500, 1, ()))
    assert judge(nuisance, flapping, EFFECT_NS).outcome == "false alarm"


def test_spoiled_plan_that_drives_is_masked_only_without_harm():
    refuse = dataclasses.replace(CASE, asks=REFUSE)
    assert judge(refuse, stream(), EFFECT_NS, frozenset({8})).outcome == "handled"
    driven = judge(refuse, stream(), EFFECT_NS, frozenset({7}))
    assert (driven.outcome, driven.spoiled_driven) == ("masked", 1)
    harmed = stream(harms=(Harm(EFFECT_NS + 1, OFF_ROAD, True, "a corner outside"),))
    assert judge(refuse, harmed, EFFECT_NS, frozenset({7})).outcome == "silent unsafe"


def test_plan_that_has_to_be_refused_outright_may_not_drive_however_harmlessly():
    outright = dataclasses.replace(CASE, asks=REFUSE, outright=True)
    assert judge(outright, stream(), EFFECT_NS, frozenset({8})).outcome == "handled"
    driven = judge(outright, stream(), EFFECT_NS, frozenset({7}))
    assert (driven.outcome, driven.spoiled_driven) == ("driven", 1)
    harmed = stream(harms=(Harm(EFFECT_NS + 1, OFF_ROAD, True, "a corner outside"),))
    assert judge(outright, harmed, EFFECT_NS, frozenset({7})).outcome == "silent unsafe"
    in_time = dataclasses.replace(outright, asks=REACH)
    assert judge(in_time, stream((100, 2, ("BLACK",))), EFFECT_NS, frozenset({7})).outcome == "driven"


def test_fault_without_effect_changes_nothing():
    verdict = judge(CASE, stream(), None)
    assert verdict.outcome == "masked"
    assert not math.isnan(verdict.highest)


def test_the_camera_that_is_at_fault_must_be_named_and_no_other():
    of_camera = dataclasses.replace(CASE, camera="back_left")
    named = stream((60, 0, ("BLACK",)), (100, 2, ("BLACK",)), camera="back_left")
    verdict = judge(of_camera, named, EFFECT_NS)
    assert (verdict.outcome, verdict.detection_ms) == ("handled", 60.0)

    other = stream((60, 0, ("BLACK",)), (100, 2, ("BLACK",)), camera="back_right")
    assert (judge(of_camera, other, EFFECT_NS).outcome, judge(of_camera, other, EFFECT_NS).detection_ms) == (
        "misnamed",
        None,
    )
    assert judge(of_camera, stream((100, 2, ("LANES_SILENT",)), camera="back_left"), EFFECT_NS).outcome == "misnamed"

    both = stream((60, 2, ("BLACK", "BLACK")), camera="back_left")
    both.published[80] = dataclasses.replace(both.published[80], cameras=("back_left", "back"))
    assert judge(of_camera, both, EFFECT_NS).outcome == "misnamed"


def test_a_masked_fault_may_name_nobody_but_no_other_camera():
    stays = dataclasses.replace(CASE, camera="back_left", danger=NUISANCE, asks=STAY, mode=Mode.REDUCED)
    for camera, outcome in (("back_left", "masked"), ("back", "misnamed")):
        assert judge(stays, stream((60, 1, ("BLACK",)), camera=camera), EFFECT_NS).outcome == outcome
    assert judge(stays, stream((60, 1, ())), EFFECT_NS).outcome == "masked"
    assert judge(stays, stream((60, 2, ("BLACK",)), camera="back"), EFFECT_NS).outcome == "false alarm"


@pytest.mark.parametrize("asks", [STAY, REFUSE])
def test_a_masked_fault_may_not_swerve_either(asks):
    steady = dataclasses.replace(CASE, steering_rad=0.02, asks=asks)
    moved = stream()
    moved.steering += [(EFFECT_NS + 200 * MS, 0.03)]
    assert judge(steady, moved, EFFECT_NS, frozenset({7})).outcome == "swerved"
    moved.steering[-1] = (EFFECT_NS + 200 * MS, 0.02)
    assert judge(steady, moved, EFFECT_NS, frozenset({7})).outcome == "masked"


@pytest.mark.parametrize(("rad", "outcome"), [(0.02, "handled"), (0.0201, "swerved")])
def test_one_trajectory_may_move_the_steering_so_much(rad, outcome):
    steady = dataclasses.replace(CASE, steering_rad=0.02)
    moved = stream((100, 2, ("BLACK",)))
    moved.steering += [(EFFECT_NS - MS, 0.5), (EFFECT_NS + 200 * MS, rad)]
    assert judge(steady, moved, EFFECT_NS).outcome == outcome
    assert judge(CASE, moved, EFFECT_NS).outcome == "handled"
