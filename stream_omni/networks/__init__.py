"""The networks of all stages: PyTorch modules, exported once to ONNX, which is what both CPU and GPU run."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import torch

from stream_omni.model_info import ModelInfo
from stream_omni.networks.weights import Network

# graph: (module, class), imported when first asked for
_CLASSES = {
    "vision_encoder": ("vision", "VisionEncoder"),
    "speech_bottom": ("speech", "SpeechBottom"),
    "speech_bottom_step": ("speech", "SpeechBottomStep"),
    "speech_bottom_step_screened": ("speech", "ScreenedSpeechBottomStep"),
    "speech_top": ("speech", "SpeechTop"),
    "llm": ("llm", "Llm"),
    "llm_greedy": ("llm", "GreedyLlm"),
    "flow_encoder": ("flow", "FlowEncoder"),
    "flow_estimator": ("flow", "FlowEstimator"),
    "f0_predictor": ("vocoder", "F0Predictor"),
    "vocoder": ("vocoder", "Vocoder"),
}

# graph: key of the tensor source that holds its weights (stream_omni.checkpoint.open_sources)
SOURCE_OF = {
    "vision_encoder": "model",
    "speech_bottom": "model",
    "speech_bottom_step": "model",
    "speech_bottom_step_screened": "model",
    "speech_top": "model",
    "llm": "model",
    "llm_greedy": "model",
    "flow_encoder": "flow",
    "flow_estimator": "flow",
    "f0_predictor": "hift",
    "vocoder": "hift",
}


def make_network(graph: str, info: ModelInfo) -> Network:
    """The network of a graph, on the "meta" device: sizes only, no memory (see ``weights.load_weights``)."""
    module, name = _CLASSES[graph]
    network = getattr(import_module(f"stream_omni.networks.{module}"), name)
    with torch.device("meta"):
        return cast(Network, network(info).eval().requires_grad_(False))
