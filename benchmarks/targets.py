"""The targets, each a ratio or a bound within one run, and what the result files say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_FAST_STREAM_HZ = 90.0  # a single stream that is faster than this has less to gain from company

Results = Mapping[str, Any]  # by the measurement's name


@dataclass(frozen=True)
class Target:
    """``measured`` finds the number in a measurement's values, with a note, and ``bound`` the bound, which one target
    makes depend on them; ``at_least`` False: at most."""

    what: str
    measurement: str
    stated: str
    bound: Callable[[Any], float]
    measured: Callable[[Any], tuple[float, str]]
    at_least: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Row:
    what: str
    target: str
    measured: str
    outcome: str  # met, missed or not measured

    def __str__(self) -> str:
        return f"| {self.what} | {self.target} | {self.measured} | {self.outcome} |"


def table(results: Results) -> str:
    """Markdown, one line a target, met, missed and not measured alike."""
    lines = ["| what | target | measured | |", "|---|---|---|---|", *(str(_row(t, results)) for t in TARGETS)]
    return "\n".join(lines) + "\n"


def _row(target: Target, results: Results) -> Row:
    result = results.get(target.measurement)
    if result is None:
        return Row(target.what, target.stated, "", "not measured")
    try:
        bound, (value, note) = target.bound(result["values"]), target.measured(result["values"])
    except (KeyError, TypeError):  # a shorter plan leaves levels out, and with too few turns there is no percentile
        return Row(target.what, target.stated, "", "not measured")
    met = value >= bound if target.at_least else value <= bound
    measured = f"{value:.3g}{target.unit}" + (f" ({note})" if note else "")
    return Row(target.what, target.stated, measured, "met" if met else "**missed**")


def _at_least(bound: float, unit: str = "") -> dict[str, Any]:
    return {"stated": f"at least {bound:g}{unit}", "bound": lambda _: bound, "at_least": True, "unit": unit}


def _at_most(bound: float, unit: str = "") -> dict[str, Any]:
    return {"stated": f"at most {bound:g}{unit}", "bound": lambda _: bound, "unit": unit}


def _ratio(*path: str) -> Callable[[Any], tuple[float, str]]:
    """A comparison's median, and its spread as the note."""

    def find(values: Any) -> tuple[float, str]:
        for name in path:
            values = values[name]
        return values["median"], f"{values['low']:.3g} ... {values['high']:.3g}, {len(values['rounds'])} rounds"

    return find


def _batching_bound(values: Any) -> float:
    return 2.5 if max(values["levels"]["1"]["unit_rate_hz"]) > _FAST_STREAM_HZ else 3.0


def _first_audio_share(values: Any) -> tuple[float, str]:
    share = values["first_audio_share"]
    return share["p50"], f"p95 {share['p95']:.3g}, {share['count']} turns"


def _keeping_up(values: Any) -> tuple[float, str]:
    levels = values["levels"]
    each = (f"{n}: {level['keeping_up']} of {level['turns']}" for n, level in levels.items())
    return values["streams_that_keep_up"], "turns without a gap at " + ", ".join(each)


def _against_limit(name: str) -> Callable[[Any], tuple[float, str]]:
    def find(values: Any) -> tuple[float, str]:
        part = values[name]
        return part["ratio"], f"{part['ms']['p50']:.3g} of at least {part['least_ms']:.3g} ms"

    return find


def _cancel(values: Any) -> tuple[float, str]:
    """The worse of one that leaves while seven go on and of all at once."""
    one, everyone = values["one_leaves_ms"], values["everyone_leaves_ms"]
    note = f"one of eight: {one['p95']:.3g} in {one['count']}, all: {everyone['p95']:.3g} in {everyone['count']}"
    return max(one["p95"], everyone["p95"]), note


def _memory(values: Any) -> tuple[float, str]:
    before_mb, after_mb = values["resident_mb_after"]
    first, last = values["turns"]
    return values["resident_ratio"], f"{before_mb:.0f} MB after {first} turns, {after_mb:.0f} MB after {last}"


TARGETS = (
    Target(
        "served (gRPC, all stages) / in process, one turn", "overhead", measured=_ratio("total_ratio"), **_at_most(1.1)
    ),
    Target(
        "time to first audio / time to the whole answer, 10 s answer",
        "streams",
        measured=_first_audio_share,
        **_at_most(0.12),
    ),
    Target(
        "units a second, 8 streams / 1",
        "streams",
        f"at least 3 (2.5 where one stream makes more than {_FAST_STREAM_HZ:g})",
        _batching_bound,
        _ratio("unit_rate_ratio", "8"),
        at_least=True,
    ),
    Target("units a second, 16 streams / 1", "streams", measured=_ratio("unit_rate_ratio", "16"), **_at_least(3.5)),
    Target("streams that all keep up with real time", "streams", measured=_keeping_up, **_at_least(8)),
    Target("p95 first audio, 8 streams / 1", "streams", measured=_ratio("first_audio_p95_ratio", "8"), **_at_most(3)),
    Target(
        "time of a unit, last / first quarter of a 1500-unit answer",
        "growth",
        measured=_ratio("ratio"),
        **_at_most(1.3),
    ),
    Target("speech step / reading what it must", "limits", measured=_against_limit("speech_step"), **_at_most(1.4)),
    Target(
        "time of a unit, the reference's algorithm / ours",
        "reference",
        measured=_ratio("question", "unit_ratio"),
        **_at_least(4),
    ),
    Target(
        "time to the first unit with a picture, the reference's algorithm / ours",
        "reference",
        measured=_ratio("question with a picture", "first_unit_ratio"),
        **_at_least(3),
    ),
    Target(
        "time to the first unit with a picture / its arithmetic",
        "limits",
        measured=_against_limit("first_unit"),
        **_at_most(1.5),
    ),
    Target("cancel to free places, p95 at 8 streams", "cancelling", measured=_cancel, **_at_most(150, " ms")),
    Target("resident memory after 2000 mixed turns / after 200", "soak", measured=_memory, **_at_most(1.03)),
    Target(
        "places lost in 2000 mixed turns", "soak", measured=lambda values: (values["places_lost"], ""), **_at_most(0)
    ),
)
