"""A bundle: the folder that ships. Graph, weights, card and ``bundle.json`` with the hash of every file.

Nothing of a bundle is loaded before all its listed files are verified, and what is loaded is verified once more as the
bytes in memory. Weights are safetensors and descriptions JSON: opening a bundle never runs code from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from compressdefect.cost.latency import instructions
from compressdefect.deploy.card import render_card
from compressdefect.deploy.manifest import BundleManifest, parse_manifest
from compressdefect.errors import BundleError, RunError
from compressdefect.models.weights import load_weights, weights_of
from compressdefect.runs import atomic_write

if TYPE_CHECKING:
    from torch import nn

    from compressdefect.models.design import Design
    from compressdefect.train.task import Task

MANIFEST, CARD, WEIGHTS = "bundle.json", "card.md", "weights.safetensors"
FP32, INT8 = "fp32.onnx", "int8.onnx"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle."""

    path: Path
    manifest: BundleManifest

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read the manifest and verify every file it lists; files beside them are left alone and never loaded.

        Raises:
            BundleError: there is no bundle here, its manifest is wrong, or a file is missing, changed or elsewhere.
        """
        if not (path / MANIFEST).is_file():
            raise BundleError(f"not a bundle: it has no {MANIFEST}", got=path, fix="give a folder that export wrote")
        bundle = cls(path, parse_manifest(_located(path, MANIFEST).read_bytes(), source=path / MANIFEST))
        for name in bundle.manifest.graphs:
            if name not in bundle.manifest.files:
                raise BundleError("a graph is not among the listed files", got=name)
        for name in bundle.manifest.files:
            with bundle.file(name).open("rb") as file:
                bundle._verify(name, hashlib.file_digest(file, "sha256").hexdigest())
        return bundle

    def file(self, name: str) -> Path:
        """The path of a listed file.

        Raises:
            BundleError: the file is not listed, missing, or a link out of the folder.
        """
        if name not in self.manifest.files:
            raise BundleError(
                f"the bundle {self.path} has no {name}", fix=f"it lists: {', '.join(sorted(self.manifest.files))}"
            )
        return _located(self.path, name)

    def read(self, name: str) -> bytes:
        """The content of a listed file, verified as it is in memory.

        Raises:
            BundleError: the file is not listed, missing or changed.
        """
        content = self.file(name).read_bytes()
        self._verify(name, hashlib.sha256(content).hexdigest())
        return content

    def suits(self, name: str) -> bool:
        """Whether a graph computes on this CPU as it did where it was measured: bytes may saturate on another."""
        made_for = self.manifest.graphs[name].instructions
        return not made_for or made_for == instructions()

    def graph_here(self, say: Callable[[str], None]) -> str:
        """The graph to run: the default one or, where that was made for another CPU, which is said, the float32 one."""
        name = self.manifest.default_graph
        if self.suits(name) or FP32 not in self.manifest.graphs:
            return name
        made_for, here = ", ".join(self.manifest.graphs[name].instructions), ", ".join(instructions()) or "none of them"
        say(f"{name} was made for a CPU with {made_for}, this has {here}: {FP32} takes its place, with its threshold")
        return FP32

    def threshold_of(self, name: str) -> float | None:
        """A graph's own threshold."""
        manifest = self.manifest
        return manifest.threshold if name == manifest.default_graph else manifest.graphs[name].threshold

    def network(self) -> nn.Module:
        """Rebuild the network with its weights: raw pixels (N, C, H, W) → outputs, in evaluation mode.

        Raises:
            BundleError: the weights do not fit the design.
        """
        from compressdefect.models.inspector import Inspector

        manifest = self.manifest
        bare = self.design().build(channels=manifest.input[0], heads=manifest.heads)
        network = Inspector.from_statistics(bare, manifest.preprocessing.mean, manifest.preprocessing.std)
        try:
            load_weights(network, self.read(WEIGHTS))
        except ValueError as error:
            got = shorten(str(error), 200, placeholder=" …")
            raise BundleError("the weights do not fit the design", got=got, fix=f"see {self.path}") from error
        return network.eval()

    def design(self) -> Design:
        """The design that the network was built from.

        Raises:
            ModelError: this release has no such kind of design.
        """
        from compressdefect.models.designs import read_design

        return read_design(self.manifest.design, name=self.manifest.name, input=self.manifest.input[1])

    def task(self) -> Task:
        """The task that the network was trained for, without the aims of that training."""
        from compressdefect.train.tasks import task_kind

        return task_kind(self.manifest.task).on_heads(self.manifest.heads, self.manifest.good)

    def _verify(self, name: str, digest: str) -> None:
        if digest != self.manifest.files[name]:
            raise BundleError(
                f"{name} is not the file that was exported",
                got=f"SHA-256 {digest[:12]}… where {MANIFEST} has {self.manifest.files[name][:12]}…",
                fix=f"copy {self.path} again, or export the model again",
            )


def write_bundle(
    folder: Path,
    manifest: BundleManifest,
    *,
    network: nn.Module,
    graphs: Mapping[str, Path],
    extras: Mapping[str, str | bytes] | None = None,
) -> Bundle:
    """Write a bundle in one step: a reader sees the old folder or the whole new one, and a failure leaves the old.

    Args:
        folder: where it goes; an older bundle there is replaced.
        manifest: the description; its ``files`` are filled in here.
        network: the network whose weights ship.
        graphs: ONNX files by the name they get, ``fp32.onnx`` among them.
        extras: further files by name, such as a copy of ``split.json``.

    Raises:
        BundleError: the folder holds something that is not a bundle.
        RunError: the disk is full or read-only.
    """
    assert set(manifest.graphs) == set(graphs), "every graph ships with its figures"
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError("the folder is in use and not a bundle", got=folder, fix="choose another folder")
    contents: dict[str, str | bytes] = {CARD: render_card(manifest), WEIGHTS: weights_of(network), **(extras or {})}
    contents |= {name: path.read_bytes() for name, path in graphs.items()}
    digests = {name: hashlib.sha256(_bytes(content)).hexdigest() for name, content in sorted(contents.items())}
    manifest = BundleManifest.model_validate({**manifest.model_dump(), "files": digests})
    with _replacing(folder) as draft:
        for name, content in contents.items():
            atomic_write(draft / name, content)
        atomic_write(draft / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    return Bundle(folder, manifest)


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A hidden folder beside the real one that takes its place when the body ends well."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise RunError(
            f"cannot write {folder}", got=error.strerror, fix="free space or choose another folder"
        ) from error
    try:
        yield draft
        draft.chmod(0o755)
        _swap(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _swap(draft: Path, folder: Path) -> None:
    """Rename the draft to the folder; an older folder steps aside first and comes back if that fails."""
    old = draft.with_name(f"{draft.name}.old")
    try:
        if folder.exists():
            folder.rename(old)
        try:
            draft.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    except OSError as error:
        raise RunError(f"cannot replace {folder}", got=error.strerror, fix="choose another folder") from error
    shutil.rmtree(old, ignore_errors=True)


def _located(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{name} is a link out of the bundle", got=path, fix="ship the file itself")
    if not path.is_file():
        raise BundleError(f"the bundle lacks {name}", got=folder, fix="copy it again, or export the model again")
    return path


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
