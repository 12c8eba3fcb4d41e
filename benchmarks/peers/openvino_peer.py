"""OpenVINO GenAI's VLMPipeline as a peer: pictures and a prompt in, as many tokens out as the answer has.

Its API cannot be made to say an answer, so it says what it likes for as many tokens; lengths of prompt and answer are
checked. Precision and threads are its defaults (bf16 where the processor has it); the CPU time is that of all threads.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.prompt import Tokenizer

VIDEO = re.compile(r"<\|vision_start\|>(?:<\|video_pad\|>)+<\|vision_end\|>")


class OpenVinoPeer:
    """The checkpoint in OpenVINO GenAI, in a worker process."""

    def __init__(self, checkpoint: Path, bundle: Bundle, folder: Path, python: str) -> None:
        """`folder`: where the converted checkpoint and pictures lie; `python`: the interpreter that has OpenVINO."""
        self._folder, self._bundle = folder, bundle
        self._tokenizer = Tokenizer(bundle.path / bundle.manifest.tokenizer)
        worker = Path(__file__).with_name("openvino_worker.py")
        self._process = subprocess.Popen(  # noqa: S603
            [python, str(worker), str(checkpoint), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder.parent / f"{folder.name}.log").open("w"),
            text=True,
        )
        self.description = f"openvino-genai {self._read()['version']}, VLMPipeline, defaults"

    def timed(
        self, pictures: dict[str, list[NDArray[np.uint8]]], ids: Sequence[int], forced: Sequence[int]
    ) -> tuple[float, float]:
        """Wall and CPU time in ms; see `plan_latency.Peer.timed`."""
        videos = self._folder / "videos.npz"
        np.savez(videos, **{f"video_{i}": np.stack(pictures[role]) for i, role in enumerate(self._bundle.cameras)})
        numbers = iter(range(len(pictures)))
        prompt = VIDEO.sub(lambda _: f"<ov_genai_video_{next(numbers)}>", self._tokenizer.decode(ids))
        request = {"videos": str(videos), "prompt": prompt, "tokens": len(forced)}
        if self._process.stdin is None:
            raise SystemExit("openvino: the worker has no input")
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        told = self._read()
        if (told["prompt_tokens"], told["tokens"]) != (len(ids), len(forced)):
            raise SystemExit(f"openvino took {told} tokens, expected {len(ids)} and {len(forced)}")
        return told["wall_ms"], told["cpu_ms"]

    def close(self) -> None:
        """End the worker."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            sys.stderr.write((self._folder.parent / f"{self._folder.name}.log").read_text()[-2000:])
            raise SystemExit("openvino: the worker ended; its last words are above")
        told: dict[str, Any] = json.loads(line)
        return told
