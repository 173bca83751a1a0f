"""Networks train through the operators that are written for export."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stream_omni.networks.convolution import Conv, TransposedConv
from stream_omni.networks.operators import constant, reshape


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


def test_reshape_and_constants_pass_gradients():
    x = torch.randn(2, 3, 8, requires_grad=True)
    y = reshape(x, 0, 0, 4, -1) * constant(torch.tensor([2.0, 3.0]), like=x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([2.0, 3.0]).repeat(4).expand(2, 3, 8))
