"""What an algorithm is: a named recipe that turns a turn table into advantages, with the loss settings it goes with."""

import importlib.metadata
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from agentrl.credit.table import TurnTable
from agentrl.errors import ConfigError, nearest

Need = Literal[
    "entropy",
    "logprob",
    "ref_logprobs",
    "values",
    "snapshots",
    "branches",
    "second_policy",
    "texts",
    "hindsight",
    "answers",
]
"""What an algorithm may need from a run beyond rewards: columns of turns, a critic, or a sampler that forks.

``texts`` is what was seen before each turn, for those that compare states by their texts;
``hindsight`` fills the column of that name by a pass of the policy over what was played, told how it ended; ``answers``
fills ``step_reward`` with the gains in the probability of the right answer, which the environment must tell.
"""

LossKind = Literal[
    "ppo",
    "cispo",
    "gspo",
    "sapo",
    "clip_cov",
    "kl_cov",
    "rec",
    "opmd",
    "asym_re",
    "mdpo",
    "hapo",
    "likelihood",
]
"""The losses of `agentrl.losses.named`, which needs torch."""

Filter = Literal["none", "dynamic_sampling", "top_variance"]

Aggregation = Literal["token_mean", "sequence_mean", "episode_mean", "group_mean", "constant"]
"""How the losses of tokens become one: see `agentrl.losses.token_weights`, which needs torch."""

INVALID_PENALTY = 0.0
"""What an invalid action costs unless an option says otherwise: the same for all, so that a comparison of two
algorithms is not one of two penalties. The environment's own reward is what most papers' equations have."""


@dataclass(frozen=True, slots=True)
class LossSettings:
    """How the policy loss is formed from advantages.

    Attributes:
      kind: name of the loss in `agentrl.losses.named`. Of the next six settings each takes those that it has;
        "ppo", the clipped family, has them all.
      options: its other arguments.
      ratio_level: what a probability ratio is taken over.
      clip_low: ratios below 1 - clip_low are clipped; None for no lower bound.
      clip_high: ratios above 1 + clip_high are clipped; None for no upper bound.
      dual_clip: bound c of the dual clip for negative advantages; None for none.
      detached: weigh log π by the clipped ratio instead of differentiating it.
      keep_high_gradient: keep a bounded gradient above the upper bound.
      aggregation: what counts the same in an update: a token, a sequence, an episode, a group, or (constant) a token
        whatever its sequence's length, divided by sequences × the longest possible one.
      divisor: k of the constant aggregation that divides by episodes × k instead; None for that one.
      entropy_advantage: a of A (1 + a z), z the token's entropy z-scored over the iteration; 0 for none.
      token_share: share of the tokens, of largest |A| × entropy, that are trained on.
      kl_coef: weight of the divergence from the reference policy; 0 keeps no reference.
      kl_kind: estimator of that divergence.
      entropy_coef: weight of the entropy bonus.
      decision_coef: weight of the mean over each turn's first token beside the mean over all others; None averages
        them together.
      uncertainty_pivot: quantile of the entropies from which on a token counts as uncertain, for the loss "hapo";
        None for none.
      group_loss: name of a loss over whole groups in `agentrl.losses.grouped`; advantages are then episode returns, and
        `kind` is how the log-probs are pulled the way that it wants.
      group_options: its arguments.
      correction: weights for tokens that the sampler drew with other log-probs than the trainer calls old: see
        `agentrl.losses.mismatch_weights`; None for none.
      correction_low: lower bound of its statistic; None for the usual one.
      correction_high: upper bound likewise.
      opsm: tokens with A < 0 are dropped in sequences whose mean log π_old - log π exceeds it; None for none.
      m2po: tokens of largest (log r)² are dropped until the mean over the rest is at most this; None for none.

    Raises:
      ConfigError: settings that contradict each other, or one that would have no effect.
    """

    kind: LossKind = "ppo"
    options: Mapping[str, Any] = field(default_factory=dict)
    ratio_level: Literal["token", "turn", "sequence"] = "token"
    clip_low: float | None = 0.2
    clip_high: float | None = 0.2
    dual_clip: float | None = 3.0
    detached: bool = False
    keep_high_gradient: bool = False
    aggregation: Aggregation = "token_mean"
    divisor: float | None = None
    entropy_advantage: float = 0.0
    token_share: float = 1.0
    kl_coef: float = 0.0
    kl_kind: Literal["k1", "k2", "k3"] = "k3"
    entropy_coef: float = 0.0
    decision_coef: float | None = None
    uncertainty_pivot: float | None = None
    group_loss: Literal["drpo", "trpa", "p3o"] | None = None
    group_options: Mapping[str, Any] = field(default_factory=dict)
    correction: Literal["tis", "icepop", "sequence_tis", "sequence_mask", "geometric_filter", "k3_filter"] | None = None
    correction_low: float | None = None
    correction_high: float | None = None
    opsm: float | None = None
    m2po: float | None = None

    def __post_init__(self) -> None:
        reshaped = [name for name, usual in TOKENWISE.items() if getattr(self, name) != usual]
        if self.group_loss and reshaped:
            raise ConfigError(
                f"loss.{reshaped[0]} weighs single tokens, but {self.group_loss} is a loss over groups, which compares "
                "the returns of whole episodes: leave it out"
            )
        if self.group_loss and self.kind != "likelihood":
            raise ConfigError(
                f"loss.kind is {self.kind!r}, but {self.group_loss} is a loss over groups, whose pull on log-probs "
                "only likelihood passes on: leave loss.kind out"
            )
        if self.decision_coef is not None and self.aggregation != "token_mean":
            raise ConfigError(
                f"loss.aggregation is {self.aggregation!r}, but loss.decision_coef averages decisions and other tokens "
                "apart: leave one of them out"
            )
        if self.uncertainty_pivot is not None and self.kind != "hapo":
            raise ConfigError(f"loss.uncertainty_pivot is for kind hapo alone, and loss.kind is {self.kind!r}")
        if self.group_loss and self.aggregation != "token_mean":
            raise ConfigError(
                f"loss.aggregation is {self.aggregation!r}, but {self.group_loss} is a loss over groups that weighs "
                "tokens itself: leave loss.aggregation out"
            )
        if self.divisor is not None and self.aggregation != "constant":
            raise ConfigError(
                f"loss.divisor is {self.divisor:g}, but loss.aggregation is {self.aggregation!r}: only constant has one"
            )

    def override(self, changes: Mapping[str, Any]) -> "LossSettings":
        """Return a copy with the values of ``changes``; options join those that are there."""
        joined = {name: {**getattr(self, name), **changes[name]} for name in OPTIONS if name in changes}
        return replace(self, **{**changes, **joined})


TOKENWISE = {
    "entropy_advantage": 0.0,
    "token_share": 1.0,
    "decision_coef": None,
    "opsm": None,
    "m2po": None,
}
"""Settings that treat the tokens of an episode differently, and the values that do not."""

OPTIONS = ("options", "group_options")


class Recipe(BaseModel):
    """Base of algorithms. Fields are options, with the paper's defaults; class attributes describe it.

    A third party adds one with an entry point of the group ``agentrl.algorithms`` that names a subclass. One with a
    memory (SPO's success rates) takes it from `observe` and gives it to checkpoints by `state_dict`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    """arXiv id and equation numbers."""
    test: ClassVar[str]
    """Path of the test that checks its numbers."""
    loss: ClassVar[LossSettings] = LossSettings()
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What a run must provide; one that cannot is refused at its start."""
    filter: ClassVar[Filter] = "none"
    """Which groups are trained on, unless the configuration says otherwise: see `agentrl.curriculum`."""
    sampler: ClassVar[str] = "independent"
    """Who plays the groups, unless the configuration says otherwise: see `agentrl.rollout.branching`."""
    max_refills: ClassVar[int] = 0
    """How often dynamic sampling replaces the groups that it drops, unless the configuration says otherwise."""
    usual_group: ClassVar[int] = 8
    """Episodes of a group, unless the configuration says otherwise."""

    @abstractmethod
    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the advantage of each turn, shape (N,), NaN where it is not scored."""

    def loss_at(self, progress: float) -> LossSettings:
        """Return the loss settings at a share of the run's iterations, 0 to less than 1."""
        return self.loss

    def roll_in(self) -> dict[str, Any] | None:
        """Return the options of `agentrl.rollout.RollIn` unless the configuration has others; None: nobody guides."""
        return None

    def hint_levels(self, progress: float) -> int:
        """Return in how many steps a plan is given away to groups that fail, at a share of the run; 0 for no hints."""
        return 0

    def soup(self) -> tuple[str, float] | None:
        """Return the folder of another policy that the reference is averaged with, and its share; None for none."""
        return None

    def required(self) -> frozenset[Need]:
        """Return what this algorithm with its options needs from a run."""
        return self.needs

    def group_by(self) -> Literal["group", "task"]:
        """Return what the table's groups are: trajectories from one initial state, or of one task."""
        return "group"

    def samples_with(self) -> str:
        """Return the sampler that suits this algorithm with its options."""
        return self.sampler

    def filters_with(self) -> Filter:
        """Return which groups this algorithm with its options is trained on."""
        return self.filter

    def refills(self) -> int:
        """Return how often dropped groups are replaced for this algorithm with its options."""
        return self.max_refills

    def remembered_turns(self) -> int | None:
        """Return how many turns before the last the states of equals have in common; None where it does not matter."""
        return None

    def compares_returns(self) -> bool:
        """Return whether advantages are returns of episodes, which only a loss over groups can read."""
        return False

    def observe(self, table: TurnTable) -> None:
        """Remember an iteration's turns, those of all processes, after their advantages were computed."""

    @property
    def remembers(self) -> bool:
        """Whether advantages depend on earlier iterations."""
        return type(self).state_dict is not Recipe.state_dict

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered, JSON-serialisable."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""


def recipes() -> dict[str, type[Recipe]]:
    """Return every installed algorithm by name: our own, and those of entry points under other names.

    A broken one is a warning.
    """
    found = dict(_builtin())
    for plugin in importlib.metadata.entry_points(group="agentrl.algorithms"):
        try:
            found.setdefault(plugin.name, plugin.load())
        except Exception as error:  # a third party's fault must not take away the other algorithms
            warnings.warn(f"algorithm plug-in {plugin.name} ({plugin.value}) failed: {error!r}", stacklevel=2)
    return found


@cache
def _builtin() -> dict[str, type[Recipe]]:
    from agentrl.algorithms import BUILTIN

    return {recipe.name: recipe for recipe in BUILTIN}


def _find(name: str) -> type[Recipe] | None:
    """Return an algorithm by name; entry points, which are files, are looked up for others than ours alone."""
    return _builtin().get(name) or recipes().get(name)


def usual_group_size(options: Any) -> int:
    """Return how many episodes a group has for ``{"name": ...}``, or for the base of a transform, unless told."""
    name = options.get("name") if isinstance(options, Mapping) else options
    if isinstance(options, Mapping) and options.get("base"):
        return usual_group_size(options["base"])
    return ((_find(name) if isinstance(name, str) else None) or Recipe).usual_group


def make_recipe(options: Mapping[str, Any]) -> Recipe:
    """Build an algorithm from ``{"name": ..., option: value}``.

    Raises:
      ConfigError: no such algorithm, unknown option or a value out of range; names the nearest.
    """
    name = str(options.get("name", ""))
    recipe = _find(name)
    if recipe is None:
        raise ConfigError(f"unknown algorithm {name!r}{nearest(name, recipes())}")
    try:
        return recipe.model_validate({key: value for key, value in options.items() if key != "name"})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else name
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"algorithm {name} has no option {key!r}{nearest(key, recipe.model_fields)}") from None
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"algorithm.{key}: {message[0].lower()}{message[1:]}, got {first['input']!r}") from None
