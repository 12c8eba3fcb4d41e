"""The manifest of a bundle whose plans the stand-in planner claims to make; there are no files behind it."""

from __future__ import annotations

from pathlib import Path

from onboard_vla.core.bundle_manifest import (
    FORMAT_VERSION,
    ActionTokens,
    BundleManifest,
    CameraInput,
    FileRecord,
    FrameSelection,
    Generation,
    ModelDimensions,
    SpecialTokens,
    TextDimensions,
    VisionDimensions,
    to_json,
    with_core_hash,
)

NAMES = ("prompt.json", "tokenizer.json", "codebook.npz", "embeddings.npy", "language.onnx", "vision.onnx")


def write_stand_in_bundle(folder: Path, precision: str = "fp32") -> BundleManifest:
    """Write `manifest.json` into `folder` and return what it says."""
    prompt, tokenizer, codebook, embeddings, language, vision = NAMES
    half, one = (0.5, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0)
    manifest = BundleManifest(
        format_version=FORMAT_VERSION,
        producer="test",
        core_hash="",
        weights_sha256="0" * 64,
        unjudged=(),
        files={name: FileRecord("0" * 64, 1) for name in NAMES},
        precision={"vision": precision, "language": precision, "head": precision},
        model=ModelDimensions(
            "qwen2_5_vl",
            TextDimensions(32, 2, 4, 2, 8, 48, 100, 1e4, (1, 1, 2), 1e-6),
            VisionDimensions(24, 2, 2, 40, 3, 14, 2, 2, 112, (1,), "pil_bicubic", 2.0, 1.0, half, half),
        ),
        cameras=(CameraInput("front", 84, 56, one, 4, 6, vision, None, True, None),),
        frames=FrameSelection(4, 0.5, 4),
        prompt=prompt,
        tokenizer=tokenizer,
        codebook=codebook,
        embeddings=embeddings,
        language_graph=language,
        action_head=False,
        vision_reference=None,
        drift_reference=None,
        tokens=SpecialTokens(5, 3, 4, None, (2,)),
        actions=ActionTokens(60, 40, 10, 0.5, "0" * 64),
        generation=Generation(False, 1.0, 0, 1.0, 1.05, 64),
        calibration={},
        parity={},
        golden=(),
    )
    manifest = with_core_hash(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(to_json(manifest), encoding="utf-8")
    return manifest
