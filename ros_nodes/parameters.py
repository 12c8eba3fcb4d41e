"""A node's parameters: read and checked at start, declared with their range, changed where its host agrees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process import Option, OptionValue, Role, checked_options
from onboard_vla.core.refusals import log_event
from onboard_vla.ros_nodes.node_options import node_options

SIM_TIME = "use_sim_time"
FOREIGN_PARAMETERS = (SIM_TIME, "qos_overrides.", "start_type_description_service")
"""Parameters that rclpy itself knows."""
Change = Callable[[Mapping[str, OptionValue]], str | None]


class Parameters:
    """The parameters of one node.

    Whole numbers pass for doubles, at start and later; unknown names, other types and values out of range are refused,
    and so is every change of an option that is read once at start. The clock is one: rclpy itself would take a running
    node to another, and every stamp would step with it. `values`: what was given and the defaults, checked;
    `given_settings`: which of the role's settings were given.
    """

    def __init__(self, node: Node, role: Role) -> None:
        """Read and declare.

        Raises:
            ConfigurationError: a value is not acceptable, or a name is unknown.
        """
        self._process = role.name
        self._change: Change = _no_change
        self._declaring = False
        table = (*role.options, *node_options(role.name))
        self._node, self._settings = node, {option.name: option for option in role.settings}
        self._options = {option.name: option for option in table} | self._settings
        given = {name: p.value for name, p in node._parameter_overrides.items() if not _foreign(name)}
        self.given_settings = {
            name: self._settings[name].checked(given.pop(name)) for name in tuple(given) if name in self._settings
        }
        self.values = checked_options(role.name, table, given)
        for option in table:
            self._declare(option)
        # rclpy of Humble has no such callback: there `ros2 param set` must be given 3.0 for a double.
        if hasattr(node, "add_pre_set_parameters_callback"):
            node.add_pre_set_parameters_callback(self._whole_numbers_pass)
        node.add_on_set_parameters_callback(self._on_set)

    def of(self, options: Sequence[Option]) -> dict[str, OptionValue]:
        """The values of these options."""
        return {option.name: self.values[option.name] for option in options}

    def declare_settings(self, values: Mapping[str, OptionValue]) -> None:
        """Show the settings in effect as parameters, too; once, when the host is there that has them."""
        self.values.update(values)
        for option in self._settings.values():
            self._declare(option)

    def show_settings(self, values: Mapping[str, OptionValue]) -> None:
        """Settings have changed by other means than a parameter: the parameters follow."""
        changed = {name: value for name, value in values.items() if self.values.get(name) != value}
        self.values.update(changed)
        self._declaring = True
        self._node.set_parameters([Parameter(name, value=value) for name, value in changed.items()])
        self._declaring = False

    def _declare(self, option: Option) -> None:
        # The callback below is asked about a declaration, too.
        self._declaring = True
        self._node.declare_parameter(option.name, self.values[option.name], descriptor(option), ignore_override=True)
        self._declaring = False

    def hand_changes_to(self, change: Change) -> None:
        """Who takes changed values from now on, or says why not."""
        self._change = change

    def _whole_numbers_pass(self, parameters: list[Parameter[Any]]) -> list[Parameter[Any]]:
        return [self._as_double(parameter) for parameter in parameters]

    def _as_double(self, parameter: Parameter[Any]) -> Parameter[Any]:
        option = self._options.get(parameter.name)
        if option is None or option.kind is not float or type(parameter.value) is not int:
            return parameter
        return Parameter(parameter.name, Parameter.Type.DOUBLE, float(parameter.value))

    def _on_set(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        if self._declaring:
            return SetParametersResult(successful=True)
        wanted: dict[str, OptionValue] = {}
        try:
            for parameter in parameters:
                self._keep_the_clock(parameter)
                if not _foreign(parameter.name) and parameter.name in self._options:
                    wanted[parameter.name] = self._options[parameter.name].checked(parameter.value)
            refused = self._change(wanted) if wanted else None
        except ConfigurationError as error:
            refused = str(error)
        if refused is not None:
            log_event(self._process, "parameters_refused", wanted=wanted, reason=refused)
            return SetParametersResult(successful=False, reason=refused)
        for name, value in wanted.items():
            log_event(self._process, "parameter_changed", name=name, old=self.values[name], new=value)
        self.values.update(wanted)
        return SetParametersResult(successful=True)

    def _keep_the_clock(self, parameter: Parameter[Any]) -> None:
        """Refuse another clock; this is asked before rclpy's own callback, which changes it as soon as it is asked."""
        if parameter.name == SIM_TIME and parameter.value != (now := self._node.get_parameter(SIM_TIME).value):
            raise ConfigurationError(f"{SIM_TIME} is read once at start and is {now}: start it anew to change it")


def descriptor(option: Option) -> ParameterDescriptor:
    """What tools show of an option, and what rclpy itself refuses."""
    described = ParameterDescriptor(description=option.described, read_only=not option.changeable)
    if option.ranged and option.kind is float:
        described.floating_point_range = [FloatingPointRange(from_value=option.minimum, to_value=option.maximum)]
    elif option.ranged and option.kind is int:
        described.integer_range = [IntegerRange(from_value=int(option.minimum), to_value=int(option.maximum))]
    return described


def _no_change(values: Mapping[str, OptionValue]) -> str | None:
    return f"{', '.join(values)}: nothing is running that could take it"


def _foreign(name: str) -> bool:
    return name.startswith(FOREIGN_PARAMETERS)
