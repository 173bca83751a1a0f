"""Speech to CosyVoice speech units, 25 a second."""

from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.edge import answer_each, artifacts_of, parameter
from stream_omni.speech_tokenizer import tokenize_speech


class TritonPythonModel:
    def initialize(self, args):
        self._tokenizer = OnnxRuntime(artifacts_of(args), parameter(args, "threads")).session("speech_tokenizer")

    def execute(self, requests):
        return answer_each(requests, self._tokenize)

    def _tokenize(self, inputs):
        sample_rate_hz = int(inputs["sample_rate"][0])
        return {"units": tokenize_speech(self._tokenizer, inputs["samples"], sample_rate_hz)}
