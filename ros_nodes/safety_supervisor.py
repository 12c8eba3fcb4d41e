"""The safety supervisor as a ROS 2 node: `python -m onboard_vla.ros_nodes.safety_supervisor --ros-args ...`."""

import sys

from onboard_vla.ros_nodes.node_main import run_node
from onboard_vla.safety.supervisor_host import SUPERVISOR_ROLE

if __name__ == "__main__":
    sys.exit(run_node(SUPERVISOR_ROLE))
