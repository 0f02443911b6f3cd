"""What every section of the configuration is."""

import dataclasses
from typing import Any

from pydantic import BaseModel, ConfigDict

MOST_SEED = 2**62
"""The largest seed that every generator takes, with room for those derived from it."""


class Section(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def fields_of(kind: type, section: Section) -> dict[str, Any]:
    """Return the values of a section that settings of ``kind`` have fields for."""
    return {
        field.name: getattr(section, field.name) for field in dataclasses.fields(kind) if hasattr(section, field.name)
    }
