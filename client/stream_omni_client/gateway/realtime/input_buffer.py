"""The sound that a client has sent and that belongs to no item yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class InputBuffer:
    """Samples on the session's own clock: sample n is the n-th of all that were ever appended."""

    def __init__(self) -> None:
        self._pieces: list[NDArray[np.int16]] = []
        self.begin = self.end = 0  # of what is held

    def __len__(self) -> int:
        return self.end - self.begin

    def append(self, samples: NDArray[np.int16]) -> None:
        self._pieces.append(samples)
        self.end += len(samples)

    def take(self, end: int) -> NDArray[np.int16]:
        """Remove and return what is held before sample ``end``."""
        held = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int16)
        count = min(max(end - self.begin, 0), len(held))
        self._pieces, self.begin = [held[count:]], self.begin + count
        return held[:count]

    def drop_before(self, begin: int) -> None:
        """Forget what lies before sample ``begin``."""
        while self._pieces and self.begin + len(self._pieces[0]) <= begin:
            self.begin += len(self._pieces.pop(0))
        if self._pieces and self.begin < begin:
            self._pieces[0] = self._pieces[0][begin - self.begin :]
            self.begin = begin
