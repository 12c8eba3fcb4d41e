"""Recordings: written by us, read by somebody else's library, and refused when they are none."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from onboard_vla.core.cameras import CameraFrame, CameraModel, CompressedFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process_graph import TOPICS, VEHICLE, topic_for
from onboard_vla.core.verdict import Verdict
from onboard_vla.core.wire import encode
from onboard_vla.ros_nodes.bag import BagReader, BagWriter
from onboard_vla.ros_nodes.bag_messages import MessageReader, MessageRecorder
from onboard_vla.ros_nodes.topics import Form, recorded_name, rows_of

pytestmark = pytest.mark.ros
PICTURE = np.random.default_rng(2).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
EGO = EgoState(5_000, 1.0, 2.0, 0.3, 4.0, 0.5, 0.01)
VERDICT = Verdict("front", 7, 1, True, (), "")
VERDICTS = next(topic for topic in TOPICS if topic.name == "verdict")


def record(path, pictures="compressed", messages=None) -> MessageRecorder:
    recorder = MessageRecorder(path, pictures)
    for time_ns, message in enumerate(messages or (CameraFrame("front", 7, 0, PICTURE), EGO, VERDICT)):
        topic = VERDICTS if isinstance(message, Verdict) else topic_for(VEHICLE, message)
        recorder.write(topic, message, 1_000_000 + time_ns)
    recorder.close()
    return recorder


def test_what_was_recorded_comes_back_in_order_with_its_times(tmp_path) -> None:
    record(tmp_path / "bag")
    reader = MessageReader(tmp_path / "bag")
    told = list(reader.messages())

    assert [(t.topic.name, t.time_ns) for t in told] == [
        ("camera/front", 1_000_000),
        ("ego", 1_000_001),
        ("verdict", 1_000_002),
    ]
    frame, ego, verdict = (t.message for t in told)
    assert isinstance(frame, CompressedFrame)
    assert (frame.camera, frame.stamp_ns) == ("front", 7)
    np.testing.assert_allclose([ego.x_m, ego.heading_rad, ego.speed_mps], [1.0, 0.3, 4.0])
    assert verdict == VERDICT
    assert reader.bag.span_ns == (1_000_000, 1_000_002)
    assert [t.topic.name for t in reader.messages((Verdict,))] == ["verdict"]


def test_the_writer_returns_what_a_reader_will_see(tmp_path) -> None:
    recorder = MessageRecorder(tmp_path / "bag")
    frame, model = CameraFrame("back", 9, 4, PICTURE), CameraModel("back", 8, 6, np.eye(3), "plumb_bob", np.zeros(5))
    seen = [recorder.write(topic_for(VEHICLE, message), message, 5) for message in (frame, EGO, model)]
    recorder.close()

    reader = MessageReader(tmp_path / "bag")
    read = {t.topic.name: encode(t.message) for t in reader.messages()}
    assert read == {topic_for(VEHICLE, message).name: encode(message) for message in seen}
    np.testing.assert_array_equal(seen[0].image, PICTURE)


def test_another_reader_finds_the_same_messages_with_their_types(tmp_path) -> None:
    make_reader = pytest.importorskip("mcap_ros2.reader", reason="needs mcap-ros2-support").read_ros2_messages
    record(tmp_path / "bag")
    (file,) = (tmp_path / "bag").glob("*.mcap")
    found = {m.channel.topic: m for m in make_reader(str(file))}

    image = found["/onboard_vla/camera/front/image/compressed"]
    assert image.schema.name == "sensor_msgs/msg/CompressedImage"
    assert (image.ros_msg.header.frame_id, image.ros_msg.header.stamp.nanosec) == ("front_optical", 7)
    assert bytes(image.ros_msg.data[:3]) == b"\xff\xd8\xff"
    assert found["/onboard_vla/kinematic_state"].ros_msg.pose.pose.position.y == 2.0
    assert bytes(found["/onboard_vla/wire/verdict"].ros_msg.data) == encode(VERDICT)


def test_names_may_carry_a_namespace_and_foreign_topics_are_left_alone(tmp_path) -> None:
    from rclpy.serialization import serialize_message
    from std_msgs.msg import String, UInt8MultiArray

    from onboard_vla.ros_nodes.codec import WireBytes

    with BagWriter(tmp_path / "bag") as writer:
        for name, kind in (("/car7/onboard_vla/wire/verdict", "UInt8MultiArray"), ("/chatter", "String")):
            writer.connect(name, f"std_msgs/msg/{kind}", reliable=True, latched=False, depth=1)
        packed = WireBytes(VERDICTS).pack(VERDICT)[""]
        writer.write("/car7/onboard_vla/wire/verdict", serialize_message(packed), 1)
        writer.write("/car7/onboard_vla/wire/verdict", serialize_message(UInt8MultiArray(data=b"no")), 2)
        writer.write("/chatter", serialize_message(String(data="x")), 3)

    reader = MessageReader(tmp_path / "bag")
    assert [t.message for t in reader.messages()] == [VERDICT]
    assert reader.refused == {"/car7/onboard_vla/wire/verdict": 1}


def test_an_existing_folder_is_never_written_over(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="exists: name a recording that does not"):
        BagWriter(tmp_path)


def test_a_type_that_nobody_defines_is_refused(tmp_path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.connect("/a", "std_msgs/msg/String", reliable=True, latched=False, depth=1)
        with pytest.raises(ConfigurationError, match="package no_such_msgs is not installed"):
            writer.connect("/b", "no_such_msgs/msg/Thing", reliable=True, latched=False, depth=1)


@pytest.mark.parametrize("content", [None, b"", b"not an mcap file at all, but some text of sufficient length"])
def test_what_is_no_recording_is_refused_in_one_line(tmp_path, content) -> None:
    path = tmp_path / "file.mcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is no recording that can be read"):
        BagReader(path)


def test_a_recording_that_was_never_closed_is_refused_or_read_as_far_as_it_goes(tmp_path) -> None:
    record(tmp_path / "bag")
    (file,) = (tmp_path / "bag").glob("*.mcap")
    torn = tmp_path / "torn.mcap"
    torn.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ConfigurationError, match="is no recording that can be read"):
        BagReader(torn)


@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
def test_a_recording_that_is_damaged_in_the_middle_is_one_line(tmp_path, fill) -> None:
    record(tmp_path / "bag", messages=[CameraFrame("front", 7 + i, i, PICTURE) for i in range(40)])
    (file,) = (tmp_path / "bag").glob("*.mcap")
    content = file.read_bytes()
    middle, length = len(content) // 2, len(content) // 8
    file.write_bytes(content[:middle] + fill * length + content[middle + length :])
    with BagReader(tmp_path / "bag") as reader, pytest.raises(ConfigurationError, match="is damaged after "):
        list(reader.messages())


def test_bytes_that_are_no_message_are_counted(tmp_path) -> None:
    row = next(row for row in rows_of(TOPICS[0], Form.COMPRESSED))
    with BagWriter(tmp_path / "bag") as writer:
        writer.connect(recorded_name(row), row.type, reliable=True, latched=False, depth=1)
        writer.write(recorded_name(row), b"\x00\x01\x00\x00" + b"\xff" * 40, 1)
    reader = MessageReader(tmp_path / "bag")
    assert list(reader.messages()) == []
    assert reader.refused == {recorded_name(row): 1}
