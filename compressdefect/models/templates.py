"""The families that this package can build."""

from __future__ import annotations

from compressdefect.errors import ModelError, known_names
from compressdefect.models.lightdefectnet import LightDefectNetTemplate
from compressdefect.models.template import Template
from compressdefect.space.genotype import Genotype

TEMPLATES: dict[str, Template] = {template.name: template for template in (LightDefectNetTemplate(),)}


def template_of(genotype: Genotype) -> Template:
    """The family of a genotype.

    Raises:
        ModelError: there is none of that name.
    """
    if genotype.template not in TEMPLATES:
        raise ModelError("no such template", got=genotype.template, fix=known_names(genotype.template, TEMPLATES))
    return TEMPLATES[genotype.template]
