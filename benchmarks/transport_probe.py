"""The receiving process of benchmarks/transport.py: answers every picture with a verdict that holds its latency."""

from __future__ import annotations

import sys
import time

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.process import Role
from onboard_vla.core.process_graph import CAMERA_GUARD
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.runtime.jpeg import decode_frame
from onboard_vla.safety.camera_guard_host import CameraGuardHost


class LatencyProbe:
    """In the camera guard's place: latency from the picture's stamp to the call, milliseconds."""

    config_hash = ""

    def check(self, frame: CameraFrame, speed_mps: float, now: Now) -> Verdict:
        """Measure."""
        latency_ms = (time.time_ns() - frame.stamp_ns) / 1e6
        reason = Reason("LATENCY", latency_ms, 0.0, "ms")
        return Verdict(frame.camera, frame.stamp_ns, frame.sequence, True, (reason,), "")


def main() -> int:
    """Run on the transport named by the first argument."""
    transport, *arguments = sys.argv[1:]
    role = Role(CAMERA_GUARD, (), lambda options: CameraGuardHost(LatencyProbe(), decode_frame))
    if transport == "zmq":
        from onboard_vla.hil.process import run

        return run(role, arguments)
    from onboard_vla.ros_nodes.node_main import run_node

    return run_node(role, arguments)


if __name__ == "__main__":
    sys.exit(main())
