"""A row of the fault table: what breaks, how dangerous that is, and what is asked of the system."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onboard_vla.app.campaign.tamper import Tamper
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.world.sensor_table import MODELLED, PERFECT

DANGEROUS, NUISANCE, ADVISORY = "dangerous", "nuisance", "advisory"
"""Dangerous: shown to end in collision or off the road with the monitor off. Nuisance: must not make the system react
beyond a mode. Advisory: a reaction is asked for, and no danger is claimed for the situations driven here."""
REACH, STAY, REFUSE = "reach", "stay", "refuse"
"""Reach a mode in time; stay at or below a mode; never let a spoiled plan drive in a way that ends badly."""
FAULTS: dict[str, str] = {
    "F1": "front camera frozen",
    "F2": "rear or side camera frozen",
    "F3": "front camera black, white, covered or blurred",
    "F4": "camera silent",
    "F5": "random loss of pictures",
    "F6": "numbers that are not finite",
    "F7": "logits without meaning",
    "F8": "token structure",
    "F9": "random valid tokens",
    "F10": "one token replaced",
    "F11": "tokens that no vehicle can drive",
    "F12": "plans that oscillate",
    "F13": "engine hangs",
    "F14": "planner killed",
    "F15": "slow engine",
    "F16": "clocks and stamps",
    "F17": "vehicle speed wrong",
    "F18": "vehicle state silent",
    "F19": "object list",
    "F20": "lane and route",
    "F21": "sudden cut-in",
    "F22": "exception in the supervisor",
    "F23": "supervisor starved or killed",
    "F24": "duplicates, replays, order, second publisher",
    "F25": "configuration that does not fit",
    "F26": "disk full",
    "F27": "uncertainty spikes",
    "F28": "slow drift",
    "F29": "two faults at once",
    "F30": "soak",
}
"""The catalogue's numbers, which stay as they are."""
NOT_BUILT: dict[str, str] = {
    "F26": "injected into real processes alone, over ZeroMQ",
    "F29": "pairs run with --all",
    "F30": "run it with --soak",
}
"""Why a fault is not in a report."""


@dataclass(frozen=True)
class FaultCase:
    """One way of injecting one fault.

    `mode`, `limit_ms`: what `asks` refers to; the limit counts from the first affected message, or the first missing
    one. `names`: reason codes that count as having named the cause. `lasting`: the mode asked for when the fault stays
    for seconds, where that is another one. `camera`: who must be named, and nobody else. `steering_rad`: most by which
    one published trajectory may move the steering; driven with perfect sensors, because the noise of the localisation
    would move it more. `provider`: what in the system is there to meet the fault. `note`: where the row is weaker than
    its title. `alike`: meets the same check as another variant, and is left to `--all`. `outright`: no spoiled plan may
    drive at all, however harmless; every one has to be refused.
    """

    fault: str
    variant: str
    danger: str
    tamper: Tamper
    asks: str
    mode: Mode
    limit_ms: float
    names: tuple[str, ...]
    provider: str
    lasting: Mode | None = None
    note: str = ""
    camera: str = ""
    steering_rad: float = math.inf
    alike: bool = False
    outright: bool = False

    @property
    def key(self) -> str:
        """Name on the command line, in JSON, and in resumed results."""
        return f"{self.fault}/{self.variant}"

    @property
    def sensor(self) -> str:
        """The sensors that it is driven with."""
        return PERFECT if math.isfinite(self.steering_rad) else MODELLED

    @property
    def stops(self) -> bool:
        """Whether the fault, when it stays for seconds, asks for a stop that only an operator ends."""
        return self.asks == REACH and max(self.mode, self.lasting or self.mode) >= Mode.IN_LANE_STOP

    @property
    def title(self) -> str:
        """In words."""
        return f"{FAULTS[self.fault]}: {self.variant}"
