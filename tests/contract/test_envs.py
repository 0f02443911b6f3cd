"""Every registered environment keeps the whole contract."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrl import make
from agentrl.registry import registered
from agentrl.testing import LAWS, Case, Law
from tests.shared_data import shared_data

IDS = [env_id for env_id in registered() if env_id.startswith("agentrl/")]


def law_id(law: Law) -> str:
    return law.__name__.removeprefix("check_")


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("law", LAWS, ids=law_id)
def test_registered(env_id: str, law: Law) -> None:
    law(Case(functools.partial(make, env_id)))


@pytest.mark.parametrize("options", [{"size": 2, "doors": []}, {"size": 4, "doors": ["red", "blue"]}], ids=str)
@pytest.mark.parametrize("law", LAWS, ids=law_id)
def test_mazes(options: dict[str, object], law: Law) -> None:
    law(Case(functools.partial(make, "agentrl/Maze-v0", **options), seeds=(0,)))


@pytest.fixture(scope="module")
def official_games() -> Path:
    return shared_data("alfworld", "json_2.1.1")


@pytest.mark.parametrize("law", LAWS, ids=law_id)
def test_official_household(official_games: Path, law: Law) -> None:
    law(Case(functools.partial(make, "agentrl/Household-v0", games=str(official_games)), turns=40))


@pytest.fixture(scope="module")
def official_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = shared_data("webshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTRL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("observation", ["text_rich", "html", "url"])
@pytest.mark.parametrize("law", LAWS, ids=law_id)
def test_official_shop(official_shop: Path, law: Law, observation: str) -> None:
    law(Case(functools.partial(make, "agentrl/WebShop-v0", data=str(official_shop), observation=observation)))


@pytest.mark.parametrize("domain", ["retail", "airline"])
@pytest.mark.parametrize("law", LAWS, ids=law_id)
def test_tau_bench(domain: str, law: Law) -> None:
    data = str(shared_data("tau_bench"))
    law(Case(functools.partial(make, "agentrl/ToolService-v0", world="tau_bench", data=data, domain=domain), turns=8))
