"""What the methods with descriptors share: the composer of a record's texts, and queries made of label names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peace.core.errors import ConfigError
from peace.models.knowledge import KnowledgeComposer
from peace.training.tasks.base import Task

if TYPE_CHECKING:
    from peace.config import Config
    from peace.descriptors import Descriptors


def text_composer(config: Config, task: Task, descriptors: Descriptors | None) -> KnowledgeComposer:
    """The composer of the configured texts; the label queries start from the names that it embeds.

    Raises ConfigError where the descriptors are not those of the task's labels, or there are no label queries.
    """
    objective = config.objective
    if descriptors is None or descriptors.labels != task.classifier.labels:
        raise ConfigError("the task's descriptors must be those of its labels, in the same order")
    if config.model.readout != "query":
        raise ConfigError(f"objective.method={objective.method} needs model.readout=query")
    texts = descriptors.variant(objective.text_variant)
    composer = KnowledgeComposer(config.model.text, texts, config.model.width, objective.axis_composition)
    if objective.name_queries:
        task.classifier.query.set_queries(composer.name_embeddings())
    return composer
