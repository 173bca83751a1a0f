"""The graphs: names and shapes of every tensor that enters or leaves a network.

One list for all who meet there: the exporter names its inputs and outputs by it, both runtimes check against it, the
generation loops feed it. Letters are dynamic axes: B batch, T positions or frames, S cache capacity, R chosen rows,
W text window, N units.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream_omni.model_info import ModelInfo

WINDOW_TOKENS = 5  # text tokens that the top stack's cross-attention sees
TEXT_LAG = 3  # speakable tokens that must be known before the first unit


@dataclass(frozen=True)
class Tensor:
    """``axes`` are sizes, or letters for dynamic ones."""

    name: str
    dtype: str  # "float32", "int64", "int32" or "bool"
    axes: tuple[int | str, ...]


@dataclass(frozen=True)
class Graph:
    """A stage's network. ``cache_layers`` KV caches follow the inputs, as pairs of [B, kv_heads, S, head_size]; each
    is also an output, which the runtime binds to the input's own memory, so that a run updates it in place."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    cache_layers: int = 0

    def cache_names(self) -> list[str]:
        return [f"{kind}_{i}" for i in range(self.cache_layers) for kind in ("keys", "values")]

    def updated_cache_names(self) -> list[str]:
        """The caches as outputs of an exported graph, whose inputs and outputs may not share names."""
        return [f"updated_{name}" for name in self.cache_names()]

    def new_cache_names(self) -> list[str]:
        """Of a graph that gives only the new keys and values, [B, kv_heads, T, head_size], and leaves its caches alone:
        what TensorRT runs, which would copy a whole cache to update it."""
        return [f"new_{name}" for name in self.cache_names()]


def graphs(info: ModelInfo) -> dict[str, Graph]:
    """All graphs of a checkpoint by name. Those of the vocoder are present when the checkpoint has one."""
    llama, vocab, vision = info.llama, info.vocabulary, info.vision
    hidden, positions = llama.hidden, Tensor("positions", "int64", ("B", "T"))
    ids, rows = Tensor("ids", "int64", ("B", "T")), Tensor("rows", "int64", ("R",))
    bottom_outputs = (
        Tensor("hidden", "float32", ("B", "T", hidden)),  # after audio_norm
        Tensor("ctc_ids", "int64", ("B", "T", 2)),  # best and second best label
        Tensor("ctc_values", "float32", ("B", "T", 2)),
    )
    found = [
        Graph(
            "vision_encoder",
            (Tensor("pixels", "float32", ("B", 3, vision.image_size_px, vision.image_size_px)),),
            (
                Tensor("features", "float32", ("B", vision.patches, vision.width)),
                Tensor("projected", "float32", ("B", vision.patches, hidden)),
            ),
        ),
        # the prompt's pass: also the soft embeddings that enter the LLM
        Graph(
            "speech_bottom",
            (ids, positions),
            (*bottom_outputs, Tensor("soft_embeds", "float32", ("B", "T", hidden))),
            llama.bottom_layers,
        ),
        # a generated unit's pass: no soft embeddings, which nothing would read
        Graph("speech_bottom_step", (ids, positions), bottom_outputs, llama.bottom_layers),
        # cross-attention and head only for the batch rows in `rows`, at their last position
        Graph(
            "speech_top",
            (
                Tensor("hidden", "float32", ("B", "T", hidden)),
                positions,
                rows,
                Tensor("window_ids", "int64", ("R", WINDOW_TOKENS)),  # the first window_length of a row count
                Tensor("window_positions", "int64", ("R", WINDOW_TOKENS)),
                Tensor("window_length", "int64", ("R",)),
            ),
            (Tensor("last_hidden", "float32", ("R", hidden)), Tensor("logits", "float32", ("R", len(info.speech_ids)))),
            llama.top_layers,
        ),
        # id -1: the position takes its row of `embeds` instead of a row of the table
        Graph(
            "llm",
            (ids, Tensor("embeds", "float32", ("B", "T", hidden)), positions, rows),
            (Tensor("last_hidden", "float32", ("R", hidden)), Tensor("logits", "float32", ("R", vocab.text_size))),
            llama.llm_layers,
        ),
    ]
    if info.screened_heads:  # the same steps, reading a quarter of a large head: see networks.screened_head
        step, llm = (graph for graph in found if graph.name in ("speech_bottom_step", "llm"))
        certain = Tensor("certain", "bool", ("B", "T"))
        best = (
            Tensor("best_ids", "int64", ("R", 2)),
            Tensor("best_logits", "float32", ("R", 2)),
            Tensor("certain", "bool", ("R",)),
        )
        found += [
            Graph("speech_bottom_step_screened", step.inputs, (*step.outputs, certain), step.cache_layers),
            Graph("llm_greedy", llm.inputs, (llm.outputs[0], *best), llm.cache_layers),
        ]
    if info.flow and info.vocoder:
        mel, hop = info.flow.mel_channels, info.vocoder.hop_samples
        frames = Tensor("mel", "float32", ("B", mel, "T"))
        found += [
            # frame t of the interpolated units = (1 - weight) * unit[left] + weight * unit[right]
            Graph(
                "flow_encoder",
                (
                    Tensor("units", "int64", ("B", "N")),
                    Tensor("speaker", "float32", ("B", info.flow.speaker_size)),
                    Tensor("left", "int64", ("B", "T")),
                    Tensor("right", "int64", ("B", "T")),
                    Tensor("weight", "float32", ("B", "T")),
                ),
                (
                    Tensor("encoder_out", "float32", ("B", "N", info.flow.encoder_width)),
                    Tensor("projected_speaker", "float32", ("B", mel)),
                    Tensor("mu", "float32", ("B", mel, "T")),
                ),
            ),
            Graph(
                "flow_estimator",
                (
                    Tensor("x", "float32", ("B", mel, "T")),
                    Tensor("mu", "float32", ("B", mel, "T")),
                    Tensor("speaker", "float32", ("B", mel)),
                    Tensor("condition", "float32", ("B", mel, "T")),
                    Tensor("time", "float32", ("B",)),
                ),
                (Tensor("velocity", "float32", ("B", mel, "T")),),
            ),
            Graph("f0_predictor", (frames,), (Tensor("f0", "float32", ("B", "T")),)),  # Hz, one a frame
            # source: excitation, hop_samples a frame; waveform likewise
            Graph(
                "vocoder",
                (frames, Tensor("source", "float32", ("B", f"{hop}*T"))),
                (Tensor("waveform", "float32", ("B", f"{hop}*T")),),
            ),
        ]
    return {g.name: g for g in found}
