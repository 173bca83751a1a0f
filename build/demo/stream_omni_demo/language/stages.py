"""The stages of the language stacks, in order."""

from __future__ import annotations

from stream_omni_demo.language import (
    ctc_stage,
    listening_stage,
    llm_stage,
    practice_stage,
    reading_stage,
    seeing_stage,
    top_stage,
)

STAGES = (
    seeing_stage.STAGE,
    reading_stage.STAGE,
    practice_stage.STAGE,
    ctc_stage.STAGE,
    listening_stage.STAGE,
    llm_stage.STAGE,
    top_stage.STAGE,
)
