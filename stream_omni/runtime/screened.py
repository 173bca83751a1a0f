"""Graphs with screened heads, and the whole head where screening is not certain (see networks.screened_head)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stream_omni.runtime.session import Array, Session

log = logging.getLogger(__name__)


class LazySession:
    """A graph that is loaded when it is first run."""

    def __init__(self, load: Callable[[], Session]) -> None:
        self._load = load

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        return self._load().run(inputs, caches)


class ScreenedSession:
    """``screened`` with its output ``certain`` taken care of: where it is false anywhere, ``whole`` runs the same step.
    It writes the same cache entries again, so a repeated step changes nothing."""

    def __init__(self, screened: Session, whole: Session) -> None:
        self._screened, self._whole = screened, whole
        self.steps = self.uncertain = 0

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        found = self._screened.run(inputs, caches)
        self.steps += 1
        if found.pop("certain").all():
            return found
        self.uncertain += 1
        if self.uncertain.bit_count() == 1:  # 1, 2, 4 ...: rare ones cost nothing, many are worth knowing of
            log.info("screening was not certain in %d of %d steps", self.uncertain, self.steps)
        return self._whole.run(inputs, caches)


class TwoBest:
    """``llm`` with the two best ids in place of its logits, as ``llm_greedy`` gives them."""

    def __init__(self, llm: Session) -> None:
        self._llm = llm

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        found = self._llm.run(inputs, caches)
        logits = found.pop("logits")
        best = logits.argmax(-1)[:, None]  # of a NaN, if there is one
        others = logits.copy()
        np.put_along_axis(others, best, -np.inf, -1)
        ids = np.concatenate([best, others.argmax(-1)[:, None]], -1)
        return {**found, "best_ids": ids, "best_logits": np.take_along_axis(logits, ids, -1)}
