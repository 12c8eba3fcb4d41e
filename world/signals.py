"""Traffic signals: fixed-time programmes, a function of time alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onboard_vla.core.road import AMBER, GREEN, RED

AMBER_S = 3.0
"""Amber time at 50 km/h (German RiLSA value)."""
ALL_RED_S = 2.0
"""Clearance time in which no approach has green."""
GREEN_RANGE_S = (9.0, 18.0)
RED_RANGE_S = (11.0, 16.0)
"""Ranges from which an approach's green and red times are drawn."""


@dataclass(frozen=True)
class SignalProgramme:
    """Cycle of one junction: the route's approach has green, amber, then red; the crossing road has the rest."""

    green_s: float
    red_s: float
    offset_s: float

    @property
    def cycle_s(self) -> float:
        """Length of the whole cycle."""
        return self.green_s + AMBER_S + self.red_s

    def state(self, time_s: float) -> str:
        """What the route's approach sees."""
        phase = (time_s + self.offset_s) % self.cycle_s
        if phase < self.green_s:
            return GREEN
        return AMBER if phase < self.green_s + AMBER_S else RED

    def crossing_state(self, time_s: float) -> str:
        """What the crossing road sees: green inside the route's red, with clearance on both sides."""
        into_red = (time_s + self.offset_s) % self.cycle_s - self.green_s - AMBER_S
        if into_red < ALL_RED_S or into_red > self.red_s - ALL_RED_S:
            return RED
        return GREEN if into_red < self.red_s - ALL_RED_S - AMBER_S else AMBER


def draw_programme(rng: np.random.Generator) -> SignalProgramme:
    """A random programme."""
    green, red = rng.uniform(*GREEN_RANGE_S), rng.uniform(*RED_RANGE_S)
    return SignalProgramme(float(green), float(red), float(rng.uniform(0.0, green + red + AMBER_S)))
