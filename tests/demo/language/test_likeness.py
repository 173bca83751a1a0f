"""A language model that nothing was learnt by yet looks at what is like a word, and says it."""

from __future__ import annotations

import numpy as np
import torch
from stream_omni_demo.language.likeness import EMBEDDINGS, begin_alike
from stream_omni_demo.language.served import Trained
from stream_omni_demo.trainee import Tensors

from stream_omni.text_engine import TextEngine, TextRequest, TextStep


def test_a_word_that_came_before_is_looked_at_and_said(info):
    """After other words, the one that came a second time is more likely to come than those that came once."""
    steps: list[TextStep] = []
    tensors = Tensors.random(info, "model", 0)
    begin_alike(info, tensors, 0)
    engine = TextEngine(Trained(info, tensors, as_written=None).session("llm"), info, slots=1, probe=steps.append)
    generator, nothing = np.random.default_rng(0), np.zeros((0, info.llama.hidden), np.float32)
    for turn in range(8):
        words = generator.choice(np.arange(20, 220), 12, replace=False)
        ids = np.array([*words, words[3]])
        engine.start(turn, TextRequest(ids, nothing, 1, ()))
        while engine.has_work:
            engine.step()
        logits = torch.from_numpy(steps[-1].logits)[words]
        assert int(logits.argmax()) == 3
        assert float(logits[3] - logits.mean()) > 3 * float(logits.std() / len(words) ** 0.5)
    table = tensors.get(EMBEDDINGS)
    torch.testing.assert_close(tensors.get("lm_head.weight"), table[: info.vocabulary.text_size])
