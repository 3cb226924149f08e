from __future__ import annotations

from compressdefect.deploy.bundle import FP32
from compressdefect.deploy.card import render_card
from compressdefect.deploy.manifest import GraphFigures, Reading
from compressdefect.train.segment import Segment

from .conftest import manifest


def test_the_operating_point_comes_first() -> None:
    card = render_card(manifest())
    sections = [line for line in card.splitlines() if line.startswith("## ")]
    assert sections[0] == "## At the line"
    assert "| test | **4.7 %** | 2.0–5.0 % | **1.2 %** | 0.4–3.0 % | 617 |" in card
    assert "above **0.438**" in card


def test_the_evidence_is_there() -> None:
    card = render_card(manifest(deviations=("groups were not kept together (--group none)",)))
    for expected in (
        "| test | 98.0 % | 96.6–98.9 % | 97.9 % | 617 |",
        "| FLOPs (2 per MAC) | 92.0 M | ≤ 100 M |",
        "| peak activations | 3.00 MiB | – |",
        "| fp32 | 10 | 1 | 0.610 ms | 0.700 ms |",
        "cpu a CPU; cores 2; runtime onnxruntime 1.0",
        "| fingerprint | 0123abcd |",
        "train 164, val 41, test 617",
        "| seed | 3 |",
        "largest difference 3.0e-07 on 64 images",
        "- groups were not kept together",
        "| torch | ",
    ):
        assert expected in card


def test_the_images_of_each_class_and_part_are_counted() -> None:
    parts = {"train": {"good": 100, "scratch": 7}, "test": {"good": 40, "scratch": 3}}
    card = render_card(manifest(data={"name": "plates", "parts": parts}))
    assert "|  | images | good | scratch |" in card
    assert "| train | 107 | 100 | 7 |" in card
    assert "| test | 43 | 40 | 3 |" in card


def test_every_table_is_rectangular() -> None:
    for block in render_card(manifest(data={"name": "a|b"})).split("\n\n"):
        rows = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_what_is_missing_is_said() -> None:
    card = render_card(
        manifest(
            good=None,
            threshold=None,
            metrics={},
            graphs={FP32: GraphFigures(precision="fp32", bytes=1)},
            machine={},
            budgets={},
            data={},
            training={},
        )
    )
    for expected in ("No class is a good part", "Not evaluated.", "Not measured.", "not checked", "untrained"):
        assert expected in card
    assert "not ready to decide" in render_card(manifest(threshold=None))


def test_a_segmentation_shows_its_own_figures() -> None:
    figures = {"n": 40, "dice": 0.812, "interval": [0.75, 0.86], "iou": 0.684, "iou_interval": [0.6, 0.75]}
    figures |= {"macc": 0.95, "accuracy": 0.96, "escape": 0.1, "overkill": None}
    task = Segment(("background", "scratch"))
    says = {"task": task.name, "heads": dict(task.heads), "reading": Reading.of(task), "classes": task.classes}
    card = render_card(manifest(**says, metrics={"test": figures}))
    assert "| test | 81.2 % | 75.0–86.0 % | 68.4 % | 60.0–75.0 % | 95.0 % | 96.0 % | 40 |" in card
    assert "1 − p(`background`) in any pixel is above **0.438**" in card
    assert "float32 (N, K, H, W)" in card
