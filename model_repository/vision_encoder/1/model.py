"""Tiles of pictures to rows of the LLM's prompt."""

from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.edge import answer_each, artifacts_of, parameter


class TritonPythonModel:
    def initialize(self, args):
        self._encoder = OnnxRuntime(artifacts_of(args), parameter(args, "threads")).session("vision_encoder")

    def execute(self, requests):
        return answer_each(requests, self._encode)

    def _encode(self, inputs):
        return {"projected": self._encoder.run({"pixels": inputs["pixels"]})["projected"]}
