"""Qwen2.5-VL in `transformers` (eager or compiled, bf16) as a peer: pictures and token ids in, answer out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.runtime.bundle import Bundle


class TransformersPeer:
    """The checkpoint in `transformers`. The clock begins with pictures at the model's size: resizing is not counted."""

    def __init__(
        self, checkpoint: Path, bundle: Bundle, threads: int, device: str = "cpu", *, compiled: bool = False
    ) -> None:
        import torch
        import transformers

        torch.set_num_threads(threads)
        self._torch, self._bundle, self._device = torch, bundle, device
        load = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained
        self._model = load(checkpoint, dtype=torch.bfloat16).eval().to(device)
        if compiled:
            self._model.forward = torch.compile(self._model.forward, dynamic=True)
        how = "compiled" if compiled else "eager"
        self.description = f"transformers {transformers.__version__}, torch {torch.__version__}, {how}, bf16, {device}"

    def timed(
        self, pictures: dict[str, list[NDArray[np.uint8]]], ids: Sequence[int], forced: Sequence[int]
    ) -> tuple[float, float]:
        """Wall and CPU time in ms; see `plan_latency.Peer.timed`."""
        wall, cpu = time.perf_counter(), time.process_time()
        found = self._answer(pictures, ids, forced)
        times = (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3
        if found != tuple(forced):
            raise SystemExit(f"transformers said {found}, expected {forced}")
        return times

    def close(self) -> None:
        """Nothing to end."""

    def _answer(
        self, pictures: dict[str, list[NDArray[np.uint8]]], ids: Sequence[int], forced: Sequence[int]
    ) -> tuple[int, ...]:
        from transformers import LogitsProcessor

        torch, start = self._torch, len(ids)

        class Force(LogitsProcessor):  # type: ignore[misc]
            def __call__(self, given: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
                scores[:, forced[given.shape[1] - start]] = 1e9
                return scores

        with torch.no_grad():
            output = self._model.generate(
                **self._inputs(pictures, ids),
                do_sample=False,
                logits_processor=[Force()],
                max_new_tokens=len(forced),
                min_new_tokens=len(forced),
            )
        return tuple(output[0, start:].tolist())

    def _inputs(self, pictures: dict[str, list[NDArray[np.uint8]]], ids: Sequence[int]) -> dict[str, Any]:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        torch, pixels, grids = self._torch, [], []
        for camera in [camera for camera in self._bundle.manifest.cameras if camera.role in pictures]:
            area = camera.width * camera.height
            processor = Qwen2VLImageProcessorPil(size={"shortest_edge": area, "longest_edge": area})
            single = processor(pictures[camera.role], return_tensors="np")["pixel_values"]
            frames = len(pictures[camera.role])
            single = single.reshape(frames, -1, 3, 2, 196)[:, :, :, 0]
            pixels.append(np.stack([single[0::2], single[1::2]], axis=3).reshape(-1, 1176))
            grids.append([frames // 2, camera.grid_h, camera.grid_w])
        tokens = torch.tensor([list(ids)])
        inputs = {
            "input_ids": tokens,
            "attention_mask": torch.ones_like(tokens),
            "pixel_values_videos": torch.from_numpy(np.concatenate(pixels)).to(torch.bfloat16),
            "video_grid_thw": torch.tensor(grids),
            "mm_token_type_ids": (tokens == self._model.config.video_token_id).int() * 2,
        }
        return {name: value.to(self._device) for name, value in inputs.items()}
