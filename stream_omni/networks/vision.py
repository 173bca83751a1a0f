"""The vision encoder: a SigLIP tower that stops before its last layer, and the projector into the language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo, VisionSizes
from stream_omni.networks.linear import Linear
from stream_omni.networks.operators import reshape
from stream_omni.networks.weights import Network, Weight, same_names

TOWER = "model.vision_tower.vision_tower.vision_model"


class Layer(nn.Module):
    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        width = sizes.width
        self.heads, self.head_size = sizes.heads, width // sizes.heads
        self.layer_norm1 = nn.LayerNorm(width, sizes.layer_norm_eps)
        self.qkv = Linear(width, 3 * width, bias=True)  # 1/sqrt(head size) is folded into the query's part
        self.out = Linear(width, width, bias=True)
        self.layer_norm2 = nn.LayerNorm(width, sizes.layer_norm_eps)
        self.fc1 = Linear(width, sizes.intermediate, bias=True)
        self.fc2 = Linear(sizes.intermediate, width, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, patches, width] -> the same."""
        x = x + self._attend(self.layer_norm1(x))
        hidden = nn.functional.gelu(self.fc1(self.layer_norm2(x)), approximate="tanh")
        return x + self.fc2(hidden)  # type: ignore[no-any-return]

    def _attend(self, x: Tensor) -> Tensor:
        heads, size = self.heads, self.head_size
        qkv = reshape(self.qkv(x), 0, 0, 3 * heads, size).transpose(1, 2)
        q, k, v = torch.split(qkv, [heads] * 3, 1)  # [B, heads, patches, size]
        mixed = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-1, -2)), -1), v)
        return self.out(reshape(mixed.transpose(1, 2), 0, 0, heads * size))  # type: ignore[no-any-return]

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        width, intermediate = self.fc1.weight.shape
        qkv = ((f"{source}.self_attn.{x}_proj", width) for x in "qkv")
        return {
            **same_names(self.layer_norm1, f"{prefix}.layer_norm1.", f"{source}.layer_norm1."),
            **self.qkv.weights(f"{prefix}.qkv", *qkv, first_scale=self.head_size**-0.5),
            **self.out.weights(f"{prefix}.out", (f"{source}.self_attn.out_proj", width)),
            **same_names(self.layer_norm2, f"{prefix}.layer_norm2.", f"{source}.layer_norm2."),
            **self.fc1.weights(f"{prefix}.fc1", (f"{source}.mlp.fc1", intermediate)),
            **self.fc2.weights(f"{prefix}.fc2", (f"{source}.mlp.fc2", width)),
        }


class VisionEncoder(Network):
    """Graph ``vision_encoder``. The reference deletes SigLIP's last layer and takes the last that is left, without the
    final norm; the projector is the "mlp2x_gelu" form."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        sizes, hidden = info.vision, info.llama.hidden
        self.width = sizes.width
        self.patch_embedding = nn.Conv2d(3, sizes.width, sizes.patch_size_px, sizes.patch_size_px)
        self.position_embedding = nn.Parameter(torch.empty(sizes.patches, sizes.width))
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.widen = Linear(sizes.width, hidden, bias=True)
        self.project = Linear(hidden, hidden, bias=True)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """``pixels`` [B, 3, side, side] -> features [B, patches, width] and their projection [B, patches, hidden]."""
        patches = reshape(self.patch_embedding(pixels), 0, self.width, -1).transpose(1, 2)
        x = patches + self.position_embedding
        for layer in self.layers:
            x = layer(x)
        return x, self.project(nn.functional.gelu(self.widen(x)))

    def weights(self) -> dict[str, Weight]:
        embeddings, hidden = f"{TOWER}.embeddings", self.project.weight.shape[0]
        found = same_names(self.patch_embedding, "patch_embedding.", f"{embeddings}.patch_embedding.")
        found["position_embedding"] = Weight(
            (f"{embeddings}.position_embedding.weight",), (tuple(self.position_embedding.shape),)
        )
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            found |= layer.weights(f"layers.{i}", f"{TOWER}.encoder.layers.{i}")
        found |= self.widen.weights("widen", ("model.mm_projector.0", hidden))
        return found | self.project.weights("project", ("model.mm_projector.2", hidden))
