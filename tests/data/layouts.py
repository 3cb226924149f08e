"""Small datasets, one writer per layout: what a writer puts on disk is what its reader must find again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from scipy.io import savemat

HEIGHT, WIDTH = 20, 30
SPOT, BAR = (4, 3, 9, 8), (12, 10, 25, 13)  # boxes x0, y0, x1, y1

Mask = NDArray[np.bool_]


class Region(NamedTuple):
    label: str
    mask: Mask


class Known(NamedTuple):
    """What is true of one image."""

    label: str | None
    split: str | None
    regions: list[Region] | None


Truth = dict[str, Known]


def filled(box: tuple[int, int, int, int]) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((seed, *path.name.encode()))
    Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)).save(path)


def mask_picture(path: Path, mask: Mask, level: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * level).save(path)


EMPTY = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)


def class_folders(root: Path) -> Truth:
    truth = {}
    for label in ("good", "crack", "dent"):
        for i in range(2):
            picture(root / label / f"{i}.png")
            truth[f"{label}/{i}.png"] = Known(label, None, None)
    return truth


def class_folders_in_parts(root: Path) -> Truth:
    truth = {}
    for folder, split in (("train", "train"), ("valid", "val"), ("test", "test")):
        for label in ("ok", "crack"):
            picture(root / folder / label / "0.png")
            truth[f"{folder}/{label}/0.png"] = Known(label, split, None)
    return truth


def masks_in_class_folders(root: Path) -> Truth:
    truth = {}
    for label, mask in (("MT_Free", EMPTY), ("MT_Crack", filled(SPOT)), ("MT_Fray", filled(BAR))):
        for i in range(2):
            picture(root / label / "Imgs" / f"{i}.jpg")
            mask_picture(root / label / "Imgs" / f"{i}.png", mask)
            truth[f"{label}/Imgs/{i}.jpg"] = Known(label, None, [Region(label, mask)])
    return truth


def masks_in_item_folders(root: Path) -> Truth:
    truth = {}
    for item in ("kos01", "kos02", "kos10"):
        for i, mask in enumerate((EMPTY, filled(SPOT))):
            picture(root / item / f"Part{i}.jpg")
            mask_picture(root / item / f"Part{i}_label.bmp", mask)
            truth[f"{item}/Part{i}.jpg"] = Known(None, None, [Region("defect", mask)])
    return truth


def masks_in_parts(root: Path) -> Truth:
    truth = {}
    for split in ("train", "test"):
        for i, mask in enumerate((EMPTY, filled(BAR))):
            picture(root / split / f"{i}.png")
            mask_picture(root / split / f"{i}_GT.png", mask)
            truth[f"{split}/{i}.png"] = Known(None, split, [Region("defect", mask)])
    return truth


def masks_of_some_good(root: Path) -> Truth:
    """Good images need no mask; a defective one without is not annotated."""
    truth = {}
    for label, mask in (("good", None), ("scratch", filled(BAR))):
        for i in range(2):
            picture(root / label / f"{i}.bmp")
            if mask is not None:
                mask_picture(root / label / f"{i}_mask.png", mask, level=1)
            truth[f"{label}/{i}.bmp"] = Known(label, None, [] if mask is None else [Region(label, mask)])
    picture(root / "scratch" / "unmarked.bmp")
    truth["scratch/unmarked.bmp"] = Known("scratch", None, None)
    return truth


def mask_folders(root: Path) -> Truth:
    truth = {}
    for i, mask in enumerate((EMPTY, filled(SPOT), None)):
        picture(root / "images" / f"{i}.jpg")
        if mask is not None:
            mask_picture(root / "masks" / f"{i}.png", mask)
        truth[f"images/{i}.jpg"] = Known(None, None, None if mask is None else [Region("defect", mask)])
    return truth


def mask_folders_in_parts(root: Path) -> Truth:
    truth = {}
    for split in ("train", "test"):
        picture(root / split / "image" / "0.png")
        mask_picture(root / split / "label" / "0_mask.png", filled(BAR))
        truth[f"{split}/image/0.png"] = Known(None, split, [Region("defect", filled(BAR))])
    return truth


def mvtec(root: Path) -> Truth:
    truth = {}
    for part, label in (("train", "good"), ("test", "good"), ("test", "broken_large")):
        for i in range(2):
            picture(root / part / label / f"{i:03}.png")
            regions = []
            if label != "good":
                mask_picture(root / "ground_truth" / label / f"{i:03}_mask.png", filled(SPOT))
                regions = [Region(label, filled(SPOT))]
            truth[f"{part}/{label}/{i:03}.png"] = Known(label, part, regions)
    return truth


def mvtec_categories(root: Path) -> Truth:
    return {f"{name}/{key}": known for name in ("bottle", "nut") for key, known in mvtec(root / name).items()}


def dagm(root: Path) -> Truth:
    truth = {}
    for folder, split in (("Train", "train"), ("Test", "test")):
        lines = ["1"]
        for number in (1, 2):
            name, home = f"{number:04}.PNG", root / "Class8" / folder
            picture(home / name)
            if number == 1:
                lines.append(f"{number:04}\t0\t{name}\t0\t0\t")
                truth[f"Class8/{folder}/{name}"] = Known("good", split, [])
            else:
                mask_picture(home / "Label" / f"{number:04}_label.PNG", filled(BAR))
                lines.append(f"{number:04}\t1\t{name}\t0\t{number:04}_label.PNG")
                truth[f"Class8/{folder}/{name}"] = Known("defect", split, [Region("defect", filled(BAR))])
        (root / "Class8" / folder / "Label" / "Labels.txt").write_text("\r\n".join(lines))
    return truth


def dagm_ellipses(root: Path) -> Truth:
    truth = {}
    x, y = np.meshgrid(np.arange(WIDTH) - 12, np.arange(HEIGHT) - 9)
    along, across = (x + y) / math.sqrt(2), (y - x) / math.sqrt(2)
    mask = (along / 8) ** 2 + (across / 3) ** 2 <= 1
    for texture in ("Class1", "Class2"):
        picture(root / texture / "1.png")
        picture(root / f"{texture}_def" / "1.png")
        (root / f"{texture}_def" / "labels.txt").write_text(f"1\t8.0\t3.0\t{math.pi / 4}\t12\t9\n")
        truth[f"{texture}/1.png"] = Known("good", None, [])
        truth[f"{texture}_def/1.png"] = Known(texture, None, [Region(texture, mask)])
    return truth


def coco_parts(root: Path) -> Truth:
    truth = {}
    for split in ("train", "val"):
        names = [f"{kind}.png" for kind in ("box", "outline", "runs", "packed", "clean")]
        for name in names:
            picture(root / f"{split}2017" / name, seed=len(split))
        images = [{"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH} for i, name in enumerate(names)]
        packed = coco.encode(np.asfortranarray(filled(BAR)))
        runs = [0, *_lengths(filled(SPOT).T.ravel())] if filled(SPOT)[0, 0] else _lengths(filled(SPOT).T.ravel())
        x0, y0, x1, y1 = SPOT
        outline = [x0, y0, x1, y0, x1, y1, x0, y1]
        annotations = [
            {"image_id": 0, "category_id": 7, "bbox": [x0, y0, x1 - x0, y1 - y0]},
            {"image_id": 0, "category_id": 9, "bbox": [BAR[0], BAR[1], BAR[2] - BAR[0], BAR[3] - BAR[1]]},
            {"image_id": 1, "category_id": 7, "segmentation": [outline], "bbox": [0, 0, 1, 1]},
            {"image_id": 2, "category_id": 7, "segmentation": {"counts": runs, "size": [HEIGHT, WIDTH]}, "iscrowd": 1},
            {
                "image_id": 3,
                "category_id": 9,
                "segmentation": {"counts": packed["counts"].decode(), "size": [HEIGHT, WIDTH]},
            },
        ]
        content = {
            "images": images,
            "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations)],
            "categories": [{"id": 7, "name": "spot"}, {"id": 9, "name": "bar"}],
        }
        path = root / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(json.dumps(content))
        spot, bar = Region("spot", filled(SPOT)), Region("bar", filled(BAR))
        for name, regions in zip(names, ([spot, bar], [spot], [spot], [bar], []), strict=True):
            truth[f"{split}2017/{name}"] = Known(None, split, regions)
    return truth


def coco_one_file(root: Path) -> Truth:
    picture(root / "a.png")
    picture(root / "sub" / "b.png")
    picture(root / "unnamed.png")
    content = {
        "images": [{"id": "a", "file_name": "a.png"}, {"id": "b", "file_name": "sub/b.png"}],
        "annotations": [{"image_id": "b", "category_id": 1, "bbox": [4.0, 3.0, 5.0, 5.0]}],
        "categories": [{"id": 1, "name": "spot"}],
    }
    (root / "labels.json").write_text(json.dumps(content))
    return {
        "a.png": Known(None, None, []),
        "sub/b.png": Known(None, None, [Region("spot", filled(SPOT))]),
        "unnamed.png": Known(None, None, None),
    }


def _lengths(flat: Mask) -> list[int]:
    edges = np.flatnonzero(np.diff(flat)) + 1
    return np.diff([0, *edges, len(flat)]).tolist()


def voc_xml(name: str, boxes: list[tuple[str, tuple[int, int, int, int]]], depth: int = 1) -> str:
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for label, (x0, y0, x1, y1) in boxes
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>{depth}</depth></size>"
    return f"<annotation><filename>{name}</filename>{size}{objects}</annotation>"


def voc(root: Path) -> Truth:
    truth = {}
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for split, number in (("train", 1), ("val", 2), ("test", 3)):
        boxes = [("spot", SPOT), ("bar", BAR)][:number]
        picture(root / "JPEGImages" / f"{number}.jpg")
        (root / "Annotations" / f"{number}.xml").write_text(voc_xml(f"{number}.jpg", boxes))
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(f"{number}\n")
        truth[f"JPEGImages/{number}.jpg"] = Known(None, split, [Region(label, filled(box)) for label, box in boxes])
    return truth


def voc_beside(root: Path) -> Truth:
    truth = {}
    for split in ("train", "test"):
        picture(root / split / "0.png")
        (root / split / "0.xml").write_text(voc_xml("renamed.png", [("spot", SPOT)]))
        truth[f"{split}/0.png"] = Known(None, split, [Region("spot", filled(SPOT))])
    return truth


def neu_det(root: Path) -> Truth:
    truth = {}
    (root / "ANNOTATIONS").mkdir(parents=True)
    for label, box in (("rolled-in_scale", SPOT), ("patches", BAR)):
        for number in (1, 2):
            name = f"{label}_{number}"
            picture(root / "IMAGES" / f"{name}.jpg")
            (root / "ANNOTATIONS" / f"{name}.xml").write_text(voc_xml(f"{name}.jpg", [(label, box)]))
            truth[f"IMAGES/{name}.jpg"] = Known(label, None, [Region(label, filled(box))])
    return truth


def yolo(root: Path) -> Truth:
    truth = {}
    (root / "data.yaml").parent.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text("names: [spot, bar]\nnc: 2\ntrain: images/train\nval: images/val\n")
    for split in ("train", "val"):
        (root / "labels" / split).mkdir(parents=True)
        for name in ("both", "clean", "outline"):
            picture(root / "images" / split / f"{name}.jpg", seed=len(split))
        (root / "labels" / split / "both.txt").write_text(f"0 {yolo_box(SPOT)}\n1 {yolo_box(BAR)}\n")
        x0, y0, x1, y1 = SPOT
        corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        outline = " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in corners)
        (root / "labels" / split / "outline.txt").write_text(f"0 {outline}\n")
        spot, bar = Region("spot", filled(SPOT)), Region("bar", filled(BAR))
        for name, regions in (("both", [spot, bar]), ("clean", []), ("outline", [spot])):
            truth[f"images/{split}/{name}.jpg"] = Known(None, split, regions)
    return truth


def yolo_lists(root: Path) -> Truth:
    """Parts as text files of image names, and classes by number."""
    truth = {}
    root.mkdir(parents=True, exist_ok=True)
    (root / "plates.yaml").write_text("path: .\ntrain: train.txt\ntest: [test.txt]\nnames: {0: spot}\n")
    for split in ("train", "test"):
        picture(root / "images" / f"{split}.png")
        (root / f"{split}.txt").write_text(f"./images/{split}.png\n")
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{split}.txt").write_text(f"0 {yolo_box(SPOT)}")
        truth[f"images/{split}.png"] = Known(None, split, [Region("spot", filled(SPOT))])
    return truth


def yolo_box(box: tuple[int, int, int, int]) -> str:
    x0, y0, x1, y1 = box
    values = ((x0 + x1) / 2 / WIDTH, (y0 + y1) / 2 / HEIGHT, (x1 - x0) / WIDTH, (y1 - y0) / HEIGHT)
    return " ".join(f"{value:.6f}" for value in values)


def severstal(root: Path) -> Truth:
    lines = [
        "ImageId,ClassId,EncodedPixels",
        f"a.jpg,1,{pairs(SPOT)}",
        f"a.jpg,3,{pairs(BAR)}",
        f"b.jpg,3,{pairs(BAR)}",
    ]
    for name in ("a", "b", "clean"):
        picture(root / "train_images" / f"{name}.jpg")
    (root / "train.csv").write_text("\n".join(lines))
    spot, bar = Region("1", filled(SPOT)), Region("3", filled(BAR))
    regions: dict[str, list[Region]] = {"a": [spot, bar], "b": [bar], "clean": []}
    return {f"train_images/{name}.jpg": Known(None, None, found) for name, found in regions.items()}


def severstal_older(root: Path) -> Truth:
    lines = ["ImageId_ClassId,EncodedPixels", f"a.jpg_1,{pairs(SPOT)}", "a.jpg_2,", "b.jpg_1,"]
    for name in ("a", "b"):
        picture(root / "train_images" / f"{name}.jpg")
    (root / "train.csv").write_text("\n".join(lines))
    return {
        "train_images/a.jpg": Known(None, None, [Region("1", filled(SPOT))]),
        "train_images/b.jpg": Known(None, None, []),
    }


def pairs(box: tuple[int, int, int, int]) -> str:
    x0, y0, x1, y1 = box
    return " ".join(f"{x * HEIGHT + y0 + 1} {y1 - y0}" for x in range(x0, x1))


def crackforest(root: Path) -> Truth:
    (root / "groundTruth").mkdir(parents=True)
    for name in ("001", "002"):
        picture(root / "image" / f"{name}.jpg")
    segments = np.where(filled(BAR), 2, 1).astype(np.uint8)
    segments[:2, :2] = 3  # road that cracks enclose
    savemat(root / "groundTruth" / "001.mat", {"groundTruth": {"Segmentation": segments, "Boundaries": segments}})
    return {
        "image/001.jpg": Known(None, None, [Region("crack", filled(BAR))]),
        "image/002.jpg": Known(None, None, None),
    }


def csv_table(root: Path) -> Truth:
    rows = [("img/a.png", "good", "train"), ("img/b.png", "crack", "test"), ("c.png", "crack", "train")]
    for name, _, _ in rows:
        picture(root / name)
    (root / "labels.csv").write_text("\n".join(["Path,Label,split", *map(",".join, rows)]), encoding="utf-8-sig")
    return {name: Known(label, split, None) for name, label, split in rows}


def csv_tables(root: Path) -> Truth:
    truth = {}
    for split in ("train", "val", "test"):
        for label in ("ok", "dent"):
            picture(root / "images" / f"{split}_{label}.png")
            truth[f"images/{split}_{label}.png"] = Known(label, split, None)
        lines = [f'"{split}_{label}.png";{label}' for label in ("ok", "dent")]
        (root / f"{split}.csv").write_text("\n".join(["filename;class", *lines]))
    return truth


Writer = Callable[[Path], Truth]

LAYOUTS: dict[str, tuple[Writer, ...]] = {
    "class_folders": (class_folders, class_folders_in_parts),
    "masks": (masks_in_class_folders, masks_in_item_folders, masks_in_parts, masks_of_some_good),
    "mask_folders": (mask_folders, mask_folders_in_parts),
    "mvtec": (mvtec, mvtec_categories),
    "dagm": (dagm, dagm_ellipses),
    "coco": (coco_parts, coco_one_file),
    "voc": (voc, voc_beside),
    "neu_det": (neu_det,),
    "yolo": (yolo, yolo_lists),
    "severstal": (severstal, severstal_older),
    "crackforest": (crackforest,),
    "csv_table": (csv_table, csv_tables),
}
