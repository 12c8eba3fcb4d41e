"""The safe trajectory as visualization_msgs markers: a ribbon in the mode's colour, and what drives and why as text."""

from __future__ import annotations

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.ros_nodes.frames import ODOMETRY_FRAME
from onboard_vla.ros_nodes.mode_colours import COLOURS
from onboard_vla.ros_nodes.stamps import to_time

WIDTH_M, TEXT_M, TEXT_ABOVE_M = 0.3, 0.6, 2.5
LIFETIME_NS = 300_000_000
"""Three periods: what is no longer sent must not stay in the picture."""


def to_markers(message: SafeTrajectory) -> MarkerArray:
    """Both markers; without points (standby, shadow) the text alone, at the frame's origin."""
    header = Header(stamp=to_time(message.stamp_ns), frame_id=ODOMETRY_FRAME)
    red, green, blue = COLOURS[message.mode]
    colour = ColorRGBA(r=red, g=green, b=blue, a=0.9)
    ribbon = _marker(header, 0, Marker.LINE_STRIP, colour)
    ribbon.scale.x = WIDTH_M
    ribbon.points = [Point(x=x, y=y, z=0.05) for _, x, y, _, _, _ in message.points.tolist()]
    # RViz complains about a line of fewer than two points.
    ribbon.action = Marker.ADD if len(ribbon.points) > 1 else Marker.DELETE
    text = _marker(header, 1, Marker.TEXT_VIEW_FACING, colour)
    text.scale.z = TEXT_M
    if len(message.points):
        text.pose.position.x, text.pose.position.y = float(message.points[0, 1]), float(message.points[0, 2])
    text.pose.position.z = TEXT_ABOVE_M
    why = message.reasons[0].code if message.reasons else ""
    text.text = " ".join(filter(None, (message.mode.name, message.source, why)))
    return MarkerArray(markers=[ribbon, text])


def _marker(header: Header, number: int, kind: int, colour: ColorRGBA) -> Marker:
    marker = Marker(header=header, ns="onboard_vla", id=number, type=kind, action=Marker.ADD, color=colour)
    marker.pose.orientation.w = 1.0
    marker.lifetime = Duration(sec=0, nanosec=LIFETIME_NS)
    return marker
