"""Remaps of a deployment that have no effect, because no node of it takes that input in that form."""

from __future__ import annotations

from collections.abc import Sequence

from onboard_vla.app.doctor import Finding, poor
from onboard_vla.app.ros.deployment_file import PORTS, DeploymentFile
from onboard_vla.core.process_graph import VEHICLE
from onboard_vla.ros_nodes.deployment import NodeStart
from onboard_vla.ros_nodes.parameter_files import pictures_taken
from onboard_vla.ros_nodes.topics import ROS_TOPICS, RosTopic, forms_taken


def vain_remaps(file: DeploymentFile, starts: Sequence[NodeStart]) -> list[Finding]:
    """One row for each renamed input that nobody listens to, which may be a picture's other form."""
    taken = {start.name: pictures_taken(start, file.namespace) for start in starts}
    findings = []
    for name, to in file.remaps.items():
        row = PORTS[name]
        nodes = [node for node in row.receivers if node in taken]
        if row.sender != VEHICLE or row.topic is None or any(_listens(row, taken[node]) for node in nodes):
            continue
        others = [
            other.node_name(other.receivers[0])
            for other in ROS_TOPICS
            if other.topic is row.topic and any(_listens(other, taken[node]) for node in nodes)
        ]
        consequence = f"{to} is not listened to"
        if others:
            found = f"{name}: as their cameras.transport is, {', '.join(nodes)} take {', '.join(others)} instead"
            remedy = f"remap {others[0]}, to where that form is published, or set the other cameras.transport"
        else:
            found, remedy = (
                f"{name}: no node of this deployment takes it",
                "leave it out, or add the node that takes it",
            )
        findings.append(poor("remaps", found, consequence, remedy))
    return findings


def _listens(row: RosTopic, pictures: str) -> bool:
    return row.topic is not None and row.form in forms_taken(row.topic, pictures)
