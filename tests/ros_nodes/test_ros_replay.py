"""The shipped example of a replay as people start it, played slowly: a drive through all nodes, which ends by itself.

With a model: at the example's own pace a machine that stands still for two seconds plans on nothing.
"""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")
pytest.importorskip("numba", reason="the drive needs numba (extra `world`)")
pytest.importorskip("onnx", reason="writing a bundle needs onnx (extra `export`)")

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rich.console import Console
from sensor_msgs.msg import CompressedImage
from trajectory_msgs.msg import MultiDOFJointTrajectory

from onboard_vla.app.ros import world_drive
from onboard_vla.app.ros.deployment_file import read_deployment
from onboard_vla.export.bundle_writer import export_bundle

from .command import LIMIT_S, Running

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "ros" / "replay.yaml"
DRIVE_S = 1.0
"""With the four seconds before it; the example itself is longer."""
RATE = 0.25
"""Of the recording's pace."""


@pytest.fixture
def made(tmp_path, monkeypatch) -> tuple[Path, Path, Path]:
    """The example, slowed down; a bundle of the reference checkpoint; a folder with the example's drive, shortened."""
    slowly = tmp_path / "slowly.yaml"
    slowly.write_text(f"/**/camera_replay: {{ros__parameters: {{rate: {RATE}}}}}\n")
    text, config = EXAMPLE.read_text(), tmp_path / EXAMPLE.name
    assert text.count("\nparameters: []\n") == 1
    config.write_text(text.replace("\nparameters: []\n", f"\nparameters: [{slowly}]\n"))
    bundle = export_bundle(ROOT / "world" / "reference", tmp_path / "bundle", precision="fp32")
    monkeypatch.setattr(world_drive, "SECONDS", DRIVE_S)
    file = world_drive.with_world(read_deployment(config, bundle), tmp_path / "out", Console(file=io.StringIO()))
    assert Path(file.deployment.bag).is_dir()
    return config, bundle, tmp_path / "out"


def heard(client, kind: type, name: str) -> list:
    messages: list = []
    quality = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    client.node.create_subscription(kind, f"onboard_vla/{name}", messages.append, quality)
    return messages


def test_the_example_plans_publishes_a_safe_trajectory_and_ends_with_its_drive(made, client, tmp_path) -> None:
    config, bundle, out = made
    plans, safe = (heard(client, MultiDOFJointTrajectory, name) for name in ("plan_trajectory", "trajectory"))
    drawn = heard(client, CompressedImage, "plan_image/compressed")
    logs = tmp_path / "logs"

    up = Running("up", "--config", str(config), "--bundle", str(bundle), "--out", str(out), "--logs", str(logs))
    # Its lines are read beside, so that this thread takes messages until it has ended.
    reading = threading.Thread(target=lambda: up.lines.extend(up.process.stderr))
    reading.start()
    try:
        client.until(lambda: up.process.poll() is not None, "the drive is played to its end", LIMIT_S)
    finally:
        if up.process.poll() is None:
            up.process.terminate()
        reading.join()
        up.close()

    assert up.process.returncode == 0, up.lines
    assert "the recording has been played" in up.lines[-1]
    player = [json.loads(line) for line in (logs / "camera_replay.log").read_text().splitlines() if line[:1] == "{"]
    (count,) = [event for event in player if event["event"] == "heard"]
    assert count["plans"] > 0, up.lines
    stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in plans]
    assert stamps, "no plan as a trajectory"
    assert stamps == sorted(set(stamps)), "one for each anchor picture"
    assert safe, "no trajectory of the supervisor"
    assert {len(message.points) for message in safe} == {len(safe[0].points)}
    assert drawn, "no picture of the cameras with the plan"
