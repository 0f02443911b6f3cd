"""Algorithms with a critic: advantages of tokens from the values of the states before them."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from agentrl import credit
from agentrl.algorithms.base import LossSettings, Need, Recipe
from agentrl.credit.table import TurnTable
from agentrl.errors import ConfigError


class Tokens(NamedTuple):
    """The sampled tokens of an iteration, trajectory after trajectory, each column of shape (L,).

    Attributes:
      rewards: 0 but at turn ends.
      values: the critic's, of the state before each token.
      segments: trajectory of each token, contiguous.
      is_turn_end: True at the last token of each turn.
      bootstrap: value after a trajectory's last token, one or one per token.
    """

    rewards: ArrayLike
    values: ArrayLike
    segments: ArrayLike
    is_turn_end: ArrayLike
    bootstrap: ArrayLike = 0.0


Estimate = tuple[NDArray[np.float64], NDArray[np.float64]]


class CriticRecipe(Recipe):
    """Base of algorithms whose advantages belong to tokens.

    ``whiten`` makes the advantages of an iteration's tokens (all processes) have mean 0 and standard deviation 1 before
    the policy is updated, as the public codes of PPO do; the critic's targets stay as they are. An episode that a limit
    cut short is worth nothing beyond its end, since the limit is part of the task, unless ``bootstrap_truncated``:
    then it goes on with the value of the last state that the policy answered (what came after is not in the record).
    """

    test: ClassVar[str] = "tests/agentrl/credit/test_gae.py"
    needs: ClassVar[frozenset[Need]] = frozenset({"values"})

    whiten: bool = True
    bootstrap_truncated: bool = False

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Refuse: turns without values have none."""
        raise ConfigError(f"{self.name} has no advantages without a critic: use token_advantages with its values")

    @abstractmethod
    def token_advantages(self, tokens: Tokens) -> Estimate:
        """Return advantages and value targets of the sampled tokens, each shape (L,)."""


class PPO(CriticRecipe):
    """Proximal policy optimization with generalised advantage estimation over tokens."""

    name: ClassVar[str] = "ppo"
    title: ClassVar[str] = "GAE over tokens"
    paper: ClassVar[str] = "GAE, arXiv:1506.02438, Eq. 16; PPO, arXiv:1707.06347, Eq. 7"

    gamma: float = Field(1.0, ge=0, le=1)
    lam: float = Field(1.0, ge=0, le=1)

    def token_advantages(self, tokens: Tokens) -> Estimate:
        """Every token is a step."""
        return _gae(tokens, self.gamma, self.lam)


class TurnPPO(CriticRecipe):
    """PPO with bi-level GAE: over turns, then inside each."""

    name: ClassVar[str] = "turn_ppo"
    title: ClassVar[str] = "GAE over turns, then over the tokens of each"
    paper: ClassVar[str] = "VAGEN, arXiv:2510.16907; RAGEN, arXiv:2504.20073"

    gamma_turn: float = Field(0.95, ge=0, le=1)
    lam_turn: float = Field(1.0, ge=0, le=1)
    gamma_token: float = Field(1.0, ge=0, le=1)
    lam_token: float = Field(1.0, ge=0, le=1)

    def token_advantages(self, tokens: Tokens) -> Estimate:
        """A turn's target is the reward of its last token."""
        factors = self.model_dump(include={"gamma_turn", "lam_turn", "gamma_token", "lam_token"})
        *columns, bootstrap = tokens
        return credit.bilevel_gae(*columns, bootstrap=bootstrap, **factors)


class POAD(CriticRecipe):
    """Policy optimization with action decomposition: time passes between actions, not between their tokens."""

    name: ClassVar[str] = "poad"
    title: ClassVar[str] = "GAE over tokens, discounted at turn ends only"
    paper: ClassVar[str] = "POAD, arXiv:2405.15821"
    loss: ClassVar[LossSettings] = LossSettings(entropy_coef=0.01)

    gamma: float = Field(0.95, ge=0, le=1)
    lam: float = Field(0.95, ge=0, le=1)

    def token_advantages(self, tokens: Tokens) -> Estimate:
        """Every token is a step that takes no time unless it ends a turn."""
        return _gae(tokens, credit.turn_discounts(tokens.is_turn_end, self.gamma), self.lam)


def _gae(tokens: Tokens, discount: ArrayLike, lam: float) -> Estimate:
    return credit.gae(
        tokens.rewards, tokens.values, tokens.segments, discount=discount, lam=lam, bootstrap=tokens.bootstrap
    )
