"""Many turns in numbers: what every measurement of served turns reports of them."""

from __future__ import annotations

from collections.abc import Sequence

from stream_omni_eval.percentiles import Percentiles
from stream_omni_eval.turn_trace import TurnTrace

from benchmarks.results import Values


def describe_turns(turns: Sequence[TurnTrace]) -> Values:
    """Times in ms from asking, by the client's clock; rates in speech units a second of one stream."""
    playbacks = [turn.playback() for turn in turns if turn.units]
    return {
        "turns": len(turns),
        **{f"first_{kind}_ms": _firsts(turns, kind) for kind in ("transcript", "text", "audio")},
        "total_ms": _firsts(turns, "done"),
        "stream_unit_rate_hz": _known([turn.unit_rate_hz() for turn in turns]),
        "steady_unit_rate_hz": _known([playback.steady_rate_hz for playback in playbacks]),
        "slowest_steady_unit_rate_hz": min((p.steady_rate_hz for p in playbacks if p.steady_rate_hz), default=None),
        "realtime_factor": _known([turn.realtime_factor() for turn in turns]),
        "underruns": sum(playback.underruns for playback in playbacks),
        "turns_with_underruns": sum(playback.underruns > 0 for playback in playbacks),
        "silence_s": sum(playback.silence_s for playback in playbacks),
        "chunk_gap_ms": Percentiles.of([1000 * gap_s for p in playbacks for gap_s in p.gaps_s]).as_json(),
        "keeping_up": sum(playback.keeps_up for playback in playbacks),
        "refusals": sum(turn.refusals for turn in turns),
        "first_audio_ms_of_each": [turn.first_ms("audio") for turn in turns],
    }


def _firsts(turns: Sequence[TurnTrace], kind: str) -> Values:
    return _known([turn.first_ms(kind) for turn in turns])


def _known(values: Sequence[float | None]) -> Values:
    return Percentiles.of([value for value in values if value is not None]).as_json()
