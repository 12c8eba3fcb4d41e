"""Parameter files and README tables say what the code's tables say."""

from __future__ import annotations

import pytest
import yaml

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process import checked_options
from onboard_vla.ros_nodes.documents import README, ROLES, ROOM, parameter_file, with_tables
from onboard_vla.ros_nodes.node_options import node_options


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_parameter_file_is_the_options_table(role) -> None:
    text = (ROOM / "config" / f"{role.name}.param.yaml").read_text()

    assert text == parameter_file(role), "run python -m onboard_vla.ros_nodes.documents"
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    table = (*role.options, *node_options(role.name))
    required = [option.name for option in table if option.default is None]
    if required:
        with pytest.raises(ConfigurationError, match=f"{required[0]} is not set"):
            checked_options(role.name, table, values)
    assert checked_options(role.name, table, {**values, **dict.fromkeys(required, "x")})


def test_readme_has_the_tables_of_the_code() -> None:
    text = README.read_text()

    assert text == with_tables(text), "run python -m onboard_vla.ros_nodes.documents"
    assert "onboard_vla/trajectory" in text
    assert "plan_period_s" in text
