"""Recordings: rosbag2 version 9 in MCAP, written and read without ROS's own recorder (which has no wheels)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.core.installation import installation

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, Qos
    from rosbags.typesys.store import Typestore

BAG_VERSION: Final = 9
"""Of rosbag2's metadata: Jazzy and later read it."""
METADATA: Final = "metadata.yaml"
"""Beside the messages in a recording's folder; written when the recording is closed."""


@dataclass(frozen=True)
class Recorded:
    """One recorded message. `topic`: absolute name. `type`: "package/msg/Type". `time_ns`: when it was recorded."""

    topic: str
    type: str
    time_ns: int
    data: bytes


class BagWriter:
    """Writes a new recording: a folder with an MCAP file and metadata.yaml. `write` is not thread-safe.

    Raises:
        ConfigurationError: something stands at `path`.
        EnvironmentLacksError: rosbags is not installed.
    """

    def __init__(self, path: Path) -> None:
        require_rosbags()
        from rosbags.rosbag2 import StoragePlugin, Writer

        if path.exists():
            raise ConfigurationError(f"{path} exists: name a recording that does not, or remove this one")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._types = _typestore()
        self._writer = Writer(path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections: dict[str, Connection] = {}
        self.counts: dict[str, int] = {}

    def connect(self, topic: str, kind: str, *, reliable: bool, latched: bool, depth: int) -> None:
        """Declare a topic before its first message.

        Raises:
            ConfigurationError: its type's definition is not on this machine.
        """
        if kind not in self._types.types:
            _register_package(self._types, kind)
        self._connections[topic] = self._writer.add_connection(
            topic, kind, typestore=self._types, offered_qos_profiles=[_quality(reliable, latched, depth)]
        )
        self.counts[topic] = 0

    def write(self, topic: str, data: bytes, time_ns: int) -> None:
        """Append one serialised message."""
        self._writer.write(self._connections[topic], time_ns, data)
        self.counts[topic] += 1

    def close(self) -> None:
        """Write the index; without it the recording cannot be read."""
        self._writer.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BagReader:
    """Reads a recording: a rosbag2 folder or an MCAP file of anyone.

    Raises:
        ConfigurationError: there is none, or it is damaged or was never closed.
        EnvironmentLacksError: rosbags is not installed.
    """

    def __init__(self, path: Path) -> None:
        require_rosbags()
        from rosbags.rosbag2 import Reader, ReaderError

        self._path = path
        if path.is_dir() and not (path / METADATA).is_file():
            raise ConfigurationError(
                f"{path} is no recording that can be read: expected {METADATA} in the folder, as rosbag2 writes it on "
                "closing, found none; name a recording's folder or an MCAP file"
            )
        try:
            self._reader = Reader(path)
            self._reader.open()
        except (ReaderError, OSError, ValueError, AssertionError) as error:
            raise ConfigurationError(f"{path} is no recording that can be read: {error}") from None

    @property
    def topics(self) -> dict[str, str]:
        """Type of each topic."""
        return {connection.topic: connection.msgtype for connection in self._reader.connections}

    @property
    def span_ns(self) -> tuple[int, int]:
        """Times of the first and the last message."""
        return self._reader.start_time, self._reader.end_time - 1

    def messages(self, topics: frozenset[str] | None = None, stop_ns: int | None = None) -> Iterator[Recorded]:
        """All messages, or those of some topics, in the order in which they were recorded; those before `stop_ns`.

        Raises:
            ConfigurationError: the file is damaged from somewhere on.
        """
        wanted, count = [c for c in self._reader.connections if topics is None or c.topic in topics], 0
        if not wanted:
            return
        try:
            for connection, time_ns, data in self._reader.messages(wanted, stop=stop_ns):
                yield Recorded(connection.topic, connection.msgtype, time_ns, data)
                count += 1
        except Exception as error:  # of the library and of decompressors, which raise types of their own
            raise ConfigurationError(f"{self._path} is damaged after {count} messages: {error}") from None

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def require_rosbags() -> None:
    """Check that the library is there.

    Raises:
        EnvironmentLacksError: it is not.
    """
    try:
        import rosbags  # noqa: F401
    except ImportError:
        raise EnvironmentLacksError(f"recordings need rosbags: {installation('bags')}") from None


def _typestore() -> Typestore:
    from rosbags.typesys import Stores, get_typestore

    names = {"humble": Stores.ROS2_HUMBLE, "jazzy": Stores.ROS2_JAZZY, "kilted": Stores.ROS2_KILTED}
    return get_typestore(names.get(os.environ.get("ROS_DISTRO", ""), Stores.ROS2_KILTED))


def _register_package(types: Typestore, kind: str) -> None:
    """Add all messages of a package that is installed here; wheels put theirs under Python's own prefix."""
    from rosbags.typesys import get_types_from_msg

    package = kind.split("/")[0]
    prefixes = [prefix for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    found: dict[str, Any] = {}
    for prefix in (*prefixes, sys.prefix):
        for file in sorted((Path(prefix) / "share" / package / "msg").glob("*.msg")):
            name = f"{package}/msg/{file.stem}"
            if name not in found:
                found |= get_types_from_msg(file.read_text(encoding="utf-8"), name)
    if kind not in found:
        raise ConfigurationError(f"cannot record {kind}: package {package} is not installed here (AMENT_PREFIX_PATH)")
    types.register({name: fields for name, fields in found.items() if name not in types.types})


def _quality(reliable: bool, latched: bool, depth: int) -> Qos:
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    unlimited = QosTime(2147483647, 4294967295)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=unlimited,
        lifespan=unlimited,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=unlimited,
        avoid_ros_namespace_conventions=False,
    )
