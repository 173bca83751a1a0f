"""The transcript of a spoken question: the bottom stack's CTC labels, collapsed."""

from __future__ import annotations

from collections.abc import Iterable


def collapse(labels: Iterable[int], blank: int, previous: int | None = None) -> list[int]:
    """Text ids of the frames' best ``labels``: a repeated label counts once, a blank separates and is dropped.

    Give the labels of the audio span only. To collapse piece by piece, pass the last label of the piece before as
    ``previous``; the joined results equal the whole.
    """
    ids = []
    for label in labels:
        if label != previous and label != blank:
            ids.append(int(label))
        previous = label
    return ids
