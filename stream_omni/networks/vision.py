"""The vision encoder: a SigLIP tower that stops before its last layer, and the projector into the language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo, VisionSizes
from stream_omni.networks.linear import Linear
from stream_omni.networks.operators import reshape
from stream_omni.networks.weights import Network, same_names
from stream_omni.weights import Weight, as_matrix, weight

TOWER = "model.vision_tower.vision_tower.vision_model"
PROJECTOR = "model.mm_projector"


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
        heads = self.heads
        qkv = reshape(self.qkv(x), 0, 0, 3 * heads, -1).transpose(1, 2)
        q, k, v = torch.split(qkv, [heads] * 3, 1)  # [B, heads, patches, size]
        mixed = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-1, -2)), -1), v)
        return self.out(reshape(mixed.transpose(1, 2), 0, 0, -1))  # type: ignore[no-any-return]

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
        self.sizes = sizes
        # the patches do not overlap, so their convolution is a product: one that traces on the meta device
        self.patch_embedding = Linear(3 * sizes.patch_size_px**2, sizes.width, bias=True)
        self.position_embedding = nn.Parameter(torch.empty(sizes.patches, sizes.width))
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.widen = Linear(sizes.width, hidden, bias=True)
        self.project = Linear(hidden, hidden, bias=True)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """``pixels`` [B, 3, side, side] -> features [B, patches, width] and their projection [B, patches, hidden]."""
        return self.from_patches(self.patch_embedding(self._patches(pixels)))

    def from_patches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As the whole, from each patch's own features [B, patches, width]."""
        x = x + self.position_embedding
        for layer in self.layers:
            x = layer(x)
        return x, self.project(nn.functional.gelu(self.widen(x)))

    def _patches(self, pixels: Tensor) -> Tensor:
        """[B, patches, 3 * patch * patch], row by row; pixels beyond the last whole patch are left out."""
        patch, side = self.sizes.patch_size_px, self.sizes.side_patches
        whole = pixels[:, :, : side * patch, : side * patch]
        apart = reshape(whole, -1, 3, side, patch, side, patch).permute(0, 2, 4, 1, 3, 5)
        return reshape(apart, -1, side * side, 3 * patch * patch)

    def weights(self) -> dict[str, Weight]:
        sizes, embeddings, hidden = self.sizes, f"{TOWER}.embeddings", self.project.weight.shape[0]
        kernel = (sizes.width, 3, sizes.patch_size_px, sizes.patch_size_px)
        found = {
            "patch_embedding.weight": Weight((f"{embeddings}.patch_embedding.weight",), (kernel,), as_matrix),
            "patch_embedding.bias": weight(f"{embeddings}.patch_embedding.bias", sizes.width),
            "position_embedding": weight(f"{embeddings}.position_embedding.weight", sizes.patches, sizes.width),
        }
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            found |= layer.weights(f"layers.{i}", f"{TOWER}.encoder.layers.{i}")
        found |= self.widen.weights("widen", (f"{PROJECTOR}.0", hidden))
        return found | self.project.weights("project", (f"{PROJECTOR}.2", hidden))
