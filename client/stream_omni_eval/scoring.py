"""Turns in numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stream_omni_eval.asking import MODES, Turn
from stream_omni_eval.hearing import Hearing, error_rate, share
from stream_omni_eval.percentiles import Percentiles
from stream_omni_eval.sound import Pcm, Sound, describe_seams, describe_sounds

Values = dict[str, Any]


def describe_modes(turns: Sequence[Turn], hearing: Hearing | None) -> Values:
    """By mode, and within it all items together, then group by group."""
    found: Values = {}
    for mode in MODES:
        own = [turn for turn in turns if turn.job.mode is mode]
        if own:
            groups = sorted({turn.job.item.group for turn in own})
            found[mode.name] = describe(own, hearing) | {
                "groups": {name: describe([t for t in own if t.job.item.group == name], hearing) for name in groups}
            }
    return found


def describe(turns: Sequence[Turn], hearing: Hearing | None) -> Values:
    """Times in ms from asking, by the client's clock. Word error rates are fractions: of the transcript against what
    was said, and of what the judge hears in the answer's speech against the answer's text."""
    done = [turn for turn in turns if not turn.error]
    spoken = [turn for turn in done if turn.job.mode.output == "speech"]
    asked = [turn for turn in done if turn.job.mode.spoken]
    values: Values = {
        "turns": len(turns),
        "failed": len(turns) - len(done),
        "cut_by_a_limit": sum(turn.finish_reason == "length" for turn in done),
        "answers": share([turn.job.item.is_right(turn.text) for turn in done]),
        "transcripts": error_rate((turn.job.item.transcript or "", turn.transcript) for turn in asked),
        "first_transcript_ms": _firsts(done, "transcript"),
        "first_text_ms": _firsts(done, "text"),
        "first_audio_ms": _firsts(done, "audio"),
        "total_ms": _firsts(done, "done"),
    }
    if spoken:
        playbacks = [turn.trace.playback() for turn in spoken]
        values |= {
            "without_sound": sum(not len(turn.samples) for turn in spoken),
            "realtime_factor": _known([turn.trace.realtime_factor() for turn in spoken]),
            "underruns": sum(playback.underruns for playback in playbacks),
            "silence_s": sum(playback.silence_s for playback in playbacks),
            "gap_ms": Percentiles.of([1000 * gap_s for p in playbacks for gap_s in p.gaps_s]).as_json(),
        }
        if hearing:
            values["speech"] = error_rate(heard_pairs(spoken, [turn.samples for turn in spoken], hearing))
    return values


def heard_pairs(turns: Sequence[Turn], sounds: Sequence[Pcm], hearing: Hearing) -> list[tuple[str, str]]:
    """Each turn's text, and what is heard in its sound."""
    return [
        (turn.text, hearing.of(samples, turn.rate_hz) if turn.rate_hz else "")
        for turn, samples in zip(turns, sounds, strict=True)
    ]


def describe_company(alone: Sequence[Turn], together: Sequence[Turn], streams: int, hearing: Hearing | None) -> Values:
    """The same jobs, one at a time and ``streams`` at a time."""
    differing = [b.job.item.name for a, b in zip(alone, together, strict=True) if a.digest != b.digest]
    return {
        "streams": streams,
        "identical": len(together) - len(differing),
        "differing": differing,
        **describe(together, hearing),
    }


def describe_whole(turns: Sequence[Turn], sounds: Sequence[Pcm | None], hearing: Hearing | None) -> Values:
    """Speech that was streamed, and the same made in one piece."""
    known = [(turn, samples) for turn, samples in zip(turns, sounds, strict=True) if samples is not None]
    values: Values = {"answers": len(known), "failed": len(turns) - len(known)}
    if hearing and known:
        own, whole = [turn for turn, _ in known], [samples for _, samples in known]
        values["streamed"] = error_rate(heard_pairs(own, [turn.samples for turn in own], hearing))
        values["in_one_piece"] = error_rate(heard_pairs(own, whole, hearing))
    values["seams"] = describe_seams([(turn.samples, turn.pieces) for turn, _ in known])
    values["same_places_in_one_piece"] = describe_seams([(samples, turn.pieces) for turn, samples in known])
    return values


def describe_sound(turns: Sequence[Turn]) -> Values:
    return describe_sounds([Sound.of(turn.samples, turn.rate_hz) for turn in turns if len(turn.samples)])


def describe_source_voice(turns: Sequence[Turn], hearing: Hearing, say: Callable[[str], None]) -> Values:
    """What the judge hears in the recordings of the voice that was imitated: the best that can be hoped for."""
    items = {turn.job.item.name: turn.job.item for turn in turns if turn.job.item.source_audio}
    if items:
        say(f"hearing {len(items)} recordings of the source voice")
    return error_rate(
        (item.source_text or "", hearing.of_file(item.source_audio)) for item in items.values() if item.source_audio
    )


def _firsts(turns: Sequence[Turn], kind: str) -> Values:
    return _known([turn.trace.first_ms(kind) for turn in turns])


def _known(values: Sequence[float | None]) -> Values:
    return Percentiles.of([value for value in values if value is not None]).as_json()
