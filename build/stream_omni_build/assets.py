"""What a served turn needs beside the graphs: tokenizer, voices and small tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from stream_omni.checkpoint_files import MODEL_DIRECTORY, CheckpointError
from stream_omni.cosyvoice_checkpoint import SPEECH_TOKENIZER, VOICES, read_voices
from stream_omni.model_info import ModelInfo
from stream_omni.prompt import Question, build_prompt
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.tokenizer import Tokenizer, speakable_mask
from stream_omni.weights import TensorSource

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_CHAT_TEMPLATE = "chat_template.jinja"  # newer checkpoints keep it out of tokenizer_config.json


def require_asset_files(checkpoint: Path, cosyvoice: Path) -> None:
    """Raises one CheckpointError that names all missing files, before the long steps."""
    needed = [*(checkpoint / name for name in _TOKENIZER_FILES), cosyvoice / VOICES, cosyvoice / SPEECH_TOKENIZER]
    missing = [str(path) for path in needed if not path.is_file()]
    if missing:
        wanted = f"{MODEL_DIRECTORY}; a CosyVoice directory holds {VOICES} and {SPEECH_TOKENIZER}"
        raise CheckpointError(f"missing: {', '.join(missing)} ({wanted})")


def write_assets(checkpoint: Path, cosyvoice: Path, info: ModelInfo, model: TensorSource, out: Path) -> None:
    """Write ``out``/assets (read by :class:`stream_omni.assets.Assets`) and ``out``/graphs/speech_tokenizer.onnx.

    Raises CheckpointError where the tokenizer, the voices or the speech tokenizer cannot be used.
    """
    assets = out / "assets"
    for name in (*_TOKENIZER_FILES, _CHAT_TEMPLATE):
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, assets / name)
    try:
        tokenizer = Tokenizer(assets)
        build_prompt(tokenizer, info, Question(units=(0,), pictures=1))  # or its chat template would fail every turn
    except ValueError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from error
    np.save(assets / "speakable.npy", speakable_mask(tokenizer, info.vocabulary.text_size))
    np.save(assets / "image_newline.npy", model.get("model.image_newline"))
    assert info.flow is not None
    voices = read_voices(cosyvoice / VOICES, info.flow.speaker_size)
    text = json.dumps({name: values.tolist() for name, values in voices.items()}, ensure_ascii=False)
    (assets / "voices.json").write_text(text + "\n", encoding="utf-8")
    shutil.copyfile(cosyvoice / SPEECH_TOKENIZER, out / "graphs" / "speech_tokenizer.onnx")
    _check_speech_tokenizer(cosyvoice / SPEECH_TOKENIZER, info.flow.units, out)


def _check_speech_tokenizer(path: Path, units: int, out: Path) -> None:
    """One second of noise must give 25 known units."""
    features = np.random.default_rng(0).uniform(-1, 1, (1, 128, 100)).astype(np.float32)
    inputs = {"feats": features, "feats_length": np.array([100], np.int32)}
    try:
        (found,) = OnnxRuntime(out).session("speech_tokenizer").run(inputs).values()
    except Exception as error:  # ONNX Runtime has an exception type for each way in which a file can be unusable
        raise CheckpointError(f"{path} does not run as a speech tokenizer: {error}") from error
    if found.size != 25 or found.min() < 0 or found.max() >= units:
        raise CheckpointError(f"{path} makes {found.size} units up to {found.max()} of a second; 25 below {units} fit")
