"""The doctor on machines that we do not have, made of plain values."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from onboard_vla.app.doctor import PROBES, Machine, State, absent, as_document, examine, fine, is_fit, print_findings
from onboard_vla.app.doctor.report import REQUIRED
from onboard_vla.ros_nodes.environment import PROFILE_FILE

GIB = 1024**3
BASE = ("numpy", "tokenizers", "pillow", "jsonschema", "pyyaml", "pyzmq", "typer", "rich", "onnxruntime")
EXTRAS = ("onnx", "safetensors", "ml_dtypes", "numba", "matplotlib", "psutil", "ros-kilted-rclpy")
INSTALLED = dict.fromkeys(BASE + EXTRAS, "1.0")
KERNELS, LIBRARY = "onboard_vla.kernels.forms", "host library\n/site/kernels.fatbin"
VARIABLES = {"FASTDDS_DEFAULT_PROFILES_FILE": "/vehicle.xml", "ROS_DOMAIN_ID": "7"}
FILES = {
    "/vehicle.xml": PROFILE_FILE.read_text(),
    "/proc/cpuinfo": "flags\t\t: fpu avx2 avx512_vnni\n",
    "/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   16777216 kB\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "/proc/self/status": "CapEff:\t0000000000000000\n",
}


@dataclass
class FakeMachine(Machine):
    """A healthy desktop; each test takes something away."""

    variables: dict[str, str] = field(default_factory=lambda: dict(VARIABLES))
    version: tuple[int, int, int] = (3, 12, 1)
    processor: str = "x86_64"
    installed: dict[str, str] = field(default_factory=lambda: dict(INSTALLED))
    modules: set[str] = field(default_factory=lambda: {"onnxruntime", "rclpy", "onboard_vla_msgs"})
    commands: dict[str, str] = field(default_factory=lambda: {"c++": "c++ 14.0\nmore", "nvcc": "release 13.0, V13"})
    programs: dict[str, str] = field(
        default_factory=lambda: {
            "onnxruntime": "1.31.1 CPUExecutionProvider",
            "rclpy": "",
            "zmq": "27.0 on libzmq 4.3",
            KERNELS: LIBRARY,
        }
    )
    libraries: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=lambda: dict(FILES))
    folders: dict[str, list[str]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    inodes: dict[str, int] = field(default_factory=dict)
    shared: tuple[int, int] | None = (8 * GIB, 8 * GIB)
    processors: int = 8
    priority: int = 99
    checkpoint: bool = True

    def environment(self):
        return self.variables

    def python_version(self):
        return self.version

    def architecture(self):
        return self.processor

    def package_version(self, distribution):
        return self.installed.get(distribution)

    def has_module(self, name):
        return name in self.modules

    def package_folder(self):
        return Path("/package")

    def which(self, command):
        return f"/bin/{command}" if command in self.commands else None

    def output(self, *command):
        return self.commands[Path(command[0]).name]

    def python_output(self, program):
        name = program.removeprefix("import ").split()[0].strip(";")
        if name not in self.programs:
            raise OSError("python ended with status -11: no output")
        return self.programs[name]

    def loads_library(self, name):
        return name in self.libraries

    def read(self, path):
        return self.files.get(path)

    def entries(self, folder):
        return [Path(folder) / name for name in self.folders.get(folder, [])]

    def file_size(self, path):
        if path.is_relative_to("/package"):
            return 4_000_000 if self.checkpoint else None
        return self.sizes.get(str(path))

    def inode(self, path):
        return self.inodes[path.name]

    def space(self, folder):
        return self.shared

    def cores(self):
        return self.processors

    def realtime_priority_limit(self):
        return self.priority


def row(machine, name):
    return next(finding for finding in examine(machine) if finding.name == name)


def test_a_healthy_machine_is_fit_and_lacks_only_what_it_has_no_hardware_for():
    findings = examine(FakeMachine())

    assert is_fit(findings)
    assert {f.name for f in findings if f.state is not State.OK} == {
        "training",
        "tensorrt",
        "tensorrt_rtx",
        "cuda_driver",
    }


def test_every_row_that_is_not_in_order_says_what_follows_and_what_to_do():
    bare = FakeMachine(installed={}, modules=set(), commands={}, programs={}, files={}, shared=None, checkpoint=False)
    bare.processors, bare.priority = 1, 0

    for finding in examine(bare):
        if finding.state is not State.OK:
            assert finding.found, finding
            assert finding.consequence, finding
            assert finding.remedy, finding


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"version": (3, 9, 18)}, "python"),
        ({"installed": {k: v for k, v in INSTALLED.items() if k != "tokenizers"}}, "packages"),
        ({"modules": {"rclpy"}}, "onnxruntime"),
        ({"programs": {"rclpy": "", "zmq": "27"}}, "onnxruntime"),
        ({"installed": {k: v for k, v in INSTALLED.items() if k != "onnx"}}, "export"),
        ({"installed": {k: v for k, v in INSTALLED.items() if k != "numba"}}, "world"),
        ({"installed": {k: v for k, v in INSTALLED.items() if k != "pyzmq"}}, "zeromq"),
        ({"checkpoint": False}, "reference_checkpoint"),
    ],
)
def test_a_machine_that_lacks_something_required_is_not_fit(change, name):
    machine = FakeMachine(**change)

    finding = row(machine, name)

    assert (finding.state, finding.required) == (State.MISSING, True)
    assert not is_fit(examine(machine))


@pytest.mark.parametrize(
    ("change", "state", "says"),
    [
        ({}, State.OK, "wheels"),
        ({"variables": {"ROS_DISTRO": "jazzy"}}, State.WARNING, "jazzy, sourced"),
        ({"installed": {}, "variables": {"ROS_DISTRO": "humble"}}, State.OK, "humble, sourced"),
        ({"programs": {}}, State.MISSING, "does not start"),
        ({"modules": set()}, State.MISSING, "not installed"),
        ({"modules": set(), "processor": "aarch64"}, State.MISSING, "no wheels for Python 3.12 on aarch64"),
        ({"modules": set(), "version": (3, 14, 0)}, State.MISSING, "no wheels for Python 3.14"),
        ({"modules": set(), "folders": {"/opt/ros": ["jazzy"]}}, State.MISSING, "not sourced"),
        ({"modules": set(), "variables": {"ROS_DISTRO": "jazzy"}}, State.MISSING, "has no rclpy"),
    ],
)
def test_which_ros_there_is(change, state, says):
    finding = row(FakeMachine(**change), "ros2")

    assert finding.state is state
    assert says in finding.found
    assert not finding.required
    if state is State.MISSING:
        assert "--transport zmq" in finding.consequence


def test_both_builds_of_onnx_runtime_are_a_warning():
    finding = row(FakeMachine(installed={**INSTALLED, "onnxruntime-gpu": "1.0"}), "onnxruntime")

    assert finding.state is State.WARNING
    assert "uninstall" in finding.remedy


def test_a_gpu_build_that_finds_no_gpu_is_a_warning():
    installed = {name: version for name, version in INSTALLED.items() if name != "onnxruntime"}

    finding = row(FakeMachine(installed={**installed, "onnxruntime-gpu": "1.0"}), "onnxruntime")

    assert finding.state is State.WARNING


def test_a_jetson_is_recognised():
    release = "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n"
    jetson = FakeMachine(processor="aarch64", libraries={"libcuda.so.1"}, modules={"onnxruntime", "rclpy", "tensorrt"})
    jetson.files["/etc/nv_tegra_release"] = release

    assert row(jetson, "cuda_driver").state is State.OK
    assert "R36" in row(jetson, "cuda_driver").found
    assert row(jetson, "tensorrt").state is State.OK


def test_segments_without_an_owner_are_counted_and_ports_are_not():
    names = ["fastdds_00000000000000aa", "fastdds_00000000000000bb", "fastdds_port7000"]
    machine = FakeMachine(
        folders={"/dev/shm": [name + end for name in names for end in ("", "_el")]},
        sizes={"/dev/shm/fastdds_00000000000000aa": 70 * 1024**2, "/dev/shm/fastdds_00000000000000bb": 70 * 1024**2},
        inodes={"fastdds_00000000000000aa_el": 11, "fastdds_00000000000000bb_el": 12, "fastdds_port7000_el": 13},
    )
    machine.files["/proc/locks"] = "1: FLOCK  ADVISORY  WRITE 4711 00:19:12 0 EOF\n"

    finding = row(machine, "dds_segments")

    assert finding.state is State.WARNING
    assert finding.found == "1 of 2 abandoned, 70 MiB"


@pytest.mark.parametrize(("free", "state"), [(511, State.WARNING), (512, State.OK)])
def test_shared_memory_limit(free, state):
    assert row(FakeMachine(shared=(GIB, free * 1024**2)), "shared_memory").state is state


@pytest.mark.parametrize(
    ("change", "name", "state"),
    [
        ({"processors": 1}, "cores", State.WARNING),
        ({"files": {**FILES, "/proc/cpuinfo": "flags : fpu avx2"}}, "int8", State.WARNING),
        ({"files": {**FILES, "/proc/cpuinfo": "Features : fp"}, "processor": "aarch64"}, "int8", State.OK),
        ({"processors": 2}, "cores", State.OK),
        ({"priority": 9}, "realtime", State.MISSING),
        ({"priority": 10}, "realtime", State.OK),
        ({"priority": -1}, "realtime", State.OK),
        ({"variables": {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}}, "rmw", State.WARNING),
        ({"variables": {"FASTDDS_DEFAULT_PROFILES_FILE": "/nowhere.xml"}}, "dds_profile", State.WARNING),
        ({"variables": {"FASTDDS_DEFAULT_PROFILES_FILE": "/proc/meminfo"}}, "dds_profile", State.WARNING),
        ({"variables": {"FASTRTPS_DEFAULT_PROFILES_FILE": "/vehicle.xml"}}, "dds_profile", State.OK),
        ({"variables": {**VARIABLES, "ROS_DISTRO": "jazzy"}}, "dds_profile", State.WARNING),
        ({"variables": {**VARIABLES, "ROS_DISTRO": "kilted"}}, "dds_profile", State.OK),
        ({"installed": {**INSTALLED, "ros-jazzy-rclpy": "7.1.6"}}, "dds_profile", State.WARNING),
        (
            {"variables": {"FASTRTPS_DEFAULT_PROFILES_FILE": "/vehicle.xml", "ROS_DISTRO": "humble"}},
            "dds_profile",
            State.OK,
        ),
        ({"variables": {}}, "dds_profile", State.WARNING),
        ({"variables": {}, "modules": {"onnxruntime"}}, "dds_profile", State.OK),
        ({"variables": {}}, "discovery", State.WARNING),
        ({"variables": {}, "modules": {"onnxruntime"}}, "discovery", State.OK),
        ({"variables": {"ROS_DOMAIN_ID": "0", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}}, "discovery", State.WARNING),
        ({"variables": {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}}, "discovery", State.OK),
        ({"variables": {"ROS_LOCALHOST_ONLY": "1"}}, "discovery", State.OK),
        ({"variables": {"ROS_DOMAIN_ID": "3"}}, "discovery", State.OK),
        ({"modules": {"onnxruntime", "rclpy"}}, "ros_messages", State.MISSING),
        ({"modules": {"onnxruntime"}}, "ros_messages", State.OK),
        ({"commands": {}}, "cxx_compiler", State.MISSING),
        ({"variables": {"CXX": "icpx"}}, "cxx_compiler", State.MISSING),
        ({"commands": {}}, "cuda_compiler", State.MISSING),
    ],
)
def test_the_host(change, name, state):
    assert row(FakeMachine(**change), name).state is state


def test_a_profile_under_a_name_that_is_not_read_is_told_the_right_one():
    finding = row(FakeMachine(variables={**VARIABLES, "ROS_DISTRO": "jazzy"}), "dds_profile")
    assert finding.found == "FASTDDS_DEFAULT_PROFILES_FILE=/vehicle.xml, which jazzy's Fast DDS does not read"
    assert finding.remedy == f"export FASTRTPS_DEFAULT_PROFILES_FILE={PROFILE_FILE}"


@pytest.mark.parametrize(
    "error", [OSError("no"), RuntimeError("a\nb"), subprocess.TimeoutExpired("x", 1), KeyError("k")]
)
def test_a_probe_that_fails_becomes_a_row_and_the_others_go_on(error):
    class Odd(Machine):
        def __getattribute__(self, name):
            raise error

    findings = examine(Odd())

    assert [finding.name for finding in findings] == [probe.__name__ for probe in PROBES]
    assert {finding.state for finding in findings} == {State.WARNING}
    assert all("probe failed" in finding.found and "\n" not in finding.found for finding in findings)


def test_the_document_is_stable():
    document = json.loads(json.dumps(as_document(examine(FakeMachine()))))

    assert list(document) == ["schema", "onboard_vla", "fit", "findings"]
    assert document["schema"] == 1
    assert [finding["name"] for finding in document["findings"]] == [probe.__name__ for probe in PROBES]
    for finding in document["findings"]:
        assert list(finding) == ["name", "state", "found", "consequence", "remedy", "required"]
        assert finding["state"] in ("ok", "warning", "missing")
        assert finding["required"] == (finding["name"] in REQUIRED)


def test_rows_show_text_that_looks_like_markup():
    machine = FakeMachine(variables={"CXX": "[bold]c++[/nonsense]"})
    console = Console(record=True, width=200, file=io.StringIO())

    print_findings(console, "title", examine(machine))

    assert "[bold]c++[/nonsense]" in console.export_text()


def test_rows_keep_paths_whole_on_a_narrow_terminal_and_say_a_shared_remedy_once():
    path = f"/opt/{'deep/' * 30}bundle"
    console = Console(record=True, width=40, file=io.StringIO())

    rows = [fine("a", path), absent("long name", "none", "it waits", "start it"), absent("c", "none", "", "start it")]
    print_findings(console, "title", rows)

    assert console.export_text().splitlines() == [
        "title",
        f"a          ok       {path}",
        "long name  missing  none",
        "                    it waits; to change it: (1)",
        "c          missing  none",
        "                    (1)",
        "(1) start it",
    ]


def test_this_machine_is_examined_without_importing_torch():
    program = (
        "import sys; from onboard_vla.app.doctor import Machine, examine; rows = examine(Machine());"
        "print(sorted({'torch', 'transformers', 'onnxruntime', 'rclpy', 'numba', 'matplotlib'} & set(sys.modules)));"
        "print([row.name for row in rows if 'probe failed' in row.found])"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert result.stdout.split("\n")[:2] == ["[]", "[]"]


@pytest.mark.parametrize(
    ("output", "asked", "state", "says"),
    [
        (LIBRARY, None, State.OK, "host library; GPU code in /site/kernels.fatbin"),
        ("host library\n", None, State.OK, "host library; no GPU code"),
        ("NumPy\n", None, State.WARNING, "NumPy; no GPU code"),
        ("NumPy\n", "numpy", State.OK, "NumPy as asked for; no GPU code"),
        (None, None, State.WARNING, "do not load"),
    ],
)
def test_which_form_of_the_kernels_runs(output, asked, state, says):
    machine = FakeMachine(variables={} if asked is None else {"ONBOARD_VLA_KERNELS": asked})
    machine.programs = {} if output is None else {KERNELS: output}

    finding = row(machine, "kernels")

    assert finding.state is state
    assert says in finding.found
