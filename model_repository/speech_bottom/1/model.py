"""A prompt's pass through the bottom stack: transcript labels, soft embeddings, and the speech loop's start."""

from stream_omni.runtime.prefixes import Prefixes
from stream_omni.serving.edge import parameter, stage_runtime
from stream_omni.serving.engine_operations import shared_tokens
from stream_omni.serving.stage_model import StageModel
from stream_omni.serving.stage_queue import Stage
from stream_omni.serving.stage_runtime import open_runtime
from stream_omni.speech_prompt import read_prompt


class TritonPythonModel:
    def initialize(self, args):
        runtime = open_runtime(*stage_runtime(args))
        self._info, self._bottom = runtime.info, runtime.session("speech_bottom")
        self._prefixes = Prefixes(parameter(args, "prefix_cache_mb") << 20)
        self._model = StageModel(Stage.of_single("speech_bottom", self._read))

    def execute(self, requests):
        self._model.execute(requests)

    def finalize(self):
        self._model.close()

    def _read(self, inputs):
        found = read_prompt(self._bottom, self._info, inputs["ids"], shared_tokens(inputs), self._prefixes)
        return {
            "hidden": found.hidden,
            "ctc_ids": found.ctc_ids,
            "soft_embeds": found.soft_embeds,
            "keys_values": found.keys_values,
        }
