"""Kill a search five times at random moments, resume it each time, and compare it with an unbroken one.

    python benchmarks/kill_resume.py [--trials 12] [--epochs 2] [--kills 5] [--workers 1] [--seed 0] [--ladder on]

Checks that no finished training is lost or repeated, that the study ends as asked, and, with one worker, that both
searches trained the same designs on the same rungs to the same figures. The kills are spread evenly over the trainings
that the unbroken search made, and so over the rungs of a ladder: of five each waits for another sixth of them.
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

import optuna

FINISHED = ("COMPLETE", "PRUNED", "FAIL")
FIGURES = ("fingerprint", "rung", "score", "metric", "netscore", "epochs")

Row = tuple[object, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("trials", 12), ("epochs", 2), ("kills", 5), ("workers", 1), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--ladder", default="off")
    options = parser.parse_args()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        unbroken, killed = Path(folder) / "unbroken", Path(folder) / "killed"
        subprocess.run(command(options, unbroken), check=True)
        wanted = finished(unbroken)
        kills = kill_often(options, killed, every=max(1, len(wanted) // (options.kills + 1)))
        report("the search was killed", kills > 0, f"{kills} of {options.kills} times")
        subprocess.run([*command(options, killed), "--resume"], check=True)
        rows = finished(killed)
        entered = sum(row[1] == 0 for row in rows)
        report("the study ends as asked", entered == options.trials, f"{entered} designs, {len(rows)} trainings")
        counts = Counter(row[:2] for row in rows)
        report("no training is repeated", max(counts.values()) == 1, f"{len(counts)} trainings")
        if options.workers == 1:
            report("the same trainings as an unbroken run", rows == wanted, f"{len(rows)} compared")


def command(options: argparse.Namespace, folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "compressdefect.cli", "search", "--data", options.data, "--budget-flops", "100M"),
        *("--trials", str(options.trials), "--epochs", str(options.epochs), "--seed", str(options.seed)),
        *("--workers", str(options.workers), "--ladder", options.ladder, "--peers", "none", "--run-dir", str(folder)),
    ]


def kill_often(options: argparse.Namespace, folder: Path, every: int) -> int:
    """Start or resume, wait until a few more trainings are finished, then a random moment, then kill -9.

    Returns:
        How often the search was killed before it was over.
    """
    moments = random.Random(options.seed)
    before: list[Row] = []
    for kill in range(options.kills):
        resume = ["--resume"] if (folder / "manifest.json").exists() else []
        process = subprocess.Popen(
            [*command(options, folder), *resume], stderr=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None and len(finished(folder)) < every * (kill + 1):
            time.sleep(0.2)
        time.sleep(moments.uniform(0, 4))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        code = process.wait()
        if code == 0:
            print(f"     kill {kill + 1} came too late: the search was over", flush=True)
            return kill
        report(f"kill {kill + 1} hit the search", code == -signal.SIGKILL, f"it ended with {code}")
        after = finished(folder)
        kept = all(row in after for row in before)
        report(f"kill {kill + 1} lost nothing", kept, f"{len(before)} → {len(after)} finished")
        before = after
    return options.kills


def finished(folder: Path) -> list[Row]:
    """What every training that was not interrupted came to, in the order of the study."""
    if not (folder / "trials.csv").exists():  # the study is not made yet, and who opens it would make it
        return []
    trials = optuna.load_study(study_name="search", storage=f"sqlite:///{folder / 'study.db'}").trials
    over = [t for t in trials if t.state.name in FINISHED and t.user_attrs.get("reason") != "interrupted"]
    return [tuple(trial.user_attrs.get(name) for name in FIGURES) for trial in over]


def report(claim: str, holds: bool, detail: str) -> None:
    print(f"{'ok  ' if holds else 'FAIL'} {claim} ({detail})", flush=True)
    if not holds:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
