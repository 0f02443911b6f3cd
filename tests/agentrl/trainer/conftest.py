"""One thread, as the subprocesses have; and the run that others are compared with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from agentrl.trainer.loop import run_training
from tests.agentrl.trainer.tiny import tiny_config


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    assert run_training(tiny_config(directory)) == 0
    return directory
