"""The planner process over ZeroMQ: `python -m onboard_vla.hil.vla_planner --endpoints DIR ...`."""

import sys

from onboard_vla.hil.process import run
from onboard_vla.runtime.planner_host import PLANNER_ROLE

if __name__ == "__main__":
    sys.exit(run(PLANNER_ROLE))
