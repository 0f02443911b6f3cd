"""What may change when a run goes on: what does not change its numbers."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from agentrl.algorithms.base import make_recipe
from agentrl.errors import CheckpointError
from agentrl.trainer.config import Config, EnvConfig
from agentrl.trainer.directory.checkpoint import State
from agentrl.trainer.launch import num_processes
from agentrl.update.optimizer import linear

FREE = (
    "run.directory",
    "run.processes",
    "run.checkpoint_every",
    "run.keep_checkpoints",
    "run.save_trajectories_every",
    "rollout.concurrency",
    "env.host",
    "env.time_limit_s",
    "env.per_process",
    "env.recycle_episodes",
    "env.recycle_mb",
    "update.token_budget",
    "engine.gpu_memory_utilization",
    "engine.tolerance",
    "eval",
)
"""Keys, or whole sections, of which no sampled token and no update depends, but for the order in which floating-point
numbers are added up."""

_ABSENT = object()


def check_resumption(state: State, config: Config) -> list[str]:
    """Compare the configuration of a run with the one that it is to go on with.

    A key that the run did not know yet counts as its default.

    Returns:
      What is different and may be, for the user: one line each.

    Raises:
      CheckpointError: something is different that changes the numbers; names the key, the old and the new value.
    """
    defaults = dict(_flat(Config(env=EnvConfig(id="")).model_dump(mode="json")))
    old, new = dict(_flat(state.config)), dict(_flat(config.model_dump(mode="json")))
    said = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, defaults.get(key, _ABSENT)), new.get(key, _ABSENT)
        if before == after:
            continue
        if key == "run.iterations":
            _check_schedule(state, config, before)
        elif not any(key == free or key.startswith(f"{free}.") for free in FREE):
            raise CheckpointError(
                f"the run was made with {key}={_shown(before)}, and {_shown(after)} would change its numbers: resume "
                f"with --set {key}={_shown(before)}, or start another run with --set run.directory=..."
            )
        if key not in ("run.directory", "run.processes"):
            said.append(f"{key}: {_shown(before)} → {_shown(after)}")
    processes = num_processes(config)
    if state.processes != processes:
        said.append(f"processes: {state.processes} → {processes}; sums are rounded in another order")
    return said


def _check_schedule(state: State, config: Config, before: int) -> None:
    """Check that the iterations so far would have been the same in a run of another length.

    Raises:
      CheckpointError: learning rate, loss or help follow the share of the run that is done, or it is past its end.
    """
    after, done = config.run.iterations, state.progress.iteration
    if state.progress.stage == "control":
        raise CheckpointError(f"run.iterations {before} → {after}: let the supervised control end first")
    if after < done:
        raise CheckpointError(f"run.iterations={after}, but the run has made {done} already")
    recipe, update = make_recipe(config.algorithm), config.update

    def planned(iteration: int, iterations: int) -> tuple[Any, ...]:
        share = iteration / max(1, iterations)
        lr = linear(iteration, iterations, update.lr, update.warmup_iterations, update.final_lr_share)
        return lr, recipe.loss_at(share), recipe.hint_levels(share)

    if any(planned(iteration, before) != planned(iteration, after) for iteration in range(done)):
        raise CheckpointError(
            f"run.iterations {before} → {after} changes the {done} iterations that are done: learning rate, loss or "
            "hints follow the share of the run; start another run from its policy with --set policy.path=..."
        )


def _flat(tree: Mapping[str, Any], section: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield keys and values of a configuration; what is no section of its own is one value."""
    for key, value in tree.items():
        field = section.model_fields.get(key)
        kind = field.annotation if field else None
        if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, Mapping):
            yield from _flat(value, kind, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    return "(none)" if value is _ABSENT else str(value) if value is not None else "null"
