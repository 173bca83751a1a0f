"""What a case records of the language and speech stacks: all four modes, and the transcript alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_omni.llm_prompt import llm_prompt
from stream_omni.model_info import ModelInfo
from stream_omni.prompt import IMAGE_ID, Prompt
from stream_omni.replay.cases import Case
from stream_omni.replay.fronts import observe_picture
from stream_omni.runtime.events import Event
from stream_omni.runtime.session import Array, Runtime
from stream_omni.speech_engine import SpeechEngine, SpeechRequest, SpeechStep
from stream_omni.speech_prompt import SpeechPrompt, read_prompt
from stream_omni.text_engine import FROM_EMBEDS, TextEngine, TextRequest, TextStep
from stream_omni.transcript import collapse

_TOP = 5
_TOP_STEPS = 5  # speech steps whose best logits are kept
_TURN = 1


@dataclass(frozen=True)
class Model:
    """A runtime with what cases need beside it. ``row(table, ids)`` reads rows of the checkpoint's embedding tables."""

    info: ModelInfo
    runtime: Runtime
    speakable: Array  # bool [text vocabulary]
    newline: Array  # [H]
    row: Callable[[str, Array], Array]


def observe_transcript(case: Case, model: Model) -> dict[str, Any]:
    """An ``asr_only`` case: its prompt through the bottom stack."""
    found, margin = _observe_bottom(_prompt_of(case, model.info), model)
    labels, blank = found["ctc_ids"], model.info.vocabulary.blank
    if "asr_ids_reference_slice" in case.fields:  # where the reference implementation cuts
        found["asr_ids_reference_slice"] = collapse(labels[43:], blank)
    return {**found, "min_margin": {"ctc": margin}}


def observe_turn(case: Case, model: Model) -> dict[str, Any]:
    """One turn in any of the four modes, greedy, through the engines that serve."""
    text_in, speaks = case.mode.startswith("text_to"), case.mode.endswith("to_speech")
    prompt = _prompt_of(case, model.info)
    found: dict[str, Any] = {"image_at": prompt.image_at[0]} if prompt.image_at else {}
    ctc_margins: list[float] = []
    if prompt.image_at:
        found |= observe_picture(case.picture(), case.fields["image_config"], model.info, model.runtime, model.newline)
    spoken = None
    if not text_in:
        bottom, margin = _observe_bottom(prompt, model)
        found |= bottom
        ctc_margins.append(margin)
        spoken = read_prompt(model.runtime.session("speech_bottom"), model.info, prompt.spoken_ids)
        found["soft_embeds"] = spoken.soft_embeds
    elif speaks:
        spoken = read_prompt(model.runtime.session("speech_bottom"), model.info, np.array(case.fields["prefill_ids"]))
        found["bottom_output"] = spoken.hidden
    ids, embeds = _llm_input(prompt, found, spoken if not text_in else None, model)
    if text_in:
        found["llm_prompt_embeds"] = _fill(ids, embeds, model)
    trace = _Trace()
    if speaks:
        assert spoken is not None
        found |= _observe_speech(case, model, ids, embeds, spoken, trace)
        ctc_margins += [step.ctc_margin for step in trace.speech if np.isfinite(step.ctc_margin)]
    else:
        found |= _observe_text(case, model, ids, embeds, trace)
    text = trace.text[: len(found["llm_ids"])]
    found["text_top5"] = _top5(text[0].logits)
    found["llm_prefill_last_hidden"] = text[0].last_hidden
    found["min_margin"] = {
        "text": min(_margin(step.logits) for step in text),
        "speech": min((_margin(step.logits) for step in trace.speech), default=None),
        "ctc": min(ctc_margins, default=None),
    }
    return found


@dataclass
class _Trace:
    """What the engines' probes saw."""

    text: list[TextStep] = field(default_factory=list)
    speech: list[SpeechStep] = field(default_factory=list)


def _prompt_of(case: Case, info: ModelInfo) -> Prompt:
    ids = np.array(case.fields["prompt_ids"], np.int64)
    spoken = ids[ids != IMAGE_ID]
    units = np.flatnonzero(spoken >= info.vocabulary.unit_offset)
    span = (int(units[0]), int(units[-1]) + 1) if len(units) else None
    return Prompt(ids, span, tuple(np.flatnonzero(ids == IMAGE_ID).tolist()))


def _observe_bottom(prompt: Prompt, model: Model) -> tuple[dict[str, Any], float]:
    read = read_prompt(model.runtime.session("speech_bottom"), model.info, prompt.spoken_ids)
    found: dict[str, Any] = {"bottom_output": read.hidden, "ctc_ids": read.ctc_ids.tolist()}
    if prompt.audio_span:
        begin, end = prompt.audio_span
        found["audio_span"] = [begin, end]
        found["asr_ids"] = collapse(read.ctc_ids[begin:end].tolist(), model.info.vocabulary.blank)
    return found, float(read.ctc_margins.min())


def _llm_input(prompt: Prompt, found: dict[str, Any], spoken: SpeechPrompt | None, model: Model) -> tuple[Array, Array]:
    pictures = [found["merged_image_features"]] if prompt.image_at else []
    # a spoken prompt with a picture but without a single unit is read as text, as the reference does
    soft = spoken.soft_embeds if spoken and not (pictures and prompt.audio_span is None) else None
    return llm_prompt(prompt, pictures, model.info.llama.hidden, soft)


def _fill(ids: Array, embeds: Array, model: Model) -> Array:
    """The rows [T, H] that the LLM sees for these ids."""
    rows = np.empty((len(ids), model.info.llama.hidden), np.float32)
    rows[ids != FROM_EMBEDS] = model.row("model.embed_tokens.weight", ids[ids != FROM_EMBEDS])
    rows[ids == FROM_EMBEDS] = embeds
    return rows


def _observe_text(case: Case, model: Model, ids: Array, embeds: Array, trace: _Trace) -> dict[str, Any]:
    engine = TextEngine(model.runtime.session("llm"), model.info, slots=1, probe=trace.text.append)
    engine.start(_TURN, TextRequest(ids, embeds, case.fields["max_new_tokens"], model.info.vocabulary.eos))
    out: list[int] = []
    finish = None
    while finish is None:
        for event in engine.step():
            out += event.ids
            finish = event.finish
            _raise_error(event)
    return {"out_ids": out, "llm_ids": out, "queued_ids": [], "stopped_by": _stopped_by(finish)}


def _observe_speech(
    case: Case, model: Model, ids: Array, embeds: Array, spoken: SpeechPrompt, trace: _Trace
) -> dict[str, Any]:
    """Speech and text side by side: the LLM makes a step only when the speech loop waits for one, so that it makes no
    more than the reference would (and may then be compared to its last id)."""
    info, runtime = model.info, model.runtime
    llm = TextEngine(runtime.session("llm"), info, slots=1, probe=trace.text.append)
    top = SpeechEngine(
        runtime.session("speech_bottom_step"),
        runtime.session("speech_top"),
        info,
        model.speakable,
        slots=1,
        probe=trace.speech.append,
    )
    text_in = case.mode.startswith("text_to")
    top.start(_TURN, SpeechRequest(spoken.hidden, spoken.keys_values, text_in, case.fields["max_new_tokens"]))
    llm.start(_TURN, TextRequest(ids, embeds, info.context_tokens, (info.vocabulary.eot,)))
    out: list[int] = []
    finish = None
    while finish is None:
        if top.has_work:
            for event in top.step():
                out += event.ids
                finish = event.finish
                _raise_error(event)
            continue
        for event in llm.step():
            _raise_error(event)
            top.append(_TURN, event.ids, event.finish is not None)
    consumed = sum(step.llm_steps for step in trace.speech)
    llm_ids = [step.id for step in trace.text[:consumed]]
    first, units = trace.speech[0], np.array(out) - info.vocabulary.unit_offset
    return {
        "out_ids": out,
        "stopped_by": _stopped_by(finish),
        "speech_units": units[units >= 0].tolist(),
        "llm_ids": llm_ids,
        "queued_ids": [i for i in llm_ids if model.speakable[i]],
        "steps": {
            column: [getattr(step, column) for step in trace.speech]
            for column in ("llm_steps", "queued", "label", "last_label")
        },
        "step0_window": first.window_ids,
        "step0_text_positions": first.window_positions,
        "top_text_rep0": model.row("text_to_audio_proj.weight", np.array(first.window_ids)),
        "top_hidden_last": first.last_hidden,
        "speech_top5": [_top5(step.logits) for step in trace.speech[:_TOP_STEPS]],
    }


def _stopped_by(finish: str | None) -> str:
    return "eos" if finish == "stop" else "length"


def _raise_error(event: Event) -> None:
    if event.finish == "error":
        raise RuntimeError(event.message)


def _top5(logits: Array) -> dict[str, list[Any]]:
    best = np.argsort(-logits, kind="stable")[:_TOP]
    return {"ids": best.tolist(), "values": logits[best].tolist()}


def _margin(logits: Array) -> float:
    second, best = np.partition(logits, -2)[-2:]
    return float(best - second)
