"""The gate's commands as std_msgs/Float64MultiArray, the form of ros2_control's command topics, and its state."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout

from onboard_vla.ros_nodes.gate_host import GateCommand, GateState
from onboard_vla.ros_nodes.topics import VEHICLE_GATE

COMMANDS = ("acceleration_mps2", "curvature_per_m")
LEVELS = {
    GateState.HOLDING: DiagnosticStatus.WARN,
    GateState.OVERRIDDEN: DiagnosticStatus.WARN,
    GateState.FOLLOWING: DiagnosticStatus.OK,
    GateState.STOPPING: DiagnosticStatus.ERROR,
}


def to_commands(message: GateCommand) -> Float64MultiArray:
    """Longitudinal acceleration and path curvature (left positive), named by the layout's labels."""
    layout = MultiArrayLayout(dim=[MultiArrayDimension(label=label, size=1, stride=1) for label in COMMANDS])
    values = [float(message.control.acceleration_mps2), float(message.control.curvature_per_m)]
    return Float64MultiArray(layout=layout, data=values)


def to_gate_state(message: GateCommand) -> DiagnosticStatus:
    """What the gate does, and why."""
    return DiagnosticStatus(
        level=LEVELS[message.state],
        name=f"{VEHICLE_GATE}: state",
        message=": ".join(filter(None, (message.state.value, message.reason))),
        hardware_id="onboard_vla",
        values=[KeyValue(key="state", value=message.state.value), KeyValue(key="reason", value=message.reason)],
    )
