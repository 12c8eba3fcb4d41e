"""F6 (vehicle, objects, lanes) and F16 to F20, F22, F23: the supervisor's own inputs, its clock and itself."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onboard_vla.app.campaign import changes as to
from onboard_vla.app.campaign.fault_case import ADVISORY, NUISANCE, REACH, STAY, FaultCase
from onboard_vla.app.campaign.tamper import Change, Memory, Tamper
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.wire import Message
from onboard_vla.world.world import LANE_BEHIND_M

MS = to.MILLISECOND_NS
TICK_MS = 20.0
INPUTS, FRESHNESS, OUTER = "input guards", "freshness guard", "outer guard of the tick"
L2, L3, L4 = Mode.FALLBACK, Mode.IN_LANE_STOP, Mode.EMERGENCY_STOP
STUCK_WRONG_MPS = 0.5
FRAMES_APART_M = 500.0
STEERING_RAD = 0.02
"""F20, a published trajectory against the one before: steering stays on the path, and never snaps to straight on."""
EGO_FIELDS = ("x_m", "y_m", "heading_rad", "speed_mps", "acceleration_mps2", "yaw_rate_rps")


def _input(
    fault: str,
    variant: str,
    kind: type,
    change: Change,
    mode: Mode,
    limit_ms: float,
    *names: str,
    danger: str = ADVISORY,
    asks: str = REACH,
    provider: str = INPUTS,
    lasting: Mode | None = None,
    note: str = "",
    steering_rad: float = math.inf,
    alike: bool = False,
) -> FaultCase:
    return FaultCase(
        fault,
        variant,
        danger,
        Tamper(chosen=to.kind(kind), change=change),
        asks,
        mode,
        limit_ms,
        names,
        provider,
        lasting=lasting,
        note=note,
        steering_rad=steering_rad,
        alike=alike,
    )


def _with_object(**values: float) -> Change:
    def change(message: ObjectList, now: Now, memory: Memory) -> Sequence[Message]:
        if not message.objects:
            return (message,)
        k = int(memory.rng.integers(len(message.objects)))
        spoiled = dataclasses.replace(message.objects[k], **values)  # type: ignore[arg-type]
        return (dataclasses.replace(message, objects=(*message.objects[:k], spoiled, *message.objects[k + 1 :])),)

    return change


def _shuffled(message: ObjectList, now: Now, memory: Memory) -> Sequence[Message]:
    ids = memory.rng.permutation(len(message.objects)) + 500
    objects = tuple(dataclasses.replace(o, track_id=int(k)) for o, k in zip(message.objects, ids, strict=True))
    return (dataclasses.replace(message, objects=objects),)


def _array(name: str, spoil: Callable[[Any, Memory], None]) -> Change:
    def change(message: Any, now: Now, memory: Memory) -> Sequence[Message]:  # noqa: ANN401 - any dataclass message
        array = getattr(message, name).copy()
        spoil(array, memory)
        return (dataclasses.replace(message, **{name: array}),)

    return change


def _nan_somewhere(array: Any, memory: Memory) -> None:  # noqa: ANN401 - an array of any shape
    array.flat[int(memory.rng.integers(array.size))] = math.nan


def _moved_aside(shift_m: float) -> Callable[[Any, Memory], None]:
    """To the left, everywhere across the line itself."""

    def spoil(array: Any, memory: Memory) -> None:  # noqa: ANN401 - (N, 2)
        along = np.gradient(array, axis=0)
        across = np.column_stack([-along[:, 1], along[:, 0]])
        array += shift_m * across / np.linalg.norm(across, axis=1, keepdims=True)

    return spoil


def _turned(angle_rad: float) -> Callable[[Any, Memory], None]:
    """About the point of the line that was beside the vehicle at the onset, as in another frame of that origin."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)

    def spoil(array: Any, memory: Memory) -> None:  # noqa: ANN401 - (N, 2)
        about = memory.notes.setdefault("beside", Polyline(array).at(LANE_BEHIND_M))
        array[:] = about + (array - about) @ np.array([[cos, sin], [-sin, cos]])

    return spoil


def _bent_away(array: Any, memory: Memory) -> None:  # noqa: ANN401 - (N, 2)
    """To the left by a lane's width, from 10 m ahead of where the vehicle was at the onset, within 15 m."""
    begin = memory.notes.setdefault("begin", Polyline(array).at(LANE_BEHIND_M + 10.0))
    along = Polyline(array)
    ahead_m = along.arc_lengths - along.project(begin[None])[0][0]
    heading = along.heading_at(along.arc_lengths)
    share = 3.5 * np.clip(ahead_m / 15.0, 0.0, 1.0)
    array += share[:, None] * np.column_stack([-np.sin(heading), np.cos(heading)])


def _of_another_frame(array: Any, memory: Memory) -> None:  # noqa: ANN401 - (N, 2)
    array += FRAMES_APART_M


def _stuck_speed(message: EgoState, now: Now, memory: Memory) -> Sequence[Message]:
    """Touched counts as soon as the stuck value is wrong: before that there is nothing to notice."""
    speed = memory.notes.setdefault("speed", message.speed_mps)
    if not memory.notes.get("wrong") and abs(message.speed_mps - speed) < STUCK_WRONG_MPS:
        return (message,)
    memory.notes["wrong"] = True
    return (dataclasses.replace(message, speed_mps=speed),)


def _broken(method: str) -> Callable[[Any], Callable[[], None]]:
    def plant(supervisor: Any) -> Callable[[], None]:  # noqa: ANN401 - any supervisor under test
        def raises(*arguments: object, **named: object) -> None:
            raise RuntimeError("planted fault")

        *owners, name = method.split(".")
        part = functools.reduce(getattr, owners, supervisor)
        getattr(part, name)  # an AttributeError beats a fault that is planted nowhere
        setattr(part, name, raises)
        return lambda: delattr(part, name)

    return plant


def _skewed(whose: str, kind: type, shift_ms: int, found_ms: int, mode: Mode, *names: str) -> FaultCase:
    """Up to 40 ms is tolerated, from 100 ms old or `found_ms` ahead on found; between, either.

    Ahead counts from when it is ahead of the supervisor's clock, which needs more than the message's own age.
    """
    variant, change = f"{whose} stamps {shift_ms:+d} ms", to.stamped(shift_ms * MS)
    if -100 < shift_ms < found_ms:
        tolerated = Mode.REDUCED if abs(shift_ms) <= 40 else mode
        return _input("F16", variant, kind, change, tolerated, 0.0, danger=NUISANCE, asks=STAY)
    return _input("F16", variant, kind, change, mode, 500.0, "STAMP_IN_FUTURE", *names)


def _lost(variant: str, kind: type, change: Change, *names: str, provider: str = INPUTS, note: str = "") -> FaultCase:
    """F20: the vehicle stops in 200 ms along the path that it had."""
    return _input(
        "F20", variant, kind, change, L3, 200.0, *names, provider=provider, note=note, steering_rad=STEERING_RAD
    )


MODULES = (
    "_motion", "_judge_plans", "_requests", "_standby.refresh", "_handback", "_choose", "_publish", "_message",
)  # fmt: skip
"""The supervisor's parts, each of which is made to raise."""

INPUT_FAULTS: tuple[FaultCase, ...] = (
    *(
        _input(
            "F6",
            f"vehicle's {name} is {value}",
            EgoState,
            to.fields(**{name: value}),
            L3,
            TICK_MS,
            "EGO_NOT_FINITE",
            alike=value == math.inf and name != EGO_FIELDS[0],
        )
        for name in EGO_FIELDS
        for value in (math.nan, math.inf)
    ),
    _input(
        "F6", "an object's position is nan", ObjectList, _with_object(x_m=math.nan), L3, TICK_MS, "OBJECTS_NOT_FINITE"
    ),
    _input(
        "F6",
        "an object's velocity is inf",
        ObjectList,
        _with_object(vx_mps=math.inf),
        L3,
        TICK_MS,
        "OBJECTS_NOT_FINITE",
    ),
    _input(
        "F6",
        "lane points nan",
        LaneObservation,
        _array("centreline", _nan_somewhere),
        L2,
        TICK_MS,
        "LANES_NOT_FINITE",
        lasting=L3,
        note="the last good lane is driven on until it is stale, then as a silent lane (F20)",
    ),
    *(
        _skewed("vehicle's", EgoState, shift, 50, L3, "EGO_SKEWED", "EGO_STALE", "EGO_LATE", "EGO_LOST")
        for shift in (-10, -50, -100, -250, -500, -600, 10, 50, 100, 500)
    ),
    *(
        _skewed("objects'", ObjectList, shift, 100, L2, "OBJECTS_SKEWED", "OBJECTS_STALE", "OBJECTS_SILENT")
        for shift in (-10, -40, -50, -100, -500, 10, 50, 100, 500)
    ),
    *(
        FaultCase(
            "F16",
            f"the supervisor's data clock steps by {step:+d} ms",
            ADVISORY,
            Tamper(clock_ns=step * MS),
            REACH,
            L3,
            500.0,
            ("STAMP_IN_FUTURE", "EGO_STALE", "EGO_LOST", "CLOCK_STEP", "OBJECTS_STALE", "LANES_STALE", "EGO_LATE"),
            "clock guard, freshness guard",
        )
        for step in (-500, -100, 100, 500)
    ),
    *(
        _input(
            "F17",
            f"speed {speed:g} m/s",
            EgoState,
            to.fields(speed_mps=speed),
            L3,
            100.0,
            "EGO_IMPLAUSIBLE",
            "EGO_JUMP",
        )
        for speed in (-5.0, 60.0, 120.0)
    ),
    _input(
        "F17",
        "speed stuck",
        EgoState,
        _stuck_speed,
        L3,
        1000.0,
        "EGO_SPEED_SOURCES",
        "EGO_SPEED_STUCK",
        "EGO_ACCELERATION",
        note="the limit counts from the moment at which the stuck value is 0.5 m/s off",
    ),
    _input(
        "F17",
        "speed jumps by 5 m/s",
        EgoState,
        to.fields(speed_mps=lambda message, memory: message.speed_mps + 5.0),
        L3,
        100.0,
        "EGO_JUMP",
        "EGO_SPEED_SOURCES",
    ),
    _input(
        "F17",
        "speed 3 m/s more than the odometry's",
        EgoState,
        to.fields(speed_mps=lambda message, memory: message.speed_mps + 3.0),
        L3,
        500.0,
        "EGO_SPEED_SOURCES",
        "EGO_JUMP",
        note="against displacement over 0.4 s, so 100 ms cannot be had",
    ),
    _input(
        "F18",
        "silent for 80 ms",
        EgoState,
        to.dropped_for(80 * MS),
        Mode.REDUCED,
        0.0,
        danger=NUISANCE,
        asks=STAY,
        provider=FRESHNESS,
    ),
    _input(
        "F18",
        "silent for 300 ms",
        EgoState,
        to.dropped_for(300 * MS),
        L3,
        220.0,
        "EGO_STALE",
        "EGO_LATE",
        provider=FRESHNESS,
    ),
    _input("F18", "silent", EgoState, to.dropped, L4, 520.0, "EGO_STALE", "EGO_LATE", "EGO_LOST", provider=FRESHNESS),
    _input("F19", "silent", ObjectList, to.dropped, L3, 320.0, "OBJECTS_SILENT", provider=FRESHNESS),
    _input(
        "F19",
        "numbers of tracks shuffled",
        ObjectList,
        _shuffled,
        Mode.REDUCED,
        0.0,
        danger=NUISANCE,
        asks=STAY,
        provider="object memory",
    ),
    _input(
        "F19",
        "empty",
        ObjectList,
        to.fields(objects=()),
        L3,
        0.0,
        danger=NUISANCE,
        asks=STAY,
        provider="none: one source of objects",
        note="nothing is there to contradict an empty list: asked is that no harm comes while the model sees",
    ),
    _lost("lane silent", LaneObservation, to.dropped, "LANES_SILENT", provider=FRESHNESS),
    *(
        _lost(variant, LaneObservation, _array("centreline", spoil), "LANES_AWAY", "LANES_JUMP")
        for variant, spoil in (
            ("lane 3 m aside", _moved_aside(3.0)),
            ("lane 1.5 m aside", _moved_aside(-1.5)),
            ("lane of another frame", _of_another_frame),
            ("lane turned left by 3 degrees", _turned(math.radians(3.0))),
            ("lane turned right by 10 degrees", _turned(math.radians(-10.0))),
            ("lane that bends away ahead", _bent_away),
        )
    ),
    _lost(
        "route of another frame",
        Route,
        _array("points", _of_another_frame),
        "ROUTE_AWAY",
        note="held against the vehicle with the next lane",
    ),
    _lost(
        "route without points",
        Route,
        to.fields(points=np.zeros((0, 2)), speed_limit_mps=np.zeros(0)),
        "ROUTE_NOT_FINITE",
        "INPUT_MALFORMED",
    ),
    _lost("route with nan", Route, _array("points", _nan_somewhere), "ROUTE_NOT_FINITE"),
    *(
        FaultCase(
            "F22",
            f"in {method.strip('_').replace('.', ' ').replace('_', ' ')}",
            ADVISORY,
            Tamper(supervisor=_broken(method)),
            REACH,
            L4,
            TICK_MS,
            ("INTERNAL_ERROR",),
            OUTER,
        )
        for method in MODULES
    ),
    FaultCase(
        "F23",
        "no processor time for 100 ms",
        ADVISORY,
        Tamper(starve_ns=100 * MS),
        REACH,
        Mode.NOMINAL,
        120.0,
        ("TICK_GAP", "TICK_STARVED"),
        "tick gap",
        note="reported; the vehicle gate's own limit is 190 ms",
    ),
    FaultCase(
        "F23",
        "no processor time for 300 ms",
        ADVISORY,
        Tamper(starve_ns=300 * MS),
        REACH,
        L3,
        320.0,
        ("TICK_STARVED",),
        "tick gap, vehicle gate",
    ),
)
