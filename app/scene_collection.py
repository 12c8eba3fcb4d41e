"""Collect scenes for `onboard-vla verify`: drives of the expert in worlds that no training has seen.

python -m onboard_vla.app.scene_collection out/scenes.npz --bundle out/int8 --worlds 32
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from onboard_vla.app.export_progress import ExportProgress
from onboard_vla.app.one_line import in_one_line
from onboard_vla.core.bundle_manifest import CameraInput
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.prompt import Value
from onboard_vla.core.road import COMMANDS
from onboard_vla.export.scene_file import save_scenes
from onboard_vla.export.scenes import Scene
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import prompt_writer
from onboard_vla.runtime.prompt import Tokenizer

FIRST_SEED = 970_000
"""Seeds from here on are used by nothing else."""
PROFILE, SECONDS = "quiet_road", 20.0
ROW_S = 0.5
"""Time between the rows of a recorded drive; the cameras' frame spacing must be the same."""

Arrays = dict[str, NDArray[Any]]


def collect(
    bundle: Bundle,
    seeds: Sequence[int],
    seconds: float,
    profile: str,
    progress: Callable[[float], None] = lambda _share: None,
) -> Iterator[Scene]:
    """Every half second of every drive that has a whole history, one drive after the other.

    Raises:
        OnboardVlaError: the bundle's frames are not half a second apart, drives are shorter than a history, or the
            prompt wants other fields.
    """
    from onboard_vla.world.dataset_episode import record_episode
    from onboard_vla.world.dataset_images import ModelPictures
    from onboard_vla.world.render import Renderer
    from onboard_vla.world.rig import default_rig
    from onboard_vla.world.world import World

    frames = bundle.manifest.frames
    if frames.spacing_s != ROW_S:
        raise OnboardVlaError(f"frames are {frames.spacing_s} s apart, recorded drives have {ROW_S} s")
    if not seconds >= frames.per_camera * ROW_S:
        raise OnboardVlaError(
            f"a drive of {seconds:g} s has no {frames.per_camera} pictures of a camera {ROW_S:g} s apart: "
            f"expected at least {frames.per_camera * ROW_S:g} s"
        )
    renderer = Renderer(default_rig())
    pictures = ModelPictures({"cameras": [_entry(camera) for camera in bundle.manifest.cameras]})
    for done, seed in enumerate(seeds):
        progress(done / len(seeds))
        drive = record_episode(World(seed, profile), renderer, pictures, seconds, seed, None)
        if len(drive["speed"]) >= frames.per_camera:
            yield from _scenes(bundle, drive)


def _entry(camera: CameraInput) -> dict[str, Any]:
    crop = dict(zip(("left", "top", "right", "bottom"), camera.crop, strict=True))
    return {"camera": camera.role, "width": camera.width, "height": camera.height, "crop": crop}


def _scenes(bundle: Bundle, drive: Arrays) -> list[Scene]:
    history, writer = (
        bundle.manifest.frames.per_camera,
        prompt_writer(bundle, Tokenizer(bundle.path / bundle.manifest.tokenizer)),
    )
    rows = np.arange(history - 1, len(drive["speed"]))
    sides = [camera for camera in bundle.cameras if camera != "front"]
    scenes = []
    for row, tokens in zip(rows, bundle.codebook.encode_batch(drive["poses"][rows]), strict=True):
        frames = slice(row + 1 - history, row + 1)
        images = {"front": drive["front"][frames]}
        images |= {camera: drive["sides"][frames, index] for index, camera in enumerate(sides)}
        fields: dict[str, Value] = {
            "speed": round(float(drive["speed"][row]), 1),
            "command": COMMANDS[drive["command"][row]],
        }
        scenes.append(Scene(images, writer.write_fields(fields).ids, tokens))
    return scenes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0 when the file is written."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.app.scene_collection", description=__doc__)
    parser.add_argument("out", type=Path, help="file of scenes, .npz")
    parser.add_argument("--bundle", type=Path, required=True, help="bundle whose cameras and prompt are used")
    parser.add_argument("--worlds", type=int, default=32, help="number of drives; 37 scenes each")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of a drive")
    parser.add_argument("--profile", default=PROFILE)
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.worlds)

    def work() -> str:
        with ExportProgress(Console(stderr=True)) as bar:
            bundle = Bundle.open(options.bundle)
            scenes = collect(
                bundle, seeds, options.seconds, options.profile, lambda share: bar.show("record drives", share)
            )
            written = save_scenes(
                options.out, scenes, progress=lambda share: bar.show(f"write {options.out.name}", share)
            )
        return f"{options.out}: {written} scenes of {options.worlds} drives"

    return in_one_line(work)


if __name__ == "__main__":
    sys.exit(main())
