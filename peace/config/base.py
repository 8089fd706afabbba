"""What every section of the configuration shares."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer

from peace.core.masking import masked

# An address: itself in this process, without its user information in every dump of the configuration.
Address = Annotated[str, PlainSerializer(masked, when_used="json")]


class Section(BaseModel):
    """A part of the configuration: immutable, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
