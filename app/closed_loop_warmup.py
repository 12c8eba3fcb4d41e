"""Before time zero: the expert drives while the processes fill their buffers."""

from __future__ import annotations

from onboard_vla.app.closed_loop import ClosedLoop
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.core.errors import EnvironmentLacksError

READY_LIMIT_NS = 20 * SECOND_NS
"""A planner that is not ready after this much driving never will be."""
SHADOW_LIMIT_NS = 12 * SECOND_NS
"""How long to wait for the model's plans to agree with the driver's path; after that the run begins in fallback."""
SHADOW_PASSES = 10
"""Consecutive plans that must have passed in shadow for the model to drive from the start (supervisor's ladder)."""
DEFAULT_WARMUP_NS = 4 * SECOND_NS
"""Least warm-up: 1.5 s of pictures, ten plans at 5 Hz, and half a second."""
BEHIND_LIMIT_NS = 1 * SECOND_NS
"""A world this late cannot be a vehicle: its stamps would be older than every limit of the supervisor."""


class TooBusyError(EnvironmentLacksError):
    """This machine cannot drive the world in real time now."""


def warm_up(loop: ClosedLoop, least_ns: int) -> None:
    """Drive under the expert until the planner is ready and, if it comes to that soon, trusted; at least this long.

    Raises:
        EnvironmentLacksError: the planner did not become ready in time.
        TooBusyError: see `keep_pace`.
    """
    while loop.world_ns < least_ns or not _settled(loop):
        if loop.world_ns > READY_LIMIT_NS:
            raise EnvironmentLacksError(
                f"the planner did not become ready within {READY_LIMIT_NS / SECOND_NS:g} s of driving; see its log"
            )
        loop.step()
        keep_pace(loop)


def keep_pace(loop: ClosedLoop) -> None:
    """Give up once the world has fallen behind real time.

    Raises:
        TooBusyError: by more than `BEHIND_LIMIT_NS`.
    """
    if loop.behind_ns > BEHIND_LIMIT_NS:
        raise TooBusyError(
            f"the world is {loop.behind_ns / SECOND_NS:.1f} s behind real time: this machine is too busy for a run in "
            "real time; end other work, or use --lockstep"
        )


def _settled(loop: ClosedLoop) -> bool:
    trusted = loop.latest is not None and loop.latest.shadow_passes >= SHADOW_PASSES
    return loop.planner_ready and (trusted or loop.world_ns >= SHADOW_LIMIT_NS)
