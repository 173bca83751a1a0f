"""What the gates of stages judge speech by, which is what `stream-omni eval` judges the served system by."""

from stream_omni_eval.judge import Judge
from stream_omni_eval.words import word_error_rate, words_of

__all__ = ["Judge", "word_error_rate", "words_of"]
