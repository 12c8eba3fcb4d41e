"""Which of some nodes answer in this domain: `python -m onboard_vla.ros_nodes.presence /car/vla_planner …`.

Writes those that do as JSON to standard output. A process of its own, so that who asks has no middleware inside. Names
alone are not believed: one that was killed stays in the others' discovery for a lease, and answers nobody.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

LOOK_S = 1.5
"""With the shipped profile a participant finds the others within 0.21 s on an idle machine; on a busy one 0.7 s were
too short."""
ANSWER_S = 2.0
"""For those that were found to answer: a supervisor does within 0.1 s."""
POLL_S = 0.05


def answering(names: Sequence[str]) -> list[str]:
    """Those of these nodes, by full name, that answer a request for their parameters."""
    import rclpy
    from rcl_interfaces.srv import GetParameters

    rclpy.init(args=[])
    node = rclpy.create_node("onboard_vla_presence")
    clients: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    end_s = time.monotonic() + LOOK_S
    while (now_s := time.monotonic()) < end_s and not _all_answer(names, answers):
        found = {f"{space.rstrip('/')}/{name}" for name, space in node.get_node_names_and_namespaces()}
        for name in sorted(found.intersection(names) - clients.keys()):
            end_s = max(end_s, now_s + ANSWER_S)
            clients[name] = node.create_client(GetParameters, f"{name}/get_parameters")
        for name in clients.keys() - answers.keys():
            # A request that is sent before both ways are matched would be lost.
            if clients[name].service_is_ready():
                answers[name] = clients[name].call_async(GetParameters.Request(names=["use_sim_time"]))
        rclpy.spin_once(node, timeout_sec=POLL_S)
    rclpy.try_shutdown()
    return sorted(name for name, answer in answers.items() if answer.done())


def _all_answer(names: Sequence[str], answers: Mapping[str, Any]) -> bool:
    return all(name in answers and answers[name].done() for name in names)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answering(sys.argv[1:])))
