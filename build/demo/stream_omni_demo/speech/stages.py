"""The stages that make the checkpoint hear and speak in units, in order."""

from __future__ import annotations

from stream_omni_demo.speech import flow_stage, takes_stage, tokenizer_stage, units_stage, vocoder_stage

STAGES = (
    takes_stage.STAGE,
    tokenizer_stage.STAGE,
    units_stage.STAGE,
    vocoder_stage.STAGE,
    flow_stage.STAGE,
)
