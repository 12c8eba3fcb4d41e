"""The safety supervisor process over ZeroMQ: `python -m onboard_vla.hil.safety_supervisor --endpoints DIR ...`."""

import sys

from onboard_vla.hil.process import run
from onboard_vla.safety.supervisor_host import SUPERVISOR_ROLE

if __name__ == "__main__":
    sys.exit(run(SUPERVISOR_ROLE))
