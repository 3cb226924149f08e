"""``distill`` as a command."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from compressdefect import api
from compressdefect.deploy.bundle import Bundle
from compressdefect.errors import CompressDefectError
from compressdefect.flow.teachers import learned_from
from compressdefect.models.pretrained import timm

TINY: dict[str, Any] = {"epochs": 1, "peers": "none"}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> list[Path]:
    """Two trained models on one split."""
    folder = tmp_path_factory.mktemp("teachers")
    for seed in (0, 1):
        given = {"split": str(folder / "0" / "split.json")} if seed else {}
        api.train("timm:test_resnet", data=str(parts), input=32, run_dir=folder / str(seed), seed=seed, **given, **TINY)
    return [folder / "0", folder / "1"]


def test_a_student_of_several_teachers_has_their_split(teachers: list[Path], tmp_path: Path) -> None:
    found = api.distill(",".join(map(str, teachers)), "lw@0.35", run_dir=tmp_path / "run", **TINY)
    own, theirs = (json.loads((run / "split.json").read_text()) for run in (tmp_path / "run", teachers[0]))
    assert (own["train"], own["test"]) == (theirs["train"], theirs["test"])
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["command"], manifest["model"]) == ("distill", "lw@0.35")
    assert manifest["teacher"] == [str(run) for run in teachers]
    bundle = Bundle.open(tmp_path / "run" / "best")
    assert bundle.manifest.design["kind"] == "family"
    assert not any("teacher" in name for name, _ in bundle.network().named_parameters())
    assert found["test"]["n"] == len(own["test"])
    assert api.evaluate(str(tmp_path / "run"))["test"]["accuracy"] == found["test"]["accuracy"]


def test_the_share_that_a_teachers_split_was_made_with_is_not_asked_for_again(
    teachers: list[Path], tmp_path: Path
) -> None:
    run = shutil.copytree(teachers[0], tmp_path / "teacher")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["options"] |= {"split": None, "test_share": 0.3}
    (run / "manifest.json").write_text(json.dumps(manifest))
    given = {"unlabelled_images": "no-such", "run_dir": tmp_path / "run", **TINY}
    with pytest.raises(CompressDefectError, match="the folder of unlabelled images does not exist"):  # what comes next
        api.distill(str(run), "lw@0.35", **given)


def test_a_teacher_that_knows_what_judges_its_student_is_refused(
    teachers: list[Path], tmp_path: Path, parts: Path
) -> None:
    other = tmp_path / "split.json"
    api.data_split(str(parts), out=str(other), seed=7)
    with pytest.raises(
        CompressDefectError, match=r"was trained on images that the student is judged by: got \d+, such"
    ):
        api.distill(str(teachers[0]), "lw@0.35", data=str(parts), split=str(other), run_dir=tmp_path / "run", **TINY)


def test_a_teacher_of_other_classes_is_refused(teachers: list[Path], tmp_path: Path, parts: Path) -> None:
    shutil.copytree(parts, tmp_path / "dents")
    (tmp_path / "dents" / "scratch").rename(tmp_path / "dents" / "dent")
    with pytest.raises(
        CompressDefectError, match=r"cannot teach this: got classify good, scratch; .* classify dent, good"
    ):
        api.distill(str(teachers[0]), "lw@0.35", data=str(tmp_path / "dents"), run_dir=tmp_path / "run", **TINY)


@pytest.mark.parametrize("method", ["feature", "attention"])
def test_what_maps_are_compared_with_is_no_part_of_the_student(
    teachers: list[Path], tmp_path: Path, method: str
) -> None:
    run = tmp_path / "run"
    api.distill(str(teachers[0]), "lw@0.35", method=method, maps_weight=0.5, run_dir=run, **TINY)
    bundle = Bundle.open(run / "best")
    design = bundle.design().build(channels=1, heads=bundle.manifest.heads)
    learned = sum(parameter.numel() for parameter in bundle.network().parameters())
    assert learned == sum(parameter.numel() for parameter in design.parameters()) == bundle.manifest.cost.params
    told = bundle.manifest.training["lesson"]
    assert (told["method"], told["maps_weight"], told["teachers"]) == (method, 0.5, [str(teachers[0])])
    assert json.loads((run / "manifest.json").read_text())["lesson"] == told
    assert f"method {method}" in bundle.read("card.md").decode()
    assert bundle.manifest.deviations[0].startswith("There is no validation part: the out-of-fold figures")


def test_images_that_nobody_labelled_join_and_are_counted(teachers: list[Path], tmp_path: Path, parts: Path) -> None:
    run, others, rng = tmp_path / "run", tmp_path / "others", np.random.default_rng(3)
    others.mkdir()
    for number in range(6):
        Image.fromarray(rng.integers(60, 120, (32, 32)).astype(np.uint8)).save(others / f"{number}.png")
    split = json.loads((teachers[0] / "split.json").read_text())
    files = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in parts.rglob("*.png")}
    shutil.copy(files[split["test"][0]], others / "tested.png")
    (others / "broken.png").write_bytes(b"no picture")
    given = {"unlabelled_images": str(others), "unlabelled_ratio": 0.5}
    api.distill(str(teachers[0]), "lw@0.35", run_dir=run, **given, **TINY)
    told = {"joined": 6, "left_out": 1, "unread": 1, "for_each_labelled": 0.5}
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["lesson"]["unlabelled_images"] == told
    assert manifest["options"]["unlabelled_images"] == str(others.resolve())
    joined = {hashlib.sha256((others / f"{number}.png").read_bytes()).hexdigest() for number in range(6)}
    assert set(json.loads((run / "best" / "split.json").read_text())["heard"]) == joined
    assert learned_from(Bundle.open(run / "best")) == joined | set(split["train"])
    assert "joined 6, left out 1, unread 1" in (run / "best" / "card.md").read_text().replace("_", " ")


def test_a_teacher_can_begin_with_a_files_weights(tmp_path: Path, parts: Path) -> None:
    weights, run = tmp_path / "resnet.safetensors", tmp_path / "run"
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), weights)
    given = {"teacher_weights": str(weights), "teacher_epochs": 1, "data": str(parts), "input": 32}
    api.distill("timm:test_resnet", "lw@0.35", run_dir=run, **given, **TINY)
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["lesson"]["teacher_weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert manifest["lesson"]["teacher_epochs"] == 1
    card = (run / "best" / "card.md").read_text()
    assert "- The teacher timm:test_resnet began with weights of unknown origin, those of the file" in card


@pytest.mark.parametrize("metric", ["accuracy", "escape@overkill"])
def test_the_teacher_is_scored_where_its_student_is(tmp_path: Path, parts: Path, metric: str) -> None:
    split = tmp_path / "split.json"
    api.data_split(str(parts), out=str(split))
    shares = json.loads(split.read_text())
    shares["val"], shares["train"] = shares["train"][::2], shares["train"][1::2]
    split.write_text(json.dumps(shares))
    given = {**TINY, "metric": metric}
    api.train("timm:test_resnet", data=str(parts), split=str(split), input=32, run_dir=tmp_path / "teacher", **given)
    found = api.distill(str(tmp_path / "teacher"), "timm:test_resnet", run_dir=tmp_path / "run", **TINY)
    assert found["metric"] == metric
    assert 0 <= found["teacher"] <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": ["good", "dent"], "heads": {"image": ["good", "dent"]}},
            "this: got classify good, dent",
        ),
        (
            {"task": "segment", "heads": {"pixels": ["background", "scratch"]}},
            "this: got segment background",
        ),
        (
            {"input": [3, 32, 32], "preprocessing": {"mean": [1, 1, 1], "std": [1, 1, 1]}},
            "looks at images of 3×32×32, its student at 1×32×32; teach with images of as many channels",
        ),
    ],
)
def test_every_teacher_of_several_must_fit(
    teachers: list[Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    other = shutil.copytree(teachers[1], tmp_path / "other")
    path = other / "best" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CompressDefectError, match=message):
        api.distill(f"{teachers[0]},{other}", "lw@0.35", run_dir=tmp_path / "run", **TINY)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": "lw@0.35"}, r"a teacher is a trained model: got lw@0\.35"),
        ({"student": "lw-seg@0.35"}, "lw-seg@0.35 cannot classify"),
        ({"task": "segment", "student": "lw-seg@0.35"}, "no image has its defects marked"),
        ({"student": "no-such"}, "no such model"),
        ({"input": 48}, "looks at images of 1×32×32, its student at 1×48×48"),
        ({"teacher_share": 1.5}, "--teacher-share must be from 0 to 1: got 1.5"),
        ({"temperature": 0.0}, "--temperature must be above 0"),
        ({"method": "hints"}, "no such method to teach by: got hints; known: answers, attention, feature"),
        ({"maps_weight": -1.0}, "--maps-weight must be at least 0"),
        ({"teacher": "timm:test_resnet", "teacher_weights": "no-such.pth"}, "no such weights file: got no-such.pth"),
        ({"teacher": "timm:test_resnet"}, "a teacher is a trained model: .* can have --teacher-weights"),
        ({"teacher": "timm:test_resnet", "teacher_pretrained": True}, "the images are not known"),
        ({"teacher": "timm:test_resnet,lw@0.35", "teacher_pretrained": True}, "teaches alone"),
        ({"teacher_weights": "any.pth"}, "only a timm model begins with given weights"),
        ({"teacher_pretrained": True, "teacher_epochs": 0}, "--teacher-epochs must be at least 1"),
        ({"teacher_pretrained": True, "teacher_weights": "any.pth"}, "begins with one set of weights"),
        ({"unlabelled_ratio": 0.0}, "--unlabelled-ratio must be above 0"),
        (
            {"maps_weight": 2.0},
            "--maps-weight changes nothing here: got 2.0; give it with --method feature or",
        ),
        ({"unlabelled_ratio": 2.0}, "--unlabelled-ratio changes nothing here: .* with --unlabelled-images"),
        ({"teacher_epochs": 5}, "--teacher-epochs changes nothing here: .* with --teacher-weights or"),
        ({"unlabelled_images": "no-such"}, "the folder of unlabelled images does not exist: got no-such"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    teachers: list[Path], tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    given = {"teacher": str(teachers[0]), "student": "lw@0.35", **TINY, **options}
    with pytest.raises(CompressDefectError, match=message):
        api.distill(run_dir=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()
