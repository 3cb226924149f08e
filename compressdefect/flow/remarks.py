"""What the user should know of the data before a training: what is left out, lacking, or flatters the figures."""

from __future__ import annotations

import numpy as np

from compressdefect import units
from compressdefect.data.images import Images
from compressdefect.data.labels import perhaps_good
from compressdefect.data.split import Split
from compressdefect.options import SearchOptions, SplitOptions
from compressdefect.train.task import Task

LARGE_SHARE = 0.6  # of one class among the images


def remarks(split: Split, images: Images, task: Task, options: SplitOptions) -> list[str]:
    """One line for each thing that the figures would not tell."""
    found = [*images.remarks]
    alike = int(np.isin(images.groups[split.left_out], images.groups[split.test]).sum())
    if alike:
        found.append(f"left out of the training because they resemble test images: {alike}")
    if others := len(split.left_out) - alike:
        found.append(f"neither trained nor tested on, as the split has it: {others}")
    for part, indices in (("training", split.train), ("validation", split.val), ("test", split.test)):
        lacking = task.absent(images, indices) if len(indices) else []
        if lacking:
            found.append(f"no {part} image shows {', '.join(lacking)}")
    if split.group == "none":
        found.append("duplicates and near duplicates were not kept together: test figures may be too good")
    if images.good is None and (names := perhaps_good(images.classes)):
        found.append(f"no class is taken as the good one; if one is, name it: --good {names[0]}")
    if isinstance(options, SearchOptions) and options.metric is None and task.metric == "accuracy":
        found += _one_large_class(images)
    return found


def _one_large_class(images: Images) -> list[str]:
    counts = np.bincount(images.labels, minlength=len(images.classes))
    share = counts.max() / len(images)
    if len(counts) == 1 or share <= LARGE_SHARE:
        return []
    return [
        f"{units.percent(share)} of the images are {images.classes[counts.argmax()]}: accuracy favours a model that"
        " answers nothing else, --metric balanced_accuracy counts all classes alike"
    ]
