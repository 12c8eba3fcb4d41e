"""The only place where the doctor touches the machine; tests replace it."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

COMMAND_TIMEOUT_S = 20.0
"""Longest wait for a probe's child process, s; importing rclpy from a cold disk was seen to take 3 s."""


class Machine:
    """This machine as it is. Every method may raise; the doctor turns that into a row."""

    def environment(self) -> Mapping[str, str]:
        """Environment variables."""
        return os.environ

    def python_version(self) -> tuple[int, int, int]:
        """Version of the running interpreter."""
        return sys.version_info[:3]

    def architecture(self) -> str:
        """Processor architecture: x86_64, aarch64."""
        return platform.machine()

    def package_version(self, distribution: str) -> str | None:
        """Version of an installed distribution, None if there is none. Imports nothing."""
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    def has_module(self, name: str) -> bool:
        """Whether a top-level module can be found. Imports nothing."""
        return importlib.util.find_spec(name) is not None

    def package_folder(self) -> Path:
        """Folder of the installed `onboard_vla`."""
        return Path(__file__).parent.parent.parent

    def which(self, command: str) -> str | None:
        """Path of a command."""
        return shutil.which(command)

    def output(self, *command: str) -> str:
        """What a command prints, both streams. A hanging or failing command raises."""
        done = subprocess.run(  # noqa: S603 - fixed commands found on the path
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            last = done.stdout.strip().splitlines()[-1:] or ["no output"]
            raise OSError(f"{Path(command[0]).name} ended with status {done.returncode}: {last[0]}")
        return done.stdout

    def python_output(self, program: str) -> str:
        """What a program prints in another process of this interpreter: a crash in native code stays there."""
        return self.output(sys.executable, "-c", program)

    def loads_library(self, name: str) -> bool:
        """Whether the dynamic linker finds and opens a shared library."""
        try:
            ctypes.CDLL(name)
        except OSError:
            return False
        return True

    def read(self, path: str) -> str | None:
        """A small text file, None if it is not there or not readable."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def entries(self, folder: str) -> list[Path]:
        """What lies in a folder; nothing if it is not there."""
        path = Path(folder)
        return sorted(path.iterdir()) if path.is_dir() else []

    def file_size(self, path: Path) -> int | None:
        """Size in bytes, None if there is no such file."""
        return path.stat().st_size if path.is_file() else None

    def inode(self, path: Path) -> int:
        """Inode number."""
        return path.stat().st_ino

    def space(self, folder: str) -> tuple[int, int] | None:
        """Total and free bytes of a file system, None if the folder is not there."""
        if not Path(folder).is_dir():
            return None
        usage = shutil.disk_usage(folder)
        return usage.total, usage.free

    def cores(self) -> int:
        """Processor cores that this process may use."""
        return len(os.sched_getaffinity(0))

    def realtime_priority_limit(self) -> int:
        """Highest real-time priority an unprivileged process may take; 0: none."""
        return resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
