"""Speech to CosyVoice speech units, 25 a second."""

from stream_omni.serving.edge import stage_runtime
from stream_omni.serving.stage_model import StageModel
from stream_omni.serving.stage_queue import Stage
from stream_omni.serving.stage_runtime import open_runtime
from stream_omni.speech_tokenizer import tokenize_speech


class TritonPythonModel:
    def initialize(self, args):
        self._tokenizer = open_runtime(*stage_runtime(args)).session("speech_tokenizer")
        self._model = StageModel(Stage.of_single("speech_tokenizer", self._tokenize))

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()

    def _tokenize(self, inputs):
        sample_rate_hz = int(inputs["sample_rate"][0])
        return {"units": tokenize_speech(self._tokenizer, inputs["samples"], sample_rate_hz)}
