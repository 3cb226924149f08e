"""The segment numbers in a MATLAB file, without trusting it."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from compressdefect.errors import DataError

MAX_BYTES = 256 * 2**20  # unpacked
_HEADER, _COMPRESSED = 128, 15  # of the version 5 format


def read_segmentation(path: Path) -> np.ndarray:
    """``groundTruth.Segmentation`` (H, W) of a MATLAB file up to version 7.

    Raises:
        DataError: It is not such a file, is damaged, or unpacks to far more than a mask needs.
        OSError: It cannot be opened.
    """
    from io import BytesIO

    from scipy.io import loadmat

    content = path.read_bytes()
    _check_unpacked_size(content, path)
    try:
        found = np.asarray(loadmat(BytesIO(content), variable_names=["groundTruth"])["groundTruth"])
        segments = np.asarray(found[0, 0]["Segmentation"])
    except Exception as error:  # scipy raises nearly anything on a damaged file
        raise _broken(path, str(error) or type(error).__name__) from error
    if segments.ndim != 2 or segments.dtype.kind not in "iuf":
        raise _broken(path, f"{segments.dtype} of shape {segments.shape}")
    return segments


def _check_unpacked_size(content: bytes, path: Path) -> None:
    """Unpack the compressed elements piece by piece, up to the limit and into nowhere."""
    start, total = _HEADER, 0
    while start + 8 <= len(content):
        kind, size = (int(n) for n in np.frombuffer(content, dtype="<u4", count=2, offset=start))
        if kind == _COMPRESSED:
            total += _unpacked(content[start + 8 : start + 8 + size], path)
        if total > MAX_BYTES:
            raise _broken(path, f"more than {MAX_BYTES >> 20} MiB when unpacked")
        start += 8 + size


def _unpacked(packed: bytes, path: Path) -> int:
    unpacker, total = zlib.decompressobj(), 0
    try:
        while packed and total <= MAX_BYTES and not unpacker.eof:
            total += len(unpacker.decompress(packed, 2**20))
            packed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise _broken(path, str(error)) from error
    return total


def _broken(path: Path, reason: str) -> DataError:
    return DataError(f"the mask {path.name} cannot be read", got=reason, fix="replace or remove it")
