"""Tiles of pictures to rows of the LLM's prompt."""

from stream_omni.serving.edge import parameter, stage_runtime
from stream_omni.serving.stage_model import StageModel
from stream_omni.serving.stage_queue import Stage
from stream_omni.serving.stage_runtime import open_runtime
from stream_omni.tile_calls import encode_tiles, tiles_of


class TritonPythonModel:
    def initialize(self, args):
        self._encoder = open_runtime(*stage_runtime(args)).session("vision_encoder")
        in_order = lambda call: 0  # noqa: E731
        stage = Stage("vision_encoder", self._encode, tiles_of, in_order, parameter(args, "largest_batch"))
        self._model = StageModel(stage)

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()

    def _encode(self, calls):
        return encode_tiles(self._encoder, calls)
