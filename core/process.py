"""What a transport needs to know of a process body to run it: options, a builder, timers, and where messages go."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from onboard_vla.core.clock import Now
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.wire import Message

EXIT_CONFIGURATION = 2
"""Exit status of a process that was started wrongly: starting it again the same way is pointless."""
EXIT_FAILURE = 70
"""Exit status of a process whose work has died (EX_SOFTWARE of sysexits.h): a launcher starts it again."""

Publish = Callable[[Message], None]
Clock = Callable[[], Now]
OptionValue = str | int | float | bool


@dataclass(frozen=True)
class Timer:
    """Work at a fixed rate on the process's main thread."""

    period_s: float
    tick: Callable[[], None]


class ProcessHost(Protocol):
    """A process body with its threads, ready to be run by any transport."""

    @property
    def timers(self) -> tuple[Timer, ...]:
        """What has to run at a fixed rate."""

    def schedule(self) -> None:
        """Take the priority that was asked for, if any; called once, before `start`.

        Over ZeroMQ also before the library has threads: libzmq reads a new thread's policy and priority one after the
        other and ends the process if they do not fit (zmq::thread_t::applySchedulingParameters).
        """

    def start(self, publish: Publish, clock: Clock) -> None:
        """Begin. `publish` may be called from any thread of the host."""

    def receive(self, message: Message, now: Now) -> None:
        """Take one message; called on the main thread, returns at once."""

    def failure(self) -> str | None:
        """Why the process has to end and be started again; None while it works."""

    def stop(self) -> bool:
        """End all threads; false if one is stuck."""


@runtime_checkable
class Pausable(Protocol):
    """A host whose work can rest while its process lives on (a lifecycle node that is inactive)."""

    def pause(self) -> None:
        """Begin no more work; heartbeats go on and say so."""

    def resume(self) -> None:
        """Work again, on what arrives from now on."""


@runtime_checkable
class Adjustable(Protocol):
    """A host with options or settings that change while it runs."""

    def change(self, values: Mapping[str, OptionValue]) -> str | None:
        """Take all of these values or none, checked by their options; why not, or None when they hold from now on."""


@runtime_checkable
class LensChecking(Protocol):
    """A host that holds what is said of a camera's lens against what it expects."""

    def cameras_heard(self) -> Mapping[str, bool]:
        """Of each camera whose lens it knows: whether anything was said of it."""


@runtime_checkable
class Settled(Protocol):
    """A host that can say which of its role's settings are in effect."""

    def settings(self) -> Mapping[str, OptionValue]:
        """All of them."""


@dataclass(frozen=True)
class Option:
    """One value of a process: a command-line option over ZeroMQ, a parameter over ROS.

    `default` None: must be given. `minimum`, `maximum`: inclusive, for numbers. `unit`: SI, "" for words and counts.
    `choices`: the words that it may be; any if empty.
    `changeable`: may be changed while the process runs, if its host agrees; the others are read once at start.
    """

    name: str
    kind: type[OptionValue]
    default: OptionValue | None
    description: str
    minimum: float = -math.inf
    maximum: float = math.inf
    unit: str = ""
    changeable: bool = False
    choices: tuple[str, ...] = ()

    @property
    def ranged(self) -> bool:
        """Whether it is a number with two limits."""
        return math.isfinite(self.minimum) and math.isfinite(self.maximum)

    @property
    def described(self) -> str:
        """The description with unit and range."""
        accepted = [self.unit] if self.unit else []
        if self.choices:
            accepted.append(" or ".join(self.choices))
        if self.ranged:
            accepted.append(f"{self.minimum:g} to {self.maximum:g}")
        return ", ".join((self.description, *accepted))

    def checked(self, value: object) -> OptionValue:
        """The value in the option's type; whole numbers pass for float.

        Raises:
            ConfigurationError: missing, of another type, or out of range.
        """
        if value is None or (self.default is None and value == ""):
            raise ConfigurationError(f"{self.name} is not set: expected {self.described}")
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind:
            found = f"{type(value).__name__} {value!r}"
            raise ConfigurationError(f"{self.name}: expected {self.kind.__name__} ({self.described}), found {found}")
        if self.choices and value not in self.choices:
            raise ConfigurationError(f"{self.name}: expected {' or '.join(self.choices)}, found {value!r}")
        if isinstance(value, (int, float)) and not self.minimum <= value <= self.maximum:
            raise ConfigurationError(f"{self.name}: expected {self.minimum:g} to {self.maximum:g}, found {value:g}")
        assert isinstance(value, (str, int, float, bool))
        return value


@dataclass(frozen=True)
class Role:
    """One process of the graph: its name there, its options, and how to build its host from their values.

    `build` raises OnboardVlaError when the values cannot work (a damaged bundle, say). `settings`: what else may be
    given, and changed later where the host is `Adjustable`; what is not given is what the options amount to.
    """

    name: str
    options: tuple[Option, ...]
    build: Callable[[Mapping[str, OptionValue]], ProcessHost]
    settings: tuple[Option, ...] = ()

    def values(self, given: Mapping[str, object]) -> dict[str, OptionValue]:
        """All options checked, defaults filled in.

        Raises:
            ConfigurationError: an option is unknown, missing, of another type, or out of range.
        """
        return checked_options(self.name, self.options, given)


def checked_options(process: str, options: Sequence[Option], given: Mapping[str, object]) -> dict[str, OptionValue]:
    """All options of a process checked, defaults filled in.

    Raises:
        ConfigurationError: an option is unknown, missing, of another type, or out of range.
    """
    names = [option.name for option in options]
    for name in given:
        if name not in names:
            raise ConfigurationError(f"{process} has no option {name!r}: expected one of {', '.join(names) or 'none'}")
    return {option.name: option.checked(given.get(option.name, option.default)) for option in options}
