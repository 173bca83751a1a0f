"""The two best of a large head's logits, exactly, while reading a quarter of its weights.

Every row of the head is also kept in 7 bits. A product of small integers screens all rows: with what quantization lost
of the row and of the state, it bounds each logit from above (Cauchy-Schwarz). The rows with the highest bounds are
computed in full precision, and the answer is certain when the second best of them reaches the highest bound of all
others. Where it does not, the caller computes the whole head (:mod:`stream_omni.runtime.screened`).

For CPUs, where a step's time is reading its weights. 7 bits, because older x86 processors add two products of 8 bits in
16, which must not overflow.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stream_omni.weights import Weight, screening_bounds, screening_codes, screening_scales, weight

CANDIDATES = 256  # rows computed in full: a random head of 132,352 rows has 40 within the bounds, a trained one fewer
_STATE_LIMIT, _STATE_ZERO = 127, 128  # of the state's codes, as unsigned bytes
_TINY = 1e-30  # instead of a division by zero


class ScreenedHead(nn.Module):
    def __init__(self, hidden: int, outputs: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.empty(outputs, hidden))
        self.codes = nn.Parameter(torch.empty(hidden, outputs, dtype=torch.int8), requires_grad=False)
        self.scales = nn.Parameter(torch.empty(outputs))
        self.bounds = nn.Parameter(torch.empty(2))  # the largest norms of codes, and of what they lost
        # sums of `hidden` products in any order, once here and once in a whole head, and the arithmetic of the bounds
        self.rounding = (2 * hidden + 8) * 2.0**-24

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``x`` [..., hidden] -> ids and logits of the two best [..., 2], and whether they are certain [...]."""
        size = x.abs().amax(x.dim() - 1, keepdim=True).clamp(min=_TINY) / _STATE_LIMIT
        codes = torch.round(x / size)
        lost, length = _norm(x - codes * size), _norm(x)
        longest, largest_loss = torch.split(self.bounds, 1)
        margin = lost * longest + length * (largest_loss + self.rounding * (longest + largest_loss))
        products = _IntegerProduct.apply((codes + _STATE_ZERO).to(torch.uint8), self.codes)  # type: ignore[no-untyped-call]
        # divided by `size`, which is the same for all rows: a pass less over all of them
        highest, ids = torch.topk((products.to(torch.float32) + margin / size) * self.scales, CANDIDATES + 1, -1)
        candidates = nn.functional.embedding(ids[..., :CANDIDATES], self.rows)  # [..., CANDIDATES, hidden]
        values, places = torch.topk(torch.matmul(candidates, x.unsqueeze(-1)).squeeze(-1), 2, -1)
        return ids.gather(-1, places), values, values[..., 1] >= (highest * size)[..., CANDIDATES]

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        """``source``: the head's path in the checkpoint."""
        name, shape = f"{source}.weight", tuple(self.rows.shape)
        return {
            f"{prefix}.rows": weight(name, *shape),
            f"{prefix}.codes": Weight((name,), (shape,), screening_codes),
            f"{prefix}.scales": Weight((name,), (shape,), screening_scales),
            f"{prefix}.bounds": Weight((name,), (shape,), screening_bounds),
        }


def _norm(x: Tensor) -> Tensor:
    """[..., n] -> [..., 1]. The axis is counted from the front: of no rows, ONNX Runtime reduces no negative axis."""
    return x.square().sum(x.dim() - 1, keepdim=True).sqrt()


class _IntegerProduct(torch.autograd.Function):
    """``x`` uint8 [..., hidden] around _STATE_ZERO, ``codes`` int8 [hidden, outputs] -> int32 [..., outputs]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor) -> Tensor:
        centred = x.to(torch.float64) - _STATE_ZERO  # exact: float64 holds every sum
        return torch.matmul(centred, codes.to(torch.float64)).to(torch.int32)

    @staticmethod
    def symbolic(g: Any, x: Any, codes: Any) -> Any:
        zero = g.op("Constant", value_t=torch.tensor(_STATE_ZERO, dtype=torch.uint8))
        product = g.op("MatMulInteger", x, codes, zero)
        sizes = [*x.type().sizes()[:-1], codes.type().sizes()[1]] if x.type().sizes() else None
        return product.setType(x.type().with_dtype(torch.int32).with_sizes(sizes))
