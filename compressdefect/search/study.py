"""The stored study: Optuna 5 in the run folder's SQLite file or any other storage it takes.

A trial is one training of a design: the one to the end and, where designs climb a ladder, one on each of its rungs. It
is stored when the design has passed the gate: one transaction writes its parameters, genotype, cost and constraints, so
a kill leaves a whole trial or none. Results follow when it has been trained. Short trainings end as pruned, with their
figures as attributes, so that a study's best trial is one that was trained to the end. A trial that a dead process left
running is told to have failed with the reason ``interrupted``; it counts as not stored.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from compressdefect.cost.cost import Cost
from compressdefect.errors import RunError
from compressdefect.search.draws import derive_seed
from compressdefect.search.evaluate import TrialResult
from compressdefect.search.identity import difference
from compressdefect.search.objective import Objective
from compressdefect.search.proposal import Past
from compressdefect.search.repair import Admission
from compressdefect.search.samplers import distribution
from compressdefect.search.trials import State, TrialRecord
from compressdefect.space.domain import Value
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Space

INTERRUPTED = "interrupted"
STOPPED_SHORTFALL = 1e-6  # the least of a trial that was stopped: samplers take it for worse than all that could win
FOUNDING_POLLS, POLL_S = 50, 0.1  # how often, and how many seconds apart, a study is looked at that is being founded

_GENOTYPE, _IDENTITY, _FOUNDER = "genotype", "identity", "founder"  # attributes
_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}
_FAILURES = (StorageInternalError, SQLAlchemyError, sqlite3.Error, OSError)
_MISTAKES = (ImportError, ValueError)  # what else a URL may lead to


@contextlib.contextmanager
def _told(
    what: str = "the study's storage failed",
    *,
    url: str = "",
    fix: str = "free some space, or wait until it can be reached again; then go on with --resume",
    errors: tuple[type[Exception], ...] = _FAILURES,
) -> Iterator[None]:
    """Say in one line that the storage failed, wherever it does; also the decorator of what works with it."""
    try:
        yield
    except errors as error:
        cause = error.__cause__ or error if isinstance(error, StorageInternalError) else error
        if isinstance(cause, DBAPIError):
            cause = cause.orig or cause  # without the statement
        said = (str(cause) or type(cause).__name__).splitlines()[0]
        raise RunError(what, got=f"{url}: {said}" if url else said, fix=fix) from error


@dataclass(frozen=True, kw_only=True)
class StoredTrial(TrialRecord):
    """A trial of the study: its row, and what the table leaves out; ``folder`` is that of the run that started it."""

    flat: Mapping[str, Value]
    values: tuple[float, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()
    val: Mapping[str, Any] = field(default_factory=dict)
    probes: Mapping[str, float] = field(default_factory=dict)
    folder: Path = field(default=Path(), compare=False)
    epochs_planned: int = 0

    def as_compared(self, objective: Objective) -> StoredTrial:
        """A trial of a short rung as samplers see it: as if its score were the metric of a finished one."""
        if self.state != "compared" or self.score is None:
            return self
        cost = Cost(self.params, self.macs, self.peak_bytes)
        return replace(
            self,
            state="complete",
            metric=self.score,
            netscore=objective.netscore(self.score, cost, self.latency_ms),
            values=objective.values(self.score, cost, self.latency_ms),
        )

    @property
    def design(self) -> Genotype:
        """The design that was trained."""
        return Genotype.from_json(json.loads(self.genotype))

    def past(self, floor: float) -> Past:
        """The trial as samplers see it, when a winner needs a metric of ``floor``."""
        assert self.state in ("complete", "pruned", "failed", "running")
        came_to = self.curve[-1][1] if self.metric is None and self.curve else self.metric
        return Past(self.flat, self.state, self.values, self.netscore, self._shortfall(floor), came_to, self.probes)

    def _shortfall(self, floor: float) -> float:
        """How far the metric stays below the floor, at least -1; a stopped trial never reaches it, wherever it was."""
        if self.metric is not None:
            return max(floor - self.metric, -1.0)
        if self.state != "pruned":
            return 0.0
        return max(floor - (self.curve[-1][1] if self.curve else 0.0), STOPPED_SHORTFALL)


class SearchStudy:
    """One Optuna study, seen as trials of one space.

    Args:
        storage: database URL.
        name: the study's name in it.
        space: whose designs are stored.
        objective: gives the directions and values.
        run: who owns the trials that are started here; running ones of others are left alone.
        folder: where that run keeps what its trials answered.
        identity: what is searched for, as JSON values; searches that share a study must agree in it.

    Raises:
        RunError: the storage cannot be opened, or holds a study that searches for something else.
    """

    def __init__(
        self,
        storage: str,
        name: str,
        *,
        space: Space,
        objective: Objective,
        run: str,
        folder: Path,
        identity: Mapping[str, Any],
    ) -> None:
        self.space, self.objective, self.run, self.folder = space, objective, run, folder
        self._distributions = {key: distribution(domain) for key, domain in space.dimensions.items()}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with _opening(storage):
            self._storage = _open(storage)
            self._study = self._founded(name, identity)
            self._founder = self._study.user_attrs[_FOUNDER]
            _check_same(self._study, identity)

    def _founded(self, name: str, identity: Mapping[str, Any]) -> optuna.Study:
        """The study, which says who founded it and what it searches for.

        A storage takes a name once: of runs that start together the one that made the study founds it, and the others
        wait for it. One that was killed meanwhile is replaced by whoever comes next.

        Raises:
            RunError: the study was made by something else.
        """
        try:
            study = optuna.create_study(storage=self._storage, study_name=name, directions=self.objective.directions)
        except DuplicatedStudyError:
            study = optuna.load_study(storage=self._storage, study_name=name)
            for _ in range(FOUNDING_POLLS):
                if _is_founded(study, self.objective):
                    return study
                time.sleep(POLL_S)
        study.set_user_attr(_FOUNDER, self.run)
        study.set_user_attr(_IDENTITY, dict(identity))
        return study

    def close(self) -> None:
        """Let go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    @_told()
    def trials(self) -> list[StoredTrial]:
        """Every stored trial by number, interrupted and running ones too."""
        return [
            self._stored(trial) for trial in self._study.get_trials(deepcopy=False) if _GENOTYPE in trial.user_attrs
        ]

    @property
    def worker(self) -> int:
        """Tells the runs apart that share the study, so that they draw different seeds; 0 for the one that made it."""
        return 0 if self.run == self._founder else derive_seed(self.run)

    @property
    def epochs(self) -> int | None:
        """How long every trial on the top rung trains, which the first one says; None while there is none.

        Interrupted trials bind nobody.
        """
        return _planned(self.trials())

    @_told()
    def start(self, admission: Admission, *, rung: int = 0, epochs: int) -> int | None:
        """Store the training of a design that passed the gate as a running trial and return its number.

        None where another run has stored the design on this rung before, or has stored the first trial of all on the
        top with other epochs: this trial is then withdrawn as if it had been interrupted. A storage numbers trials one
        after the other, so of two runs that start at the same moment one is the first for both.

        Args:
            admission: the design.
            rung: of the ladder.
            epochs: of the training, all of which on the top are equally long; 0 on the rungs below.
        """
        verdict = admission.verdict
        ticket = f"{self.run}/{len(self._study.get_trials(deepcopy=False))}"
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=dict(admission.flat),
                distributions=self._distributions,
                constraints=verdict.constraints,
                user_attrs={
                    _GENOTYPE: json.dumps(verdict.genotype.to_json(), separators=(",", ":")),
                    "fingerprint": verdict.genotype.fingerprint,
                    "macs": verdict.cost.macs,
                    "flops": verdict.cost.flops,
                    "params": verdict.cost.params,
                    "peak_bytes": verdict.cost.peak_bytes,
                    "latency_ms": verdict.latency_ms,
                    "repaired": admission.repaired,
                    "rung": rung,
                    "epochs_planned": epochs,
                    "run": self.run,
                    "folder": str(self.folder.resolve()),
                    "ticket": ticket,
                },
            )
        )
        mine = [t for t in self._study.get_trials(deepcopy=False) if t.user_attrs.get("ticket") == ticket][-1]
        trials = [t for t in self.trials() if t.number is not None and t.number <= mine.number]
        same = [
            t
            for t in trials
            if (t.fingerprint, t.rung) == (verdict.genotype.fingerprint, rung) and t.state != "interrupted"
        ]
        if same[0].number != mine.number or (epochs and _planned(trials) != epochs):
            self._interrupt(mine)
            return None
        return mine.number

    @_told()
    def finish(self, number: int, result: TrialResult) -> StoredTrial:
        """Store what training gave."""
        frozen = self._study.get_trials(deepcopy=False)[number]
        attributes = frozen.user_attrs
        cost = Cost(attributes["params"], attributes["macs"], attributes["peak_bytes"])
        trial = optuna.trial.Trial(self._study, frozen._trial_id)
        found: dict[str, Any] = {
            "epochs": result.epochs,
            "seconds": result.seconds,
            "reason": result.reason,
            "curve": result.curve,
            "val": result.val,
        }
        if result.score is not None:
            found["score"] = result.score
        if result.probes:
            found["probes"] = dict(result.probes)
        if result.metric is not None:
            found["metric"] = result.metric
            found["netscore"] = self.objective.netscore(result.metric, cost, attributes["latency_ms"])
        for name, value in found.items():
            trial.set_user_attr(name, value)
        if len(self.objective.directions) == 1:
            for step, (_, metric) in enumerate(result.curve, 1):
                trial.report(metric, step)
        self._tell(number, result, cost, attributes["latency_ms"])
        return self._stored(self._study.get_trials(deepcopy=False)[number])

    @_told()
    def withdraw(self, number: int) -> None:
        """Tell a trial that was not trained, for lack of time, that it was interrupted: a resumed search trains it."""
        self._interrupt(self._study.get_trials(deepcopy=False)[number])

    @_told()
    def interrupt(self) -> None:
        """Tell all trials that this run left running that they were interrupted."""
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if frozen.user_attrs.get("run") == self.run:
                self._interrupt(frozen)

    def _interrupt(self, frozen: FrozenTrial) -> None:
        optuna.trial.Trial(self._study, frozen._trial_id).set_user_attr("reason", INTERRUPTED)
        self._study.tell(frozen.number, state=TrialState.FAIL)

    def _tell(self, number: int, result: TrialResult, cost: Cost, latency_ms: float | None) -> None:
        if result.state == "complete":
            assert result.metric is not None
            self._study.tell(number, values=list(self.objective.values(result.metric, cost, latency_ms)))
        else:
            self._study.tell(number, state=TrialState.FAIL if result.state == "failed" else TrialState.PRUNED)

    def _stored(self, trial: FrozenTrial) -> StoredTrial:
        attributes, state = trial.user_attrs, _state(trial)
        found = {} if state == "interrupted" else attributes  # a kill may leave some of the results
        return StoredTrial(
            number=trial.number,
            state=state,
            fingerprint=attributes["fingerprint"],
            params=attributes["params"],
            macs=attributes["macs"],
            flops=attributes["flops"],
            peak_bytes=attributes["peak_bytes"],
            latency_ms=attributes["latency_ms"],
            metric=found.get("metric"),
            netscore=found.get("netscore"),
            rung=attributes["rung"],
            score=found.get("score"),
            epochs=found.get("epochs"),
            seconds=found.get("seconds"),
            repaired=attributes["repaired"],
            reason=attributes.get("reason", ""),
            genotype=attributes[_GENOTYPE],
            flat=trial.params,
            values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
            curve=tuple((share, metric) for share, metric in found.get("curve", ())),
            val=found.get("val", {}),
            probes=found.get("probes", {}),
            folder=Path(attributes["folder"]),
            epochs_planned=attributes["epochs_planned"],
        )


def _planned(trials: Iterable[StoredTrial]) -> int | None:
    """The epochs of the first trial on the top that was not interrupted."""
    return next((t.epochs_planned for t in trials if t.epochs_planned and t.state != "interrupted"), None)


def _state(trial: FrozenTrial) -> State:
    if trial.state == TrialState.FAIL and trial.user_attrs.get("reason") == INTERRUPTED:
        return "interrupted"
    if trial.state == TrialState.PRUNED and "score" in trial.user_attrs:
        return "compared"
    return _STATES[trial.state]


def _is_founded(study: optuna.Study, objective: Objective) -> bool:
    """Whether a study says what it searches for; False where whoever made it has not come to that.

    Raises:
        RunError: it was made by something else, since a search stores no trial before.
    """
    directions = tuple(direction.name.lower() for direction in study.directions)
    trials = len(study.get_trials(deepcopy=False))  # counted first: whoever founds it meanwhile may store some at once
    if _IDENTITY in study.user_attrs:
        return True
    if trials or directions != objective.directions:
        raise RunError(
            f"the study {study.study_name} in the storage was not made by a search like this one",
            got=f"trials: {trials}, directions: {' and '.join(directions)}",
            fix="choose another --study",
        )
    return False


def _check_same(study: optuna.Study, identity: Mapping[str, Any]) -> None:
    other = difference(study.user_attrs[_IDENTITY], identity)
    if other is not None:
        raise RunError(
            f"the study {study.study_name} in the storage differs in its {other[0]}",
            got=other[1],
            fix="choose another --study",
        )


def check_study(url: str, name: str, *, objective: Objective, identity: Mapping[str, Any]) -> None:
    """Open a storage, make sure that its study of that name, if it has one, can be shared, and let go of it.

    Raises:
        RunError: the storage cannot be opened, or holds a study of that name that is for something else.
    """
    with _opening(url):
        storage = _open(url)
        try:
            if name in optuna.get_all_study_names(storage):
                study = optuna.load_study(storage=storage, study_name=name)
                if _is_founded(study, objective):
                    _check_same(study, identity)
        finally:
            storage.remove_session()
            storage.engine.dispose()


def whole_url(url: str) -> str:
    """The URL of a storage, that of a file with its whole path; what is no URL as it is, to be refused when opened."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return url
    if not _is_file(parsed):
        return url
    return parsed.set(database=str(Path(str(parsed.database)).resolve())).render_as_string(hide_password=False)


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")


def _opening(url: str) -> contextlib.AbstractContextManager[None]:
    return _told(
        "the study's storage cannot be opened",
        url=url,
        fix="check --storage and the disk; restore a damaged file, or start a new run",
        errors=(*_FAILURES, *_MISTAKES),
    )


def _open(url: str) -> optuna.storages.RDBStorage:
    """Open a storage; SQLite with a write-ahead log, which outlives a kill without waiting for the disk every time."""
    parsed = make_url(url)
    if not _is_file(parsed):
        return optuna.storages.RDBStorage(url)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(str(parsed.database), timeout=60, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return optuna.storages.RDBStorage(url, engine_kwargs={"creator": connect})
