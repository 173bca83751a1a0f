"""The LLM as an engine: prompts in, text ids out, all turns in one batched step."""

from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.edge import artifacts_of, parameter
from stream_omni.serving.engine_model import EngineModel
from stream_omni.serving.engine_operations import read_text_request
from stream_omni.text_engine import TextEngine


class TritonPythonModel:
    def initialize(self, args):
        runtime = OnnxRuntime(artifacts_of(args), parameter(args, "threads"))
        prefix_bytes = parameter(args, "prefix_cache_mb") << 20
        slots = parameter(args, "slots")
        engine = TextEngine.served(runtime, runtime.info, slots, prefix_bytes)
        self._model = EngineModel("llm", engine, read_text_request)

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()
