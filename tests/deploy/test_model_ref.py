from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from compressdefect.deploy.bundle import FP32, Bundle, write_bundle
from compressdefect.deploy.model_ref import resolve_model
from compressdefect.errors import BundleError, CompressDefectError, ModelError
from compressdefect.models.designs import parse_design
from compressdefect.models.inspector import Inspector
from compressdefect.runs import RunFolder

from .conftest import DESIGN, MEAN, SHAPE, STD, manifest


def _run(folder: Path, bundle: Bundle | None = None) -> Path:
    run = RunFolder.create(folder, "search", {"command": "search"})
    if bundle is not None:
        shutil.copytree(bundle.path, run.best)
    return run.path


def test_a_design() -> None:
    found = resolve_model("lightdefectnet@0.5")
    assert (found.name, found.bundle, found.trained_input, found.classes()) == ("lightdefectnet@0.5", None, None, 2)
    assert found.design == parse_design("lightdefectnet@0.5")
    outputs = found.network(channels=1, heads={"image": ("a", "b", "c")})(torch.zeros(2, 1, 32, 32, dtype=torch.uint8))
    assert outputs.shape[0] == 2
    assert outputs.shape[-1] == 3


def test_a_timm_model_becomes_what_a_task_needs_and_nothing_else_does(bundle: Bundle) -> None:
    found = resolve_model("timm:mobilenetv3_small_100").for_task("segment")
    assert (found.name, found.tasks) == ("timm:mobilenetv3_small_100", ("segment",))
    outputs = found.network(channels=1, heads={"pixels": ("a", "b")})(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))
    assert outputs.shape == (1, 2, 32, 32)
    assert resolve_model("lw-seg@0.35").for_task("segment").design == parse_design("lw-seg@0.35")
    for name in ("lw@0.35", str(bundle.path)):
        with pytest.raises(ModelError, match="cannot segment, it is made to classify; designs to segment: "):
            resolve_model(name).for_task("segment")


def test_a_bundle_folder(bundle: Bundle) -> None:
    found = resolve_model(str(bundle.path))
    assert found.bundle == bundle
    assert (found.design.to_json(), found.trained_input) == (DESIGN, SHAPE)
    assert found.run is None


def test_a_run_folder_and_its_bundle(tmp_path: Path, bundle: Bundle) -> None:
    run = _run(tmp_path / "run", bundle)
    for path in (run, run / "best"):
        found = resolve_model(str(path))
        assert found.name == str(path)
        assert found.bundle is not None
        assert found.bundle.path == run / "best"
        assert found.run == RunFolder(run)


def test_a_genotype_survives_its_bundle(tmp_path: Path, graph: Path) -> None:
    design = parse_design("lightdefectnet@0.25")
    assert design.genotype is not None
    network = Inspector.from_statistics(design.build(channels=3, heads={"image": ("a", "b", "c")}), MEAN, STD).eval()
    description = manifest(name=design.name, design=design.to_json())
    write_bundle(tmp_path / "bundle", description, network=network, graphs={FP32: graph})
    found = resolve_model(str(tmp_path / "bundle"))
    assert found.design.genotype is not None
    assert found.design.genotype.fingerprint == design.genotype.fingerprint
    pixels = torch.randint(0, 256, (2, 3, 48, 40), dtype=torch.uint8)
    with torch.no_grad():
        rebuilt = found.network(channels=3, heads={"image": ("a", "b", "c")})
        torch.testing.assert_close(rebuilt(pixels), network(pixels), rtol=0, atol=0)


def test_a_run_that_was_stopped_early(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    for command, way_on in (("search", "continue it with --resume"), ("train", "train it again")):
        RunFolder.open(run).update_manifest(command=command)
        with pytest.raises(ModelError, match=f"no finished model: got .*; {way_on}"):
            resolve_model(str(run))


def test_a_damaged_bundle_is_not_taken_for_a_design(bundle: Bundle) -> None:
    (bundle.path / "card.md").write_text("better than it was")
    with pytest.raises(BundleError, match="card"):
        resolve_model(str(bundle.path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lightdefectnt", "no such folder.*did you mean lightdefectnet"),
        ("no/such/folder", "no such folder"),
        ("timm:resnet5", "did you mean resnet50"),
        ("lightdefectnet@x", "width"),
        ("lightdefectnet:depht=1", "parameter"),
    ],
)
def test_unknown_models(text: str, message: str) -> None:
    with pytest.raises(CompressDefectError, match=message) as error:
        resolve_model(text)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no run folder \(manifest\.json\), no bundle \(bundle\.json\)"):
        resolve_model(str(tmp_path))


def test_a_genotype_file(tmp_path: Path) -> None:
    design = parse_design("lightdefectnet")
    assert design.genotype is not None
    path = tmp_path / "genotype.json"
    path.write_text(json.dumps(design.genotype.to_json()))
    assert resolve_model(str(path)).design.genotype == design.genotype
    path.write_text("{")
    with pytest.raises(ModelError, match="not a genotype: the file is not JSON"):
        resolve_model(str(path))
