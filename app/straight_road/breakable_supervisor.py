"""The supervisor process with a fault that SIGUSR1 sets off: from then on, one of its modules raises.

python -m onboard_vla.app.straight_road.breakable_supervisor zmq|ros [arguments of the supervisor]. Everything else is
the supervisor as it is delivered; the module is named by the environment variable `ONBOARD_VLA_BREAKS`.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import yaml

from onboard_vla.safety.supervisor import Supervisor
from onboard_vla.safety.supervisor_host import supervisor_role

BREAKS = "ONBOARD_VLA_BREAKS"
DEFAULT_MODULE = "_judge_plans"


def break_module(number: int, frame: FrameType | None) -> None:
    """Plant the exception."""

    def raises(*arguments: object, **named: object) -> None:
        raise RuntimeError("planted fault")

    setattr(Supervisor, os.environ.get(BREAKS, DEFAULT_MODULE), raises)


def main() -> int:
    """Run over the transport named first."""
    signal.signal(signal.SIGUSR1, break_module)
    transport, *arguments = sys.argv[1:]
    role = supervisor_role(yaml.compose)
    if transport == "zmq":
        from onboard_vla.hil.process import run

        return run(role, arguments)
    from onboard_vla.ros_nodes.node_main import run_node

    return run_node(role, arguments)


if __name__ == "__main__":
    sys.exit(main())
