from __future__ import annotations

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
