"""What `gpu_plan.py` plans with: a tiny configuration, noise for pictures, and a teacher that makes an engine say."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import export_3b_checkpoint as export_3b
import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.roofline.devices import Device
from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import SLOW, Plan
from onboard_vla.core.road import KEEP_FORWARD
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.kernels.reference_images import crop_and_resize
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import Arrays
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.prompt import answer_ids

EGO, COMMAND = EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0), KEEP_FORWARD
ROLES = (*export_3b.ROLES, "back", "back_left", "back_right")
PERIOD_NS = 500_000_000
ENLARGED = 2
"""Pictures are this many times the model's size."""
WORDS = range(26)
"""Ids of the tokenizer's letters, of which reasoning is made; those that the answer's grammar knows are left out."""
STEP_TOKENS = 16
"""Passes with at most this many tokens are decode passes."""
COPY_BYTES, COPIES = 256 << 20, 20
TINY = {
    **export_3b.CONFIG,
    "num_hidden_layers": 2,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
    "vision_config": {
        **export_3b.VISION,
        "depth": 2,
        "hidden_size": 64,
        "num_heads": 2,
        "intermediate_size": 128,
        "fullatt_block_indexes": [1],
        "out_hidden_size": 128,
    },
}


@dataclass(frozen=True)
class Answer:
    """Ids: `prefix` is part of the prefill, `said` is decoded, `suffix` ends the answer."""

    prefix: tuple[int, ...]
    said: tuple[int, ...]
    suffix: tuple[int, ...]


@dataclass
class Bench:
    """Who plans, on what, and what was last said, by number of cameras and depth."""

    planner: Planner
    teacher: Teacher
    drive: Drive
    said: dict[tuple[int, str], Answer] = field(default_factory=dict)


def let_cameras_go(checkpoint: Path) -> None:
    """Say of the checkpoint that plans may be made without its last three cameras, and which text goes with each."""
    described = json.loads((checkpoint / "cameras.json").read_text(encoding="utf-8"))
    for camera in described["cameras"]:
        camera["required"] = camera["camera"] in export_3b.ROLES
    (checkpoint / "cameras.json").write_text(json.dumps(described), encoding="utf-8")
    prompt = json.loads((checkpoint / "prompt.json").read_text(encoding="utf-8"))
    segments: list[dict[str, str]] = [{"text": "a" * 380}]
    for role in ROLES:
        segments += [
            {"text": "<|start|>", "camera": role},
            {"video": role},
            {"text": "<|stop|>" + "b" * 26, "camera": role},
        ]
    segments.append({"text": "c" * 60 + "{speed}"})
    (checkpoint / "prompt.json").write_text(json.dumps(prompt | {"segments": segments}), encoding="utf-8")


def source_of(bundle: Bundle) -> tuple[int, int]:
    """Width and height of the cameras' pictures."""
    camera = bundle.manifest.cameras[0]
    return camera.width * ENLARGED, camera.height * ENLARGED


class Drive:
    """Pictures of noise, a new one of every camera each 0.5 s."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._rng = bundle, np.random.default_rng(0)
        self._pictures: dict[tuple[str, int], NDArray[np.uint8]] = {}

    def frames(self, number: int, cameras: int) -> FrameSet:
        """The newest pictures of plan `number`, of the first cameras."""
        ticks = range(number, number + self._bundle.manifest.frames.per_camera)
        stamps = tuple(tick * PERIOD_NS for tick in ticks)
        images = {role: tuple(self._picture(role, tick) for tick in ticks) for role in self._bundle.cameras[:cameras]}
        return FrameSet(stamps[-1], images, dict.fromkeys(images, stamps))

    def at_model_size(self, number: int, cameras: int) -> dict[str, list[NDArray[np.uint8]]]:
        """The same pictures as a peer takes them."""
        frames = self.frames(number, cameras)
        return {
            camera.role: [
                crop_and_resize(np.asarray(picture), camera.crop, camera.width, camera.height)
                for picture in frames.images[camera.role]
            ]
            for camera in self._bundle.manifest.cameras[:cameras]
        }

    def _picture(self, role: str, tick: int) -> NDArray[np.uint8]:
        width, height = source_of(self._bundle)
        if (role, tick) not in self._pictures:
            picture = self._rng.integers(0, 256, (height, width, 3), np.uint8)
            picture.flags.writeable = False
            self._pictures[role, tick] = picture
        return self._pictures[role, tick]


class Teacher:
    """Makes a planner's language engine say answers, and times its passes."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        manifest, template = planner.bundle.manifest, planner.bundle.template
        self._tokenizer = planner._tokenizer
        self._answer = answer_ids(template, self._tokenizer, manifest.actions)
        self._actions = manifest.actions
        self._suffix = tuple(self._tokenizer.encode(template.answer.answer_suffix))
        self._ending = tuple(self._tokenizer.encode(self._answer.reasoning_suffix))
        self._chosen = Answer((), (), ())
        self._start, self._passes = 0, list[float]()
        engine = planner.language._engine
        self._run = engine.run
        engine.run = self._taught  # type: ignore[method-assign]

    def choose(self, depth: str, reasoning: int, rng: np.random.Generator) -> Answer:
        """A random answer, which the next plan says."""
        known = {*self._answer.fast_prefix, *self._answer.slow_prefix, *self._ending, *self._suffix}
        words = [word for word in WORDS if word not in known]
        actions = self._actions.first_id + rng.integers(0, self._actions.count, self._actions.per_answer)
        text = tuple(rng.choice(words, reasoning).tolist()) + self._ending if depth == SLOW else ()
        prefix = self._answer.slow_prefix if depth == SLOW else self._answer.fast_prefix
        self._chosen = Answer(tuple(prefix), (*text, *actions.tolist()), self._suffix)
        return self._chosen

    def plan(self, frames: FrameSet, number: int, depth: str) -> tuple[Plan, list[float]]:
        """One plan that says the chosen answer, and seconds of each decode pass."""
        prompt = self._planner.prompt.write(EGO, COMMAND, frames.images)
        self._start, self._passes = len(prompt.ids) + len(self._chosen.prefix), []
        plan = self._planner.plan(frames, EGO, COMMAND, number, depth=depth)
        first = self._actions.first_id
        wanted = tuple(i - first for i in self._chosen.said[-self._actions.per_answer :])
        if not isinstance(plan, Plan) or plan.action_tokens != wanted:
            raise SystemExit(f"gpu_plan: the {depth} plan is {plan!r}, expected the actions {wanted}")
        return plan, self._passes

    def _taught(self, inputs: Arrays, outputs: Arrays) -> None:
        begin = time.perf_counter()
        self._run(inputs, outputs)
        took = time.perf_counter() - begin
        past = self._planner.language.cache.length
        if past and len(inputs["embeds"]) <= STEP_TOKENS:
            self._passes.append(took)
        for row, logits in zip(inputs["rows"], outputs["logits"], strict=True):
            step = past + int(row) + 1 - self._start
            if 0 <= step < len(self._chosen.said):
                logits[self._chosen.said[step]] = 1e6


def decode_floor_ms(planner: Planner, machine: Device) -> float:
    """Least time of a decode pass: its weights and the filled cache are read once."""
    bundle = planner.bundle
    graph = bundle.manifest.language_graph
    size = sum(record.bytes for name, record in bundle.manifest.files.items() if name.startswith(graph))
    cache = planner.language.cache
    size += cache.block.nbytes * cache.length // cache.capacity
    return size / machine.bandwidth(size) * 1e3


def copy_bytes_per_s(device: DriverDevice) -> float:
    """Of a copy inside device memory, reading and writing counted."""
    source, to = (device.allocate(COPY_BYTES) for _ in range(2))
    stream = device.new_stream()
    device.zero(source, COPY_BYTES, stream)
    device.copy_rows(to, COPY_BYTES, source, COPY_BYTES, COPY_BYTES, 1, stream)
    device.synchronise(stream)
    start = time.perf_counter()
    for _ in range(COPIES):
        device.copy_rows(to, COPY_BYTES, source, COPY_BYTES, COPY_BYTES, 1, stream)
    device.synchronise(stream)
    took = time.perf_counter() - start
    for address in (source, to):
        device.free(address)
    return 2 * COPY_BYTES * COPIES / took


def print_table(report: dict[str, Any]) -> None:
    """One line a row."""
    out = sys.stdout.write
    out(f"{report['device']['name']}{', a dry run: its times say nothing of a GPU' if report['dry_run'] else ''}\n")
    for row in report["rows"]:
        peers = ", ".join(f"{name} {found['whole_answer']:.1f}" for name, found in row["transformers_ms"].items())
        out(
            f"{row['cameras']} cameras, {row['depth']}: {row['total_ms']:.1f} ms, {row['passes']:.1f} passes, "
            f"decode {row['decode_pass_ms']:.2f} ms = {row['share_of_decode_floor']:.0%} of the floor; {peers}\n"
        )
    for name, why in report["left_out"].items():
        out(f"left out: {name}: {why}\n")
