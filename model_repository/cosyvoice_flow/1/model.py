"""Speech units to mel frames, a chunk a request (stream_omni.speech_chunks has the tensors)."""

from stream_omni.serving.edge import parameter, stage_runtime
from stream_omni.serving.stage_model import StageModel
from stream_omni.serving.stage_queue import Stage
from stream_omni.serving.stage_runtime import open_runtime
from stream_omni.speech_chunks import flow_window, run_flow_chunks, urgency


class TritonPythonModel:
    def initialize(self, args):
        runtime = open_runtime(*stage_runtime(args))
        self._info = runtime.info
        self._encoder, self._estimator = runtime.session("flow_encoder"), runtime.session("flow_estimator")
        self._model = StageModel(
            Stage("cosyvoice_flow", self._flow, self._window, urgency, parameter(args, "largest_batch"))
        )

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()

    def _window(self, chunk):
        return flow_window(self._info, chunk)

    def _flow(self, chunks):
        return [{"mel": mel} for mel in run_flow_chunks(self._encoder, self._estimator, self._info, chunks)]
