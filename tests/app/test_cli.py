"""The command line: one clear line for bad input, a traceback on demand, help that loads nothing heavy."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest

import onboard_vla
from onboard_vla.app import cli
from onboard_vla.core.errors import BundleError

HEAVY = "{'torch', 'transformers', 'onnx', 'onnxruntime', 'rclpy', 'numba', 'matplotlib', 'psutil', 'zmq'}"


@pytest.fixture
def failing_room(monkeypatch):
    """Makes `export` meet an error of the test's choice."""

    def choose(error):
        def load(module):
            raise error

        monkeypatch.setattr(cli.importlib, "import_module", load)

    return choose


def export(*more):
    return cli.run(["export", "somewhere", "--out", "elsewhere", *more])


def test_version(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"onboard-vla {onboard_vla.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["doctor", "--help"], ["export", "--help"], ["demo", "--help"]]
)
def test_help(arguments, capsys):
    assert cli.run(arguments) == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["export"],
        ["export", "x", "--out", "y", "--precision", "int3"],
        ["doctor", "--nonsense"],
        ["demo", "--seconds", "nan"],
        ["demo", "--seconds", "5000"],
        ["faults", "--nonsense"],
    ],
)
def test_wrong_arguments_are_one_line_and_no_verdict(arguments, capsys):
    assert cli.run(arguments) == 64, "2 would read as inconclusive"
    output = capsys.readouterr()
    assert output.err.startswith("onboard-vla: ")
    assert output.err.count("\n") == 1
    assert "--help`" in output.err


def test_no_command_shows_the_help(capsys):
    assert cli.run([]) in (0, 64)
    output = capsys.readouterr()
    assert "doctor" in output.out + output.err


def test_our_errors_end_in_one_line(failing_room, capsys):
    failing_room(BundleError("manifest.json: sha256 of vision.onnx\nexpected aa, found bb"))

    assert export() == 1
    assert capsys.readouterr().err == ("onboard-vla: manifest.json: sha256 of vision.onnx expected aa, found bb\n")


def test_errors_of_the_operating_system_end_in_one_line(failing_room, capsys):
    failing_room(PermissionError(13, "Permission denied", "/root/bundle"))

    assert export() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_fault_of_ours_says_so_and_has_its_own_status(failing_room, capsys):
    failing_room(ZeroDivisionError("division by zero"))

    assert export() == 70
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "internal error, ZeroDivisionError" in error


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback_wherever_it_stands(failing_room, capsys, place):
    failing_room(BundleError("damaged"))

    status = export("--debug") if place == "after" else cli.run(["--debug", "export", "a", "--out", "b"])

    assert status == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "BundleError: damaged" in error


@pytest.mark.parametrize(
    ("package", "command", "remedy"),
    [
        ("onnx", ["export", "somewhere", "--out", "elsewhere"], "pip install '.[export]' in a clone of Onboard VLA"),
        ("onnx", ["demo", "--lockstep"], "pip install '.[export]' in a clone of Onboard VLA"),
        ("numba", ["demo"], "pip install '.[world]' in a clone of Onboard VLA"),
        ("numba", ["evaluate"], "pip install '.[world]' in a clone of Onboard VLA"),
        ("onnxruntime", ["demo"], "`onboard-vla doctor` says what is missing"),
    ],
)
def test_a_missing_package_is_named_with_what_brings_it(package, command, remedy, tmp_path):
    program = (
        f"import sys\nsys.modules[{package!r}] = None\nfrom onboard_vla.app import cli\nsys.exit(cli.run({command!r}))"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path
    )

    assert ended.returncode == 1
    assert ended.stderr == f"onboard-vla: this command needs {package}, which is not installed: {remedy}\n"


def test_training_without_torch_names_its_extra(failing_room, capsys):
    failing_room(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))

    assert cli.run(["train", "--work", "somewhere"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("onboard-vla: this command needs torch, which is not installed: pip install '.[train]' in a")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc's")
def test_training_keeps_the_memory_of_big_tensors_whichever_way_it_is_started(tmp_path):
    """Page faults tell: 200 MB taken and freed again and again are new pages each time, or the same ones."""
    program = """
import resource, sys
import numpy as np
from onboard_vla.app import cli

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(25_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
assert cli.run(["train", "--work", "here", "--stages", "fly"]) == 64
faults()
print(first, faults())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True, cwd=tmp_path
    )
    before, after = (int(word) for word in ended.stdout.split())
    assert before > 100
    assert after < before / 10


def test_a_missing_module_of_our_own_is_a_fault_of_ours(failing_room, capsys):
    failing_room(ModuleNotFoundError("No module named 'onboard_vla.nowhere'", name="onboard_vla.nowhere"))

    assert export() == 70
    assert "internal error, ModuleNotFoundError" in capsys.readouterr().err


def test_a_folder_without_checkpoint_is_refused_in_one_line(tmp_path, capsys):
    assert cli.run(["export", str(tmp_path / "nothing"), "--out", str(tmp_path / "bundle")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("onboard-vla: ")
    assert "config.json" in lines[-1]
    assert not (tmp_path / "bundle").exists()


def test_doctor_prints_one_json_document(capsys):
    status = cli.run(["doctor", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert status == (0 if document["fit"] else 1)


def test_help_and_errors_load_nothing_heavy():
    program = (
        "import sys; from onboard_vla.app import cli; cli.run(['--help']); cli.run(['demo', '--help']);"
        f"print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert result.stderr.strip() == "[]"


def test_export_writes_a_bundle_and_shows_its_figures(tmp_path, capsys):
    checkpoint = onboard_vla_folder() / "world" / "reference"

    status = cli.run(["export", str(checkpoint), "--out", str(tmp_path / "bundle")])

    shown = capsys.readouterr().out
    assert status == 0
    assert (tmp_path / "bundle" / "manifest.json").is_file()
    assert "language.onnx" in shown
    assert "int8" in shown
    assert "token agreement" in shown


def onboard_vla_folder():
    return Path(onboard_vla.__file__).parent


def test_refused_export_says_one_line_and_nothing_else(tmp_path):
    """As a child process whose output is piped: no remains of a progress bar."""
    words = [sys.executable, "-m", "onboard_vla.app.cli", "export", str(tmp_path), "--out", str(tmp_path / "out")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "config.json is missing" in ended.stderr
