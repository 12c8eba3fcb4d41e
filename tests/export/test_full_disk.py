"""A disk that is really full, and a limit on file sizes: a clear error, no signal, nothing left of a bundle."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

EXPORT = """
import resource, sys
from pathlib import Path
from onboard_vla.app import cli
from onboard_vla.export import bundle_writer, source
checkpoint, place, largest = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
source.LARGE_WEIGHTS = 0
bundle_writer.require_space = lambda *_: None  # something else fills the disk after that was asked
if largest:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
status = cli.run(["export", str(checkpoint), "--out", str(place / "bundle"), "--precision", "fp32"])
print("status", status, "left", sorted(path.name.split("-")[-1] for path in place.rglob("*") if path.is_dir()))
"""
NOTHING_LEFT = "status 1 left []"
REFERENCES_LEFT = "status 1 left ['.bundle.partial', 'parts', 'references']"
"""What float32 has answered takes long at full size, and is the next attempt's."""
BEGUN_LEFT = "status 1 left ['.bundle.partial', 'done', 'hidden', 'kept', 'parts', 'references.begun']"
"""And so is what it has not answered to the end."""
SMALL_DISK = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
KIB = 1024


def export(command, *arguments):
    return subprocess.run([*command, *map(str, arguments)], check=False, capture_output=True, text=True)


def small_disks_can_be_made():
    return (
        shutil.which("unshare") is not None
        and export(SMALL_DISK, "mount -t tmpfs -o size=64k none /mnt && test -d /mnt").returncode == 0
    )


@pytest.mark.parametrize(
    ("kib", "left"),
    [(256, NOTHING_LEFT), (2500, BEGUN_LEFT), (14_000, REFERENCES_LEFT)],
    ids=["in the table of embeddings", "in the references", "in a graph"],
)
def test_a_full_disk_is_one_line_and_leaves_no_bundle(reference_checkpoint, tmp_path, kib, left):
    if not small_disks_can_be_made():
        pytest.skip("this system lets users mount no disk of their own")
    script = f'mount -t tmpfs -o size={kib}k none "$5" && exec "$@"'
    ended = export([*SMALL_DISK, script, "sh", sys.executable, "-c", EXPORT], reference_checkpoint, tmp_path, 0)
    assert "the disk is full" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout.strip() == left
    assert ("are kept in" in ended.stderr) is (left != NOTHING_LEFT)


@pytest.mark.parametrize(
    ("kib", "left"),
    [(256, NOTHING_LEFT), (2500, REFERENCES_LEFT)],
    ids=["in the table of embeddings", "in a graph"],
)
def test_a_limit_on_file_sizes_is_one_line_and_leaves_no_bundle(reference_checkpoint, tmp_path, kib, left):
    ended = export([sys.executable, "-c", EXPORT], reference_checkpoint, tmp_path, kib * KIB)
    assert "File too large" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout.strip() == left
