"""A prompt's pass through the bottom stack: transcript labels, soft embeddings, and the speech loop's start."""

from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.edge import answer_each, artifacts_of, parameter
from stream_omni.speech_prompt import read_prompt


class TritonPythonModel:
    def initialize(self, args):
        runtime = OnnxRuntime(artifacts_of(args), parameter(args, "threads"))
        self._info, self._bottom = runtime.info, runtime.session("speech_bottom")

    def execute(self, requests):
        return answer_each(requests, self._read)

    def _read(self, inputs):
        found = read_prompt(self._bottom, self._info, inputs["ids"])
        return {
            "hidden": found.hidden,
            "ctc_ids": found.ctc_ids,
            "soft_embeds": found.soft_embeds,
            "keys_values": found.keys_values,
        }
