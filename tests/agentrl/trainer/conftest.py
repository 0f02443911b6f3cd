"""The run that others are compared with."""

from pathlib import Path

import pytest

from agentrl.trainer.loop import run_training
from tests.agentrl.trainer.tiny import tiny_config


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    assert run_training(tiny_config(directory)) == 0
    return directory
