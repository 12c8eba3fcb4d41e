"""Without which inputs a vehicle with given settings can leave standby."""

from __future__ import annotations

import dataclasses

import pytest

from onboard_vla.app.ros.settings import dispensable
from onboard_vla.core.process_graph import TOPICS, VEHICLE
from onboard_vla.safety.config import SIMULATION_PROFILE, SupervisorConfig
from onboard_vla.safety.input_config import REQUIRED, WheelLimits
from onboard_vla.safety.operating_domain import OperationalDesignDomain

ALWAYS = {"camera", "ego", "route", "objects", "lanes"}
DECLARED = OperationalDesignDomain(lights=("day",))


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, ALWAYS | {"driver"}),
        ({"profile": SIMULATION_PROFILE}, ALWAYS),
        ({"wheel": WheelLimits(presence=REQUIRED)}, ALWAYS | {"driver", "wheel_speed"}),
        ({"odd": DECLARED}, ALWAYS | {"driver", "conditions"}),
    ],
)
def test_the_settings_say_which_inputs_are_needed(changes, needed):
    assert needed_inputs(dataclasses.replace(SupervisorConfig(), **changes)) == needed


def needed_inputs(config):
    unneeded = dispensable(config)
    kinds = {topic.kind: topic.name.partition("/")[0] for topic in TOPICS if topic.sender == VEHICLE}
    return {name for kind, name in kinds.items() if kind not in unneeded}
