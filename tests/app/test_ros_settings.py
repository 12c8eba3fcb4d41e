"""Without which inputs a vehicle with given settings can leave standby."""

from __future__ import annotations

import dataclasses

import pytest

from onboard_vla.app.ros.settings import dispensable
from onboard_vla.core.process_graph import TOPICS, VEHICLE
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.input_config import REQUIRED, WheelLimits
from onboard_vla.safety.operating_domain import OperationalDesignDomain

DECLARED = OperationalDesignDomain(lights=("day",))


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, {"camera", "ego", "route", "objects", "lanes"}),
        ({"wheel": WheelLimits(presence=REQUIRED)}, {"camera", "ego", "route", "objects", "lanes", "wheel_speed"}),
        ({"odd": DECLARED}, {"camera", "ego", "route", "objects", "lanes", "conditions"}),
    ],
)
def test_the_settings_say_which_inputs_are_needed(changes, needed):
    assert needed_inputs(dataclasses.replace(SupervisorConfig(), **changes)) == needed


def needed_inputs(config):
    unneeded = dispensable(config)
    kinds = {topic.kind: topic.name.partition("/")[0] for topic in TOPICS if topic.sender == VEHICLE}
    return {name for kind, name in kinds.items() if kind not in unneeded}
