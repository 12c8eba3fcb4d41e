"""Opens a bundle and makes its engines as the planner does, then ends.

`python -m onboard_vla.ros_nodes.build_only BUNDLE`: what an engine keeps on disk is there afterwards, so that the next
start is short. Exit status: 0 good, 2 the bundle cannot be used here, with one line that says why.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.process import EXIT_CONFIGURATION
from onboard_vla.runtime.planner_host import PLANNER_ROLE


def main(arguments: Sequence[str]) -> int:
    """Make the engines of one bundle."""
    begin_s = time.monotonic()
    try:
        PLANNER_ROLE.build(PLANNER_ROLE.values({"bundle": arguments[0] if arguments else ""}))
    except OnboardVlaError as error:
        sys.stderr.write(f"build_only: {' '.join(str(error).split())}\n")
        return EXIT_CONFIGURATION
    sys.stderr.write(f"build_only: {arguments[0]} is ready after {time.monotonic() - begin_s:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
