"""Kill a search five times at random moments, resume it each time, and compare it with an unbroken one.

    python benchmarks/kill_resume.py [--trials 12] [--epochs 2] [--kills 5] [--workers 1] [--seed 0] [--data synthetic]

Checks that no finished trial is lost or repeated, that the study ends as asked, and, with one worker, that both
searches trained the same designs to the same metrics.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from compressdefect.search.trials import TrialRecord, read_trials

FINISHED = ("complete", "pruned", "failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("trials", 12), ("epochs", 2), ("kills", 5), ("workers", 1), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--data", default="synthetic")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        unbroken, killed = Path(folder) / "unbroken", Path(folder) / "killed"
        if options.workers == 1:
            subprocess.run(command(options, unbroken), check=True)
        kill_often(options, killed)
        subprocess.run([*command(options, killed), "--resume"], check=True)
        rows = finished(killed)
        report("the study ends as asked", len(rows) == options.trials, f"{len(rows)} trials")
        counts = Counter(row.fingerprint for row in rows)
        report("no trial is repeated", max(counts.values()) == 1, f"{len(counts)} designs")
        if options.workers == 1:
            same = essence(rows) == essence(finished(unbroken))
            report("the same trials as an unbroken run", same, f"{len(rows)} compared")


def command(options: argparse.Namespace, folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "compressdefect.cli", "search", "--data", options.data, "--budget-flops", "100M"),
        *("--trials", str(options.trials), "--epochs", str(options.epochs), "--seed", str(options.seed)),
        *("--workers", str(options.workers), "--peers", "none", "--run-dir", str(folder)),
    ]


def kill_often(options: argparse.Namespace, folder: Path) -> None:
    """Start or resume, wait until a trial more is finished, then a random moment, then kill -9."""
    moments = random.Random(options.seed)
    before: list[TrialRecord] = []
    for kill in range(options.kills):
        resume = ["--resume"] if (folder / "manifest.json").exists() else []
        process = subprocess.Popen(
            [*command(options, folder), *resume], stderr=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None and len(finished(folder)) <= len(before):
            time.sleep(0.2)
        time.sleep(moments.uniform(0, 8))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        after = finished(folder)
        kept = all(row in essence(after) for row in essence(before))
        report(f"kill {kill + 1} lost nothing", kept, f"{len(before)} → {len(after)} finished")
        before = after


def finished(folder: Path) -> list[TrialRecord]:
    table = folder / "trials.csv"
    return [row for row in read_trials(table) if row.state in FINISHED] if table.exists() else []


def essence(rows: list[TrialRecord]) -> list[tuple[object, ...]]:
    return [(row.fingerprint, row.state, row.metric, row.netscore, row.epochs) for row in rows]


def report(claim: str, holds: bool, detail: str) -> None:
    print(f"{'ok  ' if holds else 'FAIL'} {claim} ({detail})", flush=True)
    if not holds:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
