"""The configuration of a run: frozen, typed, every key documented, unknown keys refused with the nearest name."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from agentrl.errors import ConfigError, nearest
from agentrl.trainer.yaml_tree import parse_yaml
from agentrl.update.settings import CriticSettings, Precision, UpdateSettings

MOST_SEED = 2**62
"""The largest seed that every generator takes, with room for those derived from it."""
MOST_PER_CORE = 8
"""Most processes a core: more of them only wait for one another, and fill the memory."""
MOST_EPISODES = 10_000_000
"""Most episodes of an iteration, or of an evaluation: they are listed in memory before they are played."""


class Section(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EnvConfig(Section):
    """Which world, and where tasks come from."""

    id: str = Field(description="id in Gymnasium's registry, e.g. agentrl/Household-v0")
    kwargs: dict[str, Any] = Field({}, description="arguments of the environment")
    train_split: str = "train"


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

    kind: Literal["append", "window", "inline"] = Field(
        "append", description="whole conversation, the last turns, or tools that answer inside the message"
    )
    window: int = Field(2, ge=0, le=1_000_000, description="turns of history (window only)")
    protocol: str = Field(
        "bare", description="bare: the message is the action; tags: <think>, <action>; tools:NAME,…: <NAME>…</NAME>"
    )
    show_admissible: bool = Field(False, description="list the admissible actions in each observation")
    system: str | None = Field(None, description="system message; null uses the protocol's instructions")
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
    group_size: int = Field(8, gt=0, le=100_000, description="episodes per task, from the same initial state")
    sampler: dict[str, Any] = Field(
        {}, description="name and options: independent, arpo, aepo, tree_grpo, treepo, latr; {} suits the algorithm"
    )
    max_env_steps: int | None = Field(
        None, gt=0, description="environment steps per group, shared ones counted once; null for no limit"
    )
    roll_in: RollInConfig | None = Field(None, description="null suits the algorithm; a chance of 0 is none")
    temperature: float = Field(1.0, ge=1e-3, le=1e3)
    top_p: float = Field(1.0, description="1: episodes are trained on under the distribution that they are drawn from")
    concurrency: int = Field(128, gt=0, le=100_000, description="episodes in flight per process")
    max_retries: int = Field(2, ge=0, le=1_000, description="fresh attempts for an episode lost to an accident")
    threads: bool = Field(
        False, description="step environments in threads: for slow ones; repeated up to floating point, not bit for bit"
    )

    @pydantic.field_validator("top_p")
    @classmethod
    def _is_the_whole_distribution(cls, top_p: float) -> float:
        if top_p != 1.0:
            raise ValueError(
                f"training on a nucleus (top_p {top_p}) is biased, for log-probs and gradients are those of the full "
                "distribution: set it to 1, or eval.top_p for evaluations"
            )
        return top_p


class EngineConfig(Section):
    """What samples the policy's turns, in rollouts and evaluations. All keys but the first two are vLLM's."""

    kind: Literal["transformers", "vllm"] = Field(
        "transformers", description="transformers: shares the trainer's weights; vllm: takes them over at each update"
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
        defaults = EngineConfig.model_construct()
        idle = [name for name, value in self if name not in ("kind", "dtype") and value != getattr(defaults, name)]
        if self.kind != "vllm" and idle:
            raise ValueError(f"kind {self.kind} has no use for {', '.join(idle)}: remove it, or choose kind vllm")
        return self


class LossConfig(Section):
    """Policy loss; null keys take the algorithm's defaults."""

    ratio_level: Literal["token", "turn", "sequence"] | None = None
    aggregation: Literal["token_mean", "sequence_mean", "constant"] | None = None
    clip_low: float | None = Field(None, ge=0)
    clip_high: float | None = Field(None, ge=0)
    dual_clip: float | None = Field(None, gt=1)
    kl_coef: float | None = Field(None, ge=0)
    kl_kind: Literal["k1", "k2", "k3"] | None = None
    entropy_coef: float | None = None
    entropy_advantage: float | None = Field(None, ge=0, description="a of A (1 + a z), z the token's entropy")
    token_share: float | None = Field(None, gt=0, le=1, description="share of decisive tokens that are trained on")


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


class FilterConfig(Section):
    """Which groups of an iteration are trained on."""

    name: Literal["none", "dynamic_sampling", "top_variance"] | None = Field(
        None, description="dynamic_sampling: returns differ; top_variance: they differ most; null suits the algorithm"
    )
    share: float = Field(0.25, gt=0, le=1, description="share of the groups to keep (top_variance only)")
    max_refills: int | None = Field(
        None,
        ge=0,
        description="how often dropped groups are replaced (dynamic_sampling only); null suits the algorithm",
    )


class UpdateConfig(Section):
    """Optimisation of the policy."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(5e-4, gt=0, description="null: 5e-4 for a policy built from nothing, 1e-6 for one of policy.path")
    warmup_iterations: int = Field(0, ge=0)
    final_lr_share: float = Field(1.0, ge=0, le=1, description="linear down to this share of lr at the last iteration")
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    minibatches: int = Field(4, gt=0, description="updates per epoch over an iteration's turns")
    epochs: int = Field(1, gt=0)
    token_budget: int = Field(8192, gt=0, description="tokens per forward pass; larger batches accumulate")
    keep_groups: bool | None = Field(
        None, description="minibatches of whole groups; null: where their members share a tenth of their tokens"
    )
    merge_prefixes: Literal["auto", "always", "never"] = Field(
        "auto", description="compute what sequences share at their beginnings once; auto: where it saves enough"
    )
    old_logprobs: Literal["behavior", "recompute"] = Field(
        "behavior", description="the sampler's own log-probs, or a pass of the trainer before the update"
    )

    max_mismatch: float | None = Field(
        0.1, gt=0, description="a run stops where engine/mismatch is more, nats a token; null: it never does"
    )

    def settings(self, dtype: Precision) -> UpdateSettings:
        """Return what decides how updates are cut, packed and computed."""
        return UpdateSettings(**_fields_of(UpdateSettings, self), dtype=dtype)


class CriticConfig(Section):
    """The critic of algorithms that need values; others have none. It starts as a copy of the policy.

    Its weights are its own, so that its loss has no weight beside the policy's: the learning rate is all there is.
    """

    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(
        1e-3, gt=0, description="null: 1e-3 beside a policy built from nothing, 1e-5 beside one of policy.path"
    )
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    minibatches: int = Field(4, gt=0, description="updates per epoch over an iteration's episodes")
    epochs: int = Field(1, gt=0)
    clip: float | None = Field(None, gt=0, description="values gain nothing by moving further; null for no clip")
    warmup_iterations: int = Field(0, ge=0, description="first iterations, in which the policy waits for the critic")

    def settings(self) -> CriticSettings:
        """Return what decides how the critic learns."""
        return CriticSettings(**_fields_of(CriticSettings, self))


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
        """Fill what is left open in ``SUITED`` in as suits a policy built from nothing, or a loaded one."""
        if not isinstance(tree, Mapping):
            return tree
        tree, policy = dict(tree), tree.get("policy")
        is_loaded = isinstance(policy, Mapping) and policy.get("path") is not None
        for section, values in SUITED.items():
            given = tree.get(section, {})
            if isinstance(given, Mapping):
                suited = {key: pair[is_loaded] for key, pair in values.items() if given.get(key) is None}
                tree[section] = {**given, **suited}
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


def _fields_of(kind: type, section: Section) -> dict[str, Any]:
    """Return the values of a section that settings of ``kind`` have fields for."""
    return {
        field.name: getattr(section, field.name) for field in dataclasses.fields(kind) if hasattr(section, field.name)
    }


def load_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML file and apply ``section.key=value`` overrides (values are YAML).

    Raises:
      ConfigError: missing file, malformed YAML, unknown key (names the nearest), or a value out of range.
    """
    try:
        exists = path.is_file()
    except OSError as error:  # a name that is too long, say
        raise ConfigError(f"no configuration file {str(path)[:200]!r}: {error.strerror}") from None
    if not exists:
        siblings = sorted(str(p) for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        raise ConfigError(f"no configuration file {str(path)!r}{nearest(str(path), siblings)}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    tree = parse_yaml(text, str(path)) or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping of sections, not a {type(tree).__name__}")
    for override in overrides:
        _apply(tree, override)
    return parse_config(tree)


def parse_config(tree: Mapping[str, Any]) -> Config:
    """Validate a nested mapping; see :func:`load_config` for what is raised."""
    try:
        return Config.model_validate(tree)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"unknown key {key!r}{_nearest_key(first['loc'])}") from None
        if first["type"] == "model_type":
            raise ConfigError(f"{key} is a section with keys of its own, got {_short(first['input'])}") from None
        message = first["msg"].removeprefix("Value error, ")
        given = f", got {_short(first['input'])}" if first["type"] not in ("missing", "value_error") else ""
        where = f"{key}: " if key else ""
        raise ConfigError(f"{where}{message[0].lower()}{message[1:]}{given}") from None


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


def _apply(tree: dict[str, Any], override: str) -> None:
    key, value = parse_override(override, "section.key=value")
    node = tree
    *parents, last = key.split(".")
    for parent in parents:
        if node.get(parent) is None:
            node[parent] = {}
        node = node[parent]
        if not isinstance(node, dict):
            raise ConfigError(f"--set {override!r}: {parent!r} is a value, not a section")
    node[last] = value


def parse_override(override: str, form: str = "key=value") -> tuple[str, Any]:
    """Return key and value (YAML) of ``--set``.

    Raises:
      ConfigError: it is not of the form.
    """
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {override!r}: expected {form}")
    return key.strip(), parse_yaml(text, f"--set {override!r}: the value")


def _nearest_key(location: tuple[int | str, ...]) -> str:
    section: Any = Config
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        section = field.annotation if field else None
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return ""
    return nearest(str(location[-1]), section.model_fields)


def num_processes(config: Config) -> int:
    """Return how many data-parallel processes the run uses: those of torchrun, or on this machine."""
    import torch

    if "WORLD_SIZE" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    cores = len(os.sched_getaffinity(0))
    if config.run.processes:
        if config.run.processes > max(MOST_PER_CORE * cores, torch.cuda.device_count()):
            raise ConfigError(
                f"run.processes {config.run.processes} on a machine of {cores} cores: at most {MOST_PER_CORE} a core"
            )
        return config.run.processes
    if torch.cuda.is_available() or config.engine.kind == "vllm":
        return 1
    return max(1, min(cores, config.rollout.tasks_per_iteration))
