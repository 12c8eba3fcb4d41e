"""The camera guard process over ZeroMQ: `python -m onboard_vla.hil.camera_guard --endpoints DIR ...`."""

import sys

from onboard_vla.hil.process import run
from onboard_vla.safety.camera_guard_host import CAMERA_GUARD_ROLE

if __name__ == "__main__":
    sys.exit(run(CAMERA_GUARD_ROLE))
