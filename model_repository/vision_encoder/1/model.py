"""Tiles of pictures to rows of the LLM's prompt."""

from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.edge import artifacts_of, parameter
from stream_omni.serving.stage_model import StageModel
from stream_omni.serving.stage_queue import Stage


class TritonPythonModel:
    def initialize(self, args):
        self._encoder = OnnxRuntime(artifacts_of(args), parameter(args, "threads")).session("vision_encoder")
        self._model = StageModel(Stage.of_single("vision_encoder", self._encode))

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()

    def _encode(self, inputs):
        return {"projected": self._encoder.run({"pixels": inputs["pixels"]})["projected"]}
