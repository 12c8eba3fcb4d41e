"""Every message survives the wire unchanged; nothing else than what `encode` writes is read."""

import dataclasses
import json
import struct
import typing
from enum import Enum

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import WireError
from onboard_vla.core.objects import ObjectList, TrackedObject
from onboard_vla.core.plan import Heartbeat, Plan
from onboard_vla.core.wire import MAGIC, MAX_MESSAGE_BYTES, MESSAGE_TYPES, WIRE_VERSION, decode, encode

EGO = EgoState(5, 1.0, 2.0, 0.5, 10.0, -1.0, 0.1)
FRAME = CameraFrame("front", 7, 3, np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
KINDS = sorted(MESSAGE_TYPES)


def field_values(hint: typing.Any, metadata: dict[str, typing.Any]) -> st.SearchStrategy:
    """Values of one field, from its annotation: the test knows the types as the schema does, but not its code."""
    if "dtype" in metadata:
        extents = [st.integers(0, 5) if extent is None else st.just(extent) for extent in metadata["shape"]]
        dtype = np.dtype(metadata["dtype"])
        return st.tuples(*extents).flatmap(lambda shape: hnp.arrays(dtype, shape))
    if dataclasses.is_dataclass(hint):
        return messages(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return st.lists(field_values(arguments[0], {}), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), field_values(arguments[1], {}), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    simple = {int: st.integers(), float: st.floats(), str: st.text(max_size=20), bool: st.booleans()}
    return simple[hint]


def messages(kind: type) -> st.SearchStrategy:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{f.name: field_values(hints[f.name], dict(f.metadata)) for f in dataclasses.fields(kind)})


def same(a: typing.Any, b: typing.Any) -> bool:
    """Equal in type and value all the way down, NaN equal to NaN, arrays to the bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b or (isinstance(a, float) and a != a and b != b)


def repacked(data: bytes, change: typing.Callable[[dict], None]) -> bytes:
    """The message with its header changed and the rest as it was."""
    (length,) = struct.unpack("<I", data[4:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    aligned = -(-(8 + length) // 8) * 8
    return MAGIC + struct.pack("<I", len(text)) + text + b"\0" * (-(8 + len(text)) % 8) + data[aligned:]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_survives_the_wire(kind):
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(messages(MESSAGE_TYPES[kind]))
    def round_trip(message):
        assert same(decode(encode(message)), message)

    round_trip()


@pytest.mark.parametrize("message", [EGO, FRAME], ids=["without arrays", "with an array"])
def test_a_message_cut_at_any_byte_is_refused(message):
    data = encode(message)

    for length in range(len(data)):
        with pytest.raises(WireError):
            decode(data[:length])


@pytest.mark.parametrize("message", [EGO, FRAME], ids=["without arrays", "with an array"])
def test_appended_bytes_are_refused(message):
    data = encode(message)

    for extra in (1, 7, 8, 64):
        with pytest.raises(WireError):
            decode(data + b"\0" * extra)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_byte_is_refused_or_gives_a_whole_message(data):
    """Values are not judged by the wire, so a flipped digit passes; what must not happen is another exception."""
    good = encode(FRAME)
    index = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[index] ^= data.draw(st.integers(1, 255))

    try:
        message = decode(bad)
    except WireError:
        return
    assert type(message) is CameraFrame
    assert message.image.shape[2] == 3


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(noise):
    with pytest.raises(WireError):
        decode(noise)
    with pytest.raises(WireError):
        decode(MAGIC + struct.pack("<I", len(noise)) + noise)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda h: h.update(version=WIRE_VERSION + 1), f"wire version {WIRE_VERSION + 1}"),
        (lambda h: h.update(version="1"), "wire version"),
        (lambda h: h.update(kind="Teapot"), "unknown message kind 'Teapot'"),
        (lambda h: h.update(kind=["EgoState"]), "unknown message kind"),
        (lambda h: h.pop("fields"), "fields"),
        (lambda h: h.update(fields=[]), "expected fields"),
        (lambda h: h["fields"].pop("x_m"), "expected fields"),
        (lambda h: h["fields"].update(colour="red"), "colour"),
        (lambda h: h["fields"].update(x_m="1.0"), "EgoState.x_m: expected float, found str"),
        (lambda h: h["fields"].update(x_m=True), "EgoState.x_m: expected float, found bool"),
        (lambda h: h["fields"].update(x_m=None), "EgoState.x_m"),
        (lambda h: h["fields"].update(stamp_ns=1.5), "EgoState.stamp_ns: expected int, found float"),
    ],
)
def test_a_wrong_header_is_refused_and_named(change, says):
    with pytest.raises(WireError) as refusal:
        decode(repacked(encode(EGO), change))

    assert says in str(refusal.value)


@pytest.mark.parametrize(
    "shape", [[2, 4], [2, 4, 4], [2, 5, 3], [-2, 4, 3], [2.0, 4, 3], [True, 4, 3], "24", [10**30, 10**30, 3], [2, 3, 3]]
)
def test_a_wrong_array_shape_is_refused(shape):
    with pytest.raises(WireError):
        decode(repacked(encode(FRAME), lambda h: h["fields"].update(image=shape)))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((2, 4, 3), np.float32),
        np.zeros((2, 4), np.uint8),
        np.zeros((2, 4, 4), np.uint8),
        [[[0, 0, 0]]],
    ],
)
def test_a_wrong_array_cannot_be_sent(image):
    with pytest.raises(WireError, match=r"CameraFrame\.image"):
        encode(dataclasses.replace(FRAME, image=image))


def test_a_wrong_scalar_cannot_be_sent():
    with pytest.raises(WireError, match=r"EgoState\.stamp_ns: expected int"):
        encode(dataclasses.replace(EGO, stamp_ns=1.5))


def test_only_messages_can_be_sent():
    with pytest.raises(WireError, match="cannot send a str"):
        encode("hello")


def test_an_oversized_message_can_neither_be_sent_nor_read():
    with pytest.raises(WireError, match="limit"):
        encode(CameraFrame("front", 0, 0, np.zeros((1, MAX_MESSAGE_BYTES // 3, 3), np.uint8)))
    with pytest.raises(WireError, match=str(MAX_MESSAGE_BYTES)):
        decode(bytes(MAX_MESSAGE_BYTES + 1))


def test_nan_and_infinity_pass_for_the_guards_to_see():
    sent = ObjectList(1, (TrackedObject(1, "vehicle", float("nan"), float("inf"), 0.0, 0.0, 0.0, 4.0, 2.0),))

    received = decode(encode(sent))

    assert np.isnan(received.objects[0].x_m)
    assert received.objects[0].y_m == float("inf")


def test_numpy_scalars_travel_as_numbers():
    sent = Heartbeat("vla_planner", np.int64(7), 1, 2, 3, 3, np.bool_(True), "")

    received = decode(encode(sent))

    assert (received.process_id, received.ready) == (7, True)
    assert (type(received.process_id), type(received.ready)) == (int, bool)


def test_received_arrays_are_read_only():
    image = decode(encode(FRAME)).image

    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1


def test_arrays_of_any_layout_arrive_as_values():
    turned = FRAME.image.transpose(1, 0, 2)[::-1]

    received = decode(encode(dataclasses.replace(FRAME, image=turned)))

    assert np.array_equal(received.image, turned)


def test_all_kinds_are_covered():
    assert {"Plan", "PlanRejection", "Verdict", "SafeTrajectory", "Route", "LaneObservation"} <= set(KINDS)
    assert MESSAGE_TYPES["Plan"] is Plan
