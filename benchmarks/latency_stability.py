"""How well one latency repeats: `python benchmarks/latency_stability.py [MODEL] [REPEATS]`.

Times one exported design again and again with `latency_ms`, and with the plain median of the same number of runs, and
prints how far the repeats lie apart. Run it on an idle machine and on a busy one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from compressdefect.cost.latency import latency_ms, machine, measure
from compressdefect.deploy.export import export_onnx
from compressdefect.deploy.model_ref import resolve_model
from compressdefect.train.classify import Classify


def main(model: str = "lightdefectnet", repeats: int = 10) -> None:
    network = resolve_model(model).network(channels=3, heads={"image": ("a", "b")})
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.onnx"
        start = time.perf_counter()
        export_onnx(network, Classify(("good", "defective")), graph, input_shape=(3, 224, 224))
        print(f"{model}: exported in {time.perf_counter() - start:.1f} s, {machine()}")
        start = time.perf_counter()
        steady, plain = [], []
        for _ in range(repeats):
            steady.append(latency_ms(graph))
            plain.append(measure({model: graph}, min_runs=100, max_seconds=1.0)[0].median_ms)
        seconds = (time.perf_counter() - start) / repeats
    for title, values in (("latency_ms", steady), ("plain median", plain)):
        spread = (max(values) / min(values) - 1) * 100
        deviation = np.std(values) / np.mean(values) * 100
        print(f"{title:13} {np.mean(values):.3f} ms, deviation {deviation:.1f} %, range {spread:.1f} %")
    print(f"{seconds:.1f} s per repeat of both")


if __name__ == "__main__":
    main(*sys.argv[1:2], *(int(count) for count in sys.argv[2:3]))
