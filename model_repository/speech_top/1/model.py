"""The speech loop as an engine: prompt states and text ids in, speech units out, all turns in batched steps."""

import numpy as np

from stream_omni.serving.edge import artifacts_of, parameter, stage_runtime
from stream_omni.serving.engine_model import EngineModel
from stream_omni.serving.engine_operations import read_speech_request
from stream_omni.serving.stage_runtime import open_runtime
from stream_omni.speech_engine import SpeechEngine


class TritonPythonModel:
    def initialize(self, args):
        artifacts = artifacts_of(args)
        runtime = open_runtime(*stage_runtime(args))
        engine = SpeechEngine(
            runtime.session("speech_bottom_step"),
            runtime.session("speech_top"),
            runtime.info,
            np.load(artifacts / "assets" / "speakable.npy"),
            parameter(args, "slots"),
            prefix_bytes=parameter(args, "prefix_cache_mb") << 20,
        )
        self._model = EngineModel("speech_top", engine, read_speech_request)

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()
