"""Mel frames to a waveform, a chunk a request (stream_omni.speech_chunks has the tensors)."""

from stream_omni.serving.edge import parameter, stage_runtime
from stream_omni.serving.stage_model import StageModel
from stream_omni.serving.stage_queue import Stage
from stream_omni.serving.stage_runtime import open_runtime
from stream_omni.speech_chunks import run_vocoder_chunks, urgency, vocoder_window


class TritonPythonModel:
    def initialize(self, args):
        runtime = open_runtime(*stage_runtime(args))
        self._info = runtime.info
        self._f0_predictor, self._vocoder = runtime.session("f0_predictor"), runtime.session("vocoder")
        self._model = StageModel(
            Stage("vocoder", self._vocode, vocoder_window, urgency, parameter(args, "largest_batch"))
        )

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()

    def _vocode(self, chunks):
        return run_vocoder_chunks(self._f0_predictor, self._vocoder, self._info, chunks)
