"""When a piece of speech is made, and how much the flow and the vocoder see around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stream_omni.mel_clock import MelClock
from stream_omni.model_info import VocoderSizes

F0_REACH_FRAMES = 5  # the F0 predictor's five convolutions of three frames


@dataclass(frozen=True)
class ChunkSchedule:
    """Part of a deployment's profile. Sizes follow from it and the units alone, never from load or timing.

    A chunk of n units is made once ``lookahead_units`` units after it, and one more, are known: the flow and the
    vocoder hear what comes, and an answer that ends within the lookahead is finished in the same call. Growth is bound
    by the speed of the units: a chunk must be ready before the one before it has been played, so at s units a second
    (25 are played) growth beyond s / 25 makes gaps.

    The defaults were measured (docs/streaming.md): the first sound waits for 17 units, and mels blend as smoothly as an
    answer made at once goes on. Two units less of lookahead made steps that stand out; more context changed
    nothing; smaller first chunks and slower growth cost more work for each unit, as each chunk repeats its context
    and lookahead.
    """

    first_units: int = 6
    growth: float = 1.25
    largest_units: int = 75
    context_units: int = 10
    lookahead_units: int = 10
    fade_frames: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.first_units <= self.largest_units:
            raise ValueError(f"a first chunk of {self.first_units} units, when 1 to {self.largest_units} are possible")
        if self.growth < 1:
            raise ValueError(f"chunks must not shrink, and growth is {self.growth}")
        if min(self.context_units, self.lookahead_units, self.fade_frames) < 0:
            raise ValueError("context, lookahead and fade must not be negative")

    def chunk_units(self, index: int) -> int:
        """Units of the ``index``-th chunk, if the answer goes on that long."""
        units = self.first_units
        for _ in range(index):
            if units == self.largest_units or self.growth == 1:
                break
            # rounded down, since growth is a bound; but so that it does not end where it begins
            units = min(self.largest_units, max(units + 1, int(units * self.growth)))
        return units

    def check(self, clock: MelClock, vocoder: VocoderSizes) -> None:
        """Raises ValueError if the vocoder could hear past what the flow has settled: seams would not be exact."""
        reach = vocoder_reach_frames(vocoder)
        # a span of units makes at least this many frames, wherever it lies
        context, lookahead = clock.frames(self.context_units), clock.frames(self.lookahead_units)
        if context < reach:
            raise ValueError(f"context_units {self.context_units} make {context} frames; the vocoder hears {reach}")
        if lookahead < reach + self.fade_frames:
            raise ValueError(
                f"lookahead_units {self.lookahead_units} make {lookahead} frames; "
                f"the vocoder hears {reach} and fade_frames takes {self.fade_frames} more"
            )


def vocoder_reach_frames(sizes: VocoderSizes) -> int:
    """Mel frames to either side that a sample of the vocoder's output depends on, from its convolutions' sizes."""

    def block(kernel: int, dilations: tuple[int, ...]) -> int:
        return sum((kernel - 1) // 2 * (dilation + 1) for dilation in dilations)

    istft = sizes.istft_size // sizes.istft_hop  # a sample lies in this many spectrum frames; so does a source sample
    reach = istft // 2 + 3.0  # steps at the current rate, back from the waveform through the last convolution
    farthest, steps_per_frame = 0.0, sizes.hop_samples // sizes.istft_hop
    blocks = max(block(k, d) for k, d in zip(sizes.resblock_kernels, sizes.resblock_dilations, strict=True))
    stages = list(
        zip(sizes.upsample_rates, sizes.upsample_kernels, sizes.source_kernels, sizes.source_dilations, strict=True)
    )
    for rate, kernel, source_kernel, source_dilations in reversed(stages):
        reach += blocks
        source = reach + block(source_kernel, source_dilations) + 1  # 1: its slower convolution
        farthest = max(farthest, (source + istft / 2) / steps_per_frame)
        reach = (reach + 1) / rate + kernel / rate / 2  # 1: the frame that the last stage has more
        steps_per_frame //= rate
    from_f0 = math.ceil(farthest) + F0_REACH_FRAMES
    return max(math.ceil(reach + 3), from_f0)  # 3: the first convolution
