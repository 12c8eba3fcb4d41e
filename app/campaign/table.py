"""All faults that are injected in virtual time, in the catalogue's order."""

from __future__ import annotations

from onboard_vla.app.campaign.camera_faults import CAMERA_FAULTS
from onboard_vla.app.campaign.fault_case import FaultCase
from onboard_vla.app.campaign.input_faults import INPUT_FAULTS
from onboard_vla.app.campaign.plan_faults import PLAN_FAULTS

CASES: tuple[FaultCase, ...] = tuple(
    sorted((*CAMERA_FAULTS, *PLAN_FAULTS, *INPUT_FAULTS), key=lambda case: int(case.fault[1:]))
)
BY_KEY: dict[str, FaultCase] = {case.key: case for case in CASES}
assert len(BY_KEY) == len(CASES), "two rows of the fault table have one name"
