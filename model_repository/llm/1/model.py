"""The LLM as an engine: prompts in, text ids out, all turns in one batched step."""

from stream_omni.serving.edge import parameter, stage_runtime
from stream_omni.serving.engine_model import EngineModel
from stream_omni.serving.engine_operations import read_text_request
from stream_omni.serving.stage_runtime import open_text_engine


class TritonPythonModel:
    def initialize(self, args):
        prefix_bytes = parameter(args, "prefix_cache_mb") << 20
        engine = open_text_engine(*stage_runtime(args), parameter(args, "slots"), prefix_bytes)
        self._model = EngineModel("llm", engine, read_text_request)

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()
