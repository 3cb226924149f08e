"""What a search is asked, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from compressdefect.search.gate import Gate
from compressdefect.search.identity import space_identity
from compressdefect.search.ladder import NO_LADDER, Ladder
from compressdefect.search.objective import Objective
from compressdefect.search.plan import MIN_EPOCHS, NOTHING_AFTER, After, Plan
from compressdefect.search.study import StoredTrial
from compressdefect.search.trials import TRAINED, Tally, TrialRecord
from compressdefect.search.winner import Choice


@dataclass(frozen=True)
class SearchConfig:
    """What to search for, and how long.

    Attributes:
        objective: what decides.
        sampler: a name in ``samplers.SAMPLERS``.
        seed: of proposals and trainings.
        trials: designs to train, trial 0 included; None sets no number.
        epochs: of each trial; with a time limit the most, otherwise ``DEFAULT_EPOCHS`` or ``least_epochs`` when None.
        least_epochs: fewest epochs of each trial, unless ``epochs`` is lower.
        workers: trials at a time.
        threads: CPU threads per trial; None shares the cores out.
        ladder: the short trainings that come before those to the end.
        whole: epochs of the trainings on its top, as far as there is time, where ``epochs`` is None.
        after: what the trainings take that follow the search; time is left for them on a ladder.
        first: the space's named design to start from; None takes the first.
        storage: database URL; None is ``study.db`` in the run folder.
        study: the study's name in the storage.
        data: fingerprint of the images and their split; searches that share a study share these too.
        recipe: how trials are trained, as JSON values; the same goes for it.
        compress: whether what is found is compressed before it ships; the weights of all finished designs are kept.
    """

    objective: Objective = field(default_factory=Objective)
    sampler: str = "tpe"
    seed: int = 0
    trials: int | None = None
    epochs: int | None = None
    least_epochs: int = MIN_EPOCHS
    workers: int = 1
    threads: int | None = None
    ladder: Ladder = NO_LADDER
    whole: int | None = None
    after: After = NOTHING_AFTER
    first: str | None = None
    storage: str | None = None
    study: str = "search"
    data: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    compress: bool = False

    def identity(self, gate: Gate) -> dict[str, Any]:
        """All that proposals, trainings and metrics depend on, as JSON values; not how long a search takes.

        The epochs of a trial are not here either, since a time limit sets them: all who share a study train as long as
        whoever stored its first trial.
        """
        short = self.ladder.short
        found = {
            **space_identity(gate.space),
            "objective": asdict(self.objective),
            "sampler": self.sampler,
            "ladder": None if short is None else f"{short.steps} steps at {short.scale:g} of the side",
            "seed": self.seed,
            "budgets": gate.budgets.to_json(),
            "input": gate.input_shape,
            "heads": {name: list(outputs) for name, outputs in gate.heads.items()},
            "study": self.study,
            "data": self.data,
            "recipe": dict(self.recipe),
            **({"compress": True} if self.compress else {}),
        }
        return dict(json.loads(json.dumps(found)))


@dataclass(frozen=True)
class SearchOutcome:
    """How a search ended.

    Attributes:
        status: ``complete``, or ``stopped`` by Ctrl-C.
        ended: why no further design was asked, in words.
        trials: the designs that were trained, each by its last training and the number of its first; a training that
            was interrupted counts as a design of its own.
        infeasible: the designs that the gate rejected.
        choice: which trial won, and what it was compared with; None when none was finished.
        baseline: trial 0; None when it was not finished.
        front: the Pareto front of metric and price.
        plan: how long trials trained.
    """

    status: Literal["complete", "stopped"]
    ended: str
    trials: list[StoredTrial]
    infeasible: list[TrialRecord]
    choice: Choice | None
    baseline: StoredTrial | None
    front: list[StoredTrial]
    plan: Plan

    @property
    def winner(self) -> StoredTrial | None:
        """The trial that won."""
        return None if self.choice is None else self._numbered(self.choice.winner)

    @property
    def passed_over(self) -> StoredTrial | None:
        """The trial with the best metric, where another one won."""
        if self.choice is None or self.choice.best == self.choice.winner:
            return None
        return self._numbered(self.choice.best)

    def _numbered(self, number: int) -> StoredTrial:
        return next(trial for trial in self.trials if trial.number == number)

    @property
    def tally(self) -> Tally:
        """How many designs were asked, and how far they came."""
        return Tally.of([*self.trials, *self.infeasible])

    @property
    def trained(self) -> int:
        """Designs trained, stopped early or failed."""
        return sum(trial.state in TRAINED for trial in self.trials)

    @property
    def asked(self) -> int:
        """Different designs asked."""
        return self.tally.asked
