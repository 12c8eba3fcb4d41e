"""What is evaluated: who drives, on which sensors, from which pictures; and the switches that one is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from onboard_vla.app.lockstep_parts import MODEL
from onboard_vla.core.cameras import CAMERAS, FRONT
from onboard_vla.core.errors import ArgumentError
from onboard_vla.core.plan import FAST, SLOW
from onboard_vla.runtime.decoding import MODEL as MODEL_DEPTH
from onboard_vla.runtime.depth_policy import ADAPTIVE
from onboard_vla.world.looks import DAY, LOOKS

DEPTHS = (FAST, SLOW, MODEL_DEPTH, ADAPTIVE)
"""All plans fast; all slow; as the model's own fork chooses, plan by plan; fast with slow second answers in doubt."""
INT8, FP32 = "int8", "fp32"
PRECISIONS = (INT8, FP32)
EVERYTHING, NOTHING = "all", "nothing"
DEPTH_WORDS = {MODEL_DEPTH: "depth by the fork", ADAPTIVE: "adaptive depth"}
SEEN = {EVERYTHING: CAMERAS, FRONT: (FRONT,), NOTHING: ()}
SEES_WORDS = {EVERYTHING: (), FRONT: ("front camera alone",), NOTHING: ("all pictures grey",)}


@dataclass(frozen=True)
class Variant:
    """One way to drive all worlds. `sees`: the planner gets even grey for all pictures but these.

    `look`: of the world, see `world.looks`.
    """

    sensor: str = "modelled"
    supervised: bool = True
    planner: str = MODEL
    depth: str = FAST
    precision: str = INT8
    sees: str = EVERYTHING
    look: str = DAY

    @property
    def name(self) -> str:
        """In tables and files: what differs from the default."""
        words = [f"{self.sensor} sensors"]
        words += [] if self.planner == MODEL else [self.planner]
        words += [] if self.supervised else ["unaided"]
        words += [] if self.depth == FAST else [DEPTH_WORDS.get(self.depth, f"depth {self.depth}")]
        words += [] if self.precision == INT8 else [self.precision]
        words += [] if self.look == DAY else [self.look]
        return ", ".join([*words, *SEES_WORDS[self.sees]])

    @property
    def cameras(self) -> tuple[str, ...]:
        """What the planner sees."""
        return SEEN[self.sees]


ABLATIONS: dict[str, dict[str, object]] = {
    "depth": {"depth": MODEL_DEPTH},
    "adaptive": {"depth": ADAPTIVE},
    "camera": {"sees": FRONT},
    "pictures": {"sees": NOTHING},
    "precision": {"precision": FP32},
    "sensor": {"sensor": "perfect"},
    "supervisor": {"supervised": False},
    **{look: {"look": look} for look in LOOKS if look != DAY},
}
"""What each ablation changes; a value that is there already is turned back to the default."""


def with_ablation(base: Variant, name: str) -> Variant:
    """The other side of a comparison.

    Raises:
        ArgumentError: there is no such ablation.
    """
    if name not in ABLATIONS:
        raise ArgumentError(f"--ablation {name!r}: expected one of {', '.join(ABLATIONS)}")
    default = Variant()
    changes = {
        field: getattr(default, field) if getattr(base, field) == value else value
        for field, value in ABLATIONS[name].items()
    }
    return replace(base, **changes)  # type: ignore[arg-type]
