from __future__ import annotations

import math

import pytest
import table_bench
import torch
from torch import nn

from compressdefect.data.synthetic.plates import plates
from compressdefect.models.inspector import Inspector


def test_synflow_of_a_linear_layer_is_the_sum_of_its_absolute_weights() -> None:
    layer = nn.Linear(4, 2)
    network = Inspector.from_statistics(nn.Sequential(nn.Flatten(), layer), [0.0], [1.0])
    expected = math.log(sum(float(p.detach().abs().sum()) for p in layer.parameters()))
    assert table_bench._synflow(network, (1, 2, 2)) == pytest.approx(expected, rel=1e-6)


def test_plates_are_validated_on_fresh_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_bench, "FRESH_PLATES", 4)
    monkeypatch.setattr(table_bench, "plates", lambda some=20, good=20, seed=0: plates(some, good, seed=seed))
    data = table_bench.load("synthetic", "")
    images = data.images[table_bench.SIDE]
    assert len(data.val) == 4
    assert len(images) == len(data.train) + 4
    assert torch.bincount(torch.from_numpy(images.labels[data.val])).tolist() == [2, 2]
    assert data.images[table_bench.HALF].shape[1:] == (table_bench.HALF, table_bench.HALF)
