"""Whether the network has every input of a deployment's nodes, in a type and a quality that they can take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from onboard_vla.app.doctor import Finding, State, absent, fine
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.core.process_graph import TOPICS, VEHICLE, Topic
from onboard_vla.ros_nodes.deployment import NodeStart
from onboard_vla.ros_nodes.topics import ROS_TOPICS, RosTopic

POLL_S = 0.1
"""How often the graph is looked at; discovery itself runs in threads of the middleware."""


def input_findings(file: DeploymentFile, starts: Sequence[NodeStart], limit_s: float) -> list[Finding]:
    """One row for each input of these nodes; waits until all are there, up to the limit."""
    import rclpy
    from rclpy.context import Context

    names = [start.name for start in starts]
    topics = [topic for topic in TOPICS if topic.sender == VEHICLE and set(names) & set(topic.receivers)]
    context = Context()
    rclpy.init(args=[], context=context, domain_id=file.domain_id)
    try:
        node = rclpy.create_node("onboard_vla_check", context=context, namespace=file.namespace)
        deadline_s = time.monotonic() + limit_s
        while True:
            findings = [_input(node, topic) for topic in topics]
            if all(finding.state is State.OK for finding in findings) or time.monotonic() > deadline_s:
                return findings
            time.sleep(POLL_S)
    finally:
        context.try_shutdown()


def _input(node: Any, topic: Topic) -> Finding:  # noqa: ANN401 - rclpy's node
    """One of the topic's forms must be there with all of its parts."""
    forms: dict[str, list[RosTopic]] = {}
    for row in ROS_TOPICS:
        if row.topic is topic:
            forms.setdefault(row.form.name, []).append(row)
    reasons = []
    for rows in forms.values():
        wrong = [reason for row in rows if (reason := _fault(node, row))]
        if not wrong:
            return fine(topic.name, ", ".join(row.shared_name for row in rows))
        reasons += wrong
    remedy = "start what publishes it, with the same ROS_DOMAIN_ID, and remap its name or ours"
    return absent(topic.name, "; ".join(reasons), f"{', '.join(topic.receivers)} would wait for it", remedy)


def _fault(node: Any, row: RosTopic) -> str | None:  # noqa: ANN401 - rclpy's node
    found = node.get_publishers_info_by_topic(row.shared_name)
    if not found:
        return f"nobody publishes {row.shared_name}"
    types = {info.topic_type for info in found}
    if row.type not in types:
        return f"{row.shared_name}: expected {row.type}, found {', '.join(sorted(types))}"
    from rclpy.qos import QoSCompatibility, qos_check_compatible

    from onboard_vla.ros_nodes.ports import quality

    for info in found:
        verdict, why = qos_check_compatible(info.qos_profile, quality(row))
        if verdict == QoSCompatibility.ERROR:
            return f"{row.shared_name}: {why}"
    return None
