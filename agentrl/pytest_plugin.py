"""A pytest plug-in that checks any text environment against the contract, one test per law.

    pytest --agentrl-env my_pkg:MyEnv-v0 --agentrl-env-kwargs '{"split": "valid"}'

The module before the colon is imported first, so that it can register the environment, as in ``gymnasium.make``.
The laws join the tests that pytest would have run anyway; ``-k agentrl-env`` selects them alone.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentrl.testing import Case, Law


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("agentrl", "agentrl: conformance of text environments")
    group.addoption(
        "--agentrl-env",
        action="append",
        default=[],
        metavar="[MODULE:]ID",
        help="check this environment against the contract, one test per law; may be given again",
    )
    group.addoption(
        "--agentrl-env-kwargs",
        default="{}",
        metavar="JSON",
        help="arguments for the environments of --agentrl-env, a JSON object",
    )


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose among the items
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Add one item per law and environment."""
    env_ids = session.config.getoption("agentrl_env")
    if not env_ids:
        return
    from agentrl.env import make
    from agentrl.errors import ConfigError
    from agentrl.testing import LAWS, Case

    kwargs = _parse_kwargs(session.config.getoption("agentrl_env_kwargs"))
    for env_id in dict.fromkeys(env_ids):
        case = Case(functools.partial(make, env_id, **kwargs))
        try:
            case.factory().close()
        except ConfigError as error:
            raise pytest.UsageError(f"--agentrl-env: {error}") from error
        items.extend(LawItem.of(session, env_id, law, case) for law in LAWS)


def _parse_kwargs(text: str) -> dict[str, Any]:
    try:
        kwargs = json.loads(text)
    except json.JSONDecodeError as error:
        raise pytest.UsageError(f"--agentrl-env-kwargs: not JSON ({error}): {text}") from error
    if not isinstance(kwargs, dict):
        raise pytest.UsageError(f'--agentrl-env-kwargs: expected a JSON object like \'{{"split": "train"}}\': {text}')
    return kwargs


class LawItem(pytest.Item):
    """One law, checked on one environment."""

    env_id: str
    check: Callable[[], None]
    sentence: str

    @classmethod
    def of(cls, session: pytest.Session, env_id: str, law: "Law", case: "Case") -> "LawItem":
        """Return the item that checks ``law``."""
        name = law.__name__.removeprefix("check_")
        item: LawItem = cls.from_parent(session, name=name, nodeid=f"agentrl-env[{env_id}]::{name}")
        item.env_id, item.check = env_id, functools.partial(law, case)
        item.extra_keyword_matches.add("agentrl-env")
        return item

    def runtest(self) -> None:
        """Check the law."""
        self.check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show a broken law as its sentence alone; where the environment raised, with the traceback."""
        from agentrl.testing import ContractError

        is_plain = isinstance(excinfo.value, ContractError) and excinfo.value.__cause__ is None
        return str(excinfo.value) if is_plain else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return what the summary shows."""
        return self.path, None, f"{self.env_id}: {self.name}"
