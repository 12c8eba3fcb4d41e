"""Parameter files, schema and page of interfaces say what the code's tables say."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from jsonschema import Draft7Validator, ValidationError

from onboard_vla.core.process import checked_options
from onboard_vla.ros_nodes.deployment import MODES, NodeStart, mode_file
from onboard_vla.ros_nodes.deployment_files import options_of, parameter_file, schema
from onboard_vla.ros_nodes.documents import PAGE, ROLES, SCHEMA
from onboard_vla.ros_nodes.interfaces import page
from onboard_vla.ros_nodes.parameter_files import node_parameters
from onboard_vla.ros_nodes.services import SERVICES
from onboard_vla.ros_nodes.topics import ROS_TOPICS


def given(mode):
    """Values of the mode's file by node, as a node gets them."""
    sections = yaml.safe_load(mode_file(mode).read_text())
    return {name.removeprefix("/**/"): section["ros__parameters"] for name, section in sections.items()}


@pytest.mark.parametrize("mode", MODES)
def test_parameter_file_is_the_options_table(mode) -> None:
    assert mode_file(mode).read_text() == parameter_file(mode, ROLES), "run python -m onboard_vla.ros_nodes.documents"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_node_takes_the_files_values_and_the_rest_are_its_defaults(mode, role) -> None:
    text, table = mode_file(mode).read_text(), options_of(role)
    if f"/**/{role.name}:" not in text:
        pytest.skip(f"{role.name} is no node of this mode")
    listed = text.partition(f"/**/{role.name}:")[2].partition("/**/")[0]
    found = {name: value for name, value in re.findall(r"^    (?:# )?([\w.]+): (\S.*)$", listed, re.MULTILINE)}
    required = [option.name for option in table if option.default is None]

    assert [option.name for option in table] == [name for name in found if name in {option.name for option in table}]
    assert [found[name] for name in required] == ["must be set"] * len(required)
    values = checked_options(role.name, table, {**given(mode).get(role.name, {}), **dict.fromkeys(required, "x")})
    assert {name: json.loads(found[name]) for name in values if name not in required} == {
        name: value for name, value in values.items() if name not in required
    }


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_parameter_is_named_like_a_group_of_others(role) -> None:
    """`ros2 param dump` writes groups as nested tables, and fails where a value stands in their place."""
    names = [option.name for option in options_of(role)]
    assert [name for name in names if any(other.startswith(f"{name}.") for other in names)] == []


def test_schema_is_that_of_the_options_table_and_accepts_the_files() -> None:
    text = SCHEMA.read_text()

    assert text == schema(ROLES), "run python -m onboard_vla.ros_nodes.documents"
    judge = Draft7Validator(json.loads(text))
    for mode in MODES:
        judge.validate(yaml.safe_load(mode_file(mode).read_text()))


@pytest.mark.parametrize(
    ("node", "parameters"),
    [
        ("/**/vla_planner", {"thread": 1}),
        ("/**/vla_planner", {"threads": 0}),
        ("/**/vla_planner", {"threads": "1"}),
        ("/**/vla_planner", {"cameras.transport": "png"}),
        ("/**", {"bundle": "x"}),
        ("/**/vla_planner", {"cameras": {"transport": "png"}}),
        ("/**/vla_planner", {"cameras": {"transprt": "raw"}}),
        ("/car/vla_planner", {"threads": 0}),
        ("vla_planer", {}),
        ("my_vla_planner", {}),
    ],
)
def test_schema_refuses_what_a_node_refuses(node, parameters) -> None:
    with pytest.raises(ValidationError):
        Draft7Validator(json.loads(SCHEMA.read_text())).validate({node: {"ros__parameters": parameters}})


@pytest.mark.parametrize("name", ["vla_planner", "/vla_planner", "/**/vla_planner", "car/vla_planner", "*/vla_planner"])
@pytest.mark.parametrize("parameters", [{"cameras": {"transport": "raw"}}, {"cameras.transport": "raw", "threads": 2}])
def test_schema_takes_what_a_node_takes_under_every_name_of_it(tmp_path, name, parameters) -> None:
    document = {name: {"ros__parameters": parameters}}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(document))

    Draft7Validator(json.loads(SCHEMA.read_text())).validate(document)
    Draft7Validator(json.loads(SCHEMA.read_text())).validate({"/*": {"ros__parameters": {"use_sim_time": True}}})
    node_parameters(NodeStart("vla_planner", (path,), {"bundle": "/b"}), "car" if "car" in name else "")


@pytest.mark.parametrize(
    ("mode", "profile"), [("vehicle", "vehicle"), ("replay", "simulation"), ("simulation", "simulation")]
)
def test_provisional_thresholds_are_for_simulation_alone(mode, profile) -> None:
    assert given(mode)["safety_supervisor"]["profile"] == profile
    assert given(mode)["/**"]["use_sim_time"] == (mode != "vehicle")
    assert bool(given(mode)["safety_supervisor"].get("marker")) == (mode == "vehicle")


def test_page_of_interfaces_is_what_the_tables_say() -> None:
    text = PAGE.read_text()

    assert text == page(ROLES), "run python -m onboard_vla.ros_nodes.documents"
    assert all(f"`{row.shared_name}`" in text for row in ROS_TOPICS)
    assert all(f"`{option.name}`" in text for role in ROLES for option in (*options_of(role), *role.settings))
    assert all(f"`/{service.node}/{service.name}`" in text for service in SERVICES)
