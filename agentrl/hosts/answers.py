"""What environments answer, checked where they live: a bad answer is an accident with a clear reason."""

import math
from collections.abc import Mapping
from typing import Any

from agentrl.env import Outcome
from agentrl.hosts.faults import bad_answer, one_line

MOST_OBSERVED = 1_000_000
"""Characters of an observation: no policy's context holds as many."""

Beginning = tuple[str, dict[str, Any]]
"""Observation and info."""
Answer = tuple[str, float, bool, bool, dict[str, Any]]
"""Observation, reward, terminated, truncated and info."""


def checked_beginning(result: Any) -> Beginning:
    """Return what ``reset`` gave.

    Raises:
      EnvFault: it is not as the contract has it.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise bad_answer(f"reset returned {_shown(result)}, not (observation, info)")
    observation, info = result
    return _observation(observation), _info(info, is_over=False)


def checked_answer(result: Any) -> Answer:
    """Return what ``step`` gave, with plain numbers.

    Raises:
      EnvFault: it is not as the contract has it.
    """
    if not isinstance(result, tuple) or len(result) != 5:
        raise bad_answer(f"step returned {_shown(result)}, not (observation, reward, terminated, truncated, info)")
    observation, reward, terminated, truncated, info = result
    ended = bool(terminated), bool(truncated)
    return _observation(observation), _number("reward", reward), *ended, _info(info, is_over=any(ended))


def checked_action(action: Any) -> str:
    """Return what an expert said.

    Raises:
      EnvFault: it is no text.
    """
    return _text("the expert's action", action)


def _observation(observation: Any) -> str:
    text = _text("the observation", observation)
    if len(text) > MOST_OBSERVED:
        raise bad_answer(f"the observation has {len(text):,} characters, at most {MOST_OBSERVED:,} are taken")
    return text


def _text(what: str, said: Any) -> str:
    if not isinstance(said, str):
        raise bad_answer(f"{what} is {_shown(said)}, not a string")
    if not said.isascii():
        try:
            said.encode()
        except UnicodeEncodeError as error:
            raise bad_answer(
                f"{what} holds {said[error.start]!a} at character {error.start}, half of a surrogate pair: "
                "decode what it was made from with errors='replace'"
            ) from None
    return said if type(said) is str else str(said)


def _number(what: str, value: Any) -> float:
    if isinstance(value, str | bytes | bytearray):
        raise bad_answer(f"the environment gave a {what} of {_shown(value)}, not a number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise bad_answer(f"the environment gave a {what} of {_shown(value)}, not a number") from None
    if not math.isfinite(number):
        raise bad_answer(f"the environment gave a {what} of {number}, which is not finite")
    return number


def _info(info: Any, *, is_over: bool) -> dict[str, Any]:
    if not isinstance(info, Mapping):
        raise bad_answer(f"info is {_shown(info)}, not a dict")
    wanted = ("anchor_key", "score", "success", *(("outcome", "outcome_reason") if is_over else ()))
    missing = [key for key in wanted if key not in info]
    if missing:
        raise bad_answer(f"info lacks {', '.join(map(repr, missing))}")
    known = dict(info)
    try:
        hash(known["anchor_key"])
    except TypeError as error:
        raise bad_answer(f"info['anchor_key'] cannot be hashed: {error}") from None
    known["score"] = _number("score", known["score"])
    if known.get("answer") is not None:
        known["answer"] = _text("info['answer']", known["answer"])
    if "metrics" in known:
        known["metrics"] = {str(name): _number(f"metric {name!r}", value) for name, value in known["metrics"].items()}
    listed = known.get("admissible_actions")
    if listed is not None:
        known["admissible_actions"] = _listed(listed)
    if is_over:
        try:
            known["outcome"] = Outcome(known["outcome"])
        except ValueError:
            raise bad_answer(f"info['outcome'] is {_shown(known['outcome'])}, not an Outcome") from None
        known["outcome_reason"] = one_line(known["outcome_reason"])
    return known


def _listed(actions: Any) -> list[str]:
    try:
        "".join(actions).encode()
    except (TypeError, UnicodeEncodeError) as error:
        raise bad_answer(f"info['admissible_actions'] is no list of strings: {error}") from None
    return list(actions)


def _shown(value: Any) -> str:
    kind = type(value).__name__
    shown = one_line(ascii(value) if isinstance(value, str | int | float | complex | None) else kind)[:60]
    return shown if value is None or shown == kind else f"{shown} ({kind})"
