"""A pytest plug-in that checks any text environment against the contract, one test per law.

    pytest --agentrl-env my_pkg:MyEnv-v0 --agentrl-env-kwargs '{"split": "valid"}'

The module before the colon is imported first, so that it can register the environment, as in ``gymnasium.make``.
The laws run alone, or beside the tests of the files and folders that are named on the command line.
"""

import functools
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentrl.testing import Case


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


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Put the environments in the place of what the session collects from files, unless files are named."""
    report = yield
    if isinstance(collector, pytest.Session) and report.passed:
        laws = _collectors(collector)
        if laws and collector.config.args_source is not pytest.Config.ArgsSource.ARGS:
            report.result.clear()
        report.result.extend(laws)
    return report


def _collectors(session: pytest.Session) -> list["EnvLaws"]:
    env_ids = dict.fromkeys(session.config.getoption("agentrl_env"))
    kwargs = _parse_kwargs(session.config.getoption("agentrl_env_kwargs"))
    return [EnvLaws.of(session, env_id, kwargs) for env_id in env_ids]


def _parse_kwargs(text: str) -> dict[str, Any]:
    try:
        kwargs = json.loads(text)
    except json.JSONDecodeError as error:
        raise pytest.UsageError(f"--agentrl-env-kwargs: not JSON ({error}): {text}") from error
    if not isinstance(kwargs, dict):
        raise pytest.UsageError(f'--agentrl-env-kwargs: expected a JSON object like \'{{"split": "train"}}\': {text}')
    return kwargs


class EnvLaws(pytest.Collector):
    """The laws of the contract, for one environment."""

    env_id: str
    case: "Case"

    @classmethod
    def of(cls, session: pytest.Session, env_id: str, kwargs: dict[str, Any]) -> "EnvLaws":
        """Return the collector of an environment, which is made once to see that it can be.

        Raises:
          UsageError: the environment cannot be made with these arguments.
        """
        from agentrl.errors import AgentrlError
        from agentrl.making import make
        from agentrl.testing import Case

        name = f"agentrl-env[{env_id}]"
        laws: EnvLaws = cls.from_parent(session, name=name, nodeid=name)
        laws.env_id, laws.case = env_id, Case(functools.partial(make, env_id, **kwargs))
        try:
            laws.case.factory().close()
        except AgentrlError as error:
            raise pytest.UsageError(f"--agentrl-env: {error}") from error
        return laws

    def collect(self) -> Iterator["LawItem"]:
        """Return one item per law."""
        from agentrl.testing import LAWS

        for law in LAWS:
            item: LawItem = LawItem.from_parent(self, name=law.__name__.removeprefix("check_"))
            item.env_id, item.check = self.env_id, functools.partial(law, self.case)
            yield item


class LawItem(pytest.Item):
    """One law, checked on one environment."""

    env_id: str
    check: Callable[[], None]

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
