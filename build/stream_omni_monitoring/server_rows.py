"""The server's dashboard, first half: what its users notice."""

from __future__ import annotations

from stream_omni.serving.metrics import (
    BATCH_SIZE,
    FIRST_AUDIO_PART_SECONDS,
    FIRST_AUDIO_PARTS,
    FIRST_AUDIO_SECONDS,
    FIRST_TEXT_SECONDS,
    FIRST_TRANSCRIPT_SECONDS,
    REALTIME_FACTOR,
    REQUESTS,
    STAGE_QUEUE_SECONDS,
    STAGE_SECONDS,
)
from stream_omni_monitoring import recording as recorded
from stream_omni_monitoring.objectives import FAST, SLOW, WINDOWS, Objective
from stream_omni_monitoring.panels import Curve, Panel, Row
from stream_omni_monitoring.queries import Scope

SHOWN = Scope('namespace=~"$namespace", release=~"$release", pod=~"$pod"', "$__rate_interval")
_RELEASE = Scope('namespace=~"$namespace", release=~"$release"', "$__rate_interval")
_WHICH = "{{namespace}}/{{release}}"
_PERCENTILES = (0.5, 0.95, 0.99)


def objectives_row(objective: Objective) -> Row:
    first_s = f"{objective.first_audio_s:g} s"
    burns = [
        Curve(f"{_RELEASE.of(recorded.late(window))} / {objective.budget:g}", f"last {window} {_WHICH}")
        for window in WINDOWS
    ]
    failed = Curve(_RELEASE.of(recorded.FAILED), f"failed {_WHICH}")
    refused = Curve(_RELEASE.of(recorded.REFUSED), f"refused {_WHICH}")
    return Row(
        "What was promised",
        [
            Panel(
                "First sound",
                f"From a turn's arrival to its first sound. The objective: {objective.share:.0%} within {first_s}.",
                "s",
                [Curve(SHOWN.quantile(share, FIRST_AUDIO_SECONDS), f"p{share * 100:g}") for share in _PERCENTILES],
                limit=objective.first_audio_s,
            ),
            Panel(
                "Realtime factor",
                "Time to make a piece of sound over the time it plays. Above 1 listeners hear gaps.",
                "short",
                [Curve(SHOWN.quantile(share, REALTIME_FACTOR), f"p{share * 100:g}") for share in _PERCENTILES],
                limit=1.0,
            ),
            Panel(
                "Turns that failed or were refused",
                "Failed: ended with an error or at a deadline, of those that were let in. Refused: for want of a "
                "place.",
                "percentunit",
                [failed, refused],
                limit=0.02,
            ),
            Panel(
                "Burn rate of the first sound's budget",
                f"1: all of the {objective.budget:.0%} that may be late is used up just at the period's end. "
                f"{FAST.rate:g} over {FAST.long} wakes somebody, {SLOW.rate:g} over {SLOW.long} warns.",
                "short",
                burns,
                width=12,
                limit=SLOW.rate,
            ),
            Panel(
                "Underruns in a minute of speech",
                "Pieces of sound that came after all before them had been played: a gap that the listener hears.",
                "short",
                [Curve(_RELEASE.of(recorded.UNDERRUNS), _WHICH)],
                width=6,
                limit=0.5,
            ),
            Panel(
                f"First sound within {first_s}",
                "Of the last hour.",
                "percentunit",
                [Curve(f"1 - {_RELEASE.of(recorded.late('1h'))}", _WHICH)],
                kind="number",
                width=6,
            ),
        ],
    )


def modes_row() -> Row:
    firsts = (("transcript", FIRST_TRANSCRIPT_SECONDS), ("text", FIRST_TEXT_SECONDS), ("sound", FIRST_AUDIO_SECONDS))
    not_ok = 'outcome!="ok"'
    return Row(
        "Modes: rate, errors, duration",
        [
            Panel(
                "Turns that ended",
                "By mode; `unknown` ended before its request was read.",
                "reqps",
                [Curve(SHOWN.rate(REQUESTS, by="mode"), "{{mode}}")],
                kind="stack",
            ),
            Panel(
                "Turns that did not end well",
                "By mode and outcome: cancelled by the client, rejected, invalid, unauthenticated, deadline, error.",
                "reqps",
                [Curve(SHOWN.rate(REQUESTS, not_ok, by="mode, outcome") + " > 0", "{{mode}}: {{outcome}}")],
                kind="stack",
            ),
            *(
                Panel(
                    f"First {what}, p95",
                    f"From a turn's arrival to its first {what}, by mode.",
                    "s",
                    [Curve(SHOWN.quantile(0.95, metric, by="mode"), "{{mode}}")],
                )
                for what, metric in firsts
            ),
            Panel(
                "A whole turn",
                "From its place at the front door to its end.",
                "s",
                [
                    Curve(SHOWN.quantile(share, STAGE_SECONDS, recorded.DOOR), f"p{share * 100:g}")
                    for share in _PERCENTILES
                ],
            ),
        ],
    )


def stages_row() -> Row:
    stages = f"stage!={recorded.DOOR.removeprefix('stage=')}"
    return Row(
        "Stages, and what the first sound waits for",
        [
            *(_budget(mode) for mode in FIRST_AUDIO_SECONDS.labels["mode"]),
            Panel(
                "A piece of work, p95",
                "A batch of a called stage, a step of an engine.",
                "s",
                [Curve(SHOWN.quantile(0.95, STAGE_SECONDS, stages, by="stage"), "{{stage}}")],
                width=12,
            ),
            Panel(
                "The wait for it, p95",
                "Of a call for its stage, of a turn from an engine's START to its first id.",
                "s",
                [Curve(SHOWN.quantile(0.95, STAGE_QUEUE_SECONDS, stages, by="stage"), "{{stage}}")],
                width=12,
            ),
            Panel(
                "Turns in a piece of work",
                "Mean batch size.",
                "short",
                [Curve(SHOWN.mean(BATCH_SIZE, by="stage"), "{{stage}}")],
                width=12,
            ),
            Panel(
                "How busy a stage is",
                "Seconds of work a second, mean of the replicas. Near 1 it is the bottleneck.",
                "percentunit",
                [
                    Curve(
                        f"avg by (stage) (rate({SHOWN.of(STAGE_SECONDS, stages, part='_sum')}[{SHOWN.window}]))",
                        "{{stage}}",
                    )
                ],
                width=12,
                limit=0.9,
            ),
        ],
    )


def _budget(mode: str) -> Panel:
    """The parts of a turn's way are added up, so their means may be stacked, as percentiles may not."""
    of_mode = f'mode="{mode}"'
    turns = SHOWN.rate(FIRST_AUDIO_SECONDS, of_mode, part="_count")
    return Panel(
        f"What the first sound waits for: {mode.replace('_', ' ')}",
        "Mean of each part of the way, one after the other; the top edge is the mean time to the first sound. "
        "`request` is the "
        "front door's own work, `vision_encoder` what pictures delayed the rest, `llm` until the first text, "
        "`speech_top` until "
        "the first piece had its units, `token2wav` flow and vocoder of that piece.",
        "s",
        [
            Curve(f"{SHOWN.rate(FIRST_AUDIO_PART_SECONDS, of_mode, f'part={_quoted(part)}')} / {turns}", part)
            for part in FIRST_AUDIO_PARTS
        ],
        kind="stack",
        width=12,
    )


def _quoted(word: str) -> str:
    return f'"{word}"'
