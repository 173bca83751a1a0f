"""Tiles of pictures to rows of the LLM's prompt."""

from stream_omni.serving.edge import stage_runtime
from stream_omni.serving.stage_model import StageModel
from stream_omni.serving.stage_queue import Stage
from stream_omni.serving.stage_runtime import open_runtime


class TritonPythonModel:
    def initialize(self, args):
        self._encoder = open_runtime(*stage_runtime(args)).session("vision_encoder")
        self._model = StageModel(Stage.of_single("vision_encoder", self._encode))

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()

    def _encode(self, inputs):
        return {"projected": self._encoder.run({"pixels": inputs["pixels"]})["projected"]}
