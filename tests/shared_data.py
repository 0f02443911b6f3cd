"""Where tests find the shared data, which is not part of the repository."""

import os
from pathlib import Path

import pytest

DEFAULT = Path(__file__).parents[2] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """Return the path of a shared file or folder, or skip the test where it is absent."""
    path = Path(os.environ.get("AGENTRL_DATA", DEFAULT)).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"shared data not found at {path}: set AGENTRL_DATA")
    return path
