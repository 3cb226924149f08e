"""How long `data check` takes on N generated files, and how much memory.

python benchmarks/data_check.py [--files 100000] [--side 128] [--keep FOLDER]

Two classes of plain pictures as JPEG and PNG in turn; of each hundred one is a copy, two are near copies and one is
damaged. The files are written to a temporary folder first; their writing is not timed.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--keep", type=Path, help="generate into this folder, or use what is there, and keep it")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        root = options.keep or Path(temporary) / "data"
        if not root.is_dir():
            generate(root, options.files, options.side)
        command = [sys.executable, "-m", "compressdefect.cli", "data", "check", str(root), "--json"]
        command += ["--html", f"{temporary}/page.html"]
        start = time.perf_counter()
        done = subprocess.run(
            [*map(str, command), "--html", f"{temporary}/page.html"], stdout=subprocess.PIPE, check=True
        )
        wall_s = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(done.stdout)
    kinds = Counter(finding["kind"] for finding in result["findings"])
    print(f"{result['images']} images in {wall_s:.1f} s ({result['images'] / wall_s:.0f} images/s)")
    print(f"processor time {usage.ru_utime + usage.ru_stime:.1f} s, peak memory {usage.ru_maxrss / 2**10:.0f} MiB")
    print("found:", ", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "nothing")


def generate(root: Path, count: int, side: int) -> None:
    """Write ``count`` files into two class folders."""
    rng = np.random.default_rng(0)
    folders = [root / "good", root / "defective"]
    for folder in folders:
        folder.mkdir(parents=True)
    last = b""
    for number in range(count):
        place = number % 100
        if place not in (1, 2, 3):
            pixels = picture(rng, side)
        if place in (2, 3):
            pixels = np.clip(pixels * 0.9 + 12, 0, 255).astype(np.uint8)
        content = last if place == 1 else encode(pixels, "PNG" if number // 100 % 2 else "JPEG")
        last = content
        name = f"{number:07}.{'png' if number // 100 % 2 else 'jpg'}"
        (folders[number % 10 == 9] / name).write_bytes(content[: len(content) // 2] if place == 50 else content)


def picture(rng: np.random.Generator, side: int) -> np.ndarray:
    """A random smooth pattern with noise, uint8 (side, side)."""
    coarse = Image.fromarray(rng.integers(40, 216, (9, 9), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(np.int16)
    return np.clip(smooth + rng.integers(-6, 7, (side, side)), 0, 255).astype(np.uint8)


def encode(pixels: np.ndarray, format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=format)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
