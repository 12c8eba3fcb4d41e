"""What this machine has and lacks, and what follows: one row a probe, none of which can take the others down."""

from onboard_vla.app.doctor.finding import Finding, State, absent, fine, poor
from onboard_vla.app.doctor.machine import Machine
from onboard_vla.app.doctor.report import PROBES, as_document, examine, is_fit, print_findings, verdict

__all__ = [
    "PROBES",
    "Finding",
    "Machine",
    "State",
    "absent",
    "as_document",
    "examine",
    "fine",
    "is_fit",
    "poor",
    "print_findings",
    "verdict",
]
