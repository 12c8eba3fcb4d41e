"""A vehicle interface on another vendor's DDS (Eclipse Cyclone DDS), written from the published message definitions.

`python other_vendor.py DOMAIN X_M`: sends odometry and acceleration of a vehicle that stands at (X_M, 0), 50 times a
second, and prints each safe trajectory that arrives as one JSON line. Imports nothing of ROS and nothing of ours.
"""

import json
import sys
import time
from dataclasses import dataclass, field

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float64, int32, sequence, uint32
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

PERIOD_S = 0.02
NANOSECONDS = 1_000_000_000
HERE_ONLY = """<CycloneDDS><Domain>
<General><Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces>
<AllowMulticast>false</AllowMulticast></General>
<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>31</MaxAutoParticipantIndex>
<Peers><Peer address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>"""


def ros(package: str, name: str) -> str:
    return f"{package}::msg::dds_::{name}_"


@dataclass
class Time(IdlStruct, typename=ros("builtin_interfaces", "Time")):
    sec: int32 = 0
    nanosec: uint32 = 0


@dataclass
class Duration(IdlStruct, typename=ros("builtin_interfaces", "Duration")):
    sec: int32 = 0
    nanosec: uint32 = 0


@dataclass
class Header(IdlStruct, typename=ros("std_msgs", "Header")):
    stamp: Time
    frame_id: str


@dataclass
class Vector3(IdlStruct, typename=ros("geometry_msgs", "Vector3")):
    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0


@dataclass
class Point(IdlStruct, typename=ros("geometry_msgs", "Point")):
    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0


@dataclass
class Quaternion(IdlStruct, typename=ros("geometry_msgs", "Quaternion")):
    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0
    w: float64 = 1.0


@dataclass
class Transform(IdlStruct, typename=ros("geometry_msgs", "Transform")):
    translation: Vector3
    rotation: Quaternion


@dataclass
class Pose(IdlStruct, typename=ros("geometry_msgs", "Pose")):
    position: Point = field(default_factory=Point)
    orientation: Quaternion = field(default_factory=Quaternion)


@dataclass
class Twist(IdlStruct, typename=ros("geometry_msgs", "Twist")):
    linear: Vector3 = field(default_factory=Vector3)
    angular: Vector3 = field(default_factory=Vector3)


@dataclass
class Accel(IdlStruct, typename=ros("geometry_msgs", "Accel")):
    linear: Vector3 = field(default_factory=Vector3)
    angular: Vector3 = field(default_factory=Vector3)


def no_covariance() -> list[float]:
    return [0.0] * 36


@dataclass
class PoseWithCovariance(IdlStruct, typename=ros("geometry_msgs", "PoseWithCovariance")):
    pose: Pose
    covariance: array[float64, 36] = field(default_factory=no_covariance)


@dataclass
class TwistWithCovariance(IdlStruct, typename=ros("geometry_msgs", "TwistWithCovariance")):
    twist: Twist = field(default_factory=Twist)
    covariance: array[float64, 36] = field(default_factory=no_covariance)


@dataclass
class AccelWithCovariance(IdlStruct, typename=ros("geometry_msgs", "AccelWithCovariance")):
    accel: Accel = field(default_factory=Accel)
    covariance: array[float64, 36] = field(default_factory=no_covariance)


@dataclass
class Odometry(IdlStruct, typename=ros("nav_msgs", "Odometry")):
    header: Header
    child_frame_id: str
    pose: PoseWithCovariance
    twist: TwistWithCovariance = field(default_factory=TwistWithCovariance)


@dataclass
class AccelWithCovarianceStamped(IdlStruct, typename=ros("geometry_msgs", "AccelWithCovarianceStamped")):
    header: Header
    accel: AccelWithCovariance = field(default_factory=AccelWithCovariance)


@dataclass
class TrajectoryPoint(IdlStruct, typename=ros("trajectory_msgs", "MultiDOFJointTrajectoryPoint")):
    transforms: sequence[Transform]
    velocities: sequence[Twist]
    accelerations: sequence[Twist]
    time_from_start: Duration


@dataclass
class Trajectory(IdlStruct, typename=ros("trajectory_msgs", "MultiDOFJointTrajectory")):
    header: Header
    joint_names: sequence[str]
    points: sequence[TrajectoryPoint]


def row_of(point: TrajectoryPoint) -> list[float]:
    time_s = point.time_from_start.sec + point.time_from_start.nanosec / NANOSECONDS
    place, speed, change = point.transforms[0].translation, point.velocities[0].linear, point.accelerations[0].linear
    return [time_s, place.x, place.y, speed.x, change.x]


def main(domain_id: int, x_m: float) -> None:
    encoding = Policy.DataRepresentation(use_cdrv0_representation=True)
    best_effort = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(1), encoding)
    reliable = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(10), encoding)
    domain = Domain(domain_id, HERE_ONLY)
    participant = DomainParticipant(domain_id)

    def writer(name: str, kind: type) -> DataWriter:
        return DataWriter(participant, Topic(participant, f"rt/onboard_vla/{name}", kind), qos=best_effort)

    odometry, acceleration = writer("kinematic_state", Odometry), writer("acceleration", AccelWithCovarianceStamped)
    topic = Topic(participant, "rt/onboard_vla/trajectory", Trajectory)
    reader = DataReader(participant, topic, qos=reliable)
    while domain is not None:
        stamp = Time(*divmod(time.time_ns(), NANOSECONDS))
        acceleration.write(AccelWithCovarianceStamped(Header(stamp, "base_link")))
        pose = PoseWithCovariance(Pose(Point(x_m, 0.0, 0.0)))
        odometry.write(Odometry(Header(stamp, "odom"), "base_link", pose))
        for sample in reader.take(10):
            if isinstance(sample, Trajectory):
                row = {"frame": sample.header.frame_id, "points": [row_of(point) for point in sample.points]}
                sys.stdout.write(json.dumps(row) + "\n")
                sys.stdout.flush()
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
