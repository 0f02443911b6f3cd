"""The sections about the policy, what it sees, and how it begins."""

from typing import Literal, Self

import pydantic
from pydantic import Field

from agentrl.trainer.config.section import Section
from agentrl.update.settings import Precision


class BuildConfig(Section):
    """A policy made from nothing: a Qwen3 with random weights and a tokenizer trained on the environment's text."""

    hidden_size: int = Field(128, gt=0, le=65_536)
    num_layers: int = Field(4, gt=0, le=1_024)
    num_heads: int = Field(4, gt=0, le=1_024)
    num_kv_heads: int | None = Field(None, gt=0, description="null: as many as heads; fewer decode faster")
    intermediate_size: int | None = Field(None, gt=0, le=1_048_576, description="null: three times hidden_size")
    vocab_size: int = Field(2048, ge=300, le=1_000_000)
    tokenizer_episodes: int = Field(
        300, gt=0, le=1_000_000, description="demonstrations whose text trains the tokenizer"
    )

    @pydantic.model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % (2 * self.num_heads):  # rotary positions turn pairs of a head's dimensions
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of 2 × num_heads {self.num_heads}")
        if self.num_kv_heads and self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")
        return self


class PolicyConfig(Section):
    """The language model to train."""

    path: str | None = Field(None, description="local folder or hub name; null builds a policy from nothing")
    build: BuildConfig = BuildConfig()
    dtype: Precision = Field(
        "float32",
        description="of forward and backward passes; weights, gradients, moments and what is saved stay float32",
    )


class ContextConfig(Section):
    """How an episode becomes tokens."""

    kind: str = Field(
        "append",
        description="append: the whole conversation; window: the last turns; inline: tools that answer inside the "
        "message; or one that the environment's module registers",
    )
    window: int = Field(2, ge=0, le=1_000_000, description="turns of history (window only)")
    protocol: str = Field(
        "bare", description="bare: the message is the action; tags: <think>, <action>; tools:NAME,…: <NAME>…</NAME>"
    )
    show_admissible: bool = Field(False, description="list the admissible actions in each observation")
    system: str | None = Field(None, description="system message; null: the protocol's instructions; '': none")
    max_turns: int | None = Field(None, gt=0, le=1_000_000, description="null: the environment's own limit")
    max_turn_tokens: int = Field(64, gt=0, le=10_000_000, description="most tokens sampled in one turn")
    max_context: int = Field(1024, gt=0, le=10_000_000, description="most tokens in a session")


class DemonstratorConfig(Section):
    """A scripted teacher made fallible."""

    wander: float = Field(0.0, ge=0, le=1, description="probability of a random admissible action at each turn")
    mistake: float = Field(0.0, ge=0, le=1, description="probability of the right kind of action with a wrong object")
    forget: float | None = Field(
        None, ge=0, le=1, description="probability of losing its memory after an error; null suits the environment"
    )
    lapse: float = Field(0.0, ge=0, le=1, description="probability of losing the thread for the rest of the episode")
    keep_failures: bool = Field(True, description="imitate failed demonstrations too")


class WarmStartConfig(Section):
    """Supervised imitation of a demonstrator before reinforcement learning."""

    demonstrations: int = Field(
        2000, ge=0, le=10_000_000, description="played on distinct training tasks, or evenly on all of them"
    )
    demonstrator: DemonstratorConfig = DemonstratorConfig()
    steps: int = Field(
        500,
        ge=0,
        description="updates; 0 skips the stage; null: 500 for a policy built from nothing, 0 for one of policy.path",
    )
    control_steps: int = Field(
        0,
        ge=0,
        description="supervised control: further updates from the warm start, after the reinforcement, for comparison",
    )
    target_accuracy: float | None = Field(
        None, gt=0, le=1, description="stop once this share of held-out action tokens is predicted"
    )
    batch_tokens: int = Field(8192, gt=0, description="tokens per update, all processes together")
    optimizer: Literal["adamw", "muon"] = Field("adamw", description="muon learns faster from random weights")
    lr: float = Field(2e-3, gt=0, description="null: 2e-3 for a policy built from nothing, 1e-5 for one of policy.path")
    warmup_steps: int = Field(20, ge=0)
    final_lr_share: float = Field(0.1, ge=0, le=1, description="cosine down to this share of lr")
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.01, ge=0)
