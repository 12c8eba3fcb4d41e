"""Recordings: rosbag2 version 9 in MCAP, written and read without ROS's own recorder (which has no wheels)."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.core.installation import installation
from onboard_vla.ros_nodes.reserved_file import FULL, RESERVE_BYTES, ReservedFile, reserve_for

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, Qos
    from rosbags.typesys.store import Typestore

BAG_VERSION: Final = 9
"""Of rosbag2's metadata: Jazzy and later read it."""
METADATA: Final = "metadata.yaml"
"""Beside the messages in a recording's folder; written when the recording is closed."""
REPAIR_TOOLS: Final = "mcap recover, ros2 bag reindex"
"""What others have for recordings that were not closed."""
MCAP_MAGIC: Final = b"\x89MCAP0\r\n"
BYTES_PER_MIB: Final = 1 << 20


@dataclass(frozen=True)
class Recorded:
    """One recorded message. `topic`: absolute name. `type`: "package/msg/Type". `time_ns`: when it was recorded."""

    topic: str
    type: str
    time_ns: int
    data: bytes


class BagWriter:
    """Writes a new recording: a folder with an MCAP file and metadata.yaml. `write` is not thread-safe.

    On a full disk it closes the recording in room that was kept for that: twice what its largest message takes.

    Raises:
        ConfigurationError: something stands at `path`.
        EnvironmentLacksError: rosbags is not installed, or the disk has no room.
    """

    def __init__(self, path: Path) -> None:
        require_rosbags()
        from rosbags.rosbag2 import StoragePlugin, Writer

        if path.exists():
            raise ConfigurationError(f"{path} exists: name a recording that does not, or remove this one")
        self._path = path
        self._types = _typestore()
        self._writer = Writer(path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._closed = False
        self._connections: dict[str, Connection] = {}
        self.counts: dict[str, int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer.open()
            storage: Any = self._writer.storage
            self._file_path: Path = storage.path
            storage.bio.flush()
            self._file = ReservedFile(storage.bio.detach(), path)
            storage.bio = self._file
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            if error.errno not in FULL:
                raise
            raise EnvironmentLacksError(
                f"{path}: a recording needs {RESERVE_BYTES // BYTES_PER_MIB} MiB of its disk to be free for its index "
                f"({error.strerror}): make room, or record to another disk"
            ) from None

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
        """Append one serialised message.

        Raises:
            EnvironmentLacksError: the disk is full, and the recording has been closed, or removed where it held
                nothing; or it can be written no more.
        """
        try:
            self._file.keep_for(len(data))
        except OSError as error:
            if error.errno not in FULL:
                self._lose(error)
            self._end_full(len(data))
        try:
            self._writer.write(self._connections[topic], time_ns, data)
        except OSError as error:
            self._lose(error)
        self.counts[topic] += 1
        if self._file.full is not None:
            self._end_full(len(data))

    def close(self) -> None:
        """Write the index; without it the recording cannot be read. Nothing happens to one that is closed.

        Raises:
            EnvironmentLacksError: it cannot be written; says what repairs the recording.
        """
        if self._closed:
            return
        self._closed = True
        self._file.give_up_reserve()
        try:
            self._writer.close()
        except OSError as error:
            self._lose(error)

    def discard(self) -> None:
        """Remove the recording, which holds nothing. Nothing happens to one that is closed, or that could not be."""
        if self._closed:
            return
        self._closed = True
        self._writer.abort()
        shutil.rmtree(self._path, ignore_errors=True)

    @property
    def _total(self) -> int:
        return sum(self.counts.values())

    def _end_full(self, message_bytes: int) -> NoReturn:
        if not self._total:
            self.discard()
            needs_mib = math.ceil((reserve_for(message_bytes) + message_bytes) / BYTES_PER_MIB)
            raise EnvironmentLacksError(
                f"{self._path}: a recording of messages of {message_bytes / 1e6:.1f} MB needs {needs_mib} MiB of its "
                "disk to be free for them and its index: make room, or record to another disk; it held nothing and was "
                "removed"
            )
        self.close()
        raise EnvironmentLacksError(
            f"{self._path}: the disk is full; the recording can be read, it was closed after {self._total} messages"
        )

    def _lose(self, error: OSError) -> NoReturn:
        self._closed = True
        with suppress(OSError):
            self._writer.abort()
        raise EnvironmentLacksError(
            f"{self._path}: {error.strerror} after {self._total} messages, and the recording was not closed: "
            f"{_repair(self._file_path)}"
        ) from None

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
            files = sorted(path.glob("*.mcap"))
            remedy = f"it {_unclosed(files[0])}" if files else "name a recording's folder or an MCAP file"
            raise ConfigurationError(
                f"{path} is no recording that can be read: expected {METADATA} in the folder, as rosbag2 writes it on "
                f"closing, found none; {remedy}"
            )
        try:
            self._reader = Reader(path)
            self._reader.open()
        except (ReaderError, OSError, ValueError, AssertionError) as error:
            remedy = f"; it {_unclosed(path)}" if _is_mcap(path) else ""
            raise ConfigurationError(f"{path} is no recording that can be read: {error}{remedy}") from None

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


def _is_mcap(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MCAP_MAGIC)) == MCAP_MAGIC
    except OSError:
        return False


def _unclosed(file: Path) -> str:
    return f"was not closed (killed, power lost, or still recording) or is damaged: {_repair(file)}"


def _repair(file: Path) -> str:
    """What makes a recording of an MCAP file that was not closed."""
    return f"`mcap recover {file} -o whole.mcap` saves what it holds, name that file then ({REPAIR_TOOLS})"


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
