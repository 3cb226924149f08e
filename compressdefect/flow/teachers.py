"""Who may teach: trained models that answer what their student is asked, and were trained on nothing that judges it."""

from __future__ import annotations

import json

import numpy as np

from compressdefect.deploy.bundle import Bundle
from compressdefect.deploy.model_ref import ModelRef
from compressdefect.deploy.packaging import HEARD
from compressdefect.errors import DataError, ModelError
from compressdefect.flow.prepare import Prepared


def trained_bundle(ref: ModelRef, fix: str = "train it first, and give its run") -> Bundle:
    """What a teacher is built from.

    Raises:
        ModelError: it is not trained; ``fix`` says what to do.
    """
    if ref.bundle is None:
        raise ModelError("a teacher is a trained model", got=ref.name, fix=fix)
    return ref.bundle


def learned_from(bundle: Bundle) -> frozenset[str]:
    """Hashes of the images that a model was trained on, or that it learned of through teachers of its own."""
    if "split.json" not in bundle.manifest.files:
        return frozenset()
    split = json.loads(bundle.read("split.json"))
    return frozenset([*split["train"], *split.get(HEARD, ())])


def check_fits(ref: ModelRef, bundle: Bundle, data: Prepared) -> None:
    """Refuse a teacher that answers another question, or looks at other images.

    Raises:
        ModelError: it does.
    """
    manifest, task = bundle.manifest, data.task
    if (manifest.task, manifest.heads) != (task.name, dict(task.heads)):
        heads = "; ".join(", ".join(names) for names in manifest.heads.values())
        wanted = "; ".join(", ".join(names) for names in task.heads.values())
        fix = f"the images ask it to {task.name} {wanted}"
        raise ModelError(f"{ref.name} cannot teach this", got=f"{manifest.task} {heads}", fix=fix)
    if manifest.input != data.images.shape:
        got, size = ("×".join(map(str, shape)) for shape in (manifest.input, data.images.shape))
        same = manifest.input[0] == data.images.shape[0]
        fix = "give both one --input" if same else "teach with images of as many channels"
        raise ModelError(f"{ref.name} looks at images of {got}, its student at {size}", fix=fix)


def check_leak(ref: ModelRef, bundle: Bundle, data: Prepared) -> None:
    """Refuse a teacher that learned from images, or copies of images, that its student is judged by.

    Raises:
        DataError: it was.
    """
    seen = learned_from(bundle)
    images, split = data.images, data.split
    judged = np.concatenate([split.val, split.test])
    groups = set(images.groups[judged].tolist())
    leaked = [
        index for index, digest in enumerate(images.hashes) if digest in seen and int(images.groups[index]) in groups
    ]
    if leaked:
        raise DataError(
            f"{ref.name} was trained on images that the student is judged by",
            got=f"{len(leaked)}, such as {images.names[leaked[0]]}",
            fix="give both one split, such as --split RUN/split.json of the teacher's run",
        )
