"""One digest whatever the compiler does and in either order of threads; nothing for sanitizers; planted faults show."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import COMPILER, MARCH, SOURCES

EXERCISE = Path(__file__).with_name("exercise.py")
X86 = platform.machine() == "x86_64"
SANITIZED = ("-O1", "-g", MARCH, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def exercise(library: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXERCISE), str(library), "--distances", *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def sanitized(library: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """With the sanitizer's runtime loaded first, as a program that is not built with it needs."""
    runtime = subprocess.run(
        [COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("the compiler has no address sanitizer")
    return exercise(library, *options, LD_PRELOAD=runtime, ASAN_OPTIONS="detect_leaks=0:verify_asan_link_order=0")


def digest(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def released(build) -> Path:
    return build("released", "-O3", MARCH)


@pytest.fixture(scope="module")
def digest_of_release(released) -> str:
    return digest(exercise(released))


def has_avx512() -> bool:
    flags = Path("/proc/cpuinfo")
    wanted = {f"avx512{part}" for part in ("f", "bw", "cd", "dq", "vl")}  # x86-64-v4
    return X86 and flags.exists() and wanted <= set(flags.read_text().split())


def test_threads_in_reverse_order_and_poisoned_memory_give_the_same_bits(released, digest_of_release):
    assert digest(exercise(released, "--reverse")) == digest_of_release


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("unoptimised", ("-O0", MARCH)),
        pytest.param(
            "avx512",
            ("-O3", "-march=x86-64-v4"),
            marks=pytest.mark.skipif(not has_avx512(), reason="this processor has no AVX-512"),
        ),
        pytest.param(
            "oldest", ("-O2", "-march=x86-64"), marks=pytest.mark.skipif(not X86, reason="a target of x86-64")
        ),
    ],
)
def test_optimisation_and_instruction_set_change_no_bit(build, digest_of_release, name, flags):
    assert digest(exercise(build(name, *flags))) == digest_of_release


def test_sanitizers_find_nothing_and_change_no_bit(build, digest_of_release):
    assert digest(sanitized(build("sanitized", *SANITIZED))) == digest_of_release


def test_a_missing_barrier_shows_as_another_digest_in_reverse_order(build):
    planted = build("planted", "-O3", MARCH, "-DOVK_PLANT_MISSING_BARRIER")

    assert digest(exercise(planted)) != digest(exercise(planted, "--reverse"))


@pytest.mark.parametrize("kernel", ["patches.h", "dispersion.h"])
def test_a_barrier_taken_out_of_a_kernel_shows_as_another_digest_in_reverse_order(build, tmp_path, kernel):
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    between = re.compile(r"\n *\}\);\n *block\.phase\(\[&\]\(int thread\) \{")
    merged, taken_out = between.subn("\n", (sources / kernel).read_text(), count=1)
    assert taken_out == 1
    (sources / kernel).write_text(merged)
    library = build("one_phase", "-O1", MARCH, sources=sources)

    assert digest(exercise(library)) != digest(exercise(library, "--reverse"))


def test_a_write_beyond_an_array_is_caught_by_the_sanitizer(build):
    done = sanitized(build("planted", *SANITIZED, "-DOVK_PLANT_OUT_OF_BOUNDS"))

    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr or "out of bounds" in done.stderr
