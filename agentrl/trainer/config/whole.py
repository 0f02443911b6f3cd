"""The configuration of a run: frozen, typed, every key documented."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import pydantic
from pydantic import Field

from agentrl.algorithms.base import usual_group_size
from agentrl.hosts import HostOptions
from agentrl.trainer.config.policy import ContextConfig, PolicyConfig, WarmStartConfig
from agentrl.trainer.config.rollout import CurriculumConfig, EngineConfig, EvalConfig, RolloutConfig
from agentrl.trainer.config.section import MOST_SEED, Section
from agentrl.trainer.config.update import CriticConfig, FilterConfig, LossConfig, UpdateConfig

MOST_EPISODES = 10_000_000
"""Most episodes of an iteration, or of an evaluation: they are listed in memory before they are played."""


class EnvConfig(Section):
    """Which world, and where tasks come from."""

    id: str = Field(description="id in Gymnasium's registry, e.g. agentrl/Household-v0")
    kwargs: dict[str, Any] = Field({}, description="arguments of the environment")
    train_split: str = "train"
    host: Literal["inline", "threads", "processes"] = Field(
        "inline",
        description="inline: for microseconds a step; threads: it waits; processes: it computes, hangs, leaks or dies",
    )
    time_limit_s: float | dict[str, float] | None = Field(
        None, description="seconds a call, or by call: make, reset, step, snapshot, close; null: the environment's own"
    )
    per_process: int = Field(1, gt=0, le=10_000, description="environments that share a process (processes only)")
    recycle_episodes: int | None = Field(
        None, gt=0, description="episodes after which an environment, or its process, is replaced; null: never"
    )
    recycle_mb: int | None = Field(
        None, gt=0, description="memory of a process from which on it is replaced (processes only); null: never"
    )

    def options(self) -> HostOptions:
        """Return where it lives.

        Raises:
          ConfigError: a value is out of range, or has no use.
        """
        return HostOptions(self.host, self.time_limit_s, self.per_process, self.recycle_episodes, self.recycle_mb)

    @pydantic.model_validator(mode="after")
    def _host_can_be(self) -> Self:
        self.options()
        return self


class RunConfig(Section):
    """Where and how the run goes."""

    directory: Path = Path("runs/run")
    seed: int = Field(0, ge=0, le=MOST_SEED)
    iterations: int = Field(100, ge=0, description="iterations of reinforcement learning")
    processes: int = Field(
        0, ge=0, le=4_096, description="data-parallel processes; 0: one, or one per core without GPU and vLLM"
    )
    checkpoint_every: int = Field(25, gt=0, description="iterations (and tens of warm-start steps) between checkpoints")
    keep_checkpoints: int = Field(2, gt=0)
    save_trajectories_every: int = Field(0, ge=0, description="iterations between stored rollouts; 0 for none")

    @pydantic.field_validator("directory")
    @classmethod
    def _is_a_folder_of_its_own(cls, directory: Path) -> Path:
        try:
            expanded = directory.expanduser()
        except RuntimeError as error:
            raise ValueError(f"{str(directory)!r}: {error}") from None
        if "\0" in str(expanded):
            raise ValueError(f"{str(expanded)!r} holds a NUL, which no path can")
        if expanded in (Path.home(), Path(expanded.anchor)):
            raise ValueError(f"{str(expanded)!r} is not for a run alone: name a folder of its own, such as runs/run")
        return expanded


class Config(Section):
    """Everything a run needs."""

    env: EnvConfig
    policy: PolicyConfig = PolicyConfig()
    context: ContextConfig = ContextConfig()
    warm_start: WarmStartConfig = WarmStartConfig()
    algorithm: dict[str, Any] = Field({"name": "gigpo"}, description="name and options: see `agentrl algorithms`")
    rollout: RolloutConfig = RolloutConfig()
    engine: EngineConfig = EngineConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    filter: FilterConfig = FilterConfig()
    loss: LossConfig = LossConfig()
    update: UpdateConfig = UpdateConfig()
    critic: CriticConfig = CriticConfig()
    eval: EvalConfig = EvalConfig()
    run: RunConfig = RunConfig()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _suits_the_policy(cls, tree: Any) -> Any:
        """Fill in what is left open: ``SUITED`` for a policy made from nothing or a loaded one, groups by algorithm."""
        if not isinstance(tree, Mapping):
            return tree
        tree, policy = dict(tree), tree.get("policy")
        is_loaded = isinstance(policy, Mapping) and policy.get("path") is not None
        for section, values in SUITED.items():
            given = tree.get(section, {})
            if isinstance(given, Mapping):
                suited = {key: pair[is_loaded] for key, pair in values.items() if given.get(key) is None}
                tree[section] = {**given, **suited}
        rollout = tree.get("rollout", {})
        if isinstance(rollout, Mapping) and rollout.get("group_size") is None:
            tree["rollout"] = {**rollout, "group_size": usual_group_size(tree.get("algorithm"))}
        return tree

    @pydantic.model_validator(mode="after")
    def _episodes_can_be_listed(self) -> Self:
        played = {
            "rollout.tasks_per_iteration × group_size": self.rollout.tasks_per_iteration * self.rollout.group_size,
            "eval.tasks × samples": (self.eval.tasks or 1) * self.eval.samples,
        }
        for name, number in played.items():
            if number > MOST_EPISODES:
                raise ValueError(f"{name} is {number:,} episodes, at most {MOST_EPISODES:,} are played at a time")
        return self


SUITED: dict[str, dict[str, tuple[float, float]]] = {
    "warm_start": {"steps": (500, 0), "lr": (2e-3, 1e-5)},
    "update": {"lr": (5e-4, 1e-6)},
    "critic": {"lr": (1e-3, 1e-5)},
}
"""Defaults of a policy built from nothing, which has a fraction of a million parameters, and of a loaded one."""
