"""The road that the route runs along: a curve sampled at 1 m, its cross-section, junctions and speed profile.

Road coordinates: `s` is the arc length along the ego lane's centreline, `d` the lateral offset, left positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.road import KEEP_FORWARD, TURN_LEFT, TURN_RIGHT, Route, RouteCommand
from onboard_vla.world.profiles import Profile

SPACING_M = 1.0
"""Distance between samples of the road, metres; other modules rely on index = floor(s)."""
TURN_RADIUS_M = {TURN_LEFT: 15.0, TURN_RIGHT: 9.0}
"""Least radius of the ego lane in a junction, metres (urban design values for passenger cars)."""
COMMAND_LEAD_M = 60.0
"""A turn is announced this many metres before the stop line."""
CROSSING_REACH_M = 70.0
"""Crossing roads extend this far from a junction's centre, metres."""
LATERAL_ACCELERATION_MPS2 = 1.8
"""Curve speeds keep lateral acceleration at this value (comfort; the plan guards allow more)."""
COMFORT_BRAKING_MPS2 = 1.0
"""Deceleration of the speed profile ahead of curves."""


@dataclass(frozen=True)
class Junction:
    """A crossing. `x_m`, `y_m`: centre; `heading_rad`: of the approach; `turn`: the route's command there.

    `stop_s_m`: stop line; `enter_s_m`, `exit_s_m`: where the route enters and leaves the crossing road's surface.
    `half_width_m`: half of the paved width of either road. `signal_id`: None where no signals stand.
    """

    x_m: float
    y_m: float
    heading_rad: float
    turn: str
    stop_s_m: float
    enter_s_m: float
    exit_s_m: float
    half_width_m: float
    signal_id: int | None


@dataclass(frozen=True)
class _Piece:
    """A stretch with trapezoidal curvature; `junction` names the turn made in it, if it is one."""

    length_m: float
    curvature: float
    ramp_m: float
    junction: str | None = None


class Road:
    """Geometry of the whole route. Arrays are sampled every `SPACING_M` along the ego lane's centreline.

    `points` (N, 2), `headings` (N,), `curvatures` (N,), `left_m`, `right_m` (N,): distance from the centreline to
    the edge of the drivable area; `speed_profile` (N,): limit lowered ahead of and in curves; `junction_index` (N,)
    int32: the junction whose surface the sample lies on, or -1.
    """

    def __init__(self, profile: Profile, rng: np.random.Generator) -> None:
        self.profile = profile
        self.speed_limit_mps = float(rng.choice(profile.speed_limits_mps))
        origin = (rng.uniform(-50.0, 50.0), rng.uniform(-50.0, 50.0), rng.uniform(-math.pi, math.pi))
        for _ in range(50):
            pieces = _plan_pieces(profile, rng)
            self._lay(pieces, origin)
            if not _comes_near_itself(self.points):
                break
        self.length_m = float(len(self.points) - 1)
        self.junctions = self._place_junctions(pieces, rng)
        self._shape()
        self._xs, self._ys = self.points[:, 0].tolist(), self.points[:, 1].tolist()
        self._headings: list[float] = self.headings.tolist()

    @property
    def axis_offset_m(self) -> float:
        """Lateral position of the line between the two driving directions (motorway: of the median's middle)."""
        profile = self.profile
        if profile.lanes > 1:
            return (profile.lanes - 0.5) * profile.lane_width_m + MEDIAN_M / 2
        return (profile.lane_width_m + profile.centre_gap_m) / 2

    @property
    def oncoming_m(self) -> float:
        """Lateral position of the nearest oncoming lane's centreline."""
        profile = self.profile
        extra = (profile.lanes - 1) * profile.lane_width_m
        return 2 * self.axis_offset_m - extra

    def pose_at(self, s: float, d: float = 0.0) -> tuple[float, float, float]:
        """x, y and heading at road coordinates; straight on beyond the road's ends."""
        i = min(max(int(s), 0), len(self._xs) - 2)
        t = s - i
        x0, y0, x1, y1 = self._xs[i], self._ys[i], self._xs[i + 1], self._ys[i + 1]
        h0, h1 = self._headings[i], self._headings[i + 1]
        heading = h0 + min(max(t, 0.0), 1.0) * (h1 - h0)
        return (x0 + t * (x1 - x0) - d * math.sin(heading), y0 + t * (y1 - y0) + d * math.cos(heading), heading)

    def project(self, x: float, y: float, near_s: float) -> tuple[float, float]:
        """Road coordinates (s, d) of a point, searched from `near_s` downhill."""
        s, d = project_point(self.points, self.headings, x, y, int(near_s))
        return float(s), float(d)

    def index(self, s: float) -> int:
        """Sample index for an arc length, clipped to the road."""
        return min(max(int(s), 0), len(self._xs) - 1)

    def next_junction(self, s: float) -> Junction | None:
        """The first junction whose surface is not yet left behind."""
        for junction in self.junctions:
            if junction.exit_s_m > s:
                return junction
        return None

    def route(self, route_id: str) -> Route:
        """The route as the vehicle gets it."""
        commands = tuple(
            RouteCommand(max(0.0, j.stop_s_m - COMMAND_LEAD_M), j.exit_s_m, j.turn)
            for j in self.junctions
            if j.turn != KEEP_FORWARD
        )
        limits = np.full(len(self.points), self.speed_limit_mps)
        return Route(route_id, self.points.copy(), limits, commands)

    def _lay(self, pieces: list[_Piece], origin: tuple[float, float, float]) -> None:
        curvature = np.concatenate([_trapezoid(piece) for piece in pieces])
        self.curvatures = curvature
        self.headings = origin[2] + np.concatenate([[0.0], np.cumsum((curvature[:-1] + curvature[1:]) / 2)]) * SPACING_M
        middle = (self.headings[:-1] + self.headings[1:]) / 2
        x = origin[0] + np.concatenate([[0.0], np.cumsum(np.cos(middle))]) * SPACING_M
        y = origin[1] + np.concatenate([[0.0], np.cumsum(np.sin(middle))]) * SPACING_M
        self.points = np.ascontiguousarray(np.stack([x, y], axis=1))

    def _place_junctions(self, pieces: list[_Piece], rng: np.random.Generator) -> tuple[Junction, ...]:
        profile, s = self.profile, 0
        junctions: list[Junction] = []
        axis = self.axis_offset_m
        half_width = axis + profile.lane_width_m / 2 + (0.3 if profile.kerb else profile.shoulder_m)
        for piece in pieces:
            start, end = s, s + _samples(piece)
            s = end
            if piece.junction is None:
                continue
            x0, y0, h0 = self._sample_pose(start)
            x1, y1, h1 = self._sample_pose(end)
            a0 = np.array([x0 - axis * math.sin(h0), y0 + axis * math.cos(h0)])
            a1 = np.array([x1 - axis * math.sin(h1), y1 + axis * math.cos(h1)])
            if piece.junction == KEEP_FORWARD:
                centre = (a0 + a1) / 2
            else:
                directions = np.array([[math.cos(h0), -math.cos(h1)], [math.sin(h0), -math.sin(h1)]])
                centre = a0 + np.linalg.solve(directions, a1 - a0)[0] * directions[:, 0]
            ahead = float((centre - a0) @ [math.cos(h0), math.sin(h0)])
            stop = min(start + ahead - half_width - 4.5, start - 1.0)
            enter, leave = self._inside(centre, h0, half_width + CORNER_M, start - 60, end + 60)
            signal_id = (
                len(junctions) if rng.uniform() < profile.signal_share or piece.junction != KEEP_FORWARD else None
            )
            junctions.append(
                Junction(
                    float(centre[0]), float(centre[1]), h0, piece.junction, stop, enter, leave, half_width, signal_id
                )
            )
        return tuple(junctions)

    def _inside(
        self, centre: NDArray[np.float64], heading: float, half_m: float, low: int, high: int
    ) -> tuple[float, float]:
        """First and last arc length between two samples at which the route lies on the crossing's square."""
        low = max(low, 0)
        relative = self.points[low:high] - centre
        along = relative @ [math.cos(heading), math.sin(heading)]
        across = relative @ [-math.sin(heading), math.cos(heading)]
        inside = low + np.flatnonzero((np.abs(along) <= half_m) & (np.abs(across) <= half_m))
        return float(inside[0]), float(inside[-1])

    def _sample_pose(self, s: float) -> tuple[float, float, float]:
        """Like `pose_at` before the scalar copies exist: nearest sample's pose."""
        i = min(max(round(s), 0), len(self.points) - 1)
        return float(self.points[i, 0]), float(self.points[i, 1]), float(self.headings[i])

    def _shape(self) -> None:
        profile, count = self.profile, len(self.points)
        self.left_m = np.full(count, profile.lane_width_m / 2 + profile.left_margin_m)
        self.right_m = np.full(count, profile.lane_width_m / 2 + profile.shoulder_m)
        self.junction_index = np.full(count, -1, np.int32)
        for number, junction in enumerate(self.junctions):
            self.junction_index[int(junction.enter_s_m) : int(junction.exit_s_m) + 1] = number
        with np.errstate(divide="ignore"):
            curve = np.sqrt(LATERAL_ACCELERATION_MPS2 / np.abs(self.curvatures))
        speed = np.minimum(curve, self.speed_limit_mps)
        for i in range(count - 2, -1, -1):
            speed[i] = min(speed[i], math.sqrt(speed[i + 1] ** 2 + 2 * COMFORT_BRAKING_MPS2 * SPACING_M))
        self.speed_profile = speed


CORNER_M = 4.0
"""Corners of a junction are rounded: its surface reaches this far beyond the crossing square, metres."""
MEDIAN_M = 3.0
"""Width of a motorway's median between the leftmost lanes' edges, metres."""


def _plan_pieces(profile: Profile, rng: np.random.Generator) -> list[_Piece]:
    """Stretches of road until the route is long enough; headings stay bounded so that it does not meet itself."""
    pieces = [_Piece(45.0, 0.0, 1.0)]
    total, base, heading, since_junction = 45.0, 0.0, 0.0, 0.0
    while total < profile.route_length_m:
        if profile.junction_spacing_m and since_junction > profile.junction_spacing_m:
            turn = _choose_turn(profile, base, rng)
            pieces += [_Piece(35.0, 0.0, 1.0), _junction_piece(turn), _Piece(25.0, 0.0, 1.0)]
            change = {TURN_LEFT: math.pi / 2, TURN_RIGHT: -math.pi / 2, KEEP_FORWARD: 0.0}[turn]
            base, heading, since_junction = base + change, heading + change, rng.uniform(-0.3, 0.3) * 100.0
        elif rng.uniform() < profile.straight_share:
            pieces.append(_Piece(rng.uniform(0.15, 0.6) * profile.min_radius_m, 0.0, 1.0))
        else:
            radius = math.exp(rng.uniform(math.log(profile.min_radius_m), math.log(profile.max_radius_m)))
            length = min(radius * rng.uniform(0.5, 1.1), 220.0)
            ramp = length * 0.3
            change = (length - ramp) / radius
            sign = 1.0 if rng.uniform() < 0.5 else -1.0
            if abs(heading + sign * change - base) > profile.max_heading_rad:
                sign = -math.copysign(1.0, heading - base)
            pieces.append(_Piece(length, sign / radius, ramp))
            heading += sign * change
        added = pieces[-1].length_m
        total += added
        since_junction += added
    return pieces


def _choose_turn(profile: Profile, base: float, rng: np.random.Generator) -> str:
    if rng.uniform() >= profile.turn_share:
        return KEEP_FORWARD
    if abs(base) < 0.1:
        return TURN_LEFT if rng.uniform() < 0.5 else TURN_RIGHT
    return TURN_RIGHT if base > 0 else TURN_LEFT


def _junction_piece(turn: str) -> _Piece:
    if turn == KEEP_FORWARD:
        return _Piece(30.0, 0.0, 1.0, turn)
    radius, ramp = TURN_RADIUS_M[turn], 6.0
    sign = 1.0 if turn == TURN_LEFT else -1.0
    length = float(round(math.pi / 2 * radius + ramp))
    return _Piece(length, sign * (math.pi / 2) / (length - ramp), ramp, turn)


def _samples(piece: _Piece) -> int:
    return max(2, round(piece.length_m / SPACING_M))


def _trapezoid(piece: _Piece) -> NDArray[np.float64]:
    count = _samples(piece)
    s = (np.arange(count) + 0.5) * (piece.length_m / count)
    shape = np.clip(np.minimum(s, piece.length_m - s) / piece.ramp_m, 0.0, 1.0)
    return np.asarray(piece.curvature * shape)


def _comes_near_itself(points: NDArray[np.float64], clearance_m: float = 70.0) -> bool:
    """Whether parts more than 250 m of road apart come closer than the clearance (checked on a coarse sampling)."""
    coarse = points[::20]
    gap = np.hypot(coarse[:, None, 0] - coarse[None, :, 0], coarse[:, None, 1] - coarse[None, :, 1])
    apart = np.abs(np.arange(len(coarse))[:, None] - np.arange(len(coarse))[None, :]) > 12
    return bool((gap[apart] < clearance_m).any())


@numba.njit(cache=True)
def project_point(points, headings, x, y, start):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Walk from sample `start` to the segment beside (x, y); returns (s, d). Spacing of samples is 1 m."""
    last = points.shape[0] - 2
    i = min(max(start, 0), last)
    t = 0.0
    c = s = dx = dy = 0.0
    for _ in range(40):
        c = points[i + 1, 0] - points[i, 0]
        s = points[i + 1, 1] - points[i, 1]
        dx, dy = x - points[i, 0], y - points[i, 1]
        t = c * dx + s * dy
        step = int(np.floor(t))
        if step == 0:
            break
        j = min(max(i + step, 0), last)
        if j == i:
            break
        # Near a curve's centre two segments may call for each other: settle on the nearer one.
        if abs(step) == 1:
            c2 = points[j + 1, 0] - points[j, 0]
            s2 = points[j + 1, 1] - points[j, 1]
            t2 = c2 * (x - points[j, 0]) + s2 * (y - points[j, 1])
            if int(np.floor(t2)) == -step:
                t = min(max(t, 0.0), 1.0)
                break
        i = j
    heading = headings[i] + min(max(t, 0.0), 1.0) * (headings[i + 1] - headings[i])
    px = points[i, 0] + t * c
    py = points[i, 1] + t * s
    d = -np.sin(heading) * (x - px) + np.cos(heading) * (y - py)
    return i + t, d
