"""Fixtures of the engine tests."""

from typing import Any

import pytest

from tests.agentrl.engines.tiny import FAMILIES, build, byte_tokenizer


@pytest.fixture(scope="session", params=FAMILIES)
def any_model(request: pytest.FixtureRequest) -> Any:
    return build(request.param)


@pytest.fixture(scope="session")
def model() -> Any:
    return build("qwen3")


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return byte_tokenizer()
