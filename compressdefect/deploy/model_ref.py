"""What a MODEL argument may be: a run folder, a bundle folder, a genotype.json, one of our designs, or a timm model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compressdefect.deploy.bundle import MANIFEST, Bundle
from compressdefect.errors import CompressDefectError, ModelError
from compressdefect.models.design import Design
from compressdefect.models.designs import made_for, parse_design
from compressdefect.models.family_design import FamilyDesign
from compressdefect.models.graph import Heads
from compressdefect.runs import RunFolder
from compressdefect.space.genotype import Genotype
from compressdefect.train.tasks import task_kind

if TYPE_CHECKING:
    from torch import nn

_LONGEST_PATH = 255  # a longer text is a design with many settings, if anything
_MEAN, _STD = 127.5, 64.0  # of an untrained network's pixels: near enough to unit scale


@dataclass(frozen=True)
class ModelRef:
    """A model and where it came from.

    Attributes:
        name: as it was typed.
        design: what can be built and priced.
        bundle: the trained model, for a bundle or a run.
        run: the run folder that the bundle belongs to.
    """

    name: str
    design: Design
    bundle: Bundle | None = None
    run: RunFolder | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the model can be trained to do: a design of ours and a trained model one thing, a timm model several."""
        return self.design.tasks

    @property
    def trained_input(self) -> tuple[int, int, int] | None:
        """Input (C, H, W) of a trained model."""
        return self.bundle.manifest.input if self.bundle else None

    def classes(self, default: int = 2) -> int:
        """The number of outputs: a trained model's own, else the default."""
        return len(self.bundle.manifest.classes) if self.bundle else default

    def for_task(self, task: str) -> ModelRef:
        """The model made for a task, which an untrained timm model can be for several.

        Raises:
            ModelError: it is made for another task.
        """
        return replace(self, design=made_for(self.design, task))

    def heads(self, classes: int | None = None) -> Heads:
        """What the network answers: a trained model's own, else nameless classes, so many or two."""
        if self.bundle is not None and classes is None:
            return self.bundle.manifest.heads
        names = tuple(f"class {i}" for i in range(classes or self.classes()))
        return dict.fromkeys(task_kind(self.tasks[0]).head_names, names)

    def network(self, *, channels: int, heads: Heads) -> nn.Module:
        """The network from raw pixels to outputs: a bundle's own, or an untrained one of this form."""
        if self.bundle is not None:
            return self.bundle.network()
        from compressdefect.models.inspector import Inspector

        bare = self.design.build(channels=channels, heads=heads)
        return Inspector.from_statistics(bare, [_MEAN] * channels, [_STD] * channels).eval()


def resolve_model(text: str) -> ModelRef:
    """Find the model that a MODEL argument means; files and folders come before designs of the same name.

    Raises:
        ModelError: it is none of the four; the message says what was tried.
        BundleError: it is a damaged bundle.
        RunError: it is a damaged run folder.
    """
    path = _path(text)
    if (path / MANIFEST).is_file():
        run = path.parent if (path.parent / "manifest.json").is_file() else None
        return _trained(text, Bundle.open(path), RunFolder.open(run) if run else None)
    if (path / "manifest.json").is_file():
        run_folder = RunFolder.open(path)
        if not run_folder.best.is_dir():
            searched = run_folder.manifest.get("command") == "search"
            fix = "continue it with --resume" if searched else "train it again"
            raise ModelError("the run has no finished model", got=path, fix=fix)
        return _trained(text, Bundle.open(run_folder.best), run_folder)
    if _is_genotype(path):
        return ModelRef(text, FamilyDesign(text, _genotype(path)))
    try:
        return ModelRef(text, parse_design(text))
    except CompressDefectError as error:
        if path.exists():
            tried = f"no run folder (manifest.json), no bundle ({MANIFEST})"
        elif ":" in text or "@" in text:
            raise
        else:
            tried = "no such folder"
        fix = f"as a design: {error.what}{f'; {error.fix}' if error.fix else ''}; timm's models are timm:NAME"
        raise ModelError(f"no such model: {tried}", got=text, fix=fix) from error


def whole_model(text: str) -> str:
    """A MODEL argument that names a folder or file by its whole path, any other as it is."""
    path = _path(text)
    there = (path / MANIFEST).is_file() or (path / "manifest.json").is_file() or _is_genotype(path)
    return str(path.resolve()) if there else text


def _path(text: str) -> Path:
    return Path(text) if len(text) <= _LONGEST_PATH else Path("no path")


def _is_genotype(path: Path) -> bool:
    return path.suffix == ".json" and path.is_file()


def _genotype(path: Path) -> Genotype:
    try:
        return Genotype.from_json(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ModelError("not a genotype: the file is not JSON", got=path) from error


def _trained(text: str, bundle: Bundle, run: RunFolder | None) -> ModelRef:
    return ModelRef(text, bundle.design(), bundle, run)
