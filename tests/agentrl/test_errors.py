import pytest

from agentrl import errors
from agentrl.errors import AgentrlError, nearest

KINDS = {
    "ConfigError": ValueError,
    "TaskNotFoundError": LookupError,
    "DataError": ValueError,
    "OrderError": RuntimeError,
    "SnapshotError": RuntimeError,
    "ToolError": ValueError,
    "EngineError": RuntimeError,
    "DivergedError": ArithmeticError,
    "MismatchError": ArithmeticError,
    "AbortedError": RuntimeError,
    "ModelError": ValueError,
    "CheckpointError": RuntimeError,
    "LockedError": RuntimeError,
    "StoppedError": RuntimeError,
}


@pytest.mark.parametrize(("name", "standard"), KINDS.items())
def test_errors_are_ours_and_standard(name: str, standard: type[Exception]) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, AgentrlError)
    assert issubclass(kind, standard)


def test_the_list_above_is_complete() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, AgentrlError)}
    assert kinds == {"AgentrlError", *KINDS}


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("gipgo", ["grpo", "gigpo"], "; did you mean 'gigpo'?"),
        ("xyz", ["b", "a"], "; there are a, b"),
        ("xyz", [], ""),
        ("xyz", map(str, range(21)), ""),
        ("1", [1, 2], "; did you mean '1'?"),
    ],
)
def test_nearest_name(name: str, options: list[str], hint: str) -> None:
    assert nearest(name, options) == hint
