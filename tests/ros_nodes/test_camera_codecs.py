"""Compressed pictures and camera models through ROS messages, serialised as DDS would, and back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from onboard_vla.core.cameras import CameraFrame, CameraModel, CompressedFrame
from onboard_vla.core.errors import WireError
from onboard_vla.ros_nodes.camera_info_codec import CameraInfoCodec
from onboard_vla.ros_nodes.compressed_codec import CompressedImageCodec, is_jpeg
from onboard_vla.ros_nodes.documents import PAGE
from onboard_vla.ros_nodes.encodings import ENCODINGS
from onboard_vla.ros_nodes.image_codec import ImageCodec
from onboard_vla.ros_nodes.topics import COMPRESSED
from onboard_vla.runtime.jpeg import decode_frame, encode_frame

pytestmark = pytest.mark.ros

STAMP = 1_795_000_000_123_456_789
PICTURE = np.random.default_rng(1).integers(0, 256, (3, 4, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
FRAME = CameraFrame("front", STAMP, 5, PICTURE)
K = np.array([[800.0, 0.0, 640.5], [0.0, 810.0, 360.25], [0.0, 0.0, 1.0]])
MODEL = CameraModel("front", 1280, 720, K, "plumb_bob", np.array([-0.1, 0.02, 0.0, 0.0, 0.0]))


def through_dds(message):
    return deserialize_message(serialize_message(message), type(message))


def test_a_compressed_frame_keeps_its_file_to_the_byte_and_its_stamp() -> None:
    sent = encode_frame(FRAME)
    receiver = CompressedImageCodec("front")
    back = [receiver.unpack("", through_dds(CompressedImageCodec("front").pack(sent)[""])) for _ in range(2)]

    assert [frame.sequence for frame in back] == [0, 1]
    assert (back[0].camera, back[0].stamp_ns, back[0].format) == ("front", STAMP, "jpeg")
    np.testing.assert_array_equal(back[0].data, sent.data)


def test_a_raw_frame_is_compressed_on_its_way_out() -> None:
    packed = CompressedImageCodec("front").pack(FRAME)[""]
    back = decode_frame(CompressedImageCodec("front").unpack("", through_dds(packed)))

    assert packed.header.frame_id == "front_optical"
    assert np.abs(back.image.astype(int) - PICTURE).mean() < 12


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("jpeg", True),
        ("JPG", True),
        ("rgb8; jpeg compressed bgr8", True),
        ("bgr8; jpeg compressed ", True),
        ("png", False),
        ("rgb8; png compressed rgb8", False),
        ("16UC1; compressedDepth png", False),
        ("", False),
    ],
)
def test_formats_of_drivers_are_told_apart(words, known) -> None:
    assert is_jpeg(words) == known


def test_another_format_and_an_empty_picture_are_refused_with_what_to_do() -> None:
    codec = CompressedImageCodec("front")
    with pytest.raises(WireError, match="expected JPEG, found format 'png': set the driver"):
        codec.unpack("", CompressedImage(format="png", data=b"x"))
    with pytest.raises(WireError, match="without data"):
        codec.unpack("", CompressedImage(format="jpeg"))


def test_a_camera_model_survives() -> None:
    back = CameraInfoCodec("front").unpack("", through_dds(CameraInfoCodec("front").pack(MODEL)[""]))

    assert (back.camera, back.width, back.height, back.distortion_model) == ("front", 1280, 720, "plumb_bob")
    np.testing.assert_array_equal(back.intrinsics, K)
    np.testing.assert_array_equal(back.distortion, MODEL.distortion)


def test_an_uncalibrated_camera_and_a_window_are_refused() -> None:
    codec = CameraInfoCodec("front")
    with pytest.raises(WireError, match="focal length 0"):
        codec.unpack("", CameraInfo(width=10, height=10))
    for changed in ({"x_offset": 4}, {"y_offset": 4}, {"width": 640, "height": 720}, {"width": 1280, "height": 719}):
        windowed = CameraInfoCodec("front").pack(MODEL)[""]
        for name, value in changed.items():
            setattr(windowed.roi, name, value)
        with pytest.raises(WireError, match="binning or a window"):
            codec.unpack("", windowed)
    binned = CameraInfoCodec("front").pack(MODEL)[""]
    binned.binning_y = 2
    with pytest.raises(WireError, match="binning or a window"):
        codec.unpack("", binned)


def test_a_window_as_large_as_the_picture_is_none() -> None:
    whole = CameraInfoCodec("front").pack(MODEL)[""]
    whole.roi.width, whole.roi.height = 1280, 720

    assert CameraInfoCodec("front").unpack("", whole).width == 1280


def rectified_info() -> CameraInfo:
    """As a driver sends it beside image_rect: D and K of the raw picture, P of the rectified one."""
    info = CameraInfoCodec("front").pack(MODEL)[""]
    info.p = [760.0, 0.0, 642.0, -0.0, 0.0, 770.0, 358.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def test_of_a_rectified_camera_the_projection_is_the_model_and_no_distortion_is_left() -> None:
    info = through_dds(rectified_info())

    raw, rectified = CameraInfoCodec("front").unpack("", info), CameraInfoCodec("front", True).unpack("", info)

    np.testing.assert_array_equal(raw.intrinsics, K)
    np.testing.assert_array_equal(rectified.intrinsics, [[760.0, 0, 642.0], [0, 770.0, 358.0], [0, 0, 1]])
    assert not np.any(rectified.distortion)
    assert (rectified.width, rectified.height) == (1280, 720)


def test_a_rectified_camera_without_a_projection_or_turned_by_its_rectification_is_refused_with_what_to_do() -> None:
    codec = CameraInfoCodec("front", True)
    unset, turned, unfilled = rectified_info(), rectified_info(), rectified_info()
    unset.p = [0.0] * 12
    turned.r = [1.0, 0.0, 0.05, 0.0, 1.0, 0.0, -0.05, 0.0, 1.0]
    unfilled.r = [0.0] * 9

    with pytest.raises(WireError, match=r"front: CameraInfo has no P: .* unset cameras.rectified"):
        codec.unpack("", unset)
    with pytest.raises(WireError, match=r"front: CameraInfo has an R that turns the picture: .* D = 0 and K = P"):
        codec.unpack("", turned)
    assert codec.unpack("", unfilled).intrinsics[0, 0] == 760.0


@pytest.mark.parametrize(
    ("encoding", "layout"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv"), ("nv12", "nv12")],
)
@pytest.mark.parametrize("padding", [0, 6])
def test_yuv_pictures_come_as_they_are_without_their_rows_padding(encoding, layout, padding) -> None:
    width, height = 8, 4
    row_bytes, rows = (width, height * 3 // 2) if layout == "nv12" else (2 * width, height)
    pixels = np.random.default_rng(0).integers(0, 256, (rows, row_bytes + padding), np.uint8)
    sent = Image(width=width, height=height, encoding=encoding, step=row_bytes + padding, data=pixels.tobytes())
    sent.header.stamp.sec = 7

    codec = ImageCodec("front")
    first, second = (codec.unpack("", through_dds(sent)) for _ in range(2))

    assert (first.camera, first.stamp_ns, first.format) == ("front", 7_000_000_000, f"{layout} 8x4")
    assert (first.sequence, second.sequence) == (0, 1)
    np.testing.assert_array_equal(first.data, pixels[:, :row_bytes].reshape(-1))
    assert decode_frame(first).image.shape == (height, width, 3)


def test_yuv_pictures_are_no_compressed_ones() -> None:
    with pytest.raises(WireError, match="expected jpeg"):
        CompressedImageCodec("front").pack(CompressedFrame("front", 1, 0, "uyvy 8x4", np.zeros(64, np.uint8)))


@pytest.mark.parametrize(
    "changes",
    [{"width": 7}, {"width": 10}, {"height": 5}, {"step": 15}, {"encoding": "nv12"}, {"encoding": "bgr8"}],
    ids=str,
)
def test_yuv_pictures_whose_sizes_do_not_fit_and_other_encodings_are_refused(changes) -> None:
    right = {"width": 8, "height": 4, "encoding": "uyvy", "step": 16, "data": bytes(64)}
    assert ImageCodec("front").unpack("", Image(**right)).format == "uyvy 8x4"
    with pytest.raises(WireError, match="camera front: "):
        ImageCodec("front").unpack("", Image(**(right | changes)))


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: encoding.name)
def test_every_encoding_that_the_page_names_is_taken(encoding) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    if encoding.transport == COMPRESSED:
        data = encode_frame(CameraFrame("front", 1, 0, pixels)).data.tobytes()
        taken = CompressedImageCodec("front").unpack("", CompressedImage(format=encoding.name, data=data))
    else:
        step = {"nv12": 8, "rgb8": 24}.get(encoding.name, 16)
        size = step * (12 if encoding.name == "nv12" else 8)
        raw = Image(width=8, height=8, encoding=encoding.name, step=step, data=bytes(size))
        taken = ImageCodec("front").unpack("", raw)

    shown = taken if isinstance(taken, CameraFrame) else decode_frame(taken)
    assert shown.image.shape == (8, 8, 3)
    assert f"`{encoding.name}`" in PAGE.read_text()
