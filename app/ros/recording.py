"""Whether a recording is one that a deployment's replay can play to its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import seconds
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.ros_nodes.bag import BagReader
from onboard_vla.ros_nodes.deployment import CAMERA_REPLAY, NodeStart
from onboard_vla.ros_nodes.node_options import PICTURES
from onboard_vla.ros_nodes.parameter_files import node_parameters, pictures_taken
from onboard_vla.ros_nodes.played import played_topics
from onboard_vla.ros_nodes.topics import COMPRESSED, RAW, Form, row_named


def recording_words(starts: Sequence[NodeStart], namespace: str) -> str:
    """What the recording holds, for a table.

    Raises:
        ConfigurationError: it cannot be read, holds nothing to play, or its pictures are none that the nodes take.
        EnvironmentLacksError: there is no library to read it with.
    """
    replay = next(node_parameters(start, namespace) for start in starts if start.name == CAMERA_REPLAY)
    bag = str(replay["bag"])
    with BagReader(Path(bag)) as reader:
        kinds = played_topics(bag, reader.topics, bool(replay["outputs"]), bool(replay["commands"]))
        begin_ns, end_ns = reader.span_ns
    pictures = _pictures(kinds)
    listeners = {name.strip() for name in str(replay["listeners"]).split(",")}
    for start in starts:
        if start.name not in listeners:
            continue
        taken = pictures_taken(start, namespace)
        if pictures != {taken}:
            raise ConfigurationError(
                f"{bag}: expected pictures that are {taken}, as {PICTURES.name} of {start.name} says, "
                f"found {' and '.join(sorted(pictures)) or 'none'}"
            )
    return f"{bag}: {seconds(end_ns - begin_ns):.1f} s, {len(kinds)} topics, pictures {' and '.join(sorted(pictures))}"


def _pictures(kinds: dict[str, str]) -> set[str]:
    rows = [row for name, kind in kinds.items() if (row := row_named(name, kind)) is not None]
    frames = [row for row in rows if row.topic is not None and row.topic.kind is CameraFrame]
    return {COMPRESSED if row.form is Form.COMPRESSED else RAW for row in frames}
