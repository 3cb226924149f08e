"""What a threshold makes of a model's answer; a line needs nothing else to decide, so this imports numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def defect_scores(probabilities: NDArray[np.floating], good: int) -> NDArray[np.float64]:
    """Score images by 1 − p(good): probabilities (n, K) → (n,)."""
    return 1.0 - probabilities[:, good].astype(np.float64)


def rejected(scores: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Which parts are called defective."""
    return scores > threshold
