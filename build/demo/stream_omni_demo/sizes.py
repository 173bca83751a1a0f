"""The demo checkpoint's geometry: the real architecture, module for module, small enough for a repository."""

from __future__ import annotations

from stream_omni_build.random_sizes import CosyVoiceSizes, RandomSize

from stream_omni.model_info import LlamaSizes, Rope, VisionSizes

DEMO = RandomSize(
    name="demo",
    # One key head of 64: its 1/sqrt(64) is exact in any precision, so the folded weights round like the checkpoint's
    llama=LlamaSizes(192, 512, 3, 1, 64, 3, 4, 3, rms_norm_eps=1e-5, rope=Rope(theta=500000.0, factor=8.0)),
    # 3 x 3 patches of 54 pixels: a picture is 9 prompt positions, where SigLIP's 14 pixels would make it 729. Scenes
    # have things on a loose 3 x 3 grid, so each patch has a thing whole, or nothing
    vision=VisionSizes(128, 256, 2, 4, 162, 54, layer_norm_eps=1e-6),
    vision_folder="siglip-demo",
    cosyvoice=CosyVoiceSizes(
        encoder_width=96,
        encoder_heads=2,
        encoder_intermediate=256,
        encoder_layers=3,
        estimator_width=64,
        estimator_heads=2,
        estimator_head_size=32,
        estimator_blocks=1,
        estimator_mid_blocks=4,
        vocoder_channels=64,
        f0_channels=64,
        temperature=0.2,  # a small estimator does not get rid of more noise than that
    ),
    learned_tokens=768,  # 256 bytes, and the words of the domain
    special_tokens=8,
    units=512,
    text_covers_units=False,
    answers_end=True,
    aspect_ratio="pad",
    grid_pinpoints=[[162, 162]],
    context_tokens=2048,
    dtype="float16",
    shard_bytes=None,
)
SYSTEM_PROMPT = "You see and talk."  # short, because every prompt position costs
