"""A route as nav_msgs/Path and the navigation command as a word: joined, checked, and taken by real nodes."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from onboard_vla.core.errors import WireError
from onboard_vla.core.road import Route, RouteCommand
from onboard_vla.core.wire import decode, encode
from onboard_vla.ros_nodes.route_path_codec import COMMAND_PART, PATH_PART, RoutePathCodec
from onboard_vla.safety.guards.lanes import route_fault

from .nodes import SUPERVISOR

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def path(*points: tuple[float, float], frame: str = "odom") -> Path:
    poses = [PoseStamped() for _ in points]
    for pose, (x, y) in zip(poses, points, strict=True):
        pose.pose.position.x, pose.pose.position.y = x, y
    return Path(header=Header(frame_id=frame), poses=poses)


STRAIGHT = path((0.0, 0.0), (50.0, 1.0))


def test_there_is_a_route_once_both_parts_have_come_and_a_new_command_gives_a_new_one() -> None:
    codec = RoutePathCodec()

    assert codec.unpack(PATH_PART, STRAIGHT) is None
    route = codec.unpack(COMMAND_PART, String(data="turn left"))
    assert route.points.tolist() == [[0.0, 0.0], [50.0, 1.0]]
    assert [route.command_at(s) for s in (0.0, 49.0, 1e6)] == ["turn left"] * 3
    assert codec.unpack(COMMAND_PART, String(data="keep forward")).command_at(10.0) == "keep forward"
    assert codec.unpack(PATH_PART, path((1.0, 2.0), (3.0, 4.0))).command_at(0.5) == "keep forward"


def test_a_command_alone_is_no_route() -> None:
    assert RoutePathCodec().unpack(COMMAND_PART, String(data="turn right")) is None


@pytest.mark.parametrize(
    ("part", "received", "words"),
    [
        (PATH_PART, path((0.0, 0.0), (1.0, 0.0), frame="map"), "expected frame 'odom', found 'map'"),
        (PATH_PART, path((0.0, 0.0)), "at least 2 poses, found 1"),
        (COMMAND_PART, String(data="left"), "expected one of keep forward, turn left, turn right, found 'left'"),
        (COMMAND_PART, String(), "found ''"),
    ],
)
def test_what_cannot_be_a_route_is_refused_and_the_last_good_one_stays(part, received, words) -> None:
    codec = RoutePathCodec()
    codec.unpack(PATH_PART, STRAIGHT)
    codec.unpack(COMMAND_PART, String(data="turn left"))

    with pytest.raises(WireError, match=words):
        codec.unpack(part, received)

    assert codec.unpack(COMMAND_PART, String(data="turn right")).points.tolist() == [[0.0, 0.0], [50.0, 1.0]]


def test_it_says_that_it_has_no_speed_limits_and_the_supervisor_takes_that() -> None:
    codec = RoutePathCodec()
    codec.unpack(PATH_PART, STRAIGHT)
    route = codec.unpack(COMMAND_PART, String(data="turn left"))

    assert np.isinf(route.speed_limit_mps).all()
    assert route_fault(route) is None
    again = decode(encode(route))
    assert (again.points.tolist(), again.commands) == (route.points.tolist(), route.commands)
    nan = Route("r", route.points, np.array([math.nan, 1.0]), ())
    assert route_fault(nan).code == "ROUTE_NOT_FINITE"
    assert route_fault(Route("r", route.points, np.array([-math.inf, 1.0]), ())).code == "ROUTE_NOT_FINITE"


def test_what_a_path_cannot_say_is_not_sent_as_one() -> None:
    points, none = np.array([[0.0, 0.0], [1.0, 0.0]]), np.full(2, math.inf)
    turn = (RouteCommand(0.0, math.inf, "turn left"),)

    packed = RoutePathCodec().pack(Route("r", points, none, turn))
    assert (packed[COMMAND_PART].data, len(packed[PATH_PART].poses)) == ("turn left", 2)
    for route in (Route("r", points, np.array([8.0, 8.0]), turn), Route("r", points, none, ())):
        with pytest.raises(WireError, match="does not fit into a path and one command"):
            RoutePathCodec().pack(route)


@pytest.mark.parametrize("distribution", ["kilted", "jazzy"])
def test_the_supervisor_misses_its_route_until_both_have_come(start, client) -> None:
    start(SUPERVISOR)
    paths = client.node.create_publisher(Path, "onboard_vla/route_path", LATCHED)
    commands = client.node.create_publisher(String, "onboard_vla/command", LATCHED)

    def missed() -> bool:
        while True:
            message = client.call(Trigger, "safety_supervisor/engage").message
            # One command a period is decided on.
            if not message.endswith("try again"):
                return "ROUTE_MISSING" in message

    assert missed()
    paths.publish(STRAIGHT)
    client.until(lambda: paths.get_subscription_count() == 1, "the supervisor takes paths")
    assert missed()
    commands.publish(String(data="turn left"))
    client.until(lambda: not missed(), "a route")
