"""Of which cameras the planner knows what size their pictures have, from the bundle or from its own options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onboard_vla.app.doctor import Finding, absent, fine, poor
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.process_graph import PLANNER
from onboard_vla.ros_nodes.deployment import NodeStart
from onboard_vla.ros_nodes.parameter_files import node_parameters
from onboard_vla.runtime.camera_shapes import parse_sizes, stated_sizes


def picture_findings(bundle: Path, starts: Sequence[NodeStart], namespace: str) -> list[Finding]:
    """One finding, or none without a planner whose options and bundle can be read: their own rows say why not."""
    try:
        values = next(node_parameters(start, namespace) for start in starts if start.name == PLANNER)
        manifest = load_manifest(bundle)
    except (StopIteration, OnboardVlaError):
        return []
    roles = tuple(camera.role for camera in manifest.cameras)
    try:
        sizes = stated_sizes(manifest.cameras) | parse_sizes(str(values["cameras.sizes"]), roles)
    except OnboardVlaError as error:
        return [absent("pictures", str(error), "the planner would refuse to start", "mend cameras.sizes")]
    said = ", ".join(f"{role} {width}x{height}" for role, (width, height) in sizes.items())
    unsaid = [role for role in roles if role not in sizes]
    if not unsaid:
        return [fine("pictures", said, "any scale of these down to a 16th; other shapes are refused")]
    found = f"{said or 'no size'} said, none of {', '.join(unsaid)}"
    consequence = "their pictures of a wrong shape are squeezed and planned on"
    return [poor("pictures", found, consequence, "set cameras.sizes of vla_planner, or state it in cameras.json")]
