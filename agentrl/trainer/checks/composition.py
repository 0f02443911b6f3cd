"""How a run is composed: credit, sampler, loss and filter, chosen separately, and refused together where they clash.

Pure: nothing is played, loaded or written, so that any number of configurations can be looked at.
"""

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from agentrl.algorithms.base import Filter, LossSettings, Need, Recipe, make_recipe
from agentrl.algorithms.critic import CriticRecipe
from agentrl.algorithms.transform import Transform
from agentrl.env import SnapshotLevel
from agentrl.errors import AgentrlError, ConfigError, nearest
from agentrl.losses.grouped import GROUPED, Members
from agentrl.losses.mismatch import BOUNDS
from agentrl.losses.named import NAMED, SHARED, columns_of, defaults_of, may_be_none
from agentrl.rollout.branching import Sampler
from agentrl.trainer.config import Config, LossConfig, UpdateConfig
from agentrl.trainer.playing.collect import max_refills
from agentrl.trainer.playing.sampling import choose_sampler, helps

BY_KIND: dict[str, dict[str, Any]] = {"gspo": {"aggregation": "sequence_mean"}, "hapo": {"uncertainty_pivot": 0.8}}
"""What a loss wants beside its own arguments, where a configuration chooses it under another algorithm."""

UNMET: dict[Need, str] = {
    "ref_logprobs": "credit does not see the reference policy's log-probs",
    "second_policy": "give algorithm.other, the folder of another supervised policy",
}
"""Needs that no run of this trainer can meet, and why. It meets the others."""


@dataclass(frozen=True, slots=True)
class World:
    """What of an environment decides whether an algorithm can be used in it.

    Attributes:
      id: in the registry.
      snapshots: how it can be restored.
      has_answers: it tells the right answer.
    """

    id: str
    snapshots: SnapshotLevel = SnapshotLevel.EXACT
    has_answers: bool = False


@dataclass(frozen=True, slots=True)
class Composition:
    """What a run is made of.

    Attributes:
      recipe: who earned what.
      sampler: how groups are played.
      loss: what is minimised, at the beginning.
      filter: which groups are trained on.
      refills: how often dropped ones are replaced.
    """

    recipe: Recipe
    sampler: Sampler
    loss: LossSettings
    filter: Filter
    refills: int


def compose(config: Config, world: World) -> Composition:
    """Return what a run is made of.

    Raises:
      ConfigError: something is unknown, out of range, without effect, or cannot be had together; says which and why.
    """
    recipe = make_recipe(config.algorithm)
    sampler = choose_sampler(config, recipe)
    _check_needs(recipe, sampler, world)
    _check_context(config, recipe)
    loss = loss_of(config.loss, recipe)
    _check_loss(config.loss, config.update, recipe, loss)
    _check_algorithm_options(config.loss, recipe)
    _check_help(config, recipe, sampler)
    sampler.plan(config.rollout.group_size, 0, 2)
    kept, refills = config.filter.name or recipe.filters_with(), max_refills(config, recipe)
    _check_filter(config, kept)
    return Composition(recipe, sampler, loss, kept, refills)


def loss_of(config: LossConfig, recipe: Recipe, progress: float = 0.0) -> LossSettings:
    """Return the loss settings at a share of the run: the algorithm's, with what the configuration changes.

    Another ``kind`` brings its own defaults; what it does not have stays and is not looked at.

    Raises:
      ConfigError: no such loss, or settings that contradict each other.
    """
    base, changes = recipe.loss_at(progress), config.changes()
    kind = changes.get("kind", base.kind)
    if kind not in NAMED:
        raise ConfigError(f"no loss {kind!r}{nearest(kind, NAMED)}")
    if kind != base.kind and base.group_loss is None:
        own = {name: value for name, value in defaults_of(kind).items() if name in SHARED}
        fresh = {"options": {}, "uncertainty_pivot": None, **own, **BY_KIND.get(kind, {})}
        base = replace(base, **{"kind": kind, **fresh})
    if changes.get("group_loss", base.group_loss) != base.group_loss:
        base = replace(base, group_loss=changes["group_loss"], group_options={})
    return base.override(changes)


def _check_needs(recipe: Recipe, sampler: Sampler, world: World) -> None:
    for need in sorted(recipe.required()):
        reason = UNMET.get(need)
        if need == "snapshots" and world.snapshots is SnapshotLevel.NONE:
            reason = f"{world.id} cannot be snapshotted"
        if need == "branches" and not sampler.branches:
            reason = f"sampler {sampler.name} plays every episode from its start"
        if need == "answers" and not world.has_answers:
            reason = f"{world.id} tells none: its info has no key 'answer'"
        if need == "values" and not isinstance(recipe, CriticRecipe):
            reason = "values give advantages to tokens, and it works on those of turns"
        if reason:
            raise ConfigError(f"algorithm {recipe.name} needs {need}: {reason}; choose another algorithm.name")


def _check_context(config: Config, recipe: Recipe) -> None:
    wanted = recipe.remembered_turns()
    if wanted is not None and config.context.kind == "window" and config.context.window != wanted:
        raise ConfigError(
            f"algorithm {recipe.name} compares turns whose last {wanted} states are equal, but context.window shows "
            f"the policy {config.context.window}: set algorithm.history and context.window to the same number"
        )


def _check_loss(config: LossConfig, update: UpdateConfig, recipe: Recipe, loss: LossSettings) -> None:
    """Refuse what the loss does not have, and what would have no effect."""
    for name in sorted(config.changes().keys() & set(SHARED)):
        if name not in defaults_of(loss.kind):
            has = ", ".join(one for one in SHARED if one in defaults_of(loss.kind)) or "none of them"
            raise ConfigError(f"loss.{name} is given, but loss {loss.kind} has no such setting (it has {has})")
        if getattr(loss, name) is None and not may_be_none(loss.kind, name):
            raise ConfigError(f"loss.{name} is null, but loss {loss.kind} cannot do without it: give a number")
    _check_options(loss)
    if recipe.compares_returns() != (loss.group_loss is not None):
        raise ConfigError(
            f"loss.group_loss is {loss.group_loss or 'null'}, and the advantages of algorithm {recipe.name} are "
            f"{'returns, which only a loss over groups compares' if recipe.compares_returns() else 'not returns'}: "
            "leave loss.group_loss out, or choose another algorithm.name"
        )
    if reason := _idle(config.changes(), update, loss):
        raise ConfigError(f"{reason}: leave it out, or change what it depends on")


def _idle(changes: Mapping[str, Any], update: UpdateConfig, loss: LossSettings) -> str | None:
    """Return which setting would have no effect, and why."""
    reasons = {
        "kl_kind": None if loss.kl_coef else "loss.kl_coef is 0",
        "dual_clip": "loss.detached does without it" if loss.detached else None,
        "keep_high_gradient": "loss.detached keeps all gradients"
        if loss.detached
        else "loss.clip_high is null"
        if loss.clip_high is None
        else None,
        "correction_low": None if loss.correction else "loss.correction is null",
        "correction_high": None if loss.correction else "loss.correction is null",
        "correction": "update.old_logprobs is behavior: the ratio of the loss is the correction already"
        if update.old_logprobs == "behavior"
        else None,
        "group_options": None if loss.group_loss else "loss.group_loss is null",
    }
    if loss.correction == "k3_filter":
        reasons["correction_low"] = "a k3_filter has no lower bound that acts"
    for name, reason in reasons.items():
        value = changes.get(name)
        if reason and value not in (None, False, {}):
            return f"loss.{name} is {value} and has no effect, since {reason}"
    if loss.kind == "hapo" and loss.uncertainty_pivot is None and loss.options:
        return f"loss.options {dict(loss.options)} have no effect, since loss.uncertainty_pivot is null"
    if loss.kind == "rec":
        return _idle_in_rec(changes, loss)
    return None


def _idle_in_rec(changes: Mapping[str, Any], loss: LossSettings) -> str | None:
    """Return which setting of REC would have no effect, and why."""
    rec = {**defaults_of("rec"), **loss.options}
    depends = {
        "coefficient": (rec["regulariser"] != "none", "regulariser is none"),
        "temperature": (rec["weighting"] == "exp_advantage", "weighting is not exp_advantage"),
        "ring_low": (rec["keep"] == "ring", "keep is not ring"),
        "ring_high": (rec["keep"] == "ring", "keep is not ring"),
    }
    for name, (acts, reason) in depends.items():
        if name in loss.options and not acts:
            return f"loss.options.{name} has no effect, since {reason}"
    if rec["keep"] == "all":
        for name in ("clip_low", "clip_high"):
            if name in changes:
                return f"loss.{name} has no effect, since keep is all"
    return None


def _check_options(loss: LossSettings) -> None:
    """Call the loss on three tokens, and that over groups on two episodes: what they refuse is refused here."""
    own = [name for name in defaults_of(loss.kind) if name not in SHARED]
    _check_names("loss.options", loss.kind, loss.options, own)
    logprobs, old, advantages = torch.tensor([[-1.0, -2.0, -0.5], [-1.1, -1.9, -0.5], [1.0, -1.0, 0.0]])
    number = torch.tensor([0, 0, 1])
    columns = {"sequence_index": number, "turn_index": number, "uncertainty": number.float()}
    columns["generator"] = torch.Generator()  # type: ignore[assignment]
    given = {name: getattr(loss, name) for name in SHARED if name in defaults_of(loss.kind)}
    given |= {name: columns[name] for name in columns_of(loss.kind)} | dict(loss.options)
    with _named(f"loss.options {dict(loss.options)} of loss {loss.kind}"):
        NAMED[loss.kind](logprobs, old, advantages, **given)
    if loss.group_loss:
        own = inspect.getfullargspec(GROUPED[loss.group_loss]).kwonlyargs
        _check_names("loss.group_options", loss.group_loss, loss.group_options, own)
        two = torch.tensor([0.0, 1.0], dtype=torch.float64)
        members = Members(-1 - two, -1 - two, -1 - two, two, 1 + two, torch.zeros(2, dtype=torch.int64), 4)
        with _named(f"loss.group_options {dict(loss.group_options)} of loss {loss.group_loss}"):
            GROUPED[loss.group_loss](members, **loss.group_options)
    if loss.correction:
        low, high = (
            usual if given is None else given
            for given, usual in zip((loss.correction_low, loss.correction_high), BOUNDS[loss.correction], strict=True)
        )
        if low >= high:
            raise ConfigError(f"loss.correction {loss.correction} keeps from {low:g} to {high:g}: nothing is between")


def _check_names(where: str, loss: str, options: Mapping[str, Any], known: list[str]) -> None:
    for name in options:
        if name in SHARED:
            raise ConfigError(f"{where}.{name} is a key of its own: set loss.{name}")
        if name not in known:
            raise ConfigError(f"{where}: loss {loss} has no {name!r}{nearest(name, known)}")


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Say which setting a loss could not be called with."""
    try:
        yield
    except AgentrlError as error:
        raise ConfigError(f"{what}: {error}") from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{what} cannot be used: {str(error).splitlines()[0]}") from error


def _check_algorithm_options(config: LossConfig, recipe: Recipe) -> None:
    """Refuse an option of the algorithm that shapes its loss alone where the configuration takes that shape away."""
    if isinstance(recipe, Transform):
        _check_algorithm_options(config, recipe.inner)
    for name in sorted(recipe.model_fields_set - {"base"}):
        usual = recipe.model_copy(update={name: type(recipe).model_fields[name].get_default()})
        if recipe.loss_at(0.5) == usual.loss_at(0.5):
            continue
        if loss_of(config, recipe, 0.5) == loss_of(config, usual, 0.5):
            raise ConfigError(
                f"algorithm.{name} shapes the loss of {recipe.name}, and the configuration's loss replaces what it "
                "shapes: leave one of them out"
            )


def _check_help(config: Config, recipe: Recipe, sampler: Sampler) -> None:
    for what in helps(config, recipe):
        if sampler.branches or config.rollout.max_env_steps:
            raise ConfigError(
                f"{what} (algorithm {recipe.name}) needs episodes that are played one by one: choose "
                "rollout.sampler={name: independent} and no rollout.max_env_steps"
            )


def _check_filter(config: Config, kept: Filter) -> None:
    if kept != "none" and config.rollout.group_size == 1:
        raise ConfigError(
            f"filter {kept} compares the episodes of a group, and rollout.group_size is 1: it would drop them all; "
            "choose filter.name=none or larger groups"
        )
    if "share" in config.filter.model_fields_set and config.filter.share != 0.25 and kept != "top_variance":
        raise ConfigError(f"filter.share is {config.filter.share:g} and has no effect, since the filter is {kept}")
