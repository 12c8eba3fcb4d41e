"""What the processes say, as messages of onboard_vla_msgs, for who has that package; importing this module needs it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from onboard_vla_msgs import msg
from std_msgs.msg import Header

from onboard_vla.core.plan import FAST, SLOW, Plan, PlanRejection, Uncertainty
from onboard_vla.core.safe_trajectory import NO_STAMP, Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.scene_record import SceneRecord
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.ros_nodes.frames import VEHICLE_FRAME
from onboard_vla.ros_nodes.stamps import to_time
from onboard_vla.ros_nodes.words import Words

DEPTHS = Words(msg.PlanDetail, "depth", (FAST, SLOW))
ENGAGEMENTS = Words(msg.SupervisorState, "engagement", tuple(e.value for e in Engagement))
MODES = Words(msg.SupervisorState, "mode", tuple(mode.name for mode in Mode))
TAKEOVERS = Words(msg.SupervisorState, "takeover", tuple(takeover.name for takeover in Takeover))


def to_plan_detail(message: Plan | PlanRejection) -> msg.PlanDetail:
    """All that a plan says, or why there is none.

    Raises:
        WireError: a stamp or a word that the ROS message cannot say.
    """
    header = Header(stamp=to_time(message.stamp_ns), frame_id=VEHICLE_FRAME)
    if isinstance(message, PlanRejection):
        return msg.PlanDetail(
            header=header, plan_id=message.plan_id, rejection_code=message.code, rejection_detail=message.detail
        )
    return msg.PlanDetail(
        header=header,
        plan_id=message.plan_id,
        oldest_frame_stamp=to_time(message.oldest_frame_stamp_ns),
        step_s=float(message.step_s),
        x_m=_array(message.poses[:, 0]),
        y_m=_array(message.poses[:, 1]),
        heading_rad=_array(message.poses[:, 2]),
        fine_x_m=_array(message.fine_poses[:, 0]),
        fine_y_m=_array(message.fine_poses[:, 1]),
        fine_heading_rad=_array(message.fine_poses[:, 2]),
        action_tokens=array("q", message.action_tokens),
        depth=DEPTHS.number(message.depth),
        slow_probability=float(message.slow_probability),
        text=message.text,
        uncertainty=_uncertainty(message.uncertainty),
        vision_passes=message.passes.vision,
        prefill_passes=message.passes.prefill,
        decode_passes=message.passes.decode,
        stage_times_ms=_named(message.stage_ms),
        camera_skew_ms=_named(message.camera_skew_ms),
        bundle_hash=message.bundle_hash,
        scene=_scene(message.scene),
        shed=list(message.shed),
    )


def to_camera_verdict(message: Verdict) -> msg.CameraVerdict:
    """The camera guard's word on one picture.

    Raises:
        WireError: a stamp that ROS cannot say.
    """
    return msg.CameraVerdict(
        stamp=to_time(message.stamp_ns),
        camera=message.camera,
        sequence=message.sequence,
        usable=bool(message.usable),
        reasons=_reasons(message.reasons),
        config_hash=message.config_hash,
    )


def to_supervisor_state(message: SafeTrajectory) -> msg.SupervisorState:
    """All of a safe trajectory but its points.

    Raises:
        WireError: a stamp that ROS cannot say.
    """
    return msg.SupervisorState(
        stamp=to_time(message.stamp_ns),
        sequence=message.sequence,
        engagement=ENGAGEMENTS.number(message.engagement.value),
        mode=MODES.number(message.mode.name),
        source=message.source,
        plan_id=message.plan_id,
        reasons=_reasons(message.reasons),
        hazard_lights=bool(message.hazard_lights),
        takeover=TAKEOVERS.number(message.takeover.name),
        takeover_stamp=to_time(message.takeover_stamp_ns if message.takeover_stamp_ns != NO_STAMP else 0),
        driver_stamp=to_time(message.driver_stamp_ns if message.driver_stamp_ns != NO_STAMP else 0),
        refusals=_reasons(message.refusals),
        shadow_passes=message.shadow_passes,
        config_hash=message.config_hash,
    )


def _scene(of: SceneRecord) -> msg.SceneRecord:
    objects = [msg.SeenObject(kind=seen.kind, distance_m=seen.distance_m) for seen in of.objects]
    return msg.SceneRecord(
        code=of.code,
        scene=of.scene,
        objects=objects,
        intent=of.intent,
        lateral=of.lateral,
        longitudinal=of.longitudinal,
    )


def _uncertainty(of: Uncertainty) -> msg.Uncertainty:
    return msg.Uncertainty(
        spread_m=_array(of.spread_m),
        outside_mass=_array(of.outside_mass),
        chosen_mass=_array(of.chosen_mass),
        second_mass=_array(of.second_mass),
        second_distance_m=_array(of.second_distance_m),
        negative_log_likelihood=float(of.negative_log_likelihood),
        vision_ood=_named(of.vision_ood),
    )


def _reasons(reasons: Iterable[Reason]) -> list[msg.Reason]:
    return [msg.Reason(code=r.code, measured=float(r.measured), limit=float(r.limit), detail=r.detail) for r in reasons]


def _named(values: Mapping[str, float]) -> list[msg.NamedValue]:
    return [msg.NamedValue(name=name, value=float(value)) for name, value in values.items()]


def _array(column: NDArray[np.float32]) -> array[float]:
    # Filled from bytes, because that is the one form that rclpy takes without looking at each element.
    values = array("f")
    values.frombytes(np.ascontiguousarray(column, np.float32).tobytes())
    return values
