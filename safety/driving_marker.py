"""A file that exists while the system drives: a supervisor that finds it at its start has died driving.

It then comes back latched. The file is touched when engagement changes, not in every cycle; put it where writing does
not wait for a disk (`/run`, `/dev/shm`) and where it is gone after the machine was started anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.safe_trajectory import Engagement


class DrivingMarker:
    """Keeps the file in step with the engagement. `left_behind`: it was there at the start."""

    def __init__(self, path: Path) -> None:
        """Look for the file.

        Raises:
            ConfigurationError: its folder does not exist or cannot be written to.
        """
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise ConfigurationError(f"marker: expected a file in a folder that can be written to, found {path}")
        self._path = path
        self.left_behind = self._present = path.exists()

    def note(self, engagement: Engagement) -> None:
        """Make the file outside standby, remove it in standby.

        Raises:
            OSError: that is not possible now; the next call tries again.
        """
        driving = engagement is not Engagement.STANDBY
        if driving == self._present:
            return
        if driving:
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        else:
            self._path.unlink(missing_ok=True)
        self._present = driving
