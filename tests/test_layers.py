from __future__ import annotations

from importlinter.cli import lint_imports


def test_imports_point_down_only() -> None:
    assert lint_imports(config_filename=".importlinter", is_debug_mode=False) == 0
