"""Which sampler a run uses, whether it can, and the rollout that plays it."""

from collections.abc import Callable

from agentrl.algorithms.base import Recipe
from agentrl.context import Context
from agentrl.engines.base import Engine, SamplingParams
from agentrl.env import TextEnv
from agentrl.errors import ConfigError
from agentrl.hosts import EnvHost
from agentrl.rollout import Limits, RollIn, Rollout, RolloutResult
from agentrl.rollout.branching import Sampler, check_forkable, make_sampler
from agentrl.rollout.roll_in import check_plans
from agentrl.trainer.config import Config

_ANY_VOCABULARY = 2
SLOW_STEP_S = 2e-3
"""Seconds from which on an environment's step is worth another host."""


def choose_sampler(config: Config, recipe: Recipe) -> Sampler:
    """Return the configured sampler, or the one that suits the algorithm.

    Raises:
      ConfigError: no such sampler or option.
    """
    return make_sampler(config.rollout.sampler or {"name": recipe.samples_with()})


def check_sampler(config: Config, sampler: Sampler, env: TextEnv) -> None:
    """Check before the first step that a run's environment and budget suit its sampler.

    Raises:
      ConfigError: the environment cannot be branched, or the group is too large for the engine or too small for the
        sampler's options; says which and why.
    """
    size, concurrency = config.rollout.group_size, config.rollout.concurrency
    sampler.plan(size, 0, _ANY_VOCABULARY)
    if sampler.branches:
        check_forkable(env, config.env.id)
    if (sampler.branches or config.rollout.max_env_steps) and size > concurrency:
        raise ConfigError(
            f"rollout.group_size {size} exceeds rollout.concurrency {concurrency}: the paths of a group that sampler "
            f"{sampler.name} plays need a session each"
        )


def choose_roll_in(config: Config, recipe: Recipe) -> RollIn | None:
    """Return who begins the episodes: as configured, or as suits the algorithm; None for the policy.

    Raises:
      ConfigError: a value is out of range.
    """
    asked = config.rollout.roll_in
    options = recipe.roll_in() if asked is None else asked.model_dump()
    return RollIn(**options) if options and options["chance"] else None


def helps(config: Config, recipe: Recipe) -> list[str]:
    """Return what helps the policy on its way: a guide, hints."""
    wants = {"rollout.roll_in": choose_roll_in(config, recipe) is not None, "hints": recipe.hint_levels(1.0) > 0}
    return [name for name, wanted in wants.items() if wanted]


def check_help(config: Config, recipe: Recipe, env: TextEnv) -> None:
    """Check that an environment knows the plans of the guide or the hints that are asked for.

    Raises:
      ConfigError: it does not.
    """
    for what in helps(config, recipe):
        check_plans(env, config.env.id, what)


def keeps_groups(config: Config, recipe: Recipe) -> bool | None:
    """Return whether minibatches are made of whole groups: as configured, or where branches share their beginnings.

    None leaves it to the samples: whole groups where their members share enough. Where nothing is merged they do not.
    """
    wish = config.update.keep_groups
    if wish is not None or config.update.merge_prefixes == "never":
        return bool(wish)
    return choose_sampler(config, recipe).branches or None


def slow_worlds(config: Config, rollout: RolloutResult) -> str | None:
    """Return what to do about environments that kept the engine waiting; None where they did not.

    They did where most of the rollout's time passed inside them, ``SLOW_STEP_S`` or more a step: quicker ones gain
    nothing from another host.
    """
    share = rollout.env_s / max(rollout.wall_s, 1e-9)
    step_s = rollout.env_s / max(rollout.env_steps, 1)
    if config.env.host != "inline" or share < 0.5 or step_s < SLOW_STEP_S:
        return None
    return (
        f"environments took {100 * share:.0f} % of the rollout's time, {1000 * step_s:.0f} ms a step, one after the "
        "other, while the engine waited: with env.host=threads those that wait for something wait side by side, with "
        "env.host=processes those that compute do so on other cores"
    )


def make_rollout(
    config: Config,
    recipe: Recipe,
    host: EnvHost,
    engine: Engine,
    context: Context,
    params: SamplingParams,
    limits: Limits,
    is_aborted: Callable[[], bool] | None = None,
) -> Rollout:
    """Return what plays the iterations' groups, unless ``is_aborted``."""
    settings = config.rollout
    return Rollout(
        host,
        engine,
        context,
        params,
        sampler=choose_sampler(config, recipe),
        limits=limits,
        max_env_steps=settings.max_env_steps,
        concurrency=settings.concurrency,
        max_retries=settings.max_retries,
        roll_in=choose_roll_in(config, recipe),
        is_aborted=is_aborted,
    )
