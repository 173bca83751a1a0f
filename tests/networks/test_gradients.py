"""Networks train through the operators that are written for export."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stream_omni.model_info import LlamaSizes, Rope
from stream_omni.networks.convolution import Conv, TransposedConv
from stream_omni.networks.llama import Block, Stack, rotation
from stream_omni.networks.operators import constant, reshape, scatter
from stream_omni.networks.short_time_fourier import ShortTimeFourier


def test_convolutions_have_gradients():
    x = torch.randn(2, 4, 9, requires_grad=True)
    for network, plain in (
        (Conv(4, 6, 3, stride=2, padding=1), lambda x, w, b: F.conv1d(x, w, b, 2, 1)),
        (TransposedConv(4, 6, 4, stride=2, padding=1), lambda x, w, b: F.conv_transpose1d(x, w, b, 2, 1)),
    ):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
        wanted = [x, network.weight, network.bias]
        ours = torch.autograd.grad(network(x).square().sum(), wanted)
        theirs = torch.autograd.grad(plain(x, network.weight, network.bias).square().sum(), wanted)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other)


def test_the_inverse_transform_passes_gradients_to_the_spectrum():
    transform = ShortTimeFourier(16, 4)
    magnitude, phase = torch.rand(2, 9, 11, requires_grad=True), torch.randn(2, 9, 11, requires_grad=True)
    wanted = [magnitude, phase]
    ours = torch.autograd.grad(transform.synthesise(magnitude, phase).square().sum(), wanted)
    spectrum = torch.polar(magnitude, phase)
    waveform = torch.istft(spectrum, 16, 4, 16, torch.hann_window(16), center=True)
    for one, other in zip(ours, torch.autograd.grad(waveform.square().sum(), wanted), strict=True):
        torch.testing.assert_close(one, other)


def test_reshape_and_constants_pass_gradients():
    x = torch.randn(2, 3, 8, requires_grad=True)
    y = reshape(x, 0, 0, 4, -1) * constant(torch.tensor([2.0, 3.0]), like=x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([2.0, 3.0]).repeat(4).expand(2, 3, 8))


def test_scatter_passes_gradients_to_what_was_written_and_to_what_was_kept():
    tensor, rows = torch.randn(2, 5, 3, requires_grad=True), torch.randn(2, 2, 3, requires_grad=True)
    index = torch.tensor([[[0, 1], [0, 4]], [[1, 0], [1, 2]]])
    kept, weights = tensor.detach().clone(), torch.randn(2, 5, 3)
    written = scatter(tensor, index, rows)
    assert torch.equal(tensor.detach(), kept), "in training, what is written into is read again by the backward pass"
    to_tensor, to_rows = torch.autograd.grad((written * weights).sum(), [tensor, rows])
    torch.testing.assert_close(to_rows, torch.stack([weights[0, [1, 4]], weights[1, [0, 2]]]))
    left = weights.clone()
    left[0, [1, 4]] = left[1, [0, 2]] = 0
    torch.testing.assert_close(to_tensor, left)
    with torch.no_grad():
        assert scatter(kept, index, rows).data_ptr() == kept.data_ptr()


SIZES = LlamaSizes(24, 40, 4, 2, 6, 2, 2, 2, rms_norm_eps=1e-5, rope=Rope(theta=500000.0, factor=8.0))


def without_caches(stack: Stack, x: Tensor) -> Tensor:
    """The same stack over whole sequences [B, T, hidden], with PyTorch's own attention."""
    turned = rotation(torch.arange(x.shape[1])[None], stack.frequencies)
    for block in stack.blocks:
        assert isinstance(block, Block)
        attention = block.attention
        q, k, v = torch.split(attention.qkv(block.attention_norm(x)), attention.outputs, -1)
        q, k = (turned.of(part.unflatten(-1, (-1, SIZES.head_size))).transpose(1, 2) for part in (q, k))
        v = v.unflatten(-1, (-1, SIZES.head_size)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0, enable_gqa=True)
        x = block.feed_forward(x + attention.out(mixed.transpose(1, 2).flatten(2)))
    return x


@pytest.mark.parametrize("cuts", [[9], [4, 9]], ids=["in one run", "in two"])
def test_a_stack_has_the_gradients_of_attention_without_caches(cuts: list[int]):
    torch.manual_seed(0)
    stack = Stack(SIZES, 2)
    for parameter in stack.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(3, 9, 24, requires_grad=True)
    weights, wanted = torch.randn(3, 9, 24), [x, *stack.blocks.parameters()]

    caches, outputs, begin = [torch.zeros(3, 2, 9, 6) for _ in range(4)], [], 0
    for end in cuts:
        y, caches = stack(x[:, begin:end], torch.arange(begin, end).expand(3, -1), caches)
        outputs.append(y)
        begin = end
    ours, theirs = torch.cat(outputs, 1), without_caches(stack, x)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(
        torch.autograd.grad((ours * weights).sum(), wanted),
        torch.autograd.grad((theirs * weights).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
