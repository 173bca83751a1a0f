"""What one turn looked like from outside: when each event came, by the client's clock, and how it would have played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from stream_omni_client import AudioDelta, Done, Event, TextDelta

UNIT_RATE_HZ = 25


@dataclass(frozen=True)
class Arrival:
    """An event, ``at_s`` after the turn was asked for; ``audio_s`` and ``units`` of sound that came with it."""

    kind: str  # transcript, text, audio or done
    at_s: float
    audio_s: float = 0.0
    units: int = 0

    @classmethod
    def of(cls, event: Event, at_s: float) -> Arrival:
        if isinstance(event, AudioDelta):
            return cls("audio", at_s, len(event.samples) / event.sample_rate_hz, len(event.units))
        if isinstance(event, Done):
            return cls("done", at_s)
        return cls("text" if isinstance(event, TextDelta) else "transcript", at_s)


@dataclass
class TurnTrace:
    """``began_s`` is of time.monotonic. ``refusals``: how often the turn was turned away before it was let in, which
    its times include. ``error`` is empty for a turn that went well; ``left``: it was ended from here, on purpose."""

    began_s: float
    arrivals: list[Arrival] = field(default_factory=list)
    refusals: int = 0
    error: str = ""
    left: bool = False

    @property
    def ended_s(self) -> float:
        return self.began_s + (self.arrivals[-1].at_s if self.arrivals else 0.0)

    @property
    def units(self) -> int:
        return sum(arrival.units for arrival in self.arrivals)

    @property
    def audio_s(self) -> float:
        return sum(arrival.audio_s for arrival in self.arrivals)

    def first_ms(self, kind: str) -> float | None:
        return next((1000 * arrival.at_s for arrival in self.arrivals if arrival.kind == kind), None)

    def last_ms(self, kind: str) -> float | None:
        return next((1000 * arrival.at_s for arrival in reversed(self.arrivals) if arrival.kind == kind), None)

    def playback(self) -> Playback:
        return Playback.of(self.arrivals)

    def unit_rate_hz(self) -> float | None:
        """Speech units a second from asking to the last sound: what a stream gets."""
        last_ms = self.last_ms("audio")
        return None if last_ms is None else 1000 * self.units / last_ms

    def realtime_factor(self) -> float | None:
        """Time from asking to the last sound, for a second of sound; below 1 is faster than it plays."""
        last_ms = self.last_ms("audio")
        return None if last_ms is None or not self.audio_s else last_ms / 1000 / self.audio_s


@dataclass(frozen=True)
class Playback:
    """How a player that starts with the first piece of sound, and pauses when it has none, would have fared."""

    underruns: int  # pieces that came after all before them had been played
    silence_s: float  # how long it paused for them
    gaps_s: tuple[float, ...]  # between a piece's arrival and the one's before
    steady_rate_hz: float | None  # units a second after the first piece; None for a single one

    @classmethod
    def of(cls, arrivals: Sequence[Arrival]) -> Playback:
        pieces = [arrival for arrival in arrivals if arrival.kind == "audio"]
        if not pieces:
            return cls(0, 0.0, (), None)
        underruns, silence_s, played_s = 0, 0.0, pieces[0].at_s  # when all that came so far is played
        for piece in pieces:
            if piece.at_s > played_s:
                underruns += 1
                silence_s += piece.at_s - played_s
                played_s = piece.at_s
            played_s += piece.audio_s
        gaps_s = tuple(b.at_s - a.at_s for a, b in pairwise(pieces))
        steady_s = pieces[-1].at_s - pieces[0].at_s
        steady_rate_hz = sum(piece.units for piece in pieces[1:]) / steady_s if steady_s > 0 else None
        return cls(underruns, silence_s, gaps_s, steady_rate_hz)

    @property
    def keeps_up(self) -> bool:
        """Whether a listener hears no gap and sound comes at least as fast as it plays."""
        return not self.underruns and (self.steady_rate_hz is None or self.steady_rate_hz >= UNIT_RATE_HZ)
