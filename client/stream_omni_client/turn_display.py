"""A turn on the terminal: the answer's text on stdout as it comes, so that it can be piped; the rest on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, TextIO

from stream_omni_client.events import AudioDelta, Done, Event, TextDelta, Timings, TranscriptDelta
from stream_omni_client.reply import Reply
from stream_omni_client.speaker import Speaker

_EVENT_NAMES = {TranscriptDelta: "transcript", TextDelta: "text", AudioDelta: "audio", Done: "done"}


def show(events: Iterable[Event]) -> None:
    """Transcript and text live, each on a line of its own although they go to two streams."""
    unfinished: TextIO | None = None  # the stream whose line is being written
    try:
        for event in events:
            if not isinstance(event, TranscriptDelta | TextDelta):
                continue
            stream = sys.stderr if isinstance(event, TranscriptDelta) else sys.stdout
            if unfinished is not stream:
                if unfinished:
                    print(file=unfinished, flush=True)
                print("heard: " if stream is sys.stderr else "", end="", file=stream)
                unfinished = stream
            print(event.delta, end="", file=stream, flush=True)
    finally:
        if unfinished:
            print(file=unfinished, flush=True)


def print_json(events: Iterable[Event], **more: Any) -> None:
    """One object a line for each event, without the samples. ``more`` goes into each."""
    for event in events:
        fields: dict[str, Any] = {"event": _EVENT_NAMES[type(event)], **more, **asdict(event)}
        if isinstance(event, AudioDelta):
            fields |= {"samples": len(event.samples), "units": event.units.tolist()}
        print(json.dumps(fields, ensure_ascii=False), flush=True)


def play(events: Iterable[Event], speaker: Speaker | None) -> Iterator[Event]:
    """The same events, whose speech is played as it comes."""
    for event in events:
        if speaker is not None and isinstance(event, AudioDelta):
            speaker.play(event)
        yield event


def report(reply: Reply) -> None:
    """When the pieces came, as a table for people."""
    if reply.finish_reason == "length":
        print("cut by a limit (finish reason: length)", file=sys.stderr)
    print("first piece after, ms   transcript        text       audio       whole", file=sys.stderr)
    for name, timings in (("server", reply.timings), ("client", reply.client_timings)):
        cells = ("-" if point is None else f"{point:.0f}" for point in points(timings).values())
        print(f"  {name:<20}" + "".join(f"{cell:>12}" for cell in cells), file=sys.stderr)


def points(timings: Timings) -> dict[str, float | None]:
    """By what came, in ms."""
    return {
        "transcript": timings.first_transcript_ms,
        "text": timings.first_text_ms,
        "audio": timings.first_audio_ms,
        "whole": timings.total_ms,
    }
