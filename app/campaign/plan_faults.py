"""F6 to F15, F24 and F27: what can come out of a planner, or fail to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from onboard_vla.app.campaign import changes as to
from onboard_vla.app.campaign import plan_changes as plan
from onboard_vla.app.campaign.fault_case import ADVISORY, DANGEROUS, NUISANCE, REACH, REFUSE, STAY, FaultCase
from onboard_vla.app.campaign.tamper import TO_SUPERVISOR, Change, Memory, Tamper
from onboard_vla.core.clock import Now
from onboard_vla.core.plan import Heartbeat, Plan
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.wire import Message

MS = to.MILLISECOND_NS
TICK_MS, CYCLE_MS = 20.0, 200.0
"""The supervisor's period and the planner's."""
SILENT_MS = 170.0
"""150 ms after a missed heartbeat, and a tick."""
STUCK_MS = 1100.0
"""Own choice: an engine that finishes nothing for a second beside a live heartbeat."""
A_MAX_MS = 1520.0
"""Oldest plan that may drive at any speed, and a tick."""
STRUCTURE, DOUBT, ALL_GUARDS = "structure guard", "uncertainty monitor", "plan guards, hazard gate"


def _refused(
    fault: str, variant: str, change: Change, danger: str, *names: str, provider: str, note: str = ""
) -> FaultCase:
    """A plan that the guards know for a bad one is refused outright, and they say why; else it may drive harmlessly."""
    tamper = Tamper(where=TO_SUPERVISOR, chosen=to.kind(Plan), change=change)
    return FaultCase(
        fault,
        variant,
        danger,
        tamper,
        REFUSE,
        Mode.FALLBACK,
        2 * CYCLE_MS,
        names,
        provider,
        note=note,
        outright=bool(names),
    )


def _reached(
    fault: str,
    variant: str,
    change: Change,
    danger: str,
    limit_ms: float,
    *names: str,
    provider: str,
    mode: Mode = Mode.FALLBACK,
    note: str = "",
) -> FaultCase:
    tamper = Tamper(where=TO_SUPERVISOR, chosen=lambda message: True, change=change)
    return FaultCase(fault, variant, danger, tamper, REACH, mode, limit_ms, names, provider, note=note)


def _stays(fault: str, variant: str, tamper: Tamper, provider: str, note: str = "") -> FaultCase:
    return FaultCase(fault, variant, NUISANCE, tamper, STAY, Mode.REDUCED, 0.0, (), provider, note=note)


def _both(first: Change, second: Change) -> Change:
    def change(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
        return [given for m in first(message, now, memory) for given in second(m, now, memory)]

    return change


def _second_planner(message: Any, now: Now, memory: Memory) -> Sequence[Message]:  # noqa: ANN401 - replaced fields
    """Beside each message of the planner, one of another process under its name, with plans of its own."""
    if isinstance(message, Heartbeat):
        return (message, dataclasses.replace(message, process_id=99))
    other: Any = plan.moved(plan.straight_ahead)(message, now, memory)[0]
    return (message, dataclasses.replace(other, plan_id=other.plan_id + 1_000_000, stamp_ns=other.stamp_ns + 1))


_BLIND = plan.moved(plan.straight_ahead)

PLAN_FAULTS: tuple[FaultCase, ...] = (
    *(
        _refused(
            "F6",
            f"{value} in the plan's {name}",
            plan.not_finite(name, value),
            ADVISORY,
            "PLAN_NOT_FINITE",
            provider=STRUCTURE,
        )
        for name in ("poses", "fine_poses", "spread_m", "outside_mass", "chosen_mass")
        for value in (math.nan, math.inf)
    ),
    _refused(
        "F7",
        "all logits equal",
        _both(_BLIND, plan.doubting(spread_m=12.0, chosen_mass=0.01)),
        DANGEROUS,
        "SPREAD",
        provider=DOUBT,
        note="signals as the runtime's decoder would report them; the decoder itself is tested in tests/runtime",
    ),
    _refused(
        "F7",
        "wrong slice of the vocabulary",
        _both(_BLIND, plan.doubting(outside_mass=0.9, chosen_mass=0.05)),
        DANGEROUS,
        "OUTSIDE_MASS",
        provider=DOUBT,
        note="as above",
    ),
    *(
        _refused(
            "F8",
            f"{count} tokens",
            plan.tokens(lambda p, m, count=count: tuple(int(t) for t in m.rng.integers(0, 2048, count))),  # type: ignore[misc]
            DANGEROUS if count < 9 else ADVISORY,
            "PLAN_TOKENS",
            "PLAN_SHAPE",
            provider=STRUCTURE,
        )
        for count in (0, 1, 9, 11, 100)
    ),
    _refused(
        "F8",
        "a negative token",
        plan.tokens(lambda p, m: (-1, *p.action_tokens[1:])),
        ADVISORY,
        "PLAN_TOKENS",
        provider=STRUCTURE,
        note="ids past the codebook's end are the decoder's to refuse: the plan message holds codebook indices",
    ),
    _refused("F9", "ten of them", plan.moved(plan.random_tokens), DANGEROUS, provider=ALL_GUARDS),
    _refused("F10", "in every plan", plan.moved(plan.one_token_replaced), ADVISORY, provider=ALL_GUARDS),
    _refused("F11", "reverse, spin or slide", plan.moved(plan.infeasible_token), ADVISORY, provider="kinematics guard"),
    _reached(
        "F12",
        "1 m from side to side",
        plan.moved(plan.swinging(1.0)),
        ADVISORY,
        3 * CYCLE_MS + TICK_MS,
        "PLANS_REJECTED",
        provider="consistency guard",
    ),
    _reached(
        "F12",
        "stop and go",
        plan.moved(plan.stop_and_go),
        ADVISORY,
        3 * CYCLE_MS + TICK_MS,
        "PLANS_REJECTED",
        provider="consistency guard",
    ),
    _reached(
        "F13", "nothing comes", plan.planner_gone, DANGEROUS, SILENT_MS, "PLANNER_SILENT", provider="heartbeat watchdog"
    ),
    _reached(
        "F13",
        "heartbeats beside a dead engine",
        plan.engine_stuck,
        DANGEROUS,
        STUCK_MS,
        "PLANNER_HANGS",
        "PLAN_STALE",
        provider="progress counters",
    ),
    _reached(
        "F14",
        "gone, and back after 4 s",
        plan.planner_restarting(4000 * MS),
        DANGEROUS,
        SILENT_MS,
        "PLANNER_SILENT",
        provider="heartbeat watchdog",
    ),
    _stays(
        "F15", "latency x 2", Tamper(where=TO_SUPERVISOR, chosen=to.kind(Plan), delay_ns=100 * MS), "staleness guard"
    ),
    FaultCase(
        "F15",
        "latency x 5",
        ADVISORY,
        Tamper(where=TO_SUPERVISOR, chosen=to.kind(Plan), delay_ns=400 * MS),
        STAY,
        Mode.FALLBACK,
        0.0,
        (),
        "staleness guard",
        note="plans 0.5 s old are within A_max at these speeds; L2 is allowed, not asked for",
    ),
    FaultCase(
        "F15",
        "plans 2.5 s late",
        DANGEROUS,
        Tamper(where=TO_SUPERVISOR, chosen=to.kind(Plan), delay_ns=2500 * MS),
        REACH,
        Mode.FALLBACK,
        A_MAX_MS,
        ("PLAN_STALE", "PLAN_UNPLACED"),
        "staleness guard: A_max(v)",
    ),
    _stays(
        "F24",
        "every plan twice",
        Tamper(where=TO_SUPERVISOR, chosen=to.kind(Plan), change=to.repeated(2)),
        "plan order",
    ),
    FaultCase(
        "F24",
        "an old plan again and again",
        DANGEROUS,
        Tamper(where=TO_SUPERVISOR, chosen=to.kind(Plan), change=to.replayed),
        REACH,
        Mode.FALLBACK,
        A_MAX_MS,
        ("PLAN_STALE",),
        "plan order, staleness guard",
    ),
    FaultCase(
        "F24",
        "a second planner under the same name",
        DANGEROUS,
        Tamper(where=TO_SUPERVISOR, chosen=to.kind(Plan, Heartbeat), change=_second_planner),
        REACH,
        Mode.IN_LANE_STOP,
        200.0,
        ("DUPLICATE_AUTHORITY",),
        "process ids in heartbeats",
    ),
    _stays(
        "F27",
        "one plan",
        Tamper(where=TO_SUPERVISOR, chosen=to.kind(Plan), change=plan.doubting_in((True, False), spread_m=3.0)),
        DOUBT,
    ),
    _reached(
        "F27",
        "two of three plans",
        plan.doubting_in((True, False, True, False), spread_m=3.0),
        ADVISORY,
        2 * CYCLE_MS + TICK_MS,
        "SPREAD",
        provider=DOUBT,
    ),
    _reached("F27", "every plan", plan.doubting(spread_m=3.0), ADVISORY, CYCLE_MS + TICK_MS, "SPREAD", provider=DOUBT),
)
