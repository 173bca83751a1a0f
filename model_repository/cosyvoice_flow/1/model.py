"""Speech units to mel frames, a chunk a request (stream_omni.speech_chunks has the tensors)."""

from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.edge import answer_each, artifacts_of, parameter
from stream_omni.speech_chunks import run_flow_chunks


class TritonPythonModel:
    def initialize(self, args):
        runtime = OnnxRuntime(artifacts_of(args), parameter(args, "threads"))
        self._info = runtime.info
        self._encoder, self._estimator = runtime.session("flow_encoder"), runtime.session("flow_estimator")

    def execute(self, requests):
        return answer_each(requests, self._flow)

    def _flow(self, chunk):
        return {"mel": run_flow_chunks(self._encoder, self._estimator, self._info, [chunk])[0]}
