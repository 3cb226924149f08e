"""Networks that train in another form than they ship in: the same function, in operators that train faster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def training_form(network: nn.Module) -> Iterator[None]:
    """Exchange the blocks of a network that have a ``training_form()`` for it, and give back what it has learned.

    A form is a module of the same inputs and outputs whose ``give_back(block)`` writes its parameters and statistics
    into the block that it was made of. Blocks inside one that has a form are part of that form.
    """
    exchanged = [*_forms(network)]
    for parent, name, _, form in exchanged:
        setattr(parent, name, form)
    try:
        yield
    finally:
        for parent, name, block, form in exchanged:
            form.give_back(block)
            block.train(form.training)
            setattr(parent, name, block)


def _forms(parent: nn.Module) -> Iterator[tuple[nn.Module, str, Any, Any]]:
    """Every block that is exchanged: the module that holds it, its name there, itself and its form."""
    for name, block in parent.named_children():
        make: Any = getattr(block, "training_form", None)
        form = None if make is None else make()
        if form is None:
            yield from _forms(block)
        else:
            yield parent, name, block, form
