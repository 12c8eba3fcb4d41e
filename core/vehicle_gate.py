"""The vehicle's own gate: follows the newest safe trajectory, and stops by itself when none arrives.

What its watchdog adds up to, from the last message that arrived to the command that brakes:

    190 ms of silence + 10 ms, one period, before it is noticed + 20 ms for the system's scheduling = 220 ms

The sum is what is asked of it (safety basis 10.2, F23), so the silence is what the rest leaves. The share of scheduling
is the lateness at which a supervisor reports itself as starved: ticks 40 ms apart instead of 20. On the other side, a
live supervisor may be 170 ms late before its gate stops the vehicle (190 less its period of 20 ms), more than eight
times what it reports, and what it answers with a stop in lane of its own (`tick_gap_stop_s`).

A rolling vehicle is never left to nobody. The states of the gate on a vehicle (`ros_nodes/gate_host.py`, which adds the
latch to this tracker); each instant the first row that holds:

| state | holds while | asks for |
|---|---|---|
| overridden | there is fresh evidence that the driver acts (below) | nothing |
| holding | nothing was heard yet, or the newest word is STANDBY | the hold brake, for who was handed the vehicle |
| stopping | nobody leads a vehicle that was to be driven (below) | 4 m/s² on the path, else its arc, straightening |
| following | the word is ENGAGED or LATCHED, with fresh points | the supervisor's trajectory |

Evidence of the driver: he said in the last 0.4 s that he acts, whatever the stamp and however often, or the newest safe
trajectory says DRIVER_OVERRIDE and is no older than the silence limit. Nobody leads where the word was to drive, or
DRIVER_OVERRIDE, and the supervisor is silent or has no points, or there is no ego state, or the driver acted and the
supervisor drove on; also where to drive was the first word heard. It lasts until STANDBY is heard at standstill, or the
driver acts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.control import Control
from onboard_vla.core.ego import EgoState
from onboard_vla.core.safe_trajectory import SHADOW, UNOCCUPIED, Mode, SafeTrajectory

REACTION_NS = nanoseconds(0.22)
"""From the arrival of the last safe trajectory to the command that brakes, at most."""
PERIOD_S = 0.01
"""Between commands: half the supervisor's period, so that silence is noticed soon after it has lasted too long."""
SCHEDULING_NS = nanoseconds(0.02)
"""How late a gate's process may be without being late in all."""
SILENCE_LIMIT_NS = REACTION_NS - nanoseconds(PERIOD_S) - SCHEDULING_NS
"""Without a safe trajectory for longer than this the gate stops the vehicle."""
AHEAD_LIMIT_NS = nanoseconds(1.0)
"""A stamp further ahead of the gate's own clock is doubtful."""
DOUBTS = 3
"""Doubtful messages in a row, each after the other, that are a live supervisor: 60 ms of it, far below the silence."""
GATE_BRAKING_MPS2 = 4.0
"""Braking of the gate's own stop (UN R157's upper bound of a minimum risk manoeuvre's deceleration)."""
DRIVER_ACTS_NS = nanoseconds(0.4)
"""A driver's word that he acts is evidence for so long: four messages at the rate asked for. Shorter than the
supervisor's own hold, so that the gate never overrides a supervisor that the driver has just handed the vehicle."""
HOLD_BRAKING_MPS2 = 2.0
"""Braking that brings a vehicle in standby to rest and holds it there."""
ACTUATOR_LEAD_S = 0.2
"""The trajectory is read this much ahead, for the drive's lag."""
LOOKAHEAD_S, LOOKAHEAD_MIN_M, LOOKAHEAD_MAX_M = 0.6, 3.0, 20.0
"""Pure pursuit: look-ahead distance as travel time, and its bounds."""
SPEED_GAIN_PER_S = 1.2
"""Proportional speed feedback."""
FEEDBACK_MIN_MPS2, FEEDBACK_MAX_MPS2 = -6.5, 2.5
"""Speed feedback asks for no more than this beyond what the trajectory asks for itself: the full braking that UN R13-H
expects of any car (6.43 m/s²), and a brisk start."""
CURVATURE_MAX_PER_M = 0.2
"""5 m of radius, a car's turning circle: the plan guards' own default."""
LATERAL_MAX_MPS2 = 6.0
"""Of any arc that is steered: the plan guards' default of 4 m/s², and half of it for what tracking adds."""
STOP_SPEED_MPS, START_LOOKAHEAD_S = 0.15, 1.0
"""A reference slower than this, now and this much later, means: stand."""


class VehicleGate:
    """Tracker (pure pursuit and speed feedback) behind a watchdog on the safe trajectory's arrival.

    `lead_s`: how far ahead the trajectory's speed is read, for the actuators' delay and lag.
    """

    def __init__(self, lead_s: float = ACTUATOR_LEAD_S) -> None:
        self._lead_s = lead_s
        self._trajectory: SafeTrajectory | None = None
        self._path: NDArray[np.float64] = np.empty((0, 6))
        self._received_ns = 0
        self._late_ns = 0
        self._doubts = self._doubted = 0
        self._curvature = 0.0

    def follow(self, trajectory: SafeTrajectory, received: Now) -> bool:
        """Take the newest trajectory; whether it is one to take.

        One that does not count (`counts`) is not taken, nor one to drive without points: silence follows, and the
        gate's own stop.
        """
        if not (has_points(trajectory) or trajectory.engagement in UNOCCUPIED) or not self.counts(trajectory, received):
            return False
        self.take(trajectory, received)
        return True

    def counts(self, trajectory: SafeTrajectory, received: Now) -> bool:
        """Whether a message is a supervisor's word at all, whatever it says; ask once for each message.

        One that is not finite or misshapen is none, nor what a supervisor says that only watches. One that is old, or
        stamped too far ahead, counts as the third in a row alone.
        """
        if trajectory.source == SHADOW:
            return False
        points = np.asarray(trajectory.points, np.float64)
        if points.ndim != 2 or points.shape[1] != 6 or not np.isfinite(points).all():
            return False
        return not self._is_doubtful(trajectory, received)

    def take(self, trajectory: SafeTrajectory, received: Now) -> None:
        """Have a message that counts as the newest one."""
        self._trajectory, self._received_ns = trajectory, received.monotonic_ns
        self._path = np.asarray(trajectory.points, np.float64)
        self._late_ns = max(received.stamp_ns - trajectory.stamp_ns, 0)

    @property
    def has_path(self) -> bool:
        """Whether there is a path to steer along."""
        return len(self._path) > 0

    def forget_path(self) -> None:
        """The vehicle has left it."""
        self._path = np.empty((0, 6))

    def _is_doubtful(self, trajectory: SafeTrajectory, received: Now) -> bool:
        """Whether it is old by stamp and sequence both, or stamped too far ahead, and not yet one of a live stream.

        By one of them alone nothing is old: a data clock put back lowers stamps while the sequence goes on, and a
        supervisor started anew lowers the sequence while time goes on. Where both are lower, or one message with any
        stamp and sequence was taken before, `DOUBTS` in a row, none of them repeated, show that somebody lives.
        """
        last = self._trajectory
        ahead = trajectory.stamp_ns - received.stamp_ns > AHEAD_LIMIT_NS
        if not ahead and (last is None or not _is_older(trajectory, last)):
            self._doubts = 0
            return False
        follows = self._doubts > 0 and trajectory.sequence > self._doubted
        self._doubts, self._doubted = self._doubts + 1 if follows else 1, trajectory.sequence
        if self._doubts < DOUBTS:
            return True
        self._doubts = 0
        return False

    def silent(self, now: Now) -> bool:
        """Whether the last good trajectory is older than the gate accepts."""
        return self._trajectory is None or now.monotonic_ns - self._received_ns > SILENCE_LIMIT_NS

    def control(self, ego: EgoState, now: Now) -> Control:
        """The command for this instant, always finite: else the gate's own braking on the last curvature.

        In standby and under the driver's override it holds the vehicle: a simulated one has nobody at its pedals. A
        real one's gate asks for nothing while the driver acts (`ros_nodes/gate_host.py`).

        Call it every `PERIOD_S` in real time, every 20 ms at least in virtual time.
        """
        trajectory = self._trajectory
        if trajectory is None or not self.has_path or trajectory.engagement in UNOCCUPIED:
            return Control(-HOLD_BRAKING_MPS2, 0.0 if trajectory is None else self._curvature)
        curvature = self._pursue(ego)
        reckoned = math.isfinite(curvature)
        self._curvature = drivable(curvature, ego.speed_mps) if reckoned else self._curvature
        if not reckoned or self.silent(now):
            return Control(-GATE_BRAKING_MPS2, self._curvature)
        # Its age when it came, by the data clock, and since then by the monotonic one, which nobody sets.
        age_s = seconds(self._late_ns + now.monotonic_ns - self._received_ns)
        acceleration = self._accelerate(ego, age_s)
        return Control(acceleration if math.isfinite(acceleration) else -GATE_BRAKING_MPS2, self._curvature)

    def _pursue(self, ego: EgoState) -> float:
        """Curvature of the arc from the rear axle to the point one look-ahead along the path."""
        xy = self._path[:, 1:3]
        gaps = np.hypot(xy[:, 0] - ego.x_m, xy[:, 1] - ego.y_m)
        nearest = int(np.argmin(gaps))
        reach = min(max(LOOKAHEAD_S * ego.speed_mps, LOOKAHEAD_MIN_M), LOOKAHEAD_MAX_M)
        beyond = np.flatnonzero(gaps[nearest:] >= reach)
        if len(beyond):
            outer = nearest + int(beyond[0])
            target = xy[outer]
            if outer > 0 and gaps[outer - 1] < reach:
                share = (reach - gaps[outer - 1]) / max(gaps[outer] - gaps[outer - 1], 1e-9)
                target = xy[outer - 1] + share * (xy[outer] - xy[outer - 1])
        else:
            heading = self._path[-1, 3]
            missing = max(reach - gaps[-1], 0.0)
            target = xy[-1] + missing * np.array([math.cos(heading), math.sin(heading)])
        dx, dy = float(target[0]) - ego.x_m, float(target[1]) - ego.y_m
        left = -math.sin(ego.heading_rad) * dx + math.cos(ego.heading_rad) * dy
        distance_2 = dx * dx + dy * dy
        if distance_2 < 1.0:
            return self._curvature
        return 2.0 * left / distance_2

    def _accelerate(self, ego: EgoState, age_s: float) -> float:
        """Feed-forward and speed feedback; in a stop, feedback never weakens the braking asked for.

        A supervisor that stops because it doubts its speed may plan from a speed that the vehicle does not have.
        """
        times, speeds, accelerations = self._path[:, 0], self._path[:, 4], self._path[:, 5]
        ahead = age_s + self._lead_s
        speed = float(np.interp(ahead, times, speeds))
        soon = float(np.interp(ahead + START_LOOKAHEAD_S, times, speeds))
        if max(speed, soon) < STOP_SPEED_MPS and ego.speed_mps < 3 * STOP_SPEED_MPS:
            return -1.0
        feed_forward = float(np.interp(ahead, times, accelerations)) if ahead <= times[-1] else 0.0
        expected = ego.speed_mps + ego.acceleration_mps2 * self._lead_s
        feedback = SPEED_GAIN_PER_S * (speed - expected)
        if self._trajectory is not None and self._trajectory.mode >= Mode.IN_LANE_STOP:
            feedback = min(feedback, 0.0)
        low, high = min(feed_forward, FEEDBACK_MIN_MPS2), max(feed_forward, FEEDBACK_MAX_MPS2)
        return min(max(feed_forward + feedback, low), high)


def has_points(trajectory: SafeTrajectory) -> bool:
    """Whether there is anything to follow in it."""
    return len(trajectory.points) > 0


def drivable(curvature_per_m: float, speed_mps: float) -> float:
    """The nearest curvature (1/m) that a car can drive at this speed without skidding."""
    most = min(CURVATURE_MAX_PER_M, LATERAL_MAX_MPS2 / max(speed_mps * speed_mps, 1.0))
    return min(max(curvature_per_m, -most), most)


def _is_older(one: SafeTrajectory, other: SafeTrajectory) -> bool:
    """Whether a message is behind another by stamp and sequence; the same one again is not."""
    behind = one.stamp_ns <= other.stamp_ns and one.sequence <= other.sequence
    return behind and (one.stamp_ns, one.sequence) != (other.stamp_ns, other.sequence)
