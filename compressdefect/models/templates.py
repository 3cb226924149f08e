"""The families that this package can build."""

from __future__ import annotations

from compressdefect.errors import ModelError, known_names
from compressdefect.models.lightdefectnet import LightDefectNetTemplate
from compressdefect.models.lw_cnn import LwCnnTemplate
from compressdefect.models.template import Template
from compressdefect.space.genotype import Genotype
from compressdefect.space.space import TASK

_FAMILIES: tuple[Template, ...] = (
    LightDefectNetTemplate(),
    LwCnnTemplate(),
)
TEMPLATES: dict[str, Template] = {template.name: template for template in _FAMILIES}


def template_of(genotype: Genotype) -> Template:
    """The family of a genotype.

    Raises:
        ModelError: there is none of that name.
    """
    if genotype.template not in TEMPLATES:
        raise ModelError("no such template", got=genotype.template, fix=known_names(genotype.template, TEMPLATES))
    return TEMPLATES[genotype.template]


def task_of(genotype: Genotype) -> str:
    """What a genotype's network is for: its gene ``task``, or its family's only task.

    Raises:
        ModelError: there is no such family.
    """
    return str(genotype.net.get(TASK, template_of(genotype).tasks[0]))
