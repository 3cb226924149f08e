from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressdefect.catalog import find_space
from compressdefect.errors import SpaceError
from compressdefect.space.domain import ChoiceDomain, FloatDomain, IntDomain
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import Condition, Parameter, Space

SPACE = find_space("lightdefectnet")


@given(seed=st.integers(0, 2**32))
def test_decoding_a_flattened_design_gives_it_back(seed: int) -> None:
    genotype = SPACE.decode(SPACE.sample(random.Random(seed)))
    again = SPACE.decode(SPACE.flatten(genotype))
    assert again == genotype
    assert again.fingerprint == genotype.fingerprint


@given(seed=st.integers(0, 2**32))
def test_a_genotype_survives_json(seed: int) -> None:
    genotype = SPACE.decode(SPACE.sample(random.Random(seed)))
    assert Genotype.from_json(genotype.to_json()) == genotype


def test_inactive_genes_leave_the_fingerprint() -> None:
    flat = SPACE.sample(random.Random(0)) | {"stage1.columns": 1, "stage1.column1.vac": False}
    other = flat | {"stage1.column1.vac_r": 8, "stage1.column3.block": "inverted"}
    assert SPACE.decode(flat).fingerprint == SPACE.decode(other).fingerprint


@settings(max_examples=30)
@given(
    columns=st.integers(1, 3),
    choices=st.integers(1, 3),
    dependants=st.integers(1, 3),
    stages=st.integers(1, 2),
)
def test_size_is_the_number_of_distinct_designs(columns: int, choices: int, dependants: int, stages: int) -> None:
    """The closed formula against brute force: every flat vector of a small space, decoded."""
    parameters = (
        Parameter("stem", "net", IntDomain(1, 2)),
        Parameter("columns", "stage", IntDomain(1, columns)),
        Parameter("kind", "column", ChoiceDomain(tuple("abc"[:choices]))),
        Parameter("r", "column", IntDomain(1, dependants), when=Condition("kind", ("a",))),
    )
    space = Space("s", "t", "", ("classify",), stages, parameters, column_count="columns")
    if stages * columns * choices * dependants > 18:
        return
    names, domains = zip(*space.dimensions.items(), strict=True)
    every = itertools.product(*(domain.values for domain in domains))
    found = {space.decode(dict(zip(names, vector, strict=True))).fingerprint for vector in every}
    assert space.size == len(found)


def test_genes_under_a_fixed_condition_count_only_where_it_holds() -> None:
    parameters = (
        Parameter("depth", "stage", IntDomain(1, 2)),
        Parameter("always", "stage", IntDomain(1, 3), when=Condition("mode", ("on",))),
        Parameter("never", "stage", IntDomain(1, 5), when=Condition("mode", ("off", "idle"))),
        Parameter("below", "stage", IntDomain(1, 7), when=Condition("never", (1,))),
    )
    space = Space("s", "t", "", ("classify",), 1, parameters, fixed={"stage": {"mode": "on"}})
    every = itertools.product(*(domain.values for domain in space.dimensions.values()))
    found = {space.decode(dict(zip(space.dimensions, vector, strict=True))).fingerprint for vector in every}
    assert space.size == len(found) == 2 * 3


def test_the_shipped_space_has_at_least_a_trillion_designs() -> None:
    assert SPACE.size >= 10**12


def test_a_real_valued_parameter_makes_the_size_infinite() -> None:
    space = Space("s", "t", "", ("classify",), 0, (Parameter("x", "net", FloatDomain(0.1, 1.0)),))
    assert space.size == float("inf")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nonsense": 1}, "no net parameter nonsense"),
        ({"stem_width": 12}, "stem_width is outside its domain: got 12"),
        ({"stem_width": None}, "stem_width is missing"),
        ({"stem_stride": 4.0}, r"stem_stride is fixed in lightdefectnet: got 4\.0; use 4"),
    ],
)
def test_a_wrong_design_is_refused(change: dict[str, object], message: str) -> None:
    design = SPACE.designs["lightdefectnet"]
    net = {name: value for name, value in {**design.net, **change}.items() if value is not None}
    with pytest.raises(SpaceError, match=message):
        SPACE.flatten(Genotype(design.template, net, design.stages))


def test_true_is_not_one() -> None:
    assert not ChoiceDomain((1, 2)).contains(True)
    assert not IntDomain(0, 1).contains(True)
    assert ChoiceDomain((False, True)).contains(True)


def test_float_domain_draws_inside_its_interval() -> None:
    domain, rng = FloatDomain(1e-4, 1e-1, log=True), random.Random(0)
    draws = [domain.sample(rng) for _ in range(2000)]
    assert all(domain.contains(draw) for draw in draws)
    assert 0.4 < sum(draw < 10**-2.5 for draw in draws) / 2000 < 0.6  # uniform in the logarithm: half below its middle
