"""The fallback planner kept hot: a choice never older than its period and a few ticks, driven whenever it is asked for.

Choosing a path and a share of the allowed speed is the costly part; it happens 20 times a second, whoever drives, in
two ticks that judge no plan. Driving along the choice on the newest objects is cheap: it happens at every tick while
the fallback drives, and else with each new choice.
"""

from __future__ import annotations

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import FallbackSettings, SupervisorConfig
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.fallback import LaneMemory, Trajectory, consider, drive, look
from onboard_vla.safety.guards.second_opinion import Standby
from onboard_vla.safety.inputs import Inputs


class HotStandby:
    """`trajectory`: the newest; None without lanes, or where the lane is unusable, which `fault` then says."""

    def __init__(self, config: SupervisorConfig) -> None:
        self._config = config
        self._memory = LaneMemory()
        self._made_ns: int | None = None
        self._put_off = False
        self._begun: frozenset[int] = frozenset()
        self.trajectory: Trajectory | None = None
        self.fault: Reason | None = None

    def refresh(
        self,
        inputs: Inputs,
        motion: Motion,
        demand_mps2: float,
        settings: FallbackSettings,
        now: Now,
        *,
        drives: bool,
        busy: bool,
    ) -> None:
        """Once a tick. `settings`: for the present road. `drives`: it is the fallback that drives.

        `busy`: this tick has judged a plan already.

        A busy tick leaves choosing to the next one, but never two in a row.
        """
        if inputs.lanes is None:
            self.forget()
            return
        self._put_off = busy and not self._put_off and self._memory.choice is not None
        considers = not self._put_off and self._memory.due(now.monotonic_ns)
        if considers or drives:
            self._plan(inputs, motion, demand_mps2, settings, now, considers=considers, drives=drives)

    def forget(self) -> None:
        """Nobody knows where the vehicle is, or its lane."""
        self.trajectory, self._made_ns, self._begun = None, None, frozenset()
        self._memory.forget()

    def driven(self, trajectory: Trajectory | None) -> None:
        """What is published in this tick, where it is the fallback's: its braking for red signals has begun."""
        self._begun = frozenset() if trajectory is None else trajectory.begun

    def driven_now(
        self, inputs: Inputs, motion: Motion, demand_mps2: float, settings: FallbackSettings, now: Now
    ) -> Trajectory | None:
        """The trajectory of this very instant, along the choice that is there."""
        if self._made_ns != now.monotonic_ns and inputs.lanes is not None:
            self._plan(inputs, motion, demand_mps2, settings, now, considers=False, drives=True)
        return self.trajectory

    def opinion(self, now: Now) -> Standby | None:
        """The trajectory as a second opinion on plans."""
        if self.trajectory is None or self._made_ns is None:
            return None
        age_s = seconds(now.monotonic_ns - self._made_ns)
        return Standby(self.trajectory, age_s, self._config.fallback.speed_cap_mps)

    def _plan(
        self,
        inputs: Inputs,
        motion: Motion,
        demand_mps2: float,
        settings: FallbackSettings,
        now: Now,
        *,
        considers: bool,
        drives: bool,
    ) -> None:
        config, lanes, memory = self._config, inputs.lanes, self._memory
        assert lanes is not None
        try:
            around = look(
                motion,
                demand_mps2,
                lanes,
                inputs.objects_at(now),
                config.vehicle,
                settings,
                config.collision,
                self._begun,
            )
            if considers or memory.choice is None:
                consider(memory, around, now.monotonic_ns)
            if drives or memory.proposals is None:
                self.trajectory, self._made_ns = drive(memory, around), now.monotonic_ns
            self.fault = None
        except GeometryError as error:
            self.trajectory, self._made_ns = None, now.monotonic_ns
            self.fault = Reason("LANE_UNUSABLE", 0.0, 1.0, str(error))
