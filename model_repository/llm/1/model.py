"""The LLM as an engine: prompts in, text ids out, all turns in one batched step."""

from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.edge import artifacts_of, parameter
from stream_omni.serving.engine_model import EngineModel
from stream_omni.text_engine import TextEngine, TextRequest


class TritonPythonModel:
    def initialize(self, args):
        runtime = OnnxRuntime(artifacts_of(args), parameter(args, "threads"))
        engine = TextEngine(runtime.session("llm"), runtime.info, parameter(args, "slots"))
        self._model = EngineModel(engine, _read_request)

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()


def _read_request(inputs):
    return TextRequest(
        ids=inputs["ids"],
        embeds=inputs["embeds"],
        max_tokens=int(inputs["max_tokens"][0]),
        stop_ids=tuple(inputs["stop_ids"].tolist()),
        temperature=float(inputs["temperature"][0]),
        top_p=float(inputs["top_p"][0]),
        seed=int(inputs["seed"][0]),
    )
