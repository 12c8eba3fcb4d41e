"""Which sections of a parameter file are a node's: as rclpy reads them, so that a check sees what the node will see."""

from __future__ import annotations

import pytest
import yaml

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.ros_nodes.deployment import Deployment, node_starts
from onboard_vla.ros_nodes.parameter_files import node_parameters, takes_simulated_time

NAMESPACES = ("", "car", "car/sub")
MEETS = {
    "/**": ("", "car", "car/sub"),
    "**": ("", "car", "car/sub"),
    "/**/vla_planner": ("", "car", "car/sub"),
    "/**/*": ("", "car", "car/sub"),
    "/*/vla_planner": ("car",),
    "/*/**": ("", "car", "car/sub"),
    "/*/*/vla_planner": ("car/sub",),
    "/car/**": ("car", "car/sub"),
    "/car/**/vla_planner": ("car", "car/sub"),
    "/car/*": ("car",),
    "vla_planner": ("",),
    "/vla_planner": ("",),
    "car/vla_planner": ("car",),
    "/**/car/vla_planner": ("car",),
    "/**/sub/*": ("car/sub",),
    "/*": ("",),
    "/*/*": ("car",),
    "/ca/**": (),
    "/**/planner": (),
}
"""In which namespaces a section is the planner's."""
NO_NAMES = ("/**/vla_*", "/ca*/vla_planner", "/car/9lives", "/car/a-b")


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("pattern", MEETS)
def test_a_section_is_the_planners_where_its_pattern_meets_the_full_name(pattern, namespace, tmp_path) -> None:
    values = node_parameters(planner(tmp_path, pattern), namespace)

    assert (values["threads"] == 3) is (namespace in MEETS[pattern])


@pytest.mark.parametrize("pattern", NO_NAMES)
def test_a_section_that_no_node_can_read_is_refused(pattern, tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="expected names of nodes"):
        node_parameters(planner(tmp_path, pattern), "")


@pytest.mark.parametrize(
    ("mode", "own", "simulated"),
    [("vehicle", None, False), ("simulation", None, True), ("vehicle", True, True), ("simulation", False, False)],
)
def test_whose_time_a_node_takes_is_the_modes_unless_a_file_says_otherwise(mode, own, simulated, tmp_path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"use_sim_time": own}}}))
    files = () if own is None else (file,)

    starts = node_starts(Deployment(mode, "/b", files))

    assert {takes_simulated_time(start, "car") for start in starts} == {simulated}


@pytest.mark.ros
def test_the_table_is_what_rclpy_does(domain_id, tmp_path) -> None:
    import rclpy
    from rclpy.context import Context

    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain_id)
    try:
        found = {pattern: seen(context, written(tmp_path, pattern)) for pattern in MEETS}
        refused = [pattern for pattern in NO_NAMES if seen(context, written(tmp_path, pattern)) is None]
    finally:
        context.try_shutdown()
    assert found == MEETS
    assert tuple(refused) == NO_NAMES


def seen(context, file) -> tuple[str, ...] | None:
    """In which namespaces a real node gets the value; None if the file is refused."""
    from rclpy.node import Node

    where = []
    for namespace in NAMESPACES:
        arguments = ["--ros-args", "--params-file", str(file)]
        try:
            node = Node(
                "vla_planner", namespace=namespace, context=context, cli_args=arguments, use_global_arguments=False
            )
        except Exception:  # rclpy's own kinds differ between distributions
            return None
        if "threads" in node._parameter_overrides:
            where.append(namespace)
        node.destroy_node()
    return tuple(where)


def written(folder, pattern):
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump({pattern: {"ros__parameters": {"threads": 3}}}))
    return file


def planner(folder, pattern):
    deployment = Deployment(mode="vehicle", bundle="b", parameters=(written(folder, pattern),))
    return next(start for start in node_starts(deployment) if start.name == "vla_planner")
