"""Latency of ONNX graphs on onnxruntime's CPU provider, in milliseconds per sample.

What is timed is ``session.run`` on random pixels, input and output copies included, after a warm-up. Every session has
all graph optimisations, a fixed number of intra-op threads, one inter-op thread, and stops spinning as soon as a run
returns: otherwise the idle threads of one model would take a core from the next. Denormals are computed as such,
because onnxruntime's switch for them changes the calling thread for good; no untrained design made any.

Models are measured in turns of a few runs, one untimed, and the order rotates from round to round, so that a slow
minute of a shared machine hits all of them alike.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compressdefect.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime

_DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


@dataclass(frozen=True)
class LatencyRow:
    """One model at one batch size and thread count; times are per sample."""

    name: str
    batch: int
    threads: int
    median_ms: float
    p95_ms: float
    runs: int


def measure(
    models: Mapping[str, Path],
    *,
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    warmup: int = 20,
    min_runs: int = 50,
    max_seconds: float = 10.0,
) -> list[LatencyRow]:
    """Time several graphs side by side: one row per threads, batch and model, in this order.

    ``min_runs`` timed runs of every model are always made; from then on the turns continue until ``max_seconds`` per
    model have gone by, at most ten times as many.

    Raises:
        ModelError: a graph cannot be loaded, or does not take one image tensor of fixed size.
    """
    rows = []
    for count in threads:
        sessions = {name: open_session(path, threads=count) for name, path in models.items()}
        for batch in batches:
            runners = {name: _runner(session, batch) for name, session in sessions.items()}
            times = interleave(runners, warmup=warmup, min_runs=min_runs, max_seconds=max_seconds * len(runners))
            rows += [summarise(name, batch, count, seconds) for name, seconds in times.items()]
    return rows


def latency_ms(path: Path, *, batch: int = 1, threads: int = 1, seconds: float = 1.2, min_runs: int = 30) -> float:
    """Latency of one graph per sample, steady enough to decide on while others use the machine.

    The lower quartile of all runs in ``seconds``, and of at least ``min_runs``. On a quiet machine it is 1–2 % below
    the median. On a busy one the median itself jumps, to several times its value once half of the runs are
    interrupted; the quartile then still repeats within a standard deviation of 3–5 %, where the minimum would rest on
    a few lucky runs. ``benchmarks/latency_stability.py`` measures this. What no estimate can remove is a core that is
    slower for minutes, so a budget needs a margin.

    Raises:
        ModelError: the graph cannot be loaded.
    """
    run = _runner(open_session(path, threads=threads), batch)
    _timed(run, 5)
    times, end = _timed(run, min_runs), time.perf_counter() + seconds
    while time.perf_counter() < end:
        times += _timed(run, 5)
    return float(np.quantile(times, 0.25)) * 1e3 / batch


def machine() -> dict[str, Any]:
    """What a latency depends on besides the model: CPU, cores, runtime and its settings, and the last minute's load.

    A load average above the number of cores means that the figures are not to be trusted: a long run is then
    interrupted more often than a short one, which flatters small models beside large ones.
    """
    import onnxruntime

    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "provider": "CPUExecutionProvider",
        "graph_optimization": "all",
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def instructions() -> tuple[str, ...]:
    """What this CPU has of the instructions that int8 kernels are written for, by the names that Linux gives them.

    Without one of the last four, products of bytes are added in 16 bits and can saturate.
    """
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.is_file() else set()
    return tuple(
        name for name in ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp") if name in flags
    )


def open_session(graph: Path | bytes, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """Load a graph for the CPU as every figure of this package is measured: see the module's header.

    Raises:
        ModelError: the file is missing or is not a graph onnxruntime can run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own exception types share no public base class
        name = "the graph" if isinstance(graph, bytes) else graph
        raise ModelError(f"onnxruntime cannot load {name}", got=str(error).splitlines()[0]) from error


def interleave(
    runners: Mapping[str, Callable[[], object]], *, warmup: int, min_runs: int, max_seconds: float, turn: int = 5
) -> dict[str, list[float]]:
    """Run several functions in turns of ``turn`` timed calls; return each one's seconds.

    Every turn starts with one untimed call, since the model before it has just emptied the caches. At least
    ``min_runs`` timed calls each, whatever the time.
    """
    for run in runners.values():
        _timed(run, warmup)
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    end = time.perf_counter() + max_seconds
    for done, order in enumerate(_rotations(list(runners), rounds=10 * math.ceil(min_runs / turn))):
        if done * turn >= min_runs and time.perf_counter() >= end:
            break
        for name in order:
            runners[name]()
            seconds[name] += _timed(runners[name], turn)
    return seconds


def summarise(name: str, batch: int, threads: int, seconds: Sequence[float]) -> LatencyRow:
    """Median and 95th percentile of whole runs, divided by the batch."""
    per_sample = np.asarray(seconds) * 1e3 / batch
    return LatencyRow(
        name, batch, threads, float(np.median(per_sample)), float(np.quantile(per_sample, 0.95)), len(seconds)
    )


def _rotations(names: list[str], rounds: int) -> Iterator[list[str]]:
    for first in range(rounds):
        cut = first % len(names)
        yield names[cut:] + names[:cut]


def _timed(run: Callable[[], object], times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def _runner(session: onnxruntime.InferenceSession, batch: int) -> Callable[[], object]:
    """One call on a fixed random batch, for a graph with one image input (N, C, H, W)."""
    inputs = session.get_inputs()
    shape = inputs[0].shape[1:]
    if len(inputs) != 1 or inputs[0].type not in _DTYPES or not all(isinstance(size, int) for size in shape):
        got = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
        raise ModelError("a graph to time takes one image tensor of fixed size", got=got)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *shape)).astype(_DTYPES[inputs[0].type])
    return partial(session.run, None, {inputs[0].name: pixels})


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
