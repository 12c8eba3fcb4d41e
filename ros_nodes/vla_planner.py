"""The planner as a ROS 2 node: `python -m onboard_vla.ros_nodes.vla_planner --ros-args ...`."""

import sys

from onboard_vla.ros_nodes.node_main import run_node
from onboard_vla.runtime.planner_host import PLANNER_ROLE

if __name__ == "__main__":
    sys.exit(run_node(PLANNER_ROLE))
