"""The page docs/ros-interfaces.md: all that an integrator connects to, from the tables in code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.process import Option, Role
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR
from onboard_vla.ros_nodes.checks import ASPECTS, PLAN_ASPECT
from onboard_vla.ros_nodes.deployment_files import described, options_of
from onboard_vla.ros_nodes.encodings import ENCODINGS
from onboard_vla.ros_nodes.services import SERVICES
from onboard_vla.ros_nodes.topics import COMPRESSED, RAW, VEHICLE_GATE, markdown_table

HEAD = """\
# ROS 2 interfaces

Written by `python -m onboard_vla.ros_nodes.documents` from the tables in `ros_nodes/`; a test compares. Do not edit.

A node knows its topics as `~/input/<name>` and `~/output/<name>`, without the prefix `onboard_vla/`; remap rules of
yours win over the default ones that connect them to the names below (`SetRemap` in a group around the launch file, see
`ros_nodes/onboard_vla_bringup/README.md`; `remaps` of the file that `onboard-vla ros up` reads, see
`examples/ros/vehicle.yaml`). `vehicle` is whoever is at the vehicle's end: drivers, perception,
localisation, vehicle interface. Topics under `onboard_vla/wire/` hold the bytes of the versioned wire schema in
`std_msgs/UInt8MultiArray`, for our own nodes, simulation and tests; send the typed form beside them where
`onboard_vla_msgs` is built (column "needs"). Send an input in one form, not in both.

Who has no message of ours for the route sends `route_path` (frame `odom`, two poses or more; it carries no speed
limits: those come with the lanes) and `command` (`keep forward`, `turn left` or `turn right`, which holds until the
next one). Both are needed, and offered transient local: `ros2 topic pub --qos-durability transient_local`.

`driver` is to be sent at 10 Hz for as long as the vehicle can be driven, whether the driver acts or not, each message
with the stamp of its own moment. That he acts counts whatever the stamp; with one that stands or goes back for 0.5 s
(`DRIVER_STAMP_STANDS`), or is ahead of ROS time by more than 5 ms (`DRIVER_STAMP_AHEAD`), that he does not is no
knowledge: L2. A sender that is stuck on true leaves the vehicle to a person for as long as it is. He counts as acting
for 0.5 s after he was last heard to (at the reference gate, which hears him itself, 0.4 s): said once, an override ends
then, in STANDBY, or where a stop had begun in LATCHED, which stops the vehicle in its lane. Once heard, silence of
0.5 s is `DRIVER_SILENT` (L2). On a vehicle (`profile: vehicle`) nobody engages before it is known whether he
acts (`DRIVER_UNHEARD`); elsewhere, where nobody ever sends it, nothing says so, and he takes over by `disengage`
alone, which ends no stop.

`onboard_vla/operator` takes each command once and in the order of its stamps, no older than 1 s and no more than 5 ms
ahead of ROS time; others are answered (`COMMAND_REPEATED`, `_OLD`, `_FROM_FUTURE`). `stop` is obeyed whatever its
stamp, which is named among the reasons where it is not sound (unset, later, ahead): then every time that it is heard. A
stop that was obeyed with a sound stamp is not when the same one is heard again, after somebody has re-armed. Of more
than 8 commands within a cycle (20 ms) the others are answered (`COMMANDS_TOO_MANY`), but for a stop or `disengage`,
which is obeyed. The services below need no stamp.

Rates are those asked for; plans come four times a second instead of five where they share decoded JPEG pictures
(`cameras.share_decoding`, the default; [measurements](measurements.md)).

Frames: `odom`, `base_link` (rear axle's centre on the ground), `<camera>_optical` (REP 103, REP 105). They are asked
for by these names, and a message with another one is refused: `kinematic_state` goes from `odom` to `base_link`;
`objects`, `lanes`, `route` and `route_path` are in `odom`, `wheel_speed` and `acceleration` are in `base_link` (an
IMU's own frame is not taken: turn its values into the vehicle's); a prefix (`car/odom`) makes another name. `odom` is
continuous: a pose in `map`, which jumps when the vehicle is localised anew (Autoware's
`/localization/kinematic_state`), is not taken. Who has that alone sends odometry and perception in `odom` by a node of
his own; `onboard-vla ros check --topics 10` says of each input whether type, quality of service, frame, stamp and
encoding of what is sent are taken. Stamps are held against the clock of the machine that it runs on, with the
supervisor's limits (ego state: `freshness.ego_stop_s`, 0.2 s; none more than 5 ms ahead); of `route` and `camera_info`,
which hold whatever their stamps, and with `use_sim_time` they are not. A plan's stamp is its anchor picture's; a
trajectory's is the instant that its first point is for, on ROS time.
"""
PICTURES = """\
Send JPEG, and set `cameras.transport: compressed` for `vla_planner`, `camera_guard` and `plan_view`: a picture of
1600x900 is 0.2 MB instead of 4.3 MB on its way ([measurements](measurements.md)), and the planner decodes only those
that an inference uses. Either way the publisher needs the shipped Fast DDS profile, or pictures get lost. A node takes
one of the two messages; another value is refused, counted in `/diagnostics` and logged. YUV is read by BT.601.
"""
CAMERA_INFO = """\
What `camera_info` says of a lens is held against the bundle's, where that names one, and a camera that differs is left
out. Of raw pictures (`image_raw`) K and D count; of rectified ones (`image_rect`), beside which drivers send the same D
and K, set `cameras.rectified` of `vla_planner`: then P counts, and D is not looked at. R has to be 1 there, as it is of
a single camera. Without the parameter, publish CameraInfo with D = 0 and K = P. Send it with every picture, as drivers
do: said once, it is gone when the planner is started again, and its check with it, which `/diagnostics` then warns of.
"""
ON_EVERY_NODE = """\
A command is decided on before its answer, but for what is `taken`: that answer is a success where the newest state
leaves the command possible, and what became of it is in `onboard_vla/state`.

Every node has the parameter services of rclpy; `vla_planner` has those of a lifecycle node, too (`~/change_state`,
`~/get_state` and so on). In a namespace all these names begin with it: `/car/safety_supervisor/engage`.
"""
DIAGNOSTICS = """\
`/diagnostics` (diagnostic_msgs/msg/DiagnosticArray, REP 107): one entry a check, once a second and when a level
changes; what is not well says what to do. The entry's name is `<node>: <check>`, with the node's
full name in a namespace (`/car/vla_planner: plan`), `hardware_id` is `onboard_vla`.
"""
PARAMETERS = """\
Whole numbers pass for doubles; unknown names are refused. What is not said to be changeable is read once at start,
and so is `use_sim_time`: a node that runs refuses another clock.
"""
SETTINGS = """\
Parameters of `safety_supervisor`, too; the default is the configuration file's. They change in standby alone, and
but for `authority` at standstill alone (`ladder.standstill_mps`; where no fresh ego state is known, standby is enough),
several at once or none; the answer says why not.
"""


def page(roles: Sequence[Role]) -> str:
    """The whole text."""
    parts = (
        HEAD,
        "## Topics\n",
        markdown_table(),
        "## Pictures\n",
        PICTURES,
        _table(("message", "field", "value", "meaning"), _encodings()),
        CAMERA_INFO,
        "## Services\n",
        _table(("service", "type", "meaning"), ((f"`/{s.node}/{s.name}`", s.type, s.meaning) for s in SERVICES)),
        ON_EVERY_NODE,
        "## Diagnostics\n",
        DIAGNOSTICS,
        _table(("check", "what it is about"), _checks()),
        "## Parameters\n",
        PARAMETERS,
        _options(roles),
        "## Settings of the supervisor\n",
        SETTINGS,
        _settings(roles),
    )
    return "\n".join(parts)


def _encodings() -> Iterable[tuple[str, str, str, str]]:
    messages = {RAW: ("Image", "encoding"), COMPRESSED: ("CompressedImage", "format")}
    for encoding in ENCODINGS:
        message, field = messages[encoding.transport]
        yield f"sensor_msgs/msg/{message}", f"`{field}`", f"`{encoding.name}`", encoding.meaning


def _checks() -> Iterable[tuple[str, str]]:
    yield f"`{PLANNER}: lifecycle`", "its state, and why it could not be configured"
    yield f"`{PLANNER}: worker`", "heartbeats, and a pass that does not end"
    yield f"`{PLANNER}: plan`", "the newest plan with its stages' times, or why it was rejected"
    yield f"`{PLANNER}: camera info <camera>`", "where the bundle names its lens: whether `camera_info` is heard"
    for camera in CAMERAS:
        yield f"`{CAMERA_GUARD}: camera {camera}`", "the guard's word on its newest picture"
    yield f"`{SUPERVISOR}: mode`", "engagement, mode, source, and why the newest command was refused"
    for aspect in (*ASPECTS, PLAN_ASPECT):
        yield f"`{SUPERVISOR}: {aspect.name}`", aspect.remedy
    yield f"`{SUPERVISOR}: link wire/<process>_heartbeat`", "DDS's deadline and liveliness of that process"
    yield f"`{VEHICLE_GATE}: link trajectory`, `link state`", "the same of the supervisor"
    yield f"`{VEHICLE_GATE}: gate`", "whether it follows, holds, stops or is overridden by the driver, and why"
    yield "`<node>: clock`", "with `use_sim_time` alone: whether `/clock` is heard"
    yield "`<node>: refused messages`", "what could not be read, counted by topic"


def _options(roles: Sequence[Role]) -> str:
    rows = []
    for role in roles:
        for option in options_of(role):
            default = "must be set" if option.default is None else f"`{json.dumps(option.default)}`"
            rows.append((role.name, f"`{option.name}`", option.kind.__name__, default, described(option)))
    return _table(("node", "parameter", "type", "default", "meaning"), rows)


def _settings(roles: Sequence[Role]) -> str:
    options = [option for role in roles for option in role.settings]
    rows = ((f"`{o.name}`", o.kind.__name__, f"`{_short(o)}`", _accepted(o)) for o in options)
    return _table(("parameter", "type", "default", "accepts"), rows)


def _short(option: Option) -> str:
    return f"{option.default:.6g}" if isinstance(option.default, (int, float)) else str(option.default)


def _accepted(option: Option) -> str:
    if option.choices:
        return " or ".join(option.choices)
    unit = "" if option.unit == "1" else option.unit
    return f"{option.minimum:g} to {option.maximum:g} {unit}".strip() if option.ranged else "a word"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join((*lines, *(f"| {' | '.join(row)} |" for row in rows))) + "\n"
