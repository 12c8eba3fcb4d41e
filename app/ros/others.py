"""What keeps a second start of a deployment out of the first one's way: its logs, and its nodes in the domain."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.ros_nodes.environment import node_environment

LOCK = ".lock"
"""In a folder of logs: held by who writes them, with its process id inside."""
LIMIT_S = 20.0
"""Ends a look that hangs; it takes 3 s."""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PYTHON_ERROR = re.compile(r"[A-Za-z_][\w.]*(Error|Exception)\b")
"""How the last line of a traceback begins."""


@contextmanager
def own_logs(logs: Path) -> Iterator[None]:
    """Make the folder, and keep others from it; the kernel lets them once this process has ended, however it did.

    Raises:
        ConfigurationError: another start has it, or it is no folder that can be written.
    """
    try:
        logs.mkdir(parents=True, exist_ok=True)
        lock = os.open(logs / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigurationError(
            f"--logs {logs}: expected a folder that can be written, found: {error.strerror}; name another"
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.read(lock, 20).decode(errors="replace").strip()
            raise ConfigurationError(
                f"{logs}: another start (pid {who or 'unknown'}) writes its logs there: end that one, or name another "
                "folder with --logs"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        os.close(lock)


@contextmanager
def own_names(file: DeploymentFile, names: Sequence[str]) -> Iterator[None]:
    """Keep other starts on this machine from nodes of the same names in the same domain, until this process has ended.

    Discovery alone would not: a start that is seconds old, or that hangs, is not found by it. Seen is what shares this
    machine's network, as a container on the host's does; others are found by `running_already`.

    Who is refused takes no name. Of starts that look in the same instant all take theirs in one order, so that of two
    with the same names one goes on.

    Raises:
        ConfigurationError: another start has some of them.
    """
    refuse_second(held_names(file, names), file)
    with ExitStack() as held:
        for name in sorted(_full_names(file, names)):
            try:
                held.enter_context(_socket()).bind(_address(name, file))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                refuse_second([name], file)
        yield


def held_names(file: DeploymentFile, names: Sequence[str]) -> list[str]:
    """Full names of those nodes of this deployment that another start on this machine has; takes none."""
    return [name for name in _full_names(file, names) if _is_held(_address(name, file))]


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def _address(name: str, file: DeploymentFile) -> str:
    """An abstract address stands for a node's name: no file stays behind, whatever ends the process (unix(7))."""
    digest = hashlib.sha256(f"{_domain(file)} {name}".encode()).hexdigest()
    return f"\0onboard-vla-{digest}"


def _is_held(address: str) -> bool:
    with _socket() as looking:
        try:
            looking.connect(address)
        except ConnectionRefusedError:
            return False
    return True


def _full_names(file: DeploymentFile, names: Sequence[str]) -> list[str]:
    space = file.namespace.strip("/")
    return [f"/{space}/{name}" if space else f"/{name}" for name in names]


def _domain(file: DeploymentFile) -> str:
    return (os.environ.get("ROS_DOMAIN_ID") or "0") if file.domain_id is None else str(file.domain_id)


def node_variables(file: DeploymentFile) -> dict[str, str]:
    """The environment of a deployment's nodes."""
    environment = {**os.environ, **node_environment()}
    if file.domain_id is not None:
        environment["ROS_DOMAIN_ID"] = str(file.domain_id)
    return environment


def running_already(file: DeploymentFile, names: Sequence[str]) -> list[str]:
    """Full names of those nodes of this deployment that answer in its domain; takes about 3 s.

    Raises:
        ConfigurationError: the nodes could not run in their environment.
        OSError: it could not be found out.
    """
    if not names:
        return []
    command = [sys.executable, "-m", "onboard_vla.ros_nodes.presence", *_full_names(file, names)]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and names of our nodes
            command, env=node_variables(file), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT_S, check=True,
        )  # fmt: skip
        return [str(name) for name in json.loads(done.stdout)]
    except subprocess.CalledProcessError as error:
        raise OSError(_last_error(error.stderr) or str(error)) from None
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise OSError(f"the look at the graph: {error}") from None


def _last_error(written: str) -> str:
    """Python's error where there is one, else the last line: the middleware writes in colours, and may write last."""
    lines = COLOUR.sub("", written).strip().splitlines()
    return next((line for line in reversed(lines) if PYTHON_ERROR.match(line)), lines[-1] if lines else "")


def refuse_second(running: Sequence[str], file: DeploymentFile) -> None:
    """A second planner or guard takes the vehicle to a stop, and a second supervisor leads it.

    Raises:
        ConfigurationError: some run already.
    """
    if running:
        raise ConfigurationError(
            f"{' and '.join(sorted(running))} run already (ROS_DOMAIN_ID {_domain(file)}), and two of them would stop "
            "the vehicle: end that start first, or give this one another `namespace` or `domain_id`"
        )
