"""Mel frames to a waveform, a chunk a request (stream_omni.speech_chunks has the tensors)."""

from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.edge import answer_each, artifacts_of, parameter
from stream_omni.speech_chunks import run_vocoder_chunks


class TritonPythonModel:
    def initialize(self, args):
        runtime = OnnxRuntime(artifacts_of(args), parameter(args, "threads"))
        self._info = runtime.info
        self._f0_predictor, self._vocoder = runtime.session("f0_predictor"), runtime.session("vocoder")

    def execute(self, requests):
        return answer_each(requests, self._vocode)

    def _vocode(self, chunk):
        return run_vocoder_chunks(self._f0_predictor, self._vocoder, self._info, [chunk])[0]
