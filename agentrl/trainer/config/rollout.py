"""The sections about playing: which tasks, by which sampler and engine, in training and in evaluation."""

from typing import Any, Literal, Self

import pydantic
from pydantic import Field

from agentrl.trainer.config.section import MOST_SEED, Section
from agentrl.trainer.config.served import ServedSettings
from agentrl.update.settings import Precision


class CurriculumConfig(Section):
    """How often each training task is drawn."""

    name: Literal["uniform", "spo", "clpo", "srpo_history"] = Field(
        "uniform",
        description="spo: coin flips most; clpo: solved ones less; srpo_history: solved ones leave for an epoch",
    )
    floor: float = Field(0.05, gt=0, description="least weight of a task (spo)")
    forget: float = Field(0.875, gt=0, lt=1, description="share of what is believed that an episode leaves (spo)")
    hard: float = Field(0.3, ge=0, lt=1, description="largest success rate of a hard task (clpo)")
    medium: float = Field(0.7, gt=0, lt=1, description="largest success rate of a medium task (clpo)")
    solved_weight: float = Field(0.25, gt=0, le=1, description="weight of an easier one; others weigh 1 (clpo)")
    epoch_groups: int | None = Field(
        None, gt=0, description="groups of an epoch (srpo_history); null: as many as there are tasks"
    )

    @pydantic.model_validator(mode="after")
    def _classes_are_in_order(self) -> Self:
        if self.hard >= self.medium:
            raise ValueError(f"hard {self.hard} must be less than medium {self.medium}")
        return self


class RollInConfig(Section):
    """A guide, the environment's own demonstrator, that plays the first turns of episodes."""

    chance: float = Field(0.5, ge=0, le=1, description="probability that it begins a group")
    turns: tuple[int, int] = Field((1, 8), description="least and most turns that it plays")
    guide: Literal["solution", "expert"] = Field(
        "expert", description="solution: a plan made at the start; expert: answers what it sees"
    )


class RolloutConfig(Section):
    """How experience is gathered."""

    tasks_per_iteration: int = Field(16, gt=0, le=1_000_000)
    group_size: int = Field(
        8, gt=0, le=100_000, description="episodes per task, from the same initial state; null suits the algorithm"
    )
    sampler: dict[str, Any] = Field(
        {},
        description="name and options: independent, arpo, aepo, tree_grpo, treepo, latr, vine; {}: the algorithm's",
    )
    max_env_steps: int | None = Field(
        None, gt=0, description="environment steps per group, shared ones counted once; null for no limit"
    )
    roll_in: RollInConfig | None = Field(None, description="null suits the algorithm; a chance of 0 is none")
    temperature: float = Field(1.0, ge=1e-3, le=1e3)
    top_p: float = Field(1.0, description="1: episodes are trained on under the distribution that they are drawn from")
    concurrency: int = Field(128, gt=0, le=100_000, description="episodes in flight per process")
    max_retries: int = Field(2, ge=0, le=1_000, description="fresh attempts for an episode lost to an accident")

    @pydantic.field_validator("top_p")
    @classmethod
    def _is_the_whole_distribution(cls, top_p: float) -> float:
        if top_p != 1.0:
            raise ValueError(
                f"training on a nucleus (top_p {top_p}) is biased, for log-probs and gradients are those of the full "
                "distribution: set it to 1, or eval.top_p for evaluations"
            )
        return top_p


class EngineConfig(ServedSettings):
    """What samples the policy's turns, in rollouts and evaluations: kind and dtype, vLLM's keys, a server's keys."""

    kind: Literal["transformers", "vllm", "openai"] = Field(
        "transformers",
        description="transformers: shares the trainer's weights; vllm: takes them over at each update; openai: any "
        "served model, for evaluation",
    )
    dtype: Precision | None = Field(
        None,
        description="of its weights and computation; null: policy.dtype. In bfloat16 it has weights of its own",
    )
    gpu_memory_utilization: float = Field(
        0.4, gt=0, le=1, description="share of the GPU's memory for vLLM's weights and cache; the trainer has the rest"
    )
    top_logprobs: int = Field(20, ge=2, description="most probable tokens that entropies and runners-up are taken from")
    tolerance: float | None = Field(
        None, gt=0, description="largest difference after a sync, nats a token; null: 1e-4 in float32, 0.1 in bfloat16"
    )
    settings: dict[str, Any] = Field({}, description="further fields of vllm.EngineArgs")

    @pydantic.model_validator(mode="after")
    def _options_have_a_use(self) -> Self:
        defaults, served = EngineConfig.model_construct(), set(ServedSettings.model_fields)
        changed = {name for name, value in self if value != getattr(defaults, name)} - {"kind", "dtype"}
        for owner, idle in (("vllm", changed - served), ("openai", changed & served)):
            if self.kind != owner and idle:
                names = ", ".join(name for name in EngineConfig.model_fields if name in idle)
                raise ValueError(f"kind {self.kind} has no use for {names}: remove it, or choose kind {owner}")
        if self.kind == "openai" and not (self.base_url and self.model):
            raise ValueError("kind openai needs base_url, for instance http://localhost:8000/v1, and model")
        return self


class EvalConfig(Section):
    """Evaluation on held-out tasks."""

    split: str = "valid_unseen"
    tasks: int | None = Field(200, gt=0, description="first tasks of the split; null for all")
    samples: int = Field(1, gt=0, le=1_000_000, description="sampled episodes per task, for avg@k and pass@k")
    temperature: float = Field(1.0, ge=1e-3, le=1e3)
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampled episodes; 1 for the full distribution")
    greedy: bool = Field(True, description="also one greedy episode per task")
    every: int = Field(0, ge=0, description="iterations between evaluations; 0 only before and after")
    seed: int = Field(1_000_003, ge=0, le=MOST_SEED)
