"""The short-time Fourier transform and its inverse as convolutions, because TensorRT parses no DFT."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from stream_omni.networks.convolution import convolve, convolve_transposed
from stream_omni.networks.operators import constant


class ShortTimeFourier:
    """Centred, with a periodic Hann window of ``size``; the signal is reflected at its edges."""

    def __init__(self, size: int, hop: int) -> None:
        self.size, self.hop, self.bins = size, hop, size // 2 + 1
        # float64 until the kernels are complete; on the CPU also where the network is made on the meta device
        window = torch.hann_window(size, periodic=True, dtype=torch.float64, device="cpu")
        bins = torch.arange(self.bins, dtype=torch.float64, device="cpu")[:, None]
        angles = 2 * math.pi / size * bins * torch.arange(size, dtype=torch.float64, device="cpu")
        share = torch.full((self.bins, 1), 2.0 / size, dtype=torch.float64, device="cpu")
        share[0] = share[-1] = 1.0 / size  # every other bin stands for two of the full spectrum
        self.forward_kernel = (torch.cat([angles.cos(), -angles.sin()]) * window).float()[:, None]  # [2 bins, 1, size]
        self.inverse_kernel = (torch.cat([share * angles.cos(), -share * angles.sin()]) * window).float()[:, None]
        self.squared_window = window.square().float()[None, None]  # [1, 1, size]

    def analyse(self, signal: Tensor) -> Tensor:
        """[B, 1, hop * F] to [B, 2 * bins, F + 1], the real parts before the imaginary ones."""
        padded = F.pad(signal, (self.size // 2, self.size // 2), mode="reflect")
        return convolve(padded, constant(self.forward_kernel, like=signal), stride=self.hop)

    def synthesise(self, magnitude: Tensor, phase: Tensor) -> Tensor:
        """[B, bins, F + 1] each to [B, 1, hop * F]: windowed frames, added with overlap, over the sum of the squared
        windows."""
        spectrum = torch.cat([magnitude * phase.cos(), magnitude * phase.sin()], dim=1)
        overlap = torch.ones_like(magnitude[:1, :1])
        return self._add(spectrum, self.inverse_kernel) / self._add(overlap, self.squared_window)

    def _add(self, frames: Tensor, kernel: Tensor) -> Tensor:
        return convolve_transposed(frames, constant(kernel, like=frames), stride=self.hop, padding=self.size // 2)
