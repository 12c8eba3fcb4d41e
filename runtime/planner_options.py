"""What the planner process can be told when it starts, and some of it while it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from onboard_vla.core.process import Option, OptionValue
from onboard_vla.runtime.camera_timing import DEFAULT_TOLERANCE_S
from onboard_vla.runtime.depth_policy import ALWAYS_FAST, POLICIES, DepthLimits
from onboard_vla.runtime.engine import CPU, ENGINES
from onboard_vla.runtime.load_shedding import FULL, POWER_MODES

SILENT_AFTER_S = 3.0
"""A pass this long is reported, and heartbeats stop: who listens for them takes the planner for dead from then on."""
STUCK_AFTER_S = 10.0
"""A pass this long never ends: the process gives up and is started again. Far above a slow plan's few seconds."""

REDUCED = "reduced"
DEPTH = DepthLimits()

PLANNER_OPTIONS = (
    Option("bundle", str, None, "path of the bundle folder"),
    Option("threads", int, 1, "inference threads", 1, 64),
    Option(
        "engine",
        str,
        CPU,
        "what runs the graphs: ONNX Runtime on the processor or by CUDA, or TensorRT engines built on this machine; "
        "what is not there is an error",
        choices=ENGINES,
    ),
    Option("engines", str, "", "folder of the TensorRT engines, BUNDLE.engines if empty"),
    Option(
        "unjudged_engines",
        bool,
        False,
        "take TensorRT engines, too, that nobody has judged, for the bundle has no golden scenes; never on a vehicle",
    ),
    Option(
        "plan_period_s", float, 0.2, "shortest time between the starts of two plans", 0.0, 5.0, "s", changeable=True
    ),
    Option(
        "cameras.decode",
        str,
        REDUCED,
        "compressed pictures: at a part of their size where the model's input is at most half of that, or always whole",
        choices=(REDUCED, "whole"),
    ),
    Option(
        "cameras.share_decoding",
        bool,
        True,
        "plan where compressed pictures serve two plans: half the decoding, for which quick plans wait up to 0.12 s",
    ),
    Option(
        "depth.policy",
        str,
        ALWAYS_FAST,
        "fast plans; slow ones; as the model's fork says; or fast ones with slow second answers where there is doubt",
        choices=POLICIES,
    ),
    *(
        Option(f"depth.{name}", float, getattr(DEPTH, name), what, least, most, unit)
        for name, what, least, most, unit in (
            (
                "slow_probability",
                "adaptive: the fork's probability from which on a plan asks for it",
                0.01,
                10.0,
                "",
            ),
            ("spread_m", "adaptive: spread of a step from which on a plan asks for it", 0.01, 10.0, "m"),
            ("second_mass", "adaptive: probability of a second way from which on a plan asks for it", 0.01, 10.0, ""),
            ("hazard_s", "adaptive: time to brake below which a plan asks for it, down to 1.5 s", 1.5, 60.0, "s"),
            ("rest_s", "adaptive: least time between the beginnings of two slow answers", 0.0, 60.0, "s"),
            ("margin_s", "policies that think: kept free before the next plan is due", 0.0, 1.0, "s"),
        )
    ),
    Option(
        "depth.least_tokens",
        int,
        DEPTH.least_tokens,
        "policies that think: with time for fewer tokens of reasoning it is not begun",
        1,
        4096,
    ),
    Option(
        "actions_alone",
        bool,
        False,
        "behind a plan's first action compute actions' logits alone: another token that would win there is not seen, "
        "nor the mass outside the actions; for bundles with such a head, on the engine cpu",
    ),
    Option(
        "load.shed_when_late",
        bool,
        True,
        "plans that take longer than the plan period go without what the bundle says that the model can",
    ),
    Option(
        "load.power_mode",
        str,
        FULL,
        "nothing left out; without older pictures and thinking; without all that the bundle can do without",
        choices=POWER_MODES,
        changeable=True,
    ),
    Option("silent_after_s", float, SILENT_AFTER_S, "heartbeats stop in a pass that lasts longer", 0.5, 60.0, "s"),
    Option("stuck_after_s", float, STUCK_AFTER_S, "the process ends, to be started again, beyond it", 1.0, 120.0, "s"),
    Option("cameras.offsets_s", str, "", "by how much each camera's shutter is later than the front one's: back=0.02"),
    Option(
        "cameras.sizes",
        str,
        "",
        "size of the whole pictures instead of the bundle's, any scale of it down to a 16th is taken: 1920x1280 "
        "back=1600x900; other shapes are refused, and cameras of which nobody says it send what they like",
    ),
    Option("cameras.tolerance_s", float, DEFAULT_TOLERANCE_S, "largest stamp distance in a frame set", 0.001, 0.5, "s"),
    Option(
        "realtime_priority",
        int,
        5,
        "SCHED_FIFO priority of the thread that takes messages and beats, where permitted, 0 for ordinary scheduling",
        0,
        99,
    ),
)


def depth_limits(options: Mapping[str, OptionValue]) -> DepthLimits:
    """Of the policies that think, from the options of the same names."""
    return DepthLimits(**{f.name: options[f"depth.{f.name}"] for f in dataclasses.fields(DepthLimits)})  # type: ignore[arg-type]
