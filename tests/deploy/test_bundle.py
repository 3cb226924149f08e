from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from compressdefect.deploy import bundle as module
from compressdefect.deploy.bundle import FP32, Bundle, write_bundle
from compressdefect.errors import BundleError, RunError
from compressdefect.models.inspector import Inspector

from .conftest import TASK, TinyNet, manifest

LISTED = ("fp32.onnx", "weights.safetensors", "card.md", "split.json")


def _edit(bundle: Bundle, **changes: Any) -> None:
    path = bundle.path / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_reads_back_what_was_written(bundle: Bundle) -> None:
    found = Bundle.open(bundle.path)
    assert found == bundle
    assert set(found.manifest.files) == set(LISTED)
    assert found.manifest.threshold == 0.4375
    assert found.read("split.json") == b"{}\n"


def test_rebuilds_the_network(bundle: Bundle, network: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    from compressdefect.models.timm_design import TimmDesign

    monkeypatch.setattr(
        TimmDesign, "build", lambda self, *, channels, heads: TinyNet(channels, sum(map(len, heads.values())))
    )
    rebuilt = Bundle.open(bundle.path).network()
    pixels = torch.randint(0, 256, (2, 3, 24, 20), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(rebuilt(pixels), network.eval()(pixels), rtol=0, atol=0)
    assert not rebuilt.training


def test_weights_of_another_design(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    from compressdefect.models.timm_design import TimmDesign

    monkeypatch.setattr(
        TimmDesign, "build", lambda self, *, channels, heads: TinyNet(channels, 1 + sum(map(len, heads.values())))
    )
    with pytest.raises(BundleError, match="weights do not fit") as caught:
        bundle.network()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", LISTED)
def test_a_changed_file_is_refused(bundle: Bundle, name: str) -> None:
    path = bundle.path / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} is not the file that was exported"):
        Bundle.open(bundle.path)
    with pytest.raises(BundleError, match=f"{name} is not the file"):
        bundle.read(name)


@pytest.mark.parametrize("name", LISTED)
def test_a_missing_file_is_refused(bundle: Bundle, name: str) -> None:
    (bundle.path / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "c:secret", ".", "", "a//b", "./split.json"]
)
def test_names_that_leave_the_folder_are_refused(bundle: Bundle, name: str) -> None:
    (bundle.path.parent / "secret").write_text("x")
    _edit(bundle, files=bundle.manifest.files | {name: "0" * 64})
    with pytest.raises(BundleError, match="leaves the folder"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize("name", ["split.json", "bundle.json"])
def test_a_link_out_of_the_folder_is_refused(bundle: Bundle, name: str) -> None:
    outside = bundle.path.parent / "outside"
    shutil.move(bundle.path / name, outside)
    (bundle.path / name).symlink_to(outside)
    with pytest.raises(BundleError, match=f"{name} is a link out of the bundle"):
        Bundle.open(bundle.path)


def test_unlisted_files_are_tolerated_and_not_loaded(bundle: Bundle) -> None:
    (bundle.path / "predictions.json").write_text("not JSON")
    found = Bundle.open(bundle.path)
    with pytest.raises(BundleError, match=r"has no predictions\.json; it lists: card\.md"):
        found.read("predictions.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "does not hold an object"),
        ("{}", "unknown schema version .*: got none"),
        ('{"schema_version": 1}', "unknown schema version .*: got 1; this release reads versions 2 to 3"),
        ('{"schema_version": 2}', "is wrong at name: got Field required"),
    ],
)
def test_wrong_manifests(bundle: Bundle, text: str, message: str) -> None:
    (bundle.path / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=message) as error:
        Bundle.open(bundle.path)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "wrong at colour"),
        ({"default_graph": "int8.onnx"}, "default graph int8.onnx is not among its graphs"),
        ({"good": 3}, "there are 3 classes"),
        ({"design": None}, "wrong at design"),
        ({"files": {"card.md": "abc"}}, "not a SHA-256"),
        ({"input": [1, 24, 20]}, "one value per channel"),
        ({"classes": ["good"]}, "wrong at classes"),
    ],
)
def test_wrong_fields(bundle: Bundle, changes: dict[str, Any], message: str) -> None:
    _edit(bundle, **changes)
    with pytest.raises(BundleError, match=message):
        Bundle.open(bundle.path)


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        Bundle.open(tmp_path)


def _fails_at(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    real = module.atomic_write

    def write(path: Path, content: str | bytes) -> None:
        if path.name == name:
            raise error
        real(path, content)

    monkeypatch.setattr(module, "atomic_write", write)


@pytest.mark.parametrize("name", ["card.md", "bundle.json"])
@pytest.mark.parametrize("error", [RunError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(
    tmp_path: Path, network: Inspector, graph: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException
) -> None:
    _fails_at(monkeypatch, name, error)
    with pytest.raises(type(error)):
        write_bundle(tmp_path / "new", manifest(), network=network, graphs={FP32: graph})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_bundle(
    bundle: Bundle, network: Inspector, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails_at(monkeypatch, "bundle.json", RunError("disk full"))
    with pytest.raises(RunError):
        write_bundle(bundle.path, manifest(threshold=0.9), network=network, graphs={FP32: graph})
    assert Bundle.open(bundle.path) == bundle
    assert [path.name for path in bundle.path.parent.iterdir()] == [bundle.path.name]


def test_replaces_an_old_bundle_whole(bundle: Bundle, network: Inspector, graph: Path) -> None:
    new = write_bundle(bundle.path, manifest(threshold=0.9), network=network, graphs={FP32: graph})
    assert Bundle.open(bundle.path) == new
    assert not (bundle.path / "split.json").exists()
    assert [path.name for path in bundle.path.parent.iterdir()] == [bundle.path.name]


def test_does_not_replace_other_folders(tmp_path: Path, network: Inspector, graph: Path) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(BundleError, match="in use and not a bundle"):
        write_bundle(tmp_path, manifest(), network=network, graphs={FP32: graph})
    assert (tmp_path / "thesis.txt").read_text() == "important"


def test_a_folder_that_cannot_be_made(tmp_path: Path, network: Inspector, graph: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot write"):
        write_bundle(tmp_path / "file" / "bundle", manifest(), network=network, graphs={FP32: graph})


def test_the_task_of_the_tests_agrees_with_the_manifest() -> None:
    assert manifest().classes == TASK.classes


def test_opening_a_bundle_needs_no_torch(bundle: Bundle) -> None:
    code = (
        "import sys; from pathlib import Path; from compressdefect.deploy.bundle import Bundle; "
        "Bundle.open(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(bundle.path)], check=False).returncode == 0
