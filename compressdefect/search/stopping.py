"""Stopping poor trials early, by thresholds fixed when a trial is submitted.

Optuna's pruners cannot be used: a study with two objectives neither reports nor prunes. A ``StopRule`` is plain data
computed from the trials finished so far, so it needs no messages from a worker process and works with any objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIN_TRIALS = 4
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class StopRule:
    """Thresholds on the best metric so far, by share of training done; without any, nothing is stopped.

    >>> StopRule(((0.5, 0.8),)).stops([(0.25, 0.1)]), StopRule(((0.5, 0.8),)).stops([(0.25, 0.1), (0.5, 0.7)])
    (False, True)
    """

    thresholds: tuple[tuple[float, float], ...] = ()

    def stops(self, curve: Curve) -> bool:
        """Whether a trial with this curve of (share of training done, metric) is worse than it should be by now."""
        if not curve:
            return False
        done = curve[-1][0]
        due = [threshold for share, threshold in self.thresholds if share <= done + 1e-9]
        return bool(due) and _best(curve, done) < due[-1]


def quartile_rule(curves: Sequence[Curve]) -> StopRule:
    """Stop below the lower quartile of finished trials at the same share of training, once there are ``MIN_TRIALS``.

    Not below the median, as is usual: the first trials stay close to a named design that is good already, and half of
    what differs from it would be given up while it is still learning.
    """
    if len(curves) < MIN_TRIALS:
        return StopRule()
    reached = {share: [_best(curve, share) for curve in curves] for share in SHARES}
    return StopRule(tuple((share, float(np.quantile(metrics, 0.25))) for share, metrics in reached.items()))


def _best(curve: Curve, share: float) -> float:
    """The best metric up to a share of training; 0 before the first one."""
    return max((metric for done, metric in curve if done <= share + 1e-9), default=0.0)
