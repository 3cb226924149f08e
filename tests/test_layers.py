from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter

import grimp
from importlinter.cli import lint_imports


def test_imports_point_down_only() -> None:
    assert lint_imports(config_filename=".importlinter", is_debug_mode=False) == 0


def test_no_imports_go_in_a_circle() -> None:
    """Nor those that only a type checker sees."""
    graph = grimp.build_graph("compressdefect", exclude_type_checking_imports=False, cache_dir=None)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imported).prepare()


def test_what_a_line_needs_imports_little() -> None:
    """Decoding, tiles and the verdict load neither what trains nor what measures."""
    modules = "compressdefect.data.pixels, compressdefect.data.tiles, compressdefect.data.verdict"
    heavy = {"torch", "scipy", "pydantic", "filelock", "pandas", "onnx"}
    code = f"import sys, {modules}; print(*sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
