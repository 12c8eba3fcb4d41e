"""Whether the network has every input of a deployment's nodes, in a type, a quality and with words that they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from onboard_vla.app.doctor import Finding, State, absent, fine, poor
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.app.ros.first_messages import LISTEN_S, FirstMessages, Refusal
from onboard_vla.app.ros.settings import StampLimits, dispensable
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.process_graph import SUPERVISOR, TOPICS, VEHICLE, Topic
from onboard_vla.ros_nodes.deployment import NodeStart
from onboard_vla.ros_nodes.judged_starts import settings_of_supervisor
from onboard_vla.ros_nodes.parameter_files import pictures_taken, rectified_pictures, takes_simulated_time
from onboard_vla.ros_nodes.topics import COMPRESSED, RAW, ROS_TOPICS, Form, RosTopic, forms_taken, rows_of
from onboard_vla.safety.config import SupervisorConfig

POLL_S = 0.1
"""How often the graph is looked at; discovery itself runs in threads of the middleware."""
START_IT = "start what publishes it, with the same ROS_DOMAIN_ID, or name the topic in `remaps`"


def input_findings(file: DeploymentFile, starts: Sequence[NodeStart], limit_s: float) -> list[Finding]:
    """One row for each input of these nodes; waits until all are there, up to the limit, and a second for messages."""
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor

    pictures = {start.name: pictures_taken(start, file.namespace) for start in starts}
    receivers = {
        topic: {name: pictures[name] for name in topic.receivers if name in pictures}
        for topic in TOPICS
        if topic.sender == VEHICLE and not pictures.keys().isdisjoint(topic.receivers)
    }
    settings = _settings(starts, file.namespace)
    unneeded = dispensable(settings)
    # The time of a clock on the network comes in steps, and of recordings at any pace.
    simulated = any(takes_simulated_time(start, file.namespace) for start in starts)
    limits = StampLimits() if simulated else StampLimits.of(settings)
    context = Context()
    rclpy.init(args=[], context=context, domain_id=file.domain_id)
    try:
        node = rclpy.create_node("onboard_vla_check", context=context, namespace=file.namespace)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        rectified = any(rectified_pictures(start, file.namespace) for start in starts)
        messages = FirstMessages(node, receivers, file.input_name, rectified, limits)
        begin_s = time.monotonic()
        all_there_s: float | None = None
        while True:
            findings = [
                input_finding(node, topic, its, file.input_name, unneeded.get(topic.kind, ""), messages.refused)
                for topic, its in receivers.items()
            ]
            now_s = time.monotonic()
            if all(finding.state is State.OK for finding in findings):
                all_there_s = now_s if all_there_s is None else all_there_s
                if messages.heard or now_s > all_there_s + LISTEN_S:
                    return findings
            elif now_s > begin_s + limit_s:
                return findings
            _spin(executor, POLL_S)
    finally:
        context.try_shutdown()


def _spin(executor: Any, duration_s: float) -> None:  # noqa: ANN401 - rclpy's executor
    end_s = time.monotonic() + duration_s
    while (left_s := end_s - time.monotonic()) > 0.0:
        executor.spin_once(timeout_sec=left_s)


def input_finding(
    node: Any,  # noqa: ANN401 - rclpy's node
    topic: Topic,
    pictures: Mapping[str, str],
    name_of: Callable[[RosTopic], str] = lambda row: row.shared_name,
    unneeded: str = "",
    refused: Mapping[str, Refusal] = MappingProxyType({}),
) -> Finding:
    """For each receiver one of the forms that it takes must be there with all of its parts.

    `pictures`: the `cameras.transport` of each receiver that the deployment has. `name_of`: where it looks for a row.
    `unneeded`: what follows where nobody publishes a topic without which the nodes do; empty where they do not.
    `refused`: why our nodes take no message of a topic, by its name.
    """
    takers: dict[tuple[Form, ...], list[str]] = {}
    for name, transport in pictures.items():
        takers.setdefault(forms_taken(topic, transport), []).append(name)
    taken, reasons, remedies, waiting = [], [], [], []
    silent = True
    for forms, names in takers.items():
        choices = [rows for form in forms if (rows := rows_of(topic, form))]
        faults = {
            rows: [fault for row in rows if (fault := _fault(node, row, name_of(row), refused))] for rows in choices
        }
        good = next((rows for rows, wrong in faults.items() if not wrong), None)
        if good is not None:
            taken += [name_of(row) for row in good]
            continue
        waiting += names
        silent &= not any(node.get_publishers_info_by_topic(name_of(row)) for rows in choices for row in rows)
        reasons += [fault for wrong in faults.values() for fault in wrong]
        for row in ROS_TOPICS:
            in_vain = row.topic is topic and (row.form not in forms or not row.available)
            if in_vain and node.get_publishers_info_by_topic(name_of(row)):
                reasons.append(f"{name_of(row)} is published, which {', '.join(names)} cannot take")
                remedies.append(_remedy(row, names))
    refusals = [refused[name_of(row)] for row in ROS_TOPICS if row.topic is topic and name_of(row) in refused]
    remedies += dict.fromkeys(refusal.remedy for refusal in refusals)
    if not waiting:
        return fine(topic.name, ", ".join(dict.fromkeys(taken)))
    if unneeded and silent and not remedies:
        return poor(topic.name, "; ".join(dict.fromkeys(reasons)), unneeded, START_IT)
    remedies = remedies or [START_IT]
    follows = f"{', '.join(waiting)} would wait for it"
    return absent(topic.name, "; ".join(dict.fromkeys(reasons)), follows, "; ".join(remedies))


def _settings(starts: Sequence[NodeStart], namespace: str) -> SupervisorConfig:
    """Those of the supervisor; the default ones where it runs elsewhere, or would refuse its own."""
    for start in starts:
        if start.name == SUPERVISOR:
            try:
                return settings_of_supervisor(start, namespace)
            except OnboardVlaError:
                break  # its own row says so
    return SupervisorConfig()


def _remedy(row: RosTopic, names: Sequence[str]) -> str:
    """What makes our nodes take a topic that they do not listen to."""
    if not row.available:
        return f"{row.needs} is not installed for our nodes: build it with colcon and source its workspace first"
    transport = COMPRESSED if row.form is Form.COMPRESSED else RAW
    return f"set cameras.transport: {transport} for {', '.join(names)} in a file of `parameters`, or publish the other"


def _fault(node: Any, row: RosTopic, name: str, refused: Mapping[str, Refusal]) -> str | None:  # noqa: ANN401 - rclpy's
    found = node.get_publishers_info_by_topic(name)
    if not found:
        return f"nobody publishes {name}"
    types = {info.topic_type for info in found}
    if row.type not in types:
        return f"{name}: expected {row.type}, found {', '.join(sorted(types))}"
    from rclpy.qos import QoSCompatibility, qos_check_compatible

    from onboard_vla.ros_nodes.ports import quality

    for info in found:
        verdict, why = qos_check_compatible(info.qos_profile, quality(row))
        if verdict == QoSCompatibility.ERROR:
            return f"{name}: {why}"
    return f"{name}: what is sent is refused: {refused[name].reason}" if name in refused else None
