"""Print a command's result for people: short tables on stdout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from compressdefect import units

Result = Mapping[str, Any]


def show(command: str, result: Result) -> None:
    """Print the result of one command of ``api``."""
    out = Console(highlight=False, markup=False, emoji=False)  # names of files and classes are no markup
    if not out.is_terminal:
        out.width = _PIPED_WIDTH
    _SHOW[command](out, result)


_PIPED_WIDTH = 200  # a file or pipe has no width to fold tables to


def _table(out: Console, header: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[str] = ()) -> None:
    """Print aligned columns; but for the first and those that hold ``texts`` they are numbers, to the right."""
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number and name not in texts else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _search(out: Console, result: Result) -> None:
    asked = f"{_many(result['asked'], 'design')} asked, {result['infeasible']} infeasible, "
    asked += f"{result['trained']} trained, {result['finished']} of them to the end"
    best = result["best"]
    if best is None:
        out.print(f"{asked}; stopped before a design was finished\nrun: {result['run']}", soft_wrap=True)
        return
    out.print(f"{asked}\nbest: {best['design']}", soft_wrap=True)
    _table(out, ["params", "macs", "flops", "latency", "netscore"], [_cost_cells(best)])
    _figures(out, best, result["task"])
    for title, steps in _treatments(result):
        out.print(title, soft_wrap=True)
        _table(out, units.STEP, [units.step(step) for step in steps], texts=("note",))
    if best["passed_over"]:
        out.print(_passed_over(best["passed_over"]), soft_wrap=True)
    out.print(f"run: {result['run']}\nreport: {result['run']}/report.html", soft_wrap=True)


def _treatments(result: Result) -> list[tuple[str, Sequence[Result]]]:
    """What each step of the compression gave of the winner and of trial 0, where there was one."""
    zero = result.get("compression", {}).get("zero")
    found = [("compressed, on validation:", result["best"].get("steps", ()))]
    found += [("trial 0, treated alike:", zero["steps"])] if zero else []
    return [(title, steps) for title, steps in found if steps]


def _passed_over(better: Result) -> str:
    """What the winner gives away, and what it saves."""
    gap, error = units.points(better["better_by"]), 100 * better["standard_error"]
    ratios = " and ".join(f"{units.ratio(ratio, 1.0)} its {name}" for name, ratio in better["ratios"].items())
    return f"passed over: {better['design']}, {gap} on validation (standard error {error:.2f}); best has {ratios}"


def _cost_cells(best: Result) -> list[str]:
    counts = [units.count(best["params"]), units.count(best["macs"]), units.count(best["flops"])]
    return [*counts, units.milliseconds(best["latency_ms"]), units.plain(best["netscore"])]


def _figures(out: Console, result: Result, task: str) -> None:
    """Validation and test, side by side; escape and overkill first when there is a class of good parts."""
    splits = [(name, result[name]) for name in ("val", "test") if result.get(name)]
    columns = (*_AT_THE_LINE, *_columns(task))
    rows = [[name, str(values["n"]), *(_rate(values[key]) for key, _ in columns)] for name, values in splits]
    _table(out, ["", "n", *(title for _, title in columns)], rows)


_AT_THE_LINE = (("escape", "escape"), ("overkill", "overkill"))


def _columns(task: str) -> list[tuple[str, str]]:
    """Key and title of the task's own figures."""
    from compressdefect.train.tasks import task_kind

    return [(figure.key, figure.title) for figure in task_kind(task).figures]


def _rate(value: float | Sequence[float] | None) -> str:
    """A rate, or the bounds of one."""
    return units.interval(value) if isinstance(value, Sequence) else units.percent(value)


def _trained(out: Console, result: Result) -> None:
    _figures(out, result, result["task"])
    out.print(f"run: {result['run']}", soft_wrap=True)


def _compressed(out: Console, result: Result) -> None:
    """Every step on validation images, then the model before and after on the test images."""
    header = [name.replace("metric", result["metric"]) for name in units.STEP]
    _table(out, header, [units.step(step) for step in result["steps"]], texts=("note",))
    for note in result["notes"]:
        out.print(note, soft_wrap=True)
    columns = (*_AT_THE_LINE, *_columns(result["task"]))
    figures = [("test before", result["before"]), ("test after", result["test"])]
    cells = [[name, str(values["n"]), *(_rate(values[key]) for key, _ in columns)] for name, values in figures]
    _table(out, ["", "n", *(title for _, title in columns)], cells)
    out.print(f"run: {result['run']}\nreport: {result['run']}/report.html", soft_wrap=True)


def _cost(out: Console, result: Result) -> None:
    rows = [
        [
            m["model"],
            "×".join(map(str, m["input"])),
            units.count(m["params"]),
            units.count(m["macs"]),
            units.count(m["flops"]),
            units.size(m["peak_bytes"]),
        ]
        for m in result["models"]
    ]
    _table(out, ["model", "input", "params", "macs", "flops", "peak activations"], rows)


def _benchmark(out: Console, result: Result) -> None:
    out.print(", ".join(f"{name}: {value}" for name, value in result["machine"].items()), soft_wrap=True)
    rows = [
        [
            row["model"],
            units.count(row["params"]),
            units.count(row["macs"]),
            units.count(row["flops"]),
            row["precision"],
            str(row["batch"]),
            str(row["threads"]),
            units.milliseconds(row["median_ms"]),
            units.milliseconds(row["p95_ms"]),
            units.ratio(row["ratio"], 1.0),
        ]
        for row in result["rows"]
    ]
    header = ["model", "params", "macs", "flops", "precision", "batch", "threads", "median", "p95", "ratio"]
    _table(out, header, rows)


def _report(out: Console, result: Result) -> None:
    out.print(result["report"], soft_wrap=True)


def _study(out: Console, result: Result) -> None:
    for table in result["tables"]:
        out.print(f"\n{table['title']}", soft_wrap=True)
        _table(out, table["header"], table["rows"])
    if result["unfinished"]:
        out.print(f"\nunfinished: {', '.join(result['unfinished'])}", soft_wrap=True)
    out.print(f"\nrun: {result['run']}", soft_wrap=True)


def _names(out: Console, result: Result) -> None:
    columns = {"name": result["what"], "size": "size", "summary": ""}
    shown = [key for key in columns if any(row[key] for row in result["names"])]
    rows = [[row[key] for key in shown] for row in result["names"]]
    _table(out, [columns[key] for key in shown], rows, texts=[columns["summary"]])


def _data_check(out: Console, result: Result) -> None:
    """The images, then every kind of finding with its first few files and what to do."""
    parts = list(result["splits"])
    rows = [
        [name, str(count), *(str(result["splits"][part].get(name, 0)) for part in parts)]
        for name, count in result["classes"].items()
    ]
    sizes = [f"{size['width']} × {size['height']}" for size in result["sizes"]]
    channels = " and ".join(result["channels"]) or "0"
    out.print(
        f"{_many(result['images'], 'image')}, read as {result['format']}; channels: {channels};"
        f" sizes in pixels: {_some(sizes, result['distinct_sizes']) or 'none'}",
        soft_wrap=True,
    )
    if result["ignored_tables"]:
        out.print(f"not read: {', '.join(result['ignored_tables'])}", soft_wrap=True)
    _table(out, ["class", "images", *parts], rows)
    by_kind: dict[str, list[Any]] = {}
    for finding in result["findings"]:
        by_kind.setdefault(finding["kind"], []).append(finding)
    for kind, findings in by_kind.items():
        out.print(f"\n{kind} ({len(findings)})", soft_wrap=True)
        for finding in findings[:_SHOWN]:
            out.print(f"  {_finding(finding)}", soft_wrap=True)
        if len(findings) > _SHOWN:
            out.print(f"  … and {len(findings) - _SHOWN} more")
    leak = result["near_duplicates"]["random_half_leak"]
    if leak >= _LEAK:
        share = units.percent(leak)
        out.print(f"\nA random half split would leave {share} of the test images with a near duplicate in training.")
    out.print(f"\n{_many(len(result['findings']), 'finding')}" if result["findings"] else "\nnothing is wrong")
    if result["report"]:
        out.print(f"report: {result['report']}", soft_wrap=True)


_SHOWN, _NAMED = 8, 3  # findings of a kind, and files of a finding, that are named; the page and the JSON name all
_LEAK = 0.01


def _finding(finding: Result) -> str:
    files = _some(finding["files"], len(finding["files"]))
    return f"{files}{': ' if files else ''}{finding['message']}; {finding['advice']}"


def _some(names: Sequence[str], count: int) -> str:
    """The first few of so many names."""
    return ", ".join(names[:_NAMED]) + (f" and {count - _NAMED} more" if count > _NAMED else "")


def _data_preview(out: Console, result: Result) -> None:
    out.print(result["preview"], soft_wrap=True)


def _data_split(out: Console, result: Result) -> None:
    kept = "not kept together" if result["group"] == "none" else f"{_many(result['groups'], 'group')} kept together"
    out.print(f"{_many(result['images'], 'image')}, {kept}")
    names = list(result["splits"][0]["train"])
    for split in result["splits"]:
        out.print(f"\n{split['file']}", soft_wrap=True)
        parts = [part for part in ("train", "val", "test", "left_out") if part == "train" or sum(split[part].values())]
        rows = [[part, str(sum(split[part].values())), *(str(split[part][name]) for name in names)] for part in parts]
        _table(out, ["", "images", *names], rows)


def _many(count: int, what: str) -> str:
    """So many of a thing.

    >>> _many(1, "image"), _many(0, "image")
    ('1 image', '0 images')
    """
    return f"{count} {what}{'' if count == 1 else 's'}"


_SHOW: dict[str, Callable[[Console, Result], None]] = {
    "search": _search,
    "train": _trained,
    "evaluate": _trained,
    "compress": _compressed,
    "distill": _trained,
    "cost": _cost,
    "benchmark": _benchmark,
    "report": _report,
    "study": _study,
    "data_check": _data_check,
    "data_preview": _data_preview,
    "data_split": _data_split,
    "list_names": _names,
}
