"""Small pictures with boxes, in Pascal VOC's layout: bright spots, dark bars, and nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_voc(root: Path, count: int = 36, side: int = 32, kinds: tuple[str, ...] = ("spot", "bar")) -> Path:
    """Every first picture of each round is good; in the others a defect of each kind lies somewhere, in a box."""
    rng = np.random.default_rng(0)
    (root / "Annotations").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    for number in range(count):
        pixels, objects = rng.integers(60, 180, (side, side), dtype=np.uint8), ""
        if kind := ("", *kinds)[number % (1 + len(kinds))]:
            x, y = rng.integers(1, side - 17, 2)
            pixels[y : y + 16, x : x + 16] = 250 if kind == "spot" else 5
            objects = (
                f"<object><name>{kind}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
                f"<xmax>{x + 16}</xmax><ymax>{y + 16}</ymax></bndbox></object>"
            )
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{number}.png")
        size = f"<size><width>{side}</width><height>{side}</height><depth>1</depth></size>"
        (root / "Annotations" / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.png</filename>{size}{objects}</annotation>"
        )
    return root
