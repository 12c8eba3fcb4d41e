"""Options that a process has as a ROS node alone, beside those of its role."""

from __future__ import annotations

from onboard_vla.core.process import Option
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR
from onboard_vla.ros_nodes.topics import PLAN_VIEW, RAW, TRANSPORTS

AUTOSTART = Option(
    "autostart", bool, True, "configure and activate at start, so that a planner that died comes back active"
)
DEAF_AFTER = Option(
    "deaf_after_s",
    float,
    15.0,
    "the process ends, to be started again, when a library holds the interpreter's lock so long",
    3.0,
    300.0,
    "s",
)
PICTURES = Option(
    "cameras.transport", str, RAW, "how pictures come: as Image, or as JPEG in CompressedImage", choices=TRANSPORTS
)
RECTIFIED = Option(
    "cameras.rectified",
    bool,
    False,
    "pictures are rectified (image_rect): of CameraInfo P is their lens, without distortion, and not K and D",
)
STANDARD, BOTH = "standard", "both"
OUTPUT_FORMAT = Option(
    "output.format",
    str,
    STANDARD,
    "trajectory and state in standard messages, or in Autoware's beside them",
    choices=(STANDARD, BOTH),
)
NODE_OPTIONS: dict[str, tuple[Option, ...]] = {
    PLANNER: (AUTOSTART, DEAF_AFTER, PICTURES, RECTIFIED),
    CAMERA_GUARD: (PICTURES,),
    SUPERVISOR: (OUTPUT_FORMAT,),
    PLAN_VIEW: (PICTURES,),
}


def node_options(process: str) -> tuple[Option, ...]:
    """The options of this process's node."""
    return NODE_OPTIONS.get(process, ())
