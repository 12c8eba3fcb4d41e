"""Everything about a deployment that can be told before it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from onboard_vla import __version__
from onboard_vla.app.doctor import Finding, State, absent, fine, poor
from onboard_vla.app.doctor.dds import profile_faults
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.app.ros.engaging import engaging_findings
from onboard_vla.app.ros.others import held_names, running_already
from onboard_vla.app.ros.pictures import picture_findings
from onboard_vla.app.ros.recording import recording_words
from onboard_vla.app.ros.remaps import vain_remaps
from onboard_vla.core.errors import ConfigurationError, OnboardVlaError
from onboard_vla.core.process_graph import CAMERA_GUARD, SUPERVISOR
from onboard_vla.ros_nodes.deployment import CAMERA_REPLAY, NodeStart, node_starts
from onboard_vla.ros_nodes.documents import ROLES
from onboard_vla.ros_nodes.environment import (
    PROFILE_VARIABLES,
    has_fast_dds_2,
    node_environment,
    other_middleware,
    profile_variables,
    require_rclpy,
)
from onboard_vla.ros_nodes.judged_starts import refuse_unjudged_engines, settings_of_supervisor
from onboard_vla.ros_nodes.parameter_files import node_parameters, unmet_sections
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.config_file import given_config

SCHEMA = 1
"""Version of the JSON document; names of findings and fields stay as they are within a version."""
NOT_STARTED = "the node would refuse to start"
SECOND = "two of them stop the vehicle; `ros up` refuses a second start that it sees"


def check_deployment(file: DeploymentFile, topics_s: float) -> list[Finding]:
    """One finding for each thing; `topics_s` > 0: also wait so long for the inputs.

    Raises:
        ConfigurationError: the deployment itself makes no sense, so that there is nothing to check.
    """
    starts = node_starts(file.deployment)
    findings = [_attempt("rclpy", _rclpy), _dds_profile(), *_middleware()]
    if file.deployment.bundle:
        findings.append(_attempt("bundle", lambda: _bundle(Path(file.deployment.bundle))))
        findings += picture_findings(Path(file.deployment.bundle), starts, file.namespace)
    for start in starts:
        findings += _node(start, file.namespace)
    try:
        refuse_unjudged_engines(starts, file.namespace)
    except ConfigurationError as error:
        findings.append(absent("unjudged_engines", str(error), NOT_STARTED, "unset the parameter `unjudged_engines`"))
    findings += _unmet(starts, file.namespace)
    findings += vain_remaps(file, starts)
    if any(start.name == CAMERA_REPLAY for start in starts):
        findings.append(_attempt("recording", lambda: recording_words(starts, file.namespace)))
    if topics_s > 0.0:
        from onboard_vla.app.ros.inputs import input_findings

        findings += [*_second(file, starts), *input_findings(file, starts, topics_s)]
    return findings


def can_start(findings: Sequence[Finding]) -> bool:
    """Whether nothing is missing."""
    return not any(finding.state is State.MISSING for finding in findings)


def check_document(findings: Sequence[Finding], config: Path) -> dict[str, Any]:
    """The findings as plain values for JSON."""
    rows = [{**asdict(finding), "state": finding.state.value} for finding in findings]
    for row in rows:
        del row["required"]  # every row of a check is
    head = {"schema": SCHEMA, "onboard_vla": __version__, "config": str(config), "can_start": can_start(findings)}
    return {**head, "findings": rows}


def _attempt(name: str, look: Callable[[], str]) -> Finding:
    try:
        return fine(name, look())
    except OnboardVlaError as error:
        return absent(name, " ".join(str(error).split()), NOT_STARTED, "mend what it says")


def _rclpy() -> str:
    require_rclpy()
    return "loads"


def _dds_profile() -> Finding:
    read = profile_variables(fast_dds_2=has_fast_dds_2())
    try:
        path = node_environment()[read[0]]
        text = Path(path).read_text(encoding="utf-8")
    except (ConfigurationError, OSError) as error:
        return absent(
            "dds_profile", str(error), "Fast DDS would start without it and lose pictures", "mend or unset it"
        )
    faults = profile_faults(text)
    if faults:
        remedy = "leave the variable unset: the shipped profile is taken"
        return poor("dds_profile", f"{path}: {'; '.join(faults)}", "pictures get lost, or peers are found late", remedy)
    if any(os.environ.get(name) for name in PROFILE_VARIABLES) and not any(os.environ.get(name) for name in read):
        consequence = f"our nodes get {path} as {read[0]}; camera drivers that are started by hand lose pictures"
        found = f"set as {PROFILE_VARIABLES[0]}, which this distribution's Fast DDS does not read"
        return poor("dds_profile", found, consequence, f"export {read[0]}={path}")
    return fine("dds_profile", path)


def _middleware() -> list[Finding]:
    found = other_middleware()
    return [poor("rmw", found, "none of that is known here", "unset it, or measure with yours")] if found else []


def _bundle(path: Path) -> str:
    from onboard_vla.runtime.bundle import Bundle

    manifest = Bundle.open(path).manifest
    unjudged = f"; UNJUDGED: {'; '.join(manifest.unjudged)}" if manifest.unjudged else ""
    return f"core {manifest.core_hash[:12]}, every hash agrees{unjudged}"


def _node(start: NodeStart, namespace: str) -> list[Finding]:
    """The node's parameters; of guard and supervisor also their settings, as they themselves read them."""
    configs: list[SupervisorConfig] = []

    def look() -> str:
        values = node_parameters(start, namespace)
        if start.name == CAMERA_GUARD:
            given_config(values, yaml.compose)
        if start.name == SUPERVISOR:
            configs.append(settings_of_supervisor(start, namespace))
        return f"{len(values)} parameters"

    finding = _attempt(start.name, look)
    return [finding, *(row for config in configs for row in engaging_findings(config))]


def _second(file: DeploymentFile, starts: Sequence[NodeStart]) -> list[Finding]:
    """Whether these nodes run already."""
    names = [start.name for start in starts]
    try:
        running = held_names(file, names) or running_already(file, names)
    except (OnboardVlaError, OSError) as error:
        found = f"whether its nodes run already is not known: {' '.join(str(error).split())}"
        return [poor("second_start", found, SECOND, "look for them with `ros2 node list` before you start")]
    found = f"{' and '.join(running)} run already"
    return (
        [poor("second_start", found, SECOND, "if you mean to start one, end the first one before")] if running else []
    )


def _unmet(starts: Sequence[NodeStart], namespace: str) -> list[Finding]:
    """Sections of parameter files that reach no node; one that looks like a misspelt node of ours must not stand."""
    try:
        sections = unmet_sections(starts, namespace)
    except OnboardVlaError:
        return []  # every node's own row says so
    names, findings = [role.name for role in ROLES], []
    for file, pattern in sections:
        name = pattern.rpartition("/")[2]
        found = f"{file}: section {pattern!r} is for no node of this deployment"
        near = get_close_matches(name, names, 1) if name not in names else []
        if near:
            remedy = f"write {near[0]} (in whatever namespace: /**/{near[0]})"
            findings.append(absent("parameters", found, "what stands in it has no effect", remedy))
        else:
            findings.append(
                poor("parameters", found, "what stands in it has no effect here", "mend its name, or let it be")
            )
    return findings
