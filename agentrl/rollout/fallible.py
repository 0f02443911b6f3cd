"""A scripted demonstrator that errs."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Self

import numpy as np

from agentrl.env import Expert, Info, TextEnv
from agentrl.errors import ConfigError

_BLANK = re.compile(r"<[\w ]+>")
_FIRST_WORD = re.compile(r"\W*\w+")


class FallibleExpert:
    """An expert that errs: its demonstrations leave something to be learned by reinforcement.

    Each turn draws independently:

    - ``wander``: the chance to play any other admissible action, uniformly: drifting off.
    - ``mistake``: the chance to play another admissible action of the same kind (the same first word, like ``take``
      of ``take cup`` and ``click`` of ``click[buy now]``; any other where there is none): the right idea with the wrong
      object.
    - ``forget``: the chance, after a turn that departed from the expert's choice, to start a new expert from
      ``renew``: it loses its memory, or makes a new plan.
    - ``lapse``: the chance to lose the thread for good: this and all later actions of the episode are admissible
      ones at random, so that most such episodes fail.

    An admissible action with a blank to fill in, like ``search[<keywords>]``, is nobody's error. The expert is asked on
    every turn, also when it is overruled, so that one with a memory sees every observation.

    Args:
      expert: the expert of one episode.
      rng: draws the errors.
      wander: probability.
      mistake: probability.
      forget: probability.
      lapse: probability.
      renew: makes a new expert at the environment's present state; needed if ``forget`` is positive.

    Raises:
      ConfigError: a probability is outside 0 to 1, or ``renew`` is missing.
    """

    def __init__(
        self,
        expert: Expert,
        rng: np.random.Generator,
        *,
        wander: float = 0.2,
        mistake: float = 0.0,
        forget: float = 0.0,
        lapse: float = 0.0,
        renew: Callable[[], Expert] | None = None,
    ) -> None:
        for name, chance in (("wander", wander), ("mistake", mistake), ("forget", forget), ("lapse", lapse)):
            if not 0 <= chance <= 1:
                raise ConfigError(f"{name}={chance}: expected a probability, 0 to 1")
        if forget > 0 and renew is None:
            raise ConfigError("forget > 0 needs renew: what makes the new expert?")
        self._expert = expert
        self._rng = rng
        self._wander = wander
        self._mistake = mistake
        self._forget = forget
        self._lapse = lapse
        self._renew = renew
        self._departed = self._lapsed = self._has_listed = False

    @classmethod
    def of(cls, env: TextEnv, rng: np.random.Generator, *, forget: float | None = None, **chances: float) -> Self:
        """Return a fallible version of an environment's own expert, for the episode that has just begun.

        Args:
          env: after ``reset``.
          rng: draws the expert's choices and the errors.
          forget: None is 0 for an expert of the environment's own, which may be expected to watch what happens, and
            1 for the contract's default one, whose plan is worthless after a departure.
          chances: ``wander``, ``mistake``, ``lapse``.
        """
        renew = partial(env.expert, rng)
        forget = float(type(env).expert is TextEnv.expert) if forget is None else forget
        return cls(renew(), rng, forget=forget, renew=renew, **chances)

    def __call__(self, observation: str, info: Info) -> str | None:
        """Return the action for this turn, or None where the expert gives up and does not err.

        Where actions are listed in some turns only, it errs in these.

        Raises:
          ConfigError: an error is due but the environment does not list its admissible actions.
        """
        wanders, errs, forgets, lapses = self._rng.random(4) < (self._wander, self._mistake, self._forget, self._lapse)
        self._lapsed = self._lapsed or bool(lapses)
        wanders = wanders or self._lapsed
        self._has_listed = self._has_listed or info.get("admissible_actions") is not None
        if self._renew is not None and self._departed and forgets:
            self._expert = self._renew()
        right = self._expert(observation, info)
        self._departed = bool(wanders or errs)
        return self._other(right, info, same_kind=not wanders) if self._departed else right

    def _other(self, right: str | None, info: Info, *, same_kind: bool) -> str | None:
        if not self._has_listed:
            raise ConfigError(
                "a demonstrator errs by taking another admissible action, and this environment lists none: set its "
                "wander, mistake and lapse (warm_start.demonstrator) to 0, or return them from _admissible_actions"
            )
        admissible = info.get("admissible_actions") or ()
        others = [action for action in admissible if action != right and not _BLANK.search(action)]
        if same_kind and right is not None:
            others = [action for action in others if _kind(action) == _kind(right)] or others
        return others[int(self._rng.integers(len(others)))] if others else right


def _kind(action: str) -> str:
    """Return an action up to the end of its first word."""
    found = _FIRST_WORD.match(action)
    return found[0] if found else action


@dataclass(frozen=True, slots=True)
class Errors:
    """How often a demonstrator errs: see :class:`FallibleExpert`, and its `of` for what no ``forget`` is."""

    wander: float = 0.0
    mistake: float = 0.0
    forget: float | None = None
    lapse: float = 0.0


NO_ERRORS = Errors()


def err(env: TextEnv, rng: np.random.Generator, errors: Errors) -> tuple[None, Expert]:
    """Return the environment's own expert, made fallible, for the episode that has just begun."""
    return None, FallibleExpert.of(env, rng, **asdict(errors))
