"""What a run folder holds, read once: the manifest, every trial, and the delivered model with its test answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from compressdefect.deploy.manifest import BundleManifest, LatencyFigures, parse_manifest
from compressdefect.errors import RunError
from compressdefect.models.design import Design
from compressdefect.models.designs import read_design
from compressdefect.models.edited_design import EditedDesign
from compressdefect.runs import RunFolder
from compressdefect.search.objective import baseline
from compressdefect.search.trials import Tally, TrialRecord, read_trials
from compressdefect.space.genotype import Genotype
from compressdefect.train.operating_point import OVERKILL, Choice


class Predictions(NamedTuple):
    """The delivered model's answers on whole test images: ``probabilities`` is (n, classes).

    Of a segmentation they are the largest of any pixel for a defect, and the smallest for the background. ``groups``
    are equal (n,) for images that resemble each other; older runs do not tell.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    threshold: float | None
    groups: NDArray[np.int64] | None = None


class Best(NamedTuple):
    """The delivered model; ``predictions`` is None where it is untested."""

    manifest: BundleManifest
    design: Design
    predictions: Predictions | None

    @property
    def test(self) -> dict[str, Any]:
        """The figures on the test images."""
        return self.manifest.metrics.get("test", {})


class Latency(NamedTuple):
    """One model on the clock; times are per image, or per tile where images are tiled."""

    model: str
    batch: int
    threads: int
    precision: str
    median_ms: float
    p95_ms: float


class Score(NamedTuple):
    """What a finished trial reached."""

    trial: TrialRecord
    number: int
    metric: float
    netscore: float


class Rated(NamedTuple):
    """A trial by what tells all designs apart: on a ladder the score of its short training, else its metric."""

    trial: TrialRecord
    number: int
    value: float


class Agreement(NamedTuple):
    """Kendall's τ between what two trainings say of the same ``n`` designs; None where either says one thing of all."""

    tau: float | None
    n: int


class PassedOver(NamedTuple):
    """The trial with the best metric where another one won: by how much, and the standard error of that."""

    score: Score
    difference: float
    standard_error: float


@dataclass(frozen=True)
class Evidence:
    """A run as its report sees it; ``best`` is None where a run ended before anything was delivered."""

    path: Path
    manifest: dict[str, Any]
    trials: tuple[TrialRecord, ...]
    best: Best | None

    @property
    def way_on(self) -> str:
        """What to do with a run that was stopped: only searches and studies can be continued."""
        continued = self.manifest.get("command") in ("search", "study")
        return "Continue the run with --resume." if continued else "Run the command again."

    @property
    def data(self) -> dict[str, Any]:
        """What the manifest says of the images."""
        return self.manifest.get("data") or {}

    @property
    def shown(self) -> str:
        """What the model is shown at a time, which its cost and latency are of: an image, or a tile of one."""
        return "image" if self.data.get("tile") is None else "tile"

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names of whole images, in the order of the model's answers."""
        return self.best.manifest.classes if self.best else tuple(self.data.get("classes", ()))

    @property
    def good(self) -> int | None:
        """The index of the class of good parts, if there is one."""
        return self.best.manifest.good if self.best else self.data.get("good")

    @property
    def metric_title(self) -> str:
        """The name of the trials' metric, for an axis."""
        metric = str(self.manifest.get("metric") or "accuracy")
        if metric == "escape@overkill":  # whose score is 1 − escape
            return f"defects caught at {100 * self.overkill_aim:g} % overkill"
        return _titles(str(self.manifest.get("task"))).get(metric, metric.replace("_", " "))

    @property
    def budgets(self) -> dict[str, float]:
        """The limits of the search by column of ``trials.csv``."""
        limits = self.manifest.get("budgets") or {}
        return {"peak_bytes" if name == "memory_bytes" else name: float(limit) for name, limit in limits.items()}

    @property
    def overkill_aim(self) -> float:
        """The overkill that the threshold was chosen for."""
        return float((self.manifest.get("options") or {}).get("overkill", OVERKILL))

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The thresholds that validation gave for several overkills; none where it had no good image."""
        stored = self.best.manifest.metrics.get("val", {}).get("choices") if self.best else None
        return tuple(Choice(**choice) for choice in stored or ())

    @cached_property
    def finished(self) -> tuple[Score, ...]:
        """The trials that were trained to their end and scored, by number."""
        scores = [
            Score(t, t.number, t.metric, t.netscore)
            for t in self.trials
            if t.state == "complete" and t.number is not None and t.metric is not None and t.netscore is not None
        ]
        return tuple(sorted(scores, key=lambda score: score.number))

    @property
    def short_training(self) -> str | None:
        """What all designs are compared by before a few are trained to the end, in words; None without a ladder."""
        return (self.manifest.get("search") or {}).get("ladder")

    @cached_property
    def tally(self) -> Tally:
        """How many designs were asked, and how far they came."""
        return Tally.of(self.trials)

    @cached_property
    def rated(self) -> tuple[Rated, ...]:
        """The trials by what most of them have, by number."""
        if self.short_training is None:
            return tuple(Rated(score.trial, score.number, score.metric) for score in self.finished)
        found = [Rated(t, t.number, t.score) for t in self.trials if t.number is not None and t.score is not None]
        return tuple(sorted(found, key=lambda rated: rated.number))

    @property
    def rated_title(self) -> str:
        """The name of that, for an axis."""
        return f"{self.metric_title} on validation" if self.short_training is None else "score of the short training"

    @property
    def score_title(self) -> str:
        """What the score of short trainings is."""
        return _fine_title(str(self.manifest.get("task")))

    @property
    def rated_zero(self) -> Rated | None:
        """Trial 0's design by the same."""
        first = next((trial.fingerprint for trial in self.trials if trial.number == 0), None)
        return next((rated for rated in self.rated if rated.trial.fingerprint == first), None)

    @property
    def agreement(self) -> Agreement:
        """What the short trainings said of the designs that were finished, beside what the end said."""
        known = [(score.trial.score, score.metric) for score in self.finished if score.trial.score is not None]
        if len(known) < 2:
            return Agreement(None, len(known))
        tau = float(kendalltau(*zip(*known, strict=True)).statistic)
        return Agreement(None if np.isnan(tau) else tau, len(known))

    @property
    def trial_zero(self) -> Score | None:
        """The space's own named design, repaired to the budget; another trial repeats one that was interrupted."""
        first = baseline(self.trials)
        return None if first is None else self._numbered(first.number)

    @property
    def winner(self) -> Score | None:
        """The trial whose design was delivered or, before a delivery, the one that leads."""
        if (found := self._genotype) is not None:
            wanted = found.fingerprint
            return next((score for score in self.finished if score.trial.fingerprint == wanted), None)
        return self._numbered(self._choice.get("winner"))

    @property
    def _genotype(self) -> Genotype | None:
        """Of the delivered design, or of the one that it was pruned from."""
        if self.best is None:
            return None
        design = self.best.design
        return design.base.genotype if isinstance(design, EditedDesign) else design.genotype

    @property
    def passed_over(self) -> PassedOver | None:
        """The trial with a better metric than the winner's, if there is one."""
        better, gaps = self._numbered(self._choice.get("best")), self._choice.get("gaps")
        if better is None or better == self.winner or not gaps:
            return None
        return PassedOver(better, **next(iter(gaps.values())))

    @property
    def _choice(self) -> dict[str, Any]:
        return self.manifest.get("choice") or {}

    def _numbered(self, number: int | None) -> Score | None:
        return next((score for score in self.finished if score.number == number), None)

    @property
    def winner_title(self) -> str:
        """What to call that trial."""
        return "winner" if self.best else "leads so far"

    @property
    def own_latency(self) -> LatencyFigures | None:
        """The delivered model's latency timed alone, as its bundle states it: one input at a time, fewest threads."""
        rows = self.best.manifest.shipped.latency if self.best else ()
        return min(rows, key=lambda row: (row.batch, row.threads), default=None)

    @property
    def latency_in_turns(self) -> Latency | None:
        """The same timed in turns with its peers, where it was."""
        own = self.own_latency
        if own is None or self.best is None or not self.manifest.get("peers"):
            return None
        wanted = (self.best.manifest.name, own.batch, own.threads, self.best.manifest.shipped.precision)
        return next((row for row in self.latency if row[:4] == wanted), None)

    @property
    def latency(self) -> list[Latency]:
        """Every latency measured: peers and the model in one run, then what its bundle adds to that."""
        rows = [
            Latency(
                str(row["model"]),
                row["batch"],
                row["threads"],
                row.get("precision", "fp32"),
                row["median_ms"],
                row["p95_ms"],
            )
            for row in self.manifest.get("peers") or []
        ]
        known = {row[:4] for row in rows}
        if self.best:
            own = self.best.manifest
            own_rows = [
                Latency(own.name, r.batch, r.threads, own.shipped.precision, r.median_ms, r.p95_ms)
                for r in own.shipped.latency
            ]
            rows += [row for row in own_rows if row[:4] not in known]
        return rows


def leaders(evidence: Evidence) -> list[Score]:
    """The trials that led the search when they were the last, in order; the one that leads now is the last of them.

    A lead that went back to a trial that was finished earlier is left out: one with a better metric may end the lead of
    a cheaper one. Without a ladder, trials are finished by number.
    """
    known, leads = {score.number: score for score in evidence.finished}, list[Score]()
    for number in evidence.manifest.get("led") or ():
        if evidence.short_training:
            again = next((place for place, score in enumerate(leads) if score.number == number), len(leads))
            leads = leads[:again]
        else:
            leads = [score for score in leads if score.number < number]
        leads += [known[number]] if number in known else []
    return leads


def _titles(task: str) -> dict[str, str]:
    """What a task calls its figures; nothing of a task that this release does not have."""
    from compressdefect.train.tasks import TASKS

    return {figure.key: figure.title for figure in TASKS[task].figures} if task in TASKS else {}


def _fine_title(task: str) -> str:
    """What a task calls the score of short trainings."""
    from compressdefect.train.tasks import TASKS

    return TASKS[task].fine_title if task in TASKS else "score"


def read_evidence(path: Path) -> Evidence:
    """Read a run folder; trials and model may be missing.

    Raises:
        RunError: it is not a run folder, or one of its files is damaged.
        BundleError: ``best/bundle.json`` is damaged.
    """
    run = RunFolder.open(path)
    trials = read_trials(path / "trials.csv") if (path / "trials.csv").is_file() else []
    return Evidence(
        path, run.manifest, tuple(trials), _read_best(run) if (run.best / "bundle.json").is_file() else None
    )


def _read_best(run: RunFolder) -> Best:
    manifest = parse_manifest((run.best / "bundle.json").read_bytes(), source=run.best / "bundle.json")
    answers = run.best / "predictions.json"
    return Best(
        manifest,
        read_design(manifest.design, name=manifest.name, input=manifest.input[1]),
        _predictions(run.read_json("best/predictions.json"), len(manifest.classes)) if answers.is_file() else None,
    )


def _predictions(data: Mapping[str, Any], classes: int) -> Predictions:
    try:
        answered = Predictions(
            tuple(data["names"]),
            np.asarray(data["labels"], dtype=np.int64),
            np.asarray(data["probabilities"], dtype=np.float64),
            data["threshold"],
            None if data.get("groups") is None else np.asarray(data["groups"], dtype=np.int64),
        )
        n = len(answered.names)
        if answered.groups is not None and answered.groups.shape != (n,):
            raise ValueError(f"{n} names, {answered.groups.shape} groups")
        if answered.labels.shape != (n,) or answered.probabilities.shape != (n, classes):
            raise ValueError(f"{n} names, {answered.labels.shape} labels, {answered.probabilities.shape} probabilities")
    except (KeyError, ValueError, TypeError) as error:
        raise RunError("best/predictions.json is damaged", got=error) from error
    return answered
