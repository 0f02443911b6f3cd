"""The error tree: one class per boundary that can fail, each also a standard exception.

A bad rollout is data (an :class:`~agentrl.env.Outcome`), not an exception. The classes here are for
misuse and bad input; their messages name the value, what was expected and what to do.
"""

import difflib
import os
import traceback
from collections.abc import Iterable


class AgentrlError(Exception):
    """Root of every error that agentrl raises on purpose."""


class ConfigError(AgentrlError, ValueError):
    """A configuration key or value cannot be used. The command line turns it into one line and exit code 2."""


class TaskNotFoundError(AgentrlError, LookupError):
    """A task id or split does not exist in a task set."""


class DataError(AgentrlError, ValueError):
    """A data file (game, trajectory, tokenizer folder) is missing or malformed."""


class OrderError(AgentrlError, RuntimeError):
    """An environment was stepped before ``reset``, after the end of its episode, or after ``close``."""


class SnapshotError(AgentrlError, RuntimeError):
    """A snapshot cannot be taken or does not belong to this environment."""


class ToolError(AgentrlError, ValueError):
    """A tool cannot do what it is asked; its caller is told so in the tool's answer."""


class EngineError(AgentrlError, RuntimeError):
    """An engine cannot serve a request (context too long, unknown session)."""


class DivergedError(AgentrlError, ArithmeticError):
    """A loss, a gradient or a weight is not finite any more: the training has diverged."""


class MismatchError(AgentrlError, ArithmeticError):
    """Engine and trainer give the same tokens different probabilities."""


class ModelError(AgentrlError, ValueError):
    """A model computes something that trainer or engine would not compute exactly."""


class AbortedError(AgentrlError, RuntimeError):
    """Playing was given up on request; nothing of what was under way is kept."""


class CheckpointError(AgentrlError, RuntimeError):
    """A checkpoint is missing, incomplete or from another configuration."""


class LockedError(AgentrlError, RuntimeError):
    """Another process writes in a run's directory."""


class StoppedError(AgentrlError, RuntimeError):
    """A run could not go on; its last good state is on disk."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return a hint like ``"; did you mean 'gigpo'?"``, or what there is to choose from.

    >>> nearest("gipgo", ["grpo", "gigpo"])
    "; did you mean 'gigpo'?"
    """
    known = [str(option) for option in options]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    if 0 < len(known) <= 20:
        return "; there are " + ", ".join(sorted(known))
    return ""


def describe_fault(error: BaseException) -> str:
    """Return in one line what another's code raised, and where.

    >>> try: [][1]
    ... except IndexError as error: describe_fault(error)
    'IndexError: list index out of range (<doctest agentrl.errors.describe_fault[0]>:1)'
    """
    said = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' if said else ''}{said}{where}"


def check_choice(name: str, value: str, options: tuple[str, ...]) -> None:
    """Check that an option has one of its values.

    Raises:
      ConfigError: it has not; the message names the nearest.
    """
    if value not in options:
        raise ConfigError(f"{name} is {value!r}, expected one of {list(options)}{nearest(str(value), options)}")
