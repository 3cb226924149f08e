"""NetScore: one figure for accuracy, size and work (Wong, 2018, arXiv:1806.05512)."""

from __future__ import annotations

import math


def netscore(
    accuracy: float,
    params: int,
    macs: int,
    latency_ms: float | None = None,
    *,
    alpha: float = 2.0,
    beta: float = 0.5,
    gamma: float = 0.5,
    delta: float = 0.0,
) -> float:
    """Ω = 20·log10(a^α / (p^β · m^γ · t^δ)), a in percent, p in millions, m in billions of macs, t in ms.

    The base of the logarithm is 10; the latency term is this project's and off by default (δ = 0). A metric of 0
    scores minus infinity; a network without parameters or macs counts as having one.

    Args:
        accuracy: the task's metric as a fraction in [0, 1].
        params: trainable parameters.
        macs: multiply-accumulates of one sample.
        latency_ms: measured latency of one sample; needed when `delta` is not 0.
        alpha: weight of the metric.
        beta: weight of the parameters.
        gamma: weight of the macs.
        delta: weight of the latency.

    >>> round(netscore(0.982, 770_000, 46_500_000), 2)
    94.15
    """
    assert not delta or latency_ms is not None, "a latency exponent needs a latency"
    if accuracy <= 0:
        return -math.inf
    score = alpha * math.log10(100 * accuracy)
    score -= beta * math.log10(max(params, 1) / 1e6) + gamma * math.log10(max(macs, 1) / 1e9)
    if delta and latency_ms is not None:
        score -= delta * math.log10(max(latency_ms, 1e-6))
    return 20 * score
