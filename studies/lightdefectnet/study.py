"""LightDefectNet's Table 1: accuracy, parameters, operations and latency of six networks on light guide plates.

Source: Xu et al., "High-Throughput, High-Performance Deep Learning-Driven Light Guide Plate Surface Visual Quality
Inspection", 2023, Table 1. The plates are synthetic here; every network is trained from scratch by one recipe with the
same number of image passes on the same split, with three seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compressdefect import api
from compressdefect.study import Context, Results, Row, Table

OURS = "lightdefectnet"
SEARCHED = "search"
PEERS = ("timm:resnet50", "timm:efficientnet_b0", "timm:mnasnet_100", "timm:mobilenetv3_large_100")
SEEDS = (0, 1, 2)
EPOCHS = 100  # the paper's
SEARCH_MINUTES = 20
BUDGET_FLOPS = "100M"
BATCH, THREADS, CLASSES, INPUT, CHANNELS = 10, 1, 2, 224, 3

# Table 1 of the paper: accuracy %, params M, FLOPs M, ms a sample at batch 10 on a 2.26 GHz ARM v8.2 core.
PAPER = {
    OURS: (98.2, 0.77, 93, 10),
    "timm:resnet50": (92.8, 25.6, 8200, 83),
    "timm:efficientnet_b0": (98.0, 5.3, 780, 88),
    "timm:mnasnet_100": (89.4, 3.9, 630, 89),
    "timm:mobilenetv3_large_100": (97.8, 5.4, 438, 56),
}


def rows(share: float) -> list[Row]:
    """The cheap rows first, then one row for each network and seed, the slow networks last."""
    epochs = max(1, round(EPOCHS * share))
    models = (OURS, SEARCHED, *reversed(PEERS))
    return [
        Row("cost", _cost),
        Row("search", lambda context: _search(context, share)),
        Row("latency", _latency),
        *(Row(f"train-{_slug(m)}-seed{s}", _Training(m, s, epochs)) for s in SEEDS for m in models),
    ]


class _Training:
    """One network, one seed."""

    def __init__(self, model: str, seed: int, epochs: int) -> None:
        self.model, self.seed, self.epochs = model, seed, epochs

    def __call__(self, context: Context) -> Mapping[str, Any]:
        result = api.train(
            _resolve(self.model, context.results),
            data=context.data or "synthetic",
            epochs=self.epochs,
            seed=self.seed,
            split=_split_file(context),
            val_share=0,  # nothing is decided: the recipe and the epochs are fixed
            peers="none",
            run_dir=context.new_folder(f"{_slug(self.model)}-seed{self.seed}"),
        )
        return {"model": self.model, "seed": self.seed, "epochs": self.epochs, **result}


def _search(context: Context, share: float) -> Mapping[str, Any]:
    minutes = max(3.0, SEARCH_MINUTES * share)
    found = api.search(
        data=context.data or "synthetic",
        budget_flops=BUDGET_FLOPS,
        time=f"{minutes:g}m",
        seed=0,
        run_dir=context.new_folder("search"),
    )
    if found["status"] == "stopped":
        raise KeyboardInterrupt
    return {"minutes": minutes, **found}


def _cost(context: Context) -> Mapping[str, Any]:
    """With two outputs, as trained here, and with 1000, as the paper counted the peers."""
    return {
        "two": api.cost([OURS, *PEERS], input=INPUT, channels=CHANNELS, classes=CLASSES)["models"],
        "thousand": api.cost(PEERS, input=INPUT, channels=CHANNELS, classes=1000)["models"],
    }


def _latency(context: Context) -> Mapping[str, Any]:
    """All networks untrained (latency does not depend on the weights' values), in one interleaved run."""
    models = [OURS, *PEERS, _resolve(SEARCHED, context.results)]
    return api.benchmark(models, input=INPUT, batch=str(BATCH), threads=str(THREADS))


def _resolve(model: str, results: Results) -> str:
    """The searched design is named by its search's run folder; it is built anew from its genotype."""
    return model if model != SEARCHED else f"{results['search']['run']}/best/genotype.json"


def _split_file(context: Context) -> Path | None:
    """The search's split, so that every row trains and tests on the same images."""
    found = context.results.get("search")
    return Path(found["run"]) / "split.json" if found else None


def _slug(model: str) -> str:
    return model.removeprefix("timm:")


def tables(results: Results, share: float) -> list[Table]:
    """Table 1 as measured beside the paper's, and the ratios."""
    return [_table_1(results, share), _ratios(results)]


def measurements(results: Results) -> dict[str, float]:
    """What ``expected.json`` speaks of, as far as it was measured."""
    found: dict[str, float] = {}
    for model in (m for m in _costs(results, "two") if m["model"] == OURS):
        found |= {f"{OURS} params": model["params"], f"{OURS} flops": model["flops"]}
    for model in _costs(results, "thousand"):
        name = _slug(model["model"])
        found[f"{name} params, 1000 classes"] = model["params"]
        found[f"{name} flops, 1000 classes"] = model["flops"]
    ours = _latency_ms(results, OURS)
    for peer in PEERS:
        theirs = _latency_ms(results, peer)
        if ours is not None and theirs is not None:
            found[f"latency ratio {_slug(peer)}"] = theirs / ours
    return found


def _table_1(results: Results, share: float) -> Table:
    header = [
        "network",
        "test accuracy, %",
        "95 % interval of each seed",
        "params, M",
        "FLOPs, M",
        f"ms an image, batch {BATCH}",
        "paper: accuracy, params, FLOPs, ms",
    ]
    cells = [
        [
            model,
            _accuracy(_trained(results, model)),
            _intervals(_trained(results, model)),
            *_cost_cells(results, model),
            _cell(_latency_ms(results, model), 1, 2),
            _paper(model),
        ]
        for model in (OURS, SEARCHED, *PEERS)
    ]
    epochs = next((row["epochs"] for row in results.values() if "epochs" in row), "no")
    seeds = ", ".join(map(str, SEEDS))
    title = f"Table 1 at share {share:g}: {epochs} epochs from scratch, seeds {seeds}, {THREADS} thread"
    return Table(title, header, cells)


def _trained(results: Results, model: str) -> list[Mapping[str, Any]]:
    found = [row for key, row in results.items() if key.startswith(f"train-{_slug(model)}-seed")]
    return sorted(found, key=lambda row: row["seed"])


def _accuracy(trained: list[Mapping[str, Any]]) -> str:
    values = [100 * row["test"]["accuracy"] for row in trained]
    if not values:
        return "unfinished"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread} ({len(values)} of {len(SEEDS)} seeds)"


def _intervals(trained: list[Mapping[str, Any]]) -> str:
    spans = [row["test"]["interval"] for row in trained]
    return ", ".join(f"{100 * low:.1f}–{100 * high:.1f}" for low, high in spans) or "unfinished"


def _cost_cells(results: Results, model: str) -> list[str]:
    """At three channels; the searched design at those of its data, as its search printed them."""
    row = _cost_row(results, model)
    return ["unfinished"] * 2 if row is None else [_cell(row["params"], 1e6, 2), _cell(row["flops"], 1e6, 0)]


def _cost_row(results: Results, model: str) -> Mapping[str, Any] | None:
    if model == SEARCHED:
        return results["search"]["best"] if SEARCHED in results else None
    return next((row for row in _costs(results, "two") if row["model"] == model), None)


def _costs(results: Results, outputs: str) -> list[Mapping[str, Any]]:
    return list(results["cost"][outputs]) if "cost" in results else []


def _latency_ms(results: Results, model: str) -> float | None:
    if "latency" not in results:
        return None
    name = _resolve(model, results)
    return next((float(row["median_ms"]) for row in results["latency"]["rows"] if row["model"] == name), None)


def _cell(value: float | None, unit: float, digits: int) -> str:
    return "unfinished" if value is None else f"{value / unit:.{digits}f}"


def _paper(model: str) -> str:
    return ", ".join(f"{value:g}" for value in PAPER[model]) if model in PAPER else "not in it"


def _ratios(results: Results) -> Table:
    """How many times more a peer needs than LightDefectNet, here and in the paper."""
    cells = []
    for peer in PEERS:
        for quantity, column in (("params", 1), ("flops", 2), ("latency", 3)):
            here = _ratio(results, peer, quantity)
            paper = f"{PAPER[peer][column] / PAPER[OURS][column]:.1f}×"
            cells.append([peer, quantity, "unfinished" if here is None else f"{here:.1f}×", paper])
    title = f"Ratios to lightdefectnet ({CLASSES} outputs; the paper counted its peers with 1000)"
    return Table(title, ["network", "quantity", "here", "paper"], cells)


def _ratio(results: Results, peer: str, quantity: str) -> float | None:
    if quantity == "latency":
        theirs, ours = _latency_ms(results, peer), _latency_ms(results, OURS)
    else:
        rows = [_cost_row(results, model) for model in (peer, OURS)]
        theirs, ours = (None if row is None else float(row[quantity]) for row in rows)
    return theirs / ours if theirs and ours else None
