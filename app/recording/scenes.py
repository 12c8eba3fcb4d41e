"""Scenes to calibrate and judge a bundle on, out of recordings of the vehicle: what the planner would have been shown.

python -m onboard_vla.app.recording.scenes drive_1 drive_2 --bundle out/fp32 --out scenes.npz --count 300
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from onboard_vla.app.export_progress import ExportProgress
from onboard_vla.app.one_line import in_one_line
from onboard_vla.app.recording.gathering import Gathering
from onboard_vla.core.cameras import CameraFrame, CompressedFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.road import Route
from onboard_vla.export.scene_file import save_scenes
from onboard_vla.export.scenes import Scene
from onboard_vla.ros_nodes.bag import REPAIR_TOOLS
from onboard_vla.runtime.bundle import Bundle

if TYPE_CHECKING:
    from onboard_vla.ros_nodes.bag_messages import MessageReader

EVERY_S = 0.5
"""Time between scenes: what neighbours show differs little before."""
REPAIR = f"leave them out of the command, or repair them ({REPAIR_TOOLS})"
"""Never left out unasked: whose drives a calibration is of is for its author to say."""


def recorded_scenes(
    bundle: Bundle,
    recordings: Sequence[Path],
    every_s: float = EVERY_S,
    tell: Callable[[str], None] = lambda _line: None,
    progress: Callable[[float], None] = lambda _share: None,
) -> Iterator[Scene]:
    """Scenes of all recordings, one after the other, each with the driver's own motion as the expert's tokens.

    A moment counts if all cameras, an ego state and a route are there, and the ego state goes on without a hole for as
    long as the pictures look back and a plan reaches.

    Args:
        bundle: whose cameras, prompt and codebook are used.
        recordings: rosbag2 folders or MCAP files.
        every_s: least time between two scenes.
        tell: takes a line about each recording: how many scenes, and why not more.
        progress: takes the finished share of the reading.

    Raises:
        ConfigurationError: recordings cannot be opened, which is said of all of them before any is read, or none gives
            a scene; says what was missing.
    """
    spans_ns, read_ns, lines, given = _spans_ns(recordings), 0, [], 0
    for path, span_ns in zip(recordings, spans_ns, strict=True):
        reader, gathering, begin_ns = _opened(path), Gathering(bundle, every_s), None
        try:
            for told in reader.messages((CameraFrame, CompressedFrame, EgoState, Route)):
                begin_ns = told.time_ns if begin_ns is None else begin_ns
                progress((read_ns + told.time_ns - begin_ns) / max(sum(spans_ns), 1))
                yield from gathering.take(told.message)
            damage = []
        except ConfigurationError as error:
            damage = [str(error)]
        finally:
            reader.close()
        gathering.end()
        refused = [f"{count} messages of {topic} could not be read" for topic, count in reader.refused.items()]
        lines.append(f"{path}: " + "; ".join([gathering.account(), *refused, *damage]))
        tell(lines[-1])
        given += gathering.given
        read_ns += span_ns
    if not given:
        raise ConfigurationError("no scene in " + " | ".join(lines))


def _opened(recording: Path) -> MessageReader:
    from onboard_vla.ros_nodes.bag_messages import MessageReader  # needs ROS's messages: said when it is run

    return MessageReader(recording)


def _spans_ns(recordings: Sequence[Path]) -> list[int]:
    spans, closed = [], []
    for path in recordings:
        try:
            spans.append(_span_ns(path))
        except ConfigurationError as error:
            closed.append(str(error))
    if closed:
        raise ConfigurationError(
            f"{len(closed)} of {len(recordings)} recordings cannot be opened: {' | '.join(closed)}; {REPAIR}"
        )
    return spans


def _span_ns(recording: Path) -> int:
    """Time from a recording's first message to its last."""
    reader = _opened(recording)
    try:
        begin, end = reader.bag.span_ns
        return max(end - begin, 0)
    finally:
        reader.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0 when the file is written."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.app.recording.scenes", description=__doc__)
    parser.add_argument("recordings", type=Path, nargs="+", help="rosbag2 folders or MCAP files (`onboard-vla record`)")
    parser.add_argument("--bundle", type=Path, required=True, help="bundle whose cameras and prompt are used")
    parser.add_argument("--out", type=Path, required=True, help="file of scenes, .npz")
    parser.add_argument("--every", type=_above_zero, default=EVERY_S, help="seconds between scenes")
    parser.add_argument("--count", type=_count, help="at most so many scenes, evenly chosen out of all recordings")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    def work() -> str:
        with ExportProgress(console) as bar:
            bundle = Bundle.open(options.bundle)
            scenes = recorded_scenes(
                bundle, options.recordings, options.every, tell, lambda share: bar.show("read recordings", share)
            )
            written = save_scenes(
                options.out, scenes, options.count, lambda share: bar.show(f"write {options.out.name}", share)
            )
        return f"{options.out}: {written} scenes of {len(options.recordings)} recordings"

    return in_one_line(work)


def _above_zero(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text}: expected seconds, more than 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of scenes, at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
