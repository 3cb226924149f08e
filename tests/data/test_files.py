"""Listing a folder of files without leaving it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.data.formats.files import inner_name, is_image, is_unread_image, read_text, scan, walk
from compressdefect.errors import DataError


@given(st.text(max_size=30))
def test_an_inner_name_never_leaves_the_folder(text: str) -> None:
    name = inner_name(text)
    if name is not None:
        assert os.path.normpath(Path("/data") / name).startswith("/data")
        assert "\0" not in name


@pytest.mark.parametrize("text", ["/a", "\\a", "..", "a/../../b", "C:a", "c:\\a", "//host/a", "a\0.png"])
def test_paths_that_may_leave_are_refused(text: str) -> None:
    assert inner_name(text) is None


def test_image_names() -> None:
    assert all(map(is_image, ("a.png", "A.JPG", "b.c.tiff", "a.jfif", "a.jp2")))
    assert not any(map(is_image, ("png", ".png", "a.txt", "a.png.bak", "._a.png", "a.heic")))


def test_images_of_kinds_that_are_not_read_are_told_from_other_files() -> None:
    assert all(map(is_unread_image, ("a.heic", "A.GIF", "b.c.dcm")))
    assert not any(map(is_unread_image, ("heic", ".gif", "a.txt", "a.png")))


def test_scan_tells_files_folders_and_what_it_refuses(tmp_path: Path) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    (root / "__MACOSX").mkdir()
    outside.mkdir()
    (root / "a.png").touch()
    (root / "inner").symlink_to(root / "sub")
    (root / "outer").symlink_to(outside)
    (root / "dead.png").symlink_to(root / "gone.png")
    os.mkfifo(root / "pipe.png")
    found = scan(root, root)
    assert (found.folders, found.files) == (("inner", "sub"), ("a.png",))
    assert dict(found.refused) == {
        "dead.png": "a link leads nowhere",
        "outer": "a link leads out of the data folder",
        "pipe.png": "not a regular file",
    }


def test_walk_goes_no_deeper_than_told_and_in_no_circle(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    names = [folder.path.name for folder in walk(tmp_path, depth=2)]
    assert names == [tmp_path.name, "a", "b"]


def test_text_of_other_encodings_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfgr\xfc\xdfe")
    assert read_text(tmp_path / "a.csv").startswith("gr")
    with pytest.raises(DataError, match=r"a\.csv is too large"):
        read_text(tmp_path / "a.csv", max_bytes=4)
    with pytest.raises(DataError, match=r"b\.csv cannot be read"):
        read_text(tmp_path / "b.csv")
