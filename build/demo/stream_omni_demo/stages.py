"""All stages, in order."""

from __future__ import annotations

from stream_omni_demo.checkpoint.stages import FIRST, LAST
from stream_omni_demo.language.stages import STAGES as LANGUAGE
from stream_omni_demo.pipeline import Stage
from stream_omni_demo.speech.stages import STAGES as SPEECH
from stream_omni_demo.voices.stages import STAGES as VOICES

STAGES: tuple[Stage, ...] = (FIRST, *VOICES, *SPEECH, *LANGUAGE, LAST)
