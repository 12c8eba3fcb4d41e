"""What a plan goes without while time or power is short, as far as the bundle says that the model can.

In this order: older pictures, thinking, cameras that are not required. Graphs get exact shapes for what is there;
nothing is padded, and nothing that the checkpoint was not trained to go without is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onboard_vla.core.bundle_manifest import BundleManifest
from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.clock import nanoseconds

HISTORY, DEPTH, CAMERA = "history", "depth", "camera "
FULL, SAVING, LEAST = "full", "saving", "least"
POWER_MODES = (FULL, SAVING, LEAST)
"""Nothing is left out for power's sake; older pictures and thinking are; all that can be is."""

LATE_OF, RECENT = 2, 3
"""So many of the last plans have to be late for one step more ..."""
EASY_SHARE, EASY_S = 0.6, 10.0
"""... and all plans of so long have to take less than this share of the period for one step back. The step makes plans
longer: without that room for it they would be late at once, and what is left out would flap (own)."""


@dataclass(frozen=True)
class ShedState:
    """`level`: how many steps are left out because plans were late. `late`: which of the last plans were, newest last.

    `hard_ns`: when a plan last took more than the easy share of its period, or the level last changed; monotonic.
    """

    level: int = 0
    late: tuple[bool, ...] = ()
    hard_ns: int = 0


def steps_of(manifest: BundleManifest, *, thinks: bool) -> tuple[str, ...]:
    """What can be left out, in order; cameras from the prompt's end on. `thinks`: the depth policy may."""
    frames = manifest.frames
    history = (HISTORY,) if frames.least_per_camera < frames.per_camera else ()
    cameras = tuple(f"{CAMERA}{camera.role}" for camera in reversed(manifest.cameras) if not camera.required)
    return (*history, *((DEPTH,) if thinks else ()), *cameras)


def floor_of(power: str, steps: Sequence[str]) -> int:
    """The level that a power mode asks for at least."""
    if power == LEAST:
        return len(steps)
    return sum(not step.startswith(CAMERA) for step in steps) if power == SAVING else 0


def shed(state: ShedState, plan_s: float, period_s: float, floor: int, most: int, now_ns: int) -> ShedState:
    """The state after a plan.

    Args:
        state: before it.
        plan_s: how long it took; what is no number counts as late.
        period_s: how often there should be one; 0: as often as it goes, so that none is late.
        floor: the power mode's level; what is left out already does not help.
        most: the number of steps.
        now_ns: monotonic.
    """
    late = (*state.late, period_s > 0.0 and not plan_s <= period_s)[-RECENT:]
    easy = not period_s > 0.0 or plan_s <= EASY_SHARE * period_s
    hard_ns = state.hard_ns if easy else now_ns
    level = state.level
    if sum(late) >= LATE_OF:
        level = min(max(level, floor) + 1, most)
    elif now_ns - hard_ns >= nanoseconds(EASY_S):
        level = max(level - 1, 0)
    if level != state.level:
        return ShedState(level, (), now_ns)
    return replace(state, late=late, hard_ns=hard_ns)


class LoadShedding:
    """The steps of one bundle and the state between plans. `power` and `period_s` may be changed from any thread."""

    def __init__(self, manifest: BundleManifest, period_s: float, power: str, *, thinks: bool, by_time: bool) -> None:
        """`by_time`: also leave out where plans are late, not for the power mode alone."""
        self.steps = steps_of(manifest, thinks=thinks)
        self.period_s, self.power = period_s, power
        self._by_time, self._least = by_time, manifest.frames.least_per_camera
        self._state = ShedState()

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the next plan goes without, in the order in which it went."""
        return self.steps[: max(self._state.level, floor_of(self.power, self.steps))]

    def reduced(self, frames: FrameSet, left_out: Sequence[str]) -> FrameSet:
        """The frame set without what is left out."""
        gone = {step.removeprefix(CAMERA) for step in left_out if step.startswith(CAMERA)}
        newest = slice(-self._least, None) if HISTORY in left_out else slice(None)
        return replace(
            frames,
            images={role: images[newest] for role, images in frames.images.items() if role not in gone},
            stamps_ns={role: stamps[newest] for role, stamps in frames.stamps_ns.items() if role not in gone},
            skew_ns={role: skew for role, skew in frames.skew_ns.items() if role not in gone},
        )

    def note(self, plan_s: float, now_ns: int) -> None:
        """A plan has been made."""
        floor, period_s = floor_of(self.power, self.steps), self.period_s if self._by_time else 0.0
        self._state = shed(self._state, plan_s, period_s, floor, len(self.steps), now_ns)
