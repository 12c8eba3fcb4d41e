"""Everything about a deployment that can be told before it starts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.table import Table
from rich.text import Text

from onboard_vla.app.doctor import Finding, State, absent, fine, poor
from onboard_vla.app.doctor.dds import profile_faults
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.app.ros.parameters import node_parameters
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.process import OptionValue
from onboard_vla.core.process_graph import CAMERA_GUARD, SUPERVISOR
from onboard_vla.ros_nodes.deployment import NodeStart, node_starts
from onboard_vla.ros_nodes.documents import ROLES
from onboard_vla.ros_nodes.environment import (
    PROFILE_VARIABLES,
    has_fast_dds_2,
    node_environment,
    profile_variables,
    require_rclpy,
)

STYLES = {State.OK: "green", State.WARNING: "yellow", State.MISSING: "red"}
NOT_STARTED = "the node would refuse to start"


def check_deployment(file: DeploymentFile, topics_s: float) -> list[Finding]:
    """One finding for each thing; `topics_s` > 0: also wait so long for the inputs.

    Raises:
        ConfigurationError: the deployment itself makes no sense, so that there is nothing to check.
    """
    starts = node_starts(file.deployment)
    findings = [_attempt("rclpy", _rclpy), _dds_profile()]
    if file.deployment.bundle:
        findings.append(_attempt("bundle", lambda: _bundle(Path(file.deployment.bundle))))
    for start in starts:
        findings.append(_attempt(start.name, lambda start=start: _node(start, file.namespace)))  # type: ignore[misc]
    if topics_s > 0.0:
        from onboard_vla.app.ros.inputs import input_findings

        findings += input_findings(file, starts, topics_s)
    return findings


def check_table(findings: list[Finding], title: str) -> Table:
    """The findings for people."""
    bad = sum(finding.state is State.MISSING for finding in findings)
    table = Table(title=f"{title}: {'cannot start' if bad else 'can start'}", title_justify="left")
    for column in ("what", "state", "found", "what follows, what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        follows = "; to change it: ".join(part for part in (finding.consequence, finding.remedy) if part)
        mark = Text(finding.state.value, style=STYLES[finding.state])
        table.add_row(Text(finding.name), mark, Text(finding.found), Text(follows))
    return table


def _attempt(name: str, look: Callable[[], str]) -> Finding:
    try:
        return fine(name, look())
    except OnboardVlaError as error:
        return absent(name, " ".join(str(error).split()), NOT_STARTED, "mend what it says")


def _rclpy() -> str:
    require_rclpy()
    return "loads"


def _dds_profile() -> Finding:
    variables, read = node_environment(), profile_variables(fast_dds_2=has_fast_dds_2())
    path = variables[read[0]]
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        return absent("dds_profile", str(error), "Fast DDS starts without it and loses pictures", "unset or mend it")
    faults = profile_faults(text)
    if faults:
        remedy = "leave the variable unset: the shipped profile is taken"
        return poor("dds_profile", f"{path}: {'; '.join(faults)}", "pictures get lost, or peers are found late", remedy)
    if any(os.environ.get(name) for name in PROFILE_VARIABLES) and not any(os.environ.get(name) for name in read):
        consequence = f"our nodes get {path} as {read[0]}; camera drivers that are started by hand lose pictures"
        found = f"set as {PROFILE_VARIABLES[0]}, which this distribution's Fast DDS does not read"
        return poor("dds_profile", found, consequence, f"export {read[0]}={path}")
    return fine("dds_profile", path)


def _bundle(path: Path) -> str:
    from onboard_vla.runtime.bundle import Bundle

    manifest = Bundle.open(path).manifest
    unjudged = f"; UNJUDGED: {'; '.join(manifest.unjudged)}" if manifest.unjudged else ""
    return f"core {manifest.core_hash[:12]}, every hash agrees{unjudged}"


def _node(start: NodeStart, namespace: str) -> str:
    """The node's parameters; of guard and supervisor also their settings, as they themselves read them."""
    values = node_parameters(start, namespace)
    if start.name in (SUPERVISOR, CAMERA_GUARD):
        _build(start.name, values)
    return f"{len(values)} parameters"


def _build(name: str, values: dict[str, OptionValue]) -> None:
    role = next(role for role in ROLES if role.name == name)
    own = {option.name: values[option.name] for option in role.options}
    marker = str(own.get("marker", ""))
    with tempfile.TemporaryDirectory() as folder:
        # The real one says that the last drive ended badly, and belongs to the supervisor.
        if marker:
            own["marker"] = str(Path(folder) / "driving")
        role.build(own)
