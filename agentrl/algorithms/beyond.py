"""Algorithms whose turns earn by more than rewards: goals, values of states, evidence, texts, hindsight, answers."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentrl import credit
from agentrl.algorithms.base import INVALID_PENALTY, LossSettings, Need, Recipe
from agentrl.credit.table import TurnTable


class StepRecipe(Recipe):
    """Base of those with GiGPO's setting: an episode's part, a turn's part, and a price for invalid actions."""

    loss: ClassVar[LossSettings] = LossSettings(kl_coef=0.01)

    gamma: float = Field(0.95, ge=0, le=1)
    scale: Literal["std", "none"] = "std"
    invalid_penalty: float = Field(INVALID_PENALTY, ge=0)


class GraphGPO(StepRecipe):
    """Graph-based GPO: turns by the distance to the goal that they led to."""

    name: ClassVar[str] = "graphgpo"
    title: ClassVar[str] = "episode return, plus how near to the goal a turn led in the graph of its group"
    paper: ClassVar[str] = "GraphGPO, arXiv:2605.26684"
    test: ClassVar[str] = "tests/agentrl/credit/states/test_goal_distance.py"

    step_weight: float = Field(1.0, ge=0)
    weight: Literal["trajectory", "turn"] = "trajectory"
    relative: bool = False

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the joint advantage of each turn."""
        return credit.graphgpo(table, **self.model_dump())


class G2PO(StepRecipe):
    """Group-Graph Policy Optimization: turns by the value of the state that they led to."""

    name: ClassVar[str] = "g2po"
    title: ClassVar[str] = (
        "episode return, plus the next state's value against the state's others and the group's gains"
    )
    paper: ClassVar[str] = "G2PO, arXiv:2606.22995"
    test: ClassVar[str] = "tests/agentrl/credit/states/test_state_values.py"

    step_weight: float = Field(1.0, ge=0)
    weight: Literal["trajectory", "turn"] = "trajectory"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the joint advantage of each turn."""
        return credit.g2po(table, **self.model_dump())


class GAGPO(StepRecipe):
    """Generalized Advantage Grouped Policy Optimization: GAE with the group's own returns for a critic."""

    name: ClassVar[str] = "gagpo"
    title: ClassVar[str] = "GAE over turns from the mean returns of equal states, one ratio per turn"
    paper: ClassVar[str] = "GAGPO, arXiv:2605.13217"
    test: ClassVar[str] = "tests/agentrl/credit/states/test_state_values.py"
    loss: ClassVar[LossSettings] = LossSettings(kl_coef=0.01, ratio_level="turn")

    lam: float = Field(0.95, ge=0, le=1)

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the advantage of each turn."""
        return credit.gagpo(table, **self.model_dump())


class ECPO(StepRecipe):
    """Evidence-Calibrated Policy Optimization: actions in a state, as far as there is evidence for them."""

    name: ClassVar[str] = "ecpo"
    title: ClassVar[str] = "episode return, plus actions against others in the same state, trusted by evidence"
    paper: ClassVar[str] = "ECPO, arXiv:2606.05885"
    test: ClassVar[str] = "tests/agentrl/credit/states/test_evidence.py"

    step_weight: float = Field(1.0, ge=0)
    prior: float = Field(2.0, ge=0)
    maturity: float = Field(4.0, gt=0)

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the joint advantage of each turn."""
        return credit.ecpo(table, **self.model_dump())


class ProxMO(StepRecipe):
    """Proximity-based Multi-turn Optimization: turns against those in similar states, by their texts."""

    name: ClassVar[str] = "proxmo"
    title: ClassVar[str] = "episode return weighed by success rate, plus turn return against turns in similar states"
    paper: ClassVar[str] = "ProxMO, arXiv:2602.19225"
    test: ClassVar[str] = "tests/agentrl/credit/states/test_proximity.py"
    needs: ClassVar[frozenset[Need]] = frozenset({"texts"})

    scale: Literal["std", "none"] = "none"
    step_weight: float = Field(1.0, ge=0)
    temperature: float = Field(0.1, gt=0)
    steepness: float = Field(5.0, ge=0)
    strength: float = Field(0.866, ge=0)

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the joint advantage of each turn."""
        return credit.proxmo(table, **self.model_dump())


class HCAPO(StepRecipe):
    """Hindsight Credit Assignment Policy Optimization: the policy scores its turns again, told how the episode ended.

    Differs from the paper: tokens are averaged over the minibatch, not in each turn and episode first; the wording of
    the note (`agentrl.trainer.scoring`) is our own, since theirs is not published.
    """

    name: ClassVar[str] = "hcapo"
    title: ClassVar[str] = "episode return, plus turn returns weighed by how likely the turn is in hindsight"
    paper: ClassVar[str] = "HCAPO, arXiv:2603.08754, Eq. 5-8"
    test: ClassVar[str] = "tests/agentrl/credit/test_hindsight.py"
    needs: ClassVar[frozenset[Need]] = frozenset({"hindsight"})

    step_weight: float = Field(1.0, ge=0)
    temperature: float = Field(5.0, gt=0)
    clip_low: float = Field(0.8, ge=0)
    clip_high: float = Field(1.2, ge=0)
    smoothing: float = Field(1.0, ge=0, le=1)

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the joint advantage of each turn."""
        return credit.hcapo(table, **self.model_dump())


class IGPO(Recipe):
    """Information Gain-based Policy Optimization, where the environment tells the right answer."""

    name: ClassVar[str] = "igpo"
    title: ClassVar[str] = "gains in the probability of the right answer and the outcome, summed to go"
    paper: ClassVar[str] = "IGPO, arXiv:2510.14967, Eq. 6-7"
    test: ClassVar[str] = "tests/agentrl/credit/test_information.py"
    loss: ClassVar[LossSettings] = LossSettings(kl_coef=0.001)
    needs: ClassVar[frozenset[Need]] = frozenset({"answers"})

    gamma: float = Field(1.0, ge=0, le=1)
    norm: Literal["joint", "separate"] = "joint"
    scale: Literal["std", "none"] = "std"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the summed gains of each turn."""
        return credit.igpo(table, **self.model_dump())
