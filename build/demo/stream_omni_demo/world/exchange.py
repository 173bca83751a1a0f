"""A question with its right answer."""

from __future__ import annotations

from dataclasses import dataclass

from stream_omni_demo.world import judging
from stream_omni_demo.world.split import Split, split_of

WORD_FOR_WORD = ("count to", "repeat")  # kinds of questions
LISTS = ("describe", "beside")


@dataclass(frozen=True)
class Exchange:
    """``paraphrase`` is the question with its slots open, which decides the split; ``keys`` are the words that decide
    whether an answer is right."""

    question: str
    answer: str
    kind: str
    keys: tuple[str, ...]
    paraphrase: str

    @property
    def split(self) -> Split:
        return split_of(self.paraphrase)

    def is_right(self, answer: str) -> bool:
        """Whether another answer says the same."""
        if self.kind in WORD_FOR_WORD:
            return judging.says_the_same(answer, self.answer)
        if self.kind in LISTS and "no" not in self.keys:
            enough = self.answer.partition(" next ")[0]  # what the question has said need not be said again
            return judging.lists_the_same(answer, self.answer) or judging.lists_the_same(answer, enough)
        return judging.says(answer, self.keys, self.question, self.answer)
