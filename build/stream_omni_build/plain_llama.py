"""Llama's stacks as anybody would write them down, with nothing of ours: how much a precision loses by itself.

What rounding costs cannot be said beforehand: a checkpoint whose attention is sharp turns half a bit into another word,
a mild one hides ten. So an engine is not held to a number but to what these lines lose in the same precision, on the
same checkpoint and the same inputs. They share the checkpoint with the networks, and no code: neither modules, nor how
weights are joined, nor graphs. In fp32 they give what the networks give; below, they are what transformers' Llama is:
weights, products, keys, values and what layers add up in the low type, means and softmax in fp32.

Slow and plain: every row of a batch by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stream_omni.model_info import ModelInfo, Rope
from stream_omni.runtime.session import Array, Runtime, Session
from stream_omni.runtime.torch_runtime import Device, TorchRuntime
from stream_omni.weights import TensorSource
from stream_omni_build.engines.quantize import FEWEST_WEIGHTS
from stream_omni_build.engines.stored_weights import CODES, codes_of, scales

# what is multiplied and added up in; weights of 8 bits are multiplied in bf16
TYPES = {"fp32": torch.float32, "fp16": torch.float16} | dict.fromkeys(("bf16", *CODES), torch.bfloat16)
STACKS = ("speech_bottom", "speech_bottom_step", "speech_top", "llm")  # the graphs that are Llama's stacks

Row = Sequence[Array]  # a sequence's caches, keys and values by turns: [kv_heads, S, head_size], written in place


class PlainRuntime:
    """See :class:`stream_omni.runtime.session.Runtime`. Weights are read when first used and kept in the precision.

    ``rest`` runs all graphs that are no stacks.
    """

    def __init__(self, info: ModelInfo, tensors: TensorSource, precision: str, rest: Runtime | None = None) -> None:
        self.info = info
        self._rest, self._weights = rest, _Weights(tensors, precision)

    def session(self, graph: str) -> Session:
        """Raises KeyError for a graph that is no stack, where there is no ``rest``."""
        runs: dict[str, Callable[..., dict[str, Array]]] = {
            "speech_bottom": partial(self._hear, softly=True),
            "speech_bottom_step": self._hear,
            "speech_top": self._speak,
            "llm": self._read,
        }
        if graph in runs:
            return _PlainSession(runs[graph])
        if self._rest is None:
            raise KeyError(graph)
        return self._rest.session(graph)

    def _hear(self, inputs: Mapping[str, Array], caches: Sequence[Array], softly: bool = False) -> dict[str, Array]:
        held, places = self._weights, ("model.bottom_audio_layers", "model.audio_norm", self.info.llama.bottom_layers)
        table = held.get("model.audio_embed_tokens.weight")
        rows = zip(inputs["ids"], inputs["positions"], strict=True)
        hidden = torch.stack(
            [
                self._stack(*places, table[torch.from_numpy(ids)], positions, [cache[row] for cache in caches])
                for row, (ids, positions) in enumerate(rows)
            ]
        )
        logits = hidden @ held.matrix("audio_to_text_proj.weight").T
        values, labels = torch.topk(logits, 2, -1)
        found = {"hidden": _host(hidden), "ctc_ids": labels.numpy(), "ctc_values": _host(values)}
        if softly:
            shares = torch.softmax(logits.float(), -1).to(held.dtype)
            found["soft_embeds"] = _host(shares @ held.matrix("model.embed_tokens.weight", by_column=True))
        return found

    def _read(self, inputs: Mapping[str, Array], caches: Sequence[Array]) -> dict[str, Array]:
        held, places = self._weights, ("model.layers", "model.norm", self.info.llama.llm_layers)
        table, last = held.get("model.embed_tokens.weight"), []
        for row, (ids, embeds, positions) in enumerate(
            zip(inputs["ids"], inputs["embeds"], inputs["positions"], strict=True)
        ):
            rows = torch.where(
                torch.from_numpy(ids < 0)[:, None],
                torch.from_numpy(embeds).to(held.dtype),
                table[torch.from_numpy(ids.clip(0))],
            )
            last.append(self._stack(*places, rows, positions, [cache[row] for cache in caches])[-1])
        chosen = torch.stack(last)[torch.from_numpy(inputs["rows"])]
        return {"last_hidden": _host(chosen), "logits": _host(chosen @ held.matrix("lm_head.weight").T)}

    def _speak(self, inputs: Mapping[str, Array], caches: Sequence[Array]) -> dict[str, Array]:
        held, places = self._weights, ("model.top_audio_layers", "model.top_audio_norm", self.info.llama.top_layers)
        heard = {int(row): i for i, row in enumerate(inputs["rows"])}
        last = []
        for row, (hidden, positions) in enumerate(zip(inputs["hidden"], inputs["positions"], strict=True)):
            text = None
            if row in heard:
                names = ("window_ids", "window_positions", "window_length")
                text = tuple(inputs[name][heard[row]] for name in names)
            x = torch.from_numpy(np.asarray(hidden)).to(held.dtype)
            last.append(self._stack(*places, x, positions, [cache[row] for cache in caches], text)[-1])
        chosen = torch.stack(last)[torch.from_numpy(inputs["rows"])]
        head = held.matrix("audio_lm_head.weight", rows=self.info.speech_ids)
        return {"last_hidden": _host(chosen), "logits": _host(chosen @ head.T)}

    def _stack(
        self, layers: str, norm: str, count: int, x: Tensor, positions: Array, caches: Row, text: Any = None
    ) -> Tensor:
        """``x`` [T, hidden] at ``positions`` [T] -> normed [T, hidden]. ``text``: what the last position hears."""
        for i in range(count):
            path = f"{layers}.{i}"
            x = x + self._attend(self._norm(x, f"{path}.input_layernorm"), positions, path, caches[2 * i : 2 * i + 2])
            if text is not None:
                x = torch.cat([x[:-1], x[-1:] + self._listen(x[-1:], positions[-1:], text, f"{path}.audio_text_attn")])
            y = self._norm(x, f"{path}.post_attention_layernorm")
            gate, up, down = (self._weights.matrix(f"{path}.mlp.{name}_proj.weight") for name in ("gate", "up", "down"))
            x = x + (functional.silu(y @ gate.T) * (y @ up.T)) @ down.T
        return self._norm(x, norm)

    def _norm(self, x: Tensor, path: str) -> Tensor:
        wide = x.float()
        size = wide.pow(2).mean(-1, keepdim=True) + self.info.llama.rms_norm_eps
        return self._weights.get(f"{path}.weight") * (wide * torch.rsqrt(size)).to(x.dtype)

    def _attend(self, x: Tensor, positions: Array, path: str, caches: Row) -> Tensor:
        """[T, hidden] -> what to add to it; its keys and values are in the caches afterwards."""
        sizes, path = self.info.llama, f"{path}.self_attn"
        heads, size = sizes.heads, sizes.head_size
        q, k, v = (x @ matrix.T for matrix in self._weights.joined(*(f"{path}.{name}_proj.weight" for name in "qkv")))
        q = self._turn(q.view(-1, heads, size), positions)
        k, v = self._turn(k.view(-1, sizes.kv_heads, size), positions), v.view(-1, sizes.kv_heads, size)
        for cache, new in zip(caches, (k, v), strict=True):
            cache[:, positions] = _host(new.transpose(0, 1))
        keys, values = (torch.from_numpy(np.ascontiguousarray(cache)).to(x.dtype) for cache in caches)
        keys, values = (held.repeat_interleave(heads // sizes.kv_heads, 0) for held in (keys, values))
        unseen = torch.arange(keys.shape[1]) > torch.from_numpy(positions)[:, None]
        scores = (q.transpose(0, 1) @ keys.transpose(1, 2)) * size**-0.5
        shares = torch.softmax(scores.float().masked_fill(unseen, -math.inf), -1).to(x.dtype)
        mixed = (shares @ values).transpose(0, 1).reshape(len(positions), -1)
        return mixed @ self._weights.matrix(f"{path}.o_proj.weight").T

    def _listen(self, last: Tensor, position: Array, text: tuple[Array, Array, Array], path: str) -> Tensor:
        """``last`` [1, hidden] -> what it hears in its window of text."""
        ids, positions, length = text
        sizes, held = self.info.llama, self._weights
        window = held.get("text_to_audio_proj.weight")[torch.from_numpy(ids)]
        keys, values = held.joined(f"{path}.k_proj.weight", f"{path}.v_proj.weight")
        q = self._turn((last @ held.matrix(f"{path}.q_proj.weight").T).view(1, sizes.heads, -1), position)
        k = self._turn((window @ keys.T).view(len(ids), sizes.heads, -1), positions)
        scores = torch.einsum("qhd,khd->hqk", q, k) * sizes.head_size**-0.5
        unheard = torch.arange(len(ids)) >= int(length)
        shares = torch.softmax(scores.float() + unheard * -1e30, -1).to(last.dtype)
        v = (window @ values.T).view(len(ids), sizes.heads, -1)
        mixed = torch.einsum("hqk,khd->qhd", shares, v).reshape(1, -1)
        return mixed @ held.matrix(f"{path}.o_proj.weight").T

    def _turn(self, x: Tensor, positions: Array) -> Tensor:
        """``x`` [T, heads, head_size], rotated."""
        half = x.shape[-1] // 2
        angles = torch.from_numpy(positions).float()[:, None] * inverse_frequencies(self.info.llama.rope, 2 * half)
        cos, sin = (torch.cat([f(angles)] * 2, -1)[:, None].to(x.dtype) for f in (torch.cos, torch.sin))
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def open_plain(info: ModelInfo, tensors: TensorSource, precision: str, checkpoint: Path) -> PlainRuntime:
    """For replays. Pictures are encoded in the precision, by PyTorch, since what they lose comes into the prompt."""
    vision = TorchRuntime(checkpoint, None, Device("cpu", TYPES[precision]), info)
    return PlainRuntime(info, tensors, precision, vision)


def inverse_frequencies(rope: Rope, head_size: int) -> Tensor:
    """[head_size / 2], radians a position, one after the other as Llama 3.1 describes them."""
    found = []
    for i in range(0, head_size, 2):
        frequency = rope.theta ** (-i / head_size)
        wave = 2 * math.pi / frequency
        if rope.factor != 1 and wave > rope.original_positions / rope.low_freq_factor:
            frequency /= rope.factor
        elif rope.factor != 1 and wave > rope.original_positions / rope.high_freq_factor:
            share = (rope.original_positions / wave - rope.low_freq_factor) / (
                rope.high_freq_factor - rope.low_freq_factor
            )
            frequency = (1 - share) * frequency / rope.factor + share * frequency
        found.append(frequency)
    return torch.tensor(found, dtype=torch.float32)


class _PlainSession:
    def __init__(self, run: Callable[..., dict[str, Array]]) -> None:
        self._run = run

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        with torch.inference_mode():
            return self._run(inputs, caches)


class _Weights:
    """A checkpoint's tensors in a precision. Of 8 bits, those that an engine keeps so."""

    def __init__(self, tensors: TensorSource, precision: str) -> None:
        self.dtype = TYPES[precision]
        self._tensors, self._codes = tensors, precision if precision in CODES else None
        self._kept: dict[Any, Tensor] = {}

    def get(self, name: str) -> Tensor:
        """As the checkpoint has it, in the type."""
        return self._keep(name, lambda: self._tensors.get(name))

    def joined(self, *names: str) -> list[Tensor]:
        """Matrices [outputs, inputs] that stand side by side in an engine."""
        shapes = self._tensors.shapes()
        size = sum(math.prod(shapes[name]) for name in names)
        return [self._matrix(name, partial(self._rounded, size=size)) for name in names]

    def matrix(self, name: str, rows: Sequence[int] | None = None, by_column: bool = False) -> Tensor:
        """[outputs, inputs], or some of its rows; ``by_column``: a table [inputs, outputs] that a product reads."""

        def rounded(whole: Array) -> Array:
            chosen = whole if rows is None or len(rows) == len(whole) else whole[list(rows)]
            return self._rounded(chosen.T, chosen.size).T if by_column else self._rounded(chosen, chosen.size)

        return self._matrix(name, rounded, changes=rows is not None)

    def _matrix(self, name: str, rounded: Callable[[Array], Array], changes: bool = False) -> Tensor:
        """Apart from the tensor as it is, where it is not that."""
        if self._codes is None and not changes:
            return self.get(name)
        return self._keep((name, "matrix"), lambda: rounded(self._tensors.get(name)))

    def _rounded(self, matrix: Array, size: int) -> Array:
        """[outputs, inputs]; ``size``: of what an engine has it in."""
        if self._codes is None or size < FEWEST_WEIGHTS:
            return matrix
        steps = scales(matrix.T, self._codes, "bf16").astype(np.float32)
        rounded: Array = (codes_of(matrix.T, steps, self._codes).astype(np.float32) * steps).T
        return rounded

    def _keep(self, key: Any, read: Callable[[], Array]) -> Tensor:
        if key not in self._kept:
            self._kept[key] = torch.from_numpy(np.array(read(), np.float32)).to(self.dtype)
        return self._kept[key]


def _host(tensor: Tensor) -> Array:
    found: Array = tensor.float().numpy()
    return found
