"""What a supervisor's settings alone already say of engaging: a deployment may start well and never drive."""

from __future__ import annotations

from onboard_vla.app.doctor import Finding, fine, poor
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.preconditions import engaging_obstacles, threshold_requests
from onboard_vla.safety.self_test import self_test

REMEDIES = {
    "THRESHOLDS_MISSING": "name a thresholds file of this bundle as `thresholds`",
    "THRESHOLDS_PROVISIONAL": "name calibrated thresholds; provisional ones count in the profile simulation alone",
    "ODD_UNDECLARED": "declare them in the table `odd` of the file `config` (`onboard-vla config show` has it)",
    "SHADOW_ONLY": "set `authority` in the file `config`, if it is to drive",
}
"""By the supervisor's reason."""


def engaging_findings(config: SupervisorConfig) -> list[Finding]:
    """One row for each reason that holds whatever the inputs say."""
    rows = [
        poor(
            "engaging",
            f"{reason.code}: {reason.detail}",
            "nobody can engage",
            REMEDIES.get(reason.code, "see its name"),
        )
        for reason in engaging_obstacles(config, [], self_test(config, config_hash(config)), None)
    ]
    for request in threshold_requests(config):
        reason = request.reason
        rows.append(
            poor("engaging", f"{reason.code}: {reason.detail}", "no plan of the model is driven", REMEDIES[reason.code])
        )
    return rows or [fine("engaging", f"profile {config.profile}: settings and thresholds stand against nothing")]
