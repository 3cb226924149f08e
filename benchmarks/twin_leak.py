"""How many test images of a folder have a twin that is trained on, by the looks that --group auto compares.

python benchmarks/twin_leak.py FOLDER [--seeds 3] [--group auto]

A twin is confirmed as in ``compressdefect.data.duplicates``. Parts under one fixed camera are all twins by that: there,
the number of groups and the classes of the test part say more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from compressdefect.data.duplicates import MAX_PAIRS, confirmed_pairs, look_of
from compressdefect.data.load import load_images
from compressdefect.data.split import make_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--group", default="auto")
    options = parser.parse_args()

    images = load_images(options.folder, input=32, group=options.group)
    sizes = np.bincount(images.groups)
    print(f"{len(images)} images in {len(sizes)} groups, the largest of {sizes.max()}", *images.remarks, sep="\n")
    looks = [look_of(Image.open(options.folder / name)) for name in images.names]
    hashes = np.array([look.hash for look in looks], dtype=np.uint64)
    pairs = confirmed_pairs(hashes, np.stack([look.thumbnail for look in looks]), limit=MAX_PAIRS)
    if pairs is None:
        raise SystemExit(f"more than {MAX_PAIRS} images look alike in pairs: a fixed view")
    ends = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    for seed in range(options.seeds):
        split = make_split(images, seed=seed)
        tested = np.isin(np.arange(len(images)), split.test)
        torn = ends[tested[ends[:, 0]] != tested[ends[:, 1]]]
        leaks = np.unique(torn[tested[torn]])
        counts = np.bincount(images.labels[split.test], minlength=len(images.classes))
        parts = ", ".join(f"{name} {count}" for name, count in zip(images.classes, counts, strict=True))
        print(f"seed {seed}: {len(split.test)} tested ({parts}), {len(leaks)} of them with a twin in training")


if __name__ == "__main__":
    main()
