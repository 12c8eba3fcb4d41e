"""What the planner process says: a plan, or a structured rejection, and a heartbeat with progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.scene_record import NO_REASONING, SceneRecord

FAST, SLOW = "fast", "slow"


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Signals of one decode, from raw logits before any warping (see kernels/reference_actions.py).

    `spread_m`: (T,) float32, root-mean-square distance of the action distribution from its mean, metres per step.
    `outside_mass`: (T,) float32, probability outside the action tokens; (1,), the first step's alone, of a planner that
    chooses the other actions among actions: theirs is not known. `chosen_mass`: (T,) float32, probability within 0.3 m
    of the chosen action. `second_mass`: (T,) float32, probability of the second group of motions where the
    distribution has two that lie apart, else 0; `second_distance_m`: (T,) float32, metres between the two groups'
    means. `negative_log_likelihood`: mean over the chosen action tokens, nats. `vision_ood`: how far each camera's
    features lie from those the model knows, one figure per camera; empty where the bundle cannot tell.
    """

    spread_m: NDArray[np.float32] = field(metadata={"dtype": "float32", "shape": (None,)})
    outside_mass: NDArray[np.float32] = field(metadata={"dtype": "float32", "shape": (None,)})
    chosen_mass: NDArray[np.float32] = field(metadata={"dtype": "float32", "shape": (None,)})
    second_mass: NDArray[np.float32] = field(metadata={"dtype": "float32", "shape": (None,)})
    second_distance_m: NDArray[np.float32] = field(metadata={"dtype": "float32", "shape": (None,)})
    negative_log_likelihood: float
    vision_ood: dict[str, float]

    @classmethod
    def sure(cls, steps: int, spread_m: float = 0.0) -> Uncertainty:
        """Of a planner that has no distribution to speak of (an expert, a stand-in): sure of every step."""
        none = np.zeros(steps, np.float32)
        return cls(none + np.float32(spread_m), none, np.ones(steps, np.float32), none, none, 0.0, {})


@dataclass(frozen=True)
class PassCount:
    """Model executions spent on one plan, counted by the engines.

    `prefill`: of the language model over given text (prompt, forced prefixes); `decode`: over what it says.
    """

    vision: int
    prefill: int
    decode: int


@dataclass(frozen=True, eq=False)
class Plan:
    """A trajectory in the ego frame at `stamp_ns` (the anchor picture's stamp).

    `poses`: (T, 3) float32: x, y in metres, heading in rad, at step_s, 2 step_s, ...; `fine_poses`: (T*S, 3) float32,
    the same motion at the codebook's sub-steps. `oldest_frame_stamp_ns`: oldest of the newest pictures used.
    `stage_ms`: wall time per stage, and "total".
    `slow_probability`: the fork's probability of choosing slow thinking.
    `camera_skew_ms`: how much later than wanted each camera's newest picture was taken; empty where nobody measured it.
    `scene`: what `text` says, typed. `shed`: what the planner left out to save time or power, in the order in which it
    went; empty in ordinary operation.
    """

    plan_id: int
    stamp_ns: int
    oldest_frame_stamp_ns: int
    step_s: float
    poses: NDArray[np.float32] = field(metadata={"dtype": "float32", "shape": (None, 3)})
    fine_poses: NDArray[np.float32] = field(metadata={"dtype": "float32", "shape": (None, 3)})
    action_tokens: tuple[int, ...]
    depth: str
    slow_probability: float
    text: str
    uncertainty: Uncertainty
    passes: PassCount
    stage_ms: dict[str, float]
    bundle_hash: str
    camera_skew_ms: dict[str, float] = field(default_factory=dict)
    scene: SceneRecord = field(default_factory=partial(SceneRecord.unread, NO_REASONING))
    shed: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanRejection:
    """The planner could not make a valid plan for this anchor stamp; `code` is machine-readable."""

    plan_id: int
    stamp_ns: int
    code: str
    detail: str


@dataclass(frozen=True)
class Heartbeat:
    """Sent at a fixed rate by a live process; counters that do not move betray a live thread beside a dead engine."""

    process: str
    process_id: int
    sequence: int
    stamp_ns: int
    work_started: int
    work_done: int
    ready: bool
    detail: str
