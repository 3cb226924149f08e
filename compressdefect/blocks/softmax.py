"""Softmax over the channels of a map, in operators that stay where the data is.

onnxruntime transposes a map to take a softmax over any axis but the last. On its CPU provider (fp32, 1 thread, an AMD
EPYC with AVX-512) that took 6.3 ms for 2 × 512 × 512 logits, as long as a small network, where a sigmoid of their
difference takes 0.2; for six maps it took 18 ms, where exponentials and their sum take 3.
"""

from __future__ import annotations

import torch
from torch import Tensor


def softmax_maps(logits: Tensor) -> Tensor:
    """Logits → probabilities, (N, K, H, W) both; equal to `logits.softmax(dim=1)` up to rounding."""
    if logits.shape[1] == 2:
        second = (logits[:, 1:] - logits[:, :1]).sigmoid()
        return torch.cat([1 - second, second], dim=1)
    exponentials = (logits - logits.amax(dim=1, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=1, keepdim=True)
