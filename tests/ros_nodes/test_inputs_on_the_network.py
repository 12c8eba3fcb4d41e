"""What `onboard-vla ros check --topics` says of publishers to which our nodes do not listen."""

from __future__ import annotations

import math
import re
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from onboard_vla.app.doctor import State
from onboard_vla.app.processes import ProcessSet
from onboard_vla.app.ros.deployment_file import read_deployment
from onboard_vla.app.ros.first_messages import PICTURES, FirstMessages
from onboard_vla.app.ros.inputs import input_finding, input_findings
from onboard_vla.app.ros.launcher import _spec
from onboard_vla.app.ros.settings import StampLimits
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR, TOPICS
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.ros_nodes import topics
from onboard_vla.ros_nodes.deployment import NodeStart, node_starts
from onboard_vla.ros_nodes.ports import quality
from onboard_vla.ros_nodes.stamps import to_time
from onboard_vla.ros_nodes.topics import COMPRESSED, RAW, ROS_TOPICS
from onboard_vla.safety.config import SupervisorConfig

pytestmark = pytest.mark.ros
FRONT, PACKED = "onboard_vla/camera/front/image", "onboard_vla/camera/front/image/compressed"
CAMERAS = "cameras.transport"


class Network:
    """The part of rclpy's node that is asked who publishes, with publishers as the table wants them."""

    def __init__(self, *names):
        self._rows = {row.shared_name: row for row in ROS_TOPICS if row.shared_name in names}

    def get_publishers_info_by_topic(self, name):
        row = self._rows.get(name)
        return [] if row is None else [SimpleNamespace(topic_type=row.type, qos_profile=quality(row))]


def finding_of(file, name, conclusive):
    """What is found of an input; where the network was not seen yet, once more with more time."""
    for limit_s in (1.0, 5.0, 20.0):
        found = input_findings(file, node_starts(file.deployment), limit_s)
        (finding,) = [finding for finding in found if finding.name == name]
        if conclusive(finding):
            break
    return finding


def core_topic(name):
    return next(topic for topic in TOPICS if topic.name == name)


@pytest.mark.parametrize(
    ("published", "transport", "other", "remedy"),
    [(PACKED, RAW, FRONT, "compressed"), (FRONT, COMPRESSED, PACKED, "raw")],
)
def test_pictures_in_the_form_that_nobody_takes_are_missing_and_the_parameter_is_named(
    published, transport, other, remedy
):
    receivers = {PLANNER: transport, CAMERA_GUARD: transport}

    finding = input_finding(Network(published), core_topic("camera/front"), receivers)

    assert finding.state is State.MISSING
    assert f"nobody publishes {other}; {published} is published, which vla_planner, camera_guard" in finding.found
    assert finding.remedy.startswith(f"set cameras.transport: {remedy} for vla_planner, camera_guard in a file")


def test_each_receiver_needs_its_own_form():
    receivers = {PLANNER: COMPRESSED, CAMERA_GUARD: RAW}

    alone = input_finding(Network(PACKED), core_topic("camera/front"), receivers)
    both = input_finding(Network(PACKED, FRONT), core_topic("camera/front"), receivers)

    assert (alone.state, alone.consequence) == (State.MISSING, "camera_guard would wait for it")
    assert (both.state, both.found) == (State.OK, f"{PACKED}, {FRONT}")


def test_an_input_that_nobody_needs_is_a_warning_where_nobody_publishes_it_and_missing_where_it_is_unfit():
    other = SimpleNamespace(
        get_publishers_info_by_topic=lambda name: [SimpleNamespace(topic_type="std_msgs/msg/String")]
    )

    silent = input_finding(Network(), core_topic("wheel_speed"), {SUPERVISOR: RAW}, unneeded="held against nothing")
    wrong = input_finding(other, core_topic("wheel_speed"), {SUPERVISOR: RAW}, unneeded="held against nothing")
    needed = input_finding(Network(), core_topic("wheel_speed"), {SUPERVISOR: RAW})

    assert (silent.state, silent.consequence) == (State.WARNING, "held against nothing")
    assert (wrong.state, needed.state) == (State.MISSING, State.MISSING)
    assert silent.remedy == needed.remedy == wrong.remedy


@pytest.mark.parametrize("installed", [False, True])
def test_messages_of_ours_count_where_our_nodes_can_read_them(monkeypatch, installed):
    monkeypatch.setattr(topics, "find_spec", lambda name: object() if installed else None)

    finding = input_finding(Network("onboard_vla/objects"), core_topic("objects"), {SUPERVISOR: RAW})

    assert finding.state is (State.OK if installed else State.MISSING)
    assert installed or finding.remedy.startswith("onboard_vla_msgs is not installed for our nodes: build it")


@pytest.mark.parametrize(("section", "state"), [({}, State.MISSING), ({CAMERAS: COMPRESSED}, State.OK)])
def test_compressed_drivers_are_judged_by_the_deployments_own_parameters(tmp_path, client, domain_id, section, state):
    from sensor_msgs.msg import CompressedImage

    (tmp_path / "own.yaml").write_text(f"/**/camera_guard: {{ros__parameters: {section}}}\n")
    path = tmp_path / "d.yaml"
    path.write_text(
        f"mode: vehicle\nwithout: [vla_planner]\nnamespace: car\ndomain_id: {domain_id}\nparameters: [own.yaml]\n"
    )
    file = read_deployment(path)
    publisher = client.node.create_publisher(CompressedImage, f"/car/{PACKED}", 1)
    client.until(lambda: client.node.count_publishers(f"/car/{PACKED}") == 1, "our publisher")

    def conclusive(finding) -> bool:
        return finding.state is State.OK or "is published" in finding.found

    assert finding_of(file, "camera/front", conclusive).state is state
    client.node.destroy_publisher(publisher)


@pytest.mark.parametrize(("remaps", "state"), [("{}", State.WARNING), ("{~/input/wheel_speed: can/speed}", State.OK)])
def test_an_input_is_looked_for_where_the_deployment_remaps_it(tmp_path, client, domain_id, remaps, state):
    from geometry_msgs.msg import TwistWithCovarianceStamped

    path = tmp_path / "d.yaml"
    path.write_text(
        f"mode: vehicle\nwithout: [vla_planner]\nnamespace: car\ndomain_id: {domain_id}\nremaps: {remaps}\n"
    )
    file = read_deployment(path)
    publisher = client.node.create_publisher(TwistWithCovarianceStamped, "/car/can/speed", 1)
    client.until(lambda: client.node.count_publishers("/car/can/speed") == 1, "our publisher")

    found = finding_of(file, "wheel_speed", lambda finding: finding.state is state)

    assert found.state is state
    client.node.destroy_publisher(publisher)


@pytest.mark.parametrize(
    ("frame", "child", "late_s", "says"),
    [
        ("odom", "base_link", 0.0, None),
        ("map", "base_link", 0.0, "expected frames 'odom' to 'base_link', found 'map' to 'base_link'"),
        ("car/odom", "car/base_link", 0.0, "found 'car/odom' to 'car/base_link'"),
        ("odom", "base_link", 5.0, "s old: expected at most 0.2 s old and 0.005 s ahead"),
        ("odom", "base_link", -3.0, "s ahead: expected at most 0.2 s old and 0.005 s ahead"),
    ],
)
def test_odometry_in_frames_or_with_stamps_that_our_nodes_do_not_take_is_found(
    tmp_path, client, domain_id, frame, child, late_s, says
):
    remaps = "remaps: {~/input/kinematic_state: /localization/kinematic_state}"
    state = State.OK if says is None else State.MISSING

    found = finding_of_odometry(
        client,
        tmp_path,
        f"mode: vehicle\nwithout: [vla_planner]\ndomain_id: {domain_id}\n{remaps}\n",
        "/localization/kinematic_state",
        (frame, child, late_s),
        lambda finding: finding.state is state and (says or "") in finding.found,
    )

    assert found.state is state, found
    assert (says or "/localization/kinematic_state") in found.found
    asked = "frames are asked for by name" if not late_s else "synchronise the sender's clock with this machine's"
    assert says is None or asked in found.remedy


def test_stamps_are_not_held_against_this_machines_clock_where_the_nodes_take_the_time_from_another(
    tmp_path, client, domain_id
):
    found = finding_of_odometry(
        client,
        tmp_path,
        f"mode: simulation\nwithout: [vla_planner]\ndomain_id: {domain_id}\n",
        "/onboard_vla/kinematic_state",
        ("odom", "base_link", 1e9),
        lambda finding: finding.state is State.OK,
    )

    assert found.state is State.OK, found


def finding_of_odometry(client, tmp_path, deployment, name, odometry_of, conclusive):
    """What is found of odometry in these frames with stamps so late, while it is sent."""
    from geometry_msgs.msg import AccelWithCovarianceStamped
    from nav_msgs.msg import Odometry

    frame, child, late_s = odometry_of
    (tmp_path / "d.yaml").write_text(deployment)
    publisher = client.node.create_publisher(Odometry, name, 1)
    beside = client.node.create_publisher(AccelWithCovarianceStamped, "/onboard_vla/acceleration", 1)
    odometry = Odometry(child_frame_id=child)
    odometry.header.frame_id, odometry.pose.pose.orientation.w = frame, 1.0
    stop = threading.Event()

    def send():
        while not stop.wait(0.02):
            odometry.header.stamp = to_time(time.time_ns() - nanoseconds(late_s))
            publisher.publish(odometry)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return finding_of(read_deployment(tmp_path / "d.yaml"), "ego", conclusive)
    finally:
        stop.set()
        sender.join()
        client.node.destroy_publisher(publisher)
        client.node.destroy_publisher(beside)


@pytest.mark.parametrize(
    ("encoding", "says"),
    [("rgb8", None), ("bgr8", "what is sent is refused: camera front: expected encoding rgb8, .* found 'bgr8'")],
)
def test_a_picture_in_an_encoding_that_no_node_takes_is_found(tmp_path, client, domain_id, encoding, says):
    from sensor_msgs.msg import Image

    path = tmp_path / "d.yaml"
    path.write_text(f"mode: vehicle\nwithout: [vla_planner]\ndomain_id: {domain_id}\n")
    publisher = client.node.create_publisher(Image, f"/{FRONT}", 1)
    picture = Image(width=8, height=4, encoding=encoding, step=24, data=bytes(96))
    listeners: list[int] = []
    stop = threading.Event()

    def send():
        while not stop.wait(0.02):
            listeners.append(publisher.get_subscription_count())
            picture.header.stamp = to_time(time.time_ns())
            publisher.publish(picture)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        state = State.OK if says is None else State.MISSING
        found = finding_of(
            read_deployment(path),
            "camera/front",
            lambda finding: finding.state is state and re.search(says or "", finding.found) and 1 in listeners,
        )
    finally:
        stop.set()
        sender.join()

    assert found.state is state, found
    assert re.search(says or FRONT, found.found)
    client.node.destroy_publisher(publisher)


class Subscribed:
    """The part of rclpy's node that is subscribed with."""

    def __init__(self):
        self.made, self.ended, self.given = [], [], {}

    def create_subscription(self, kind, name, callback, profile, raw):
        self.made.append(name)
        self.given[name] = callback
        return name

    def destroy_subscription(self, subscription):
        self.ended.append(subscription)


def listen(name, transport=RAW, limits=None):
    """What listens to one topic as the nodes do, at 1,000 s of this machine's clock."""
    node, topic = Subscribed(), core_topic(name)
    transports = dict.fromkeys(topic.receivers, transport)
    limits = StampLimits.of(SupervisorConfig()) if limits is None else limits
    return node, FirstMessages(
        node, {topic: transports}, lambda row: row.shared_name, limits=limits, now_ns=lambda: nanoseconds(1000.0)
    )


def test_one_picture_of_a_camera_is_looked_at_in_the_forms_that_nodes_take_alone():
    from sensor_msgs.msg import CompressedImage

    node, messages = listen("camera/front", COMPRESSED)
    assert node.made == [PACKED]

    node.given[PACKED](CompressedImage(format="png", data=b"x"))

    assert node.ended == [PACKED]
    assert "found format 'png'" in messages.refused[PACKED].reason


def picture_at(stamp_s):
    from sensor_msgs.msg import Image

    picture = Image(width=8, height=4, encoding="rgb8", step=24, data=bytes(96))
    picture.header.stamp = to_time(nanoseconds(stamp_s))
    return picture


def test_of_pictures_whose_stamps_are_off_a_few_are_looked_at_for_one_may_have_come_late():
    node, messages = listen("camera/front")
    node.given[FRONT](picture_at(999.0))
    assert node.ended == []
    assert "1.000 s old: expected at most 0.5 s old" in messages.refused[FRONT].reason

    node.given[FRONT](picture_at(999.9))
    assert (node.ended, dict(messages.refused)) == ([FRONT], {})

    node, messages = listen("camera/front")
    for _ in range(PICTURES):
        node.given[FRONT](picture_at(1.0))
    assert node.ended == [FRONT]
    assert (
        messages.refused[FRONT].reason
        == "stamped 1.000 s, at 1000.000 s of this machine's clock, so 999.000 s old: expected at most 0.5 s old and "
        "0.005 s ahead"
    )


def test_stamps_of_messages_that_are_held_against_no_clock_may_be_anything():
    from sensor_msgs.msg import CameraInfo

    info = "onboard_vla/camera/front/camera_info"
    node, messages = listen("camera_info/front")
    node.given[info](
        CameraInfo(width=8, height=4, k=[4.0, 0, 4, 0, 4, 2, 0, 0, 1], distortion_model="plumb_bob", d=[0.0] * 5)
    )
    assert dict(messages.refused) == {}

    node, messages = listen("camera/front", limits=StampLimits())
    node.given[FRONT](picture_at(1.0))
    assert dict(messages.refused) == {}


@pytest.mark.parametrize(
    ("name", "make", "oldest_s"),
    [
        ("objects", lambda stamp_ns: ObjectList(stamp_ns, ()), 0.5),
        ("conditions", lambda stamp_ns: OperatingConditions(stamp_ns, "urban", "day", "dry", "here"), 3.0),
        ("operator", lambda stamp_ns: OperatorCommand(stamp_ns, "engage"), 1.0),
        ("driver", lambda stamp_ns: DriverState(stamp_ns, False), math.inf),
    ],
)
def test_inputs_in_our_own_bytes_are_held_to_the_limits_of_the_node_that_takes_them(name, make, oldest_s):
    from rclpy.serialization import deserialize_message, serialize_message
    from std_msgs.msg import UInt8MultiArray

    from onboard_vla.ros_nodes.codec import WireBytes

    config = replace(SupervisorConfig(), odd=replace(SupervisorConfig().odd, lights=("day",)))
    node, messages = listen(name, limits=StampLimits.of(config))
    port = f"onboard_vla/wire/{name}"

    def refused_at(stamp_s):
        packed = WireBytes(core_topic(name)).pack(make(nanoseconds(stamp_s)))[""]
        node.given[port](deserialize_message(serialize_message(packed), UInt8MultiArray))
        return port in messages.refused

    assert refused_at(1000.006)
    assert not refused_at(1000.004)
    assert refused_at(1000.0 - min(oldest_s, 999.0) - 0.01) is (oldest_s < math.inf)
    assert not refused_at(1000.0 - min(oldest_s, 999.0) + 0.01)


def test_remap_rules_of_a_deployment_win_over_the_default_ones_in_a_real_node(tmp_path, client, domain_id):
    path = tmp_path / "d.yaml"
    path.write_text(
        f"mode: simulation\nnamespace: car\ndomain_id: {domain_id}\nremaps: {{~/input/camera/front/image: /cam0}}\n"
    )
    start = NodeStart(CAMERA_GUARD, ())
    with ProcessSet([_spec(start, read_deployment(path), tmp_path)], tmp_path):
        heard = client.node.count_subscribers
        client.until(lambda: heard("/car/onboard_vla/camera/back/image") == 1, "the guard listens to its cameras")
        assert (heard("/cam0"), heard(f"/car/{FRONT}")) == (1, 0)


def test_a_renamed_output_reaches_the_nodes_that_take_it(tmp_path, client, domain_id, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the probe writes its figures where it runs
    path = tmp_path / "d.yaml"
    path.write_text(
        f"mode: vehicle\nnamespace: car\ndomain_id: {domain_id}\nremaps: {{~/output/trajectory: planning/trajectory}}\n"
    )
    starts = [NodeStart(name, (), {}) for name in (SUPERVISOR, "vehicle_gate", "latency_probe")]
    file = read_deployment(path)
    with ProcessSet([_spec(start, file, tmp_path) for start in starts], tmp_path):
        count, name = client.node.count_subscribers, "/car/planning/trajectory"
        client.until(lambda: client.node.count_publishers(name) == 1 and count(name) == 2, "all use the new name")
        assert client.node.count_publishers("/car/onboard_vla/trajectory") == 0
        assert count("/car/onboard_vla/trajectory") == 0
