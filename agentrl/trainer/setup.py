"""What a run needs before its first step: checked early, with one clear error for each thing that can be wrong."""

import os
import tempfile
from pathlib import Path
from typing import Any

from agentrl.algorithms.base import Recipe, make_recipe
from agentrl.context import named_protocol
from agentrl.errors import ConfigError
from agentrl.policy import build_model, load_policy, save_policy, train_tokenizer
from agentrl.storage.policy_check import check_policy_folder
from agentrl.trainer.checks.composition import World, compose
from agentrl.trainer.config import Config
from agentrl.trainer.playing.sampling import check_help, check_sampler
from agentrl.trainer.world import env_factory, environment_texts


def check_directory(directory: Path) -> None:
    """Check that a run's directory can be made and written to; it is there afterwards.

    Raises:
      ConfigError: it cannot; says why.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory) as file:
            file.write(b"0")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"run.directory {str(directory)[:200]!r} cannot be written to: {reason}") from error


def check_memory(config: Config) -> None:
    """Check that a policy made from nothing fits this machine with its gradients and moments, all in float32.

    Raises:
      ConfigError: it does not.
    """
    build = config.policy.build
    if config.policy.path is not None:
        return
    width, wide = build.hidden_size, build.intermediate_size or 3 * build.hidden_size
    weights = build.vocab_size * width + build.num_layers * (4 * width**2 + 3 * width * wide)
    needed, present = 16 * weights, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise ConfigError(
            f"policy.build asks for about {weights / 1e9:,.1f} G parameters, which need {needed / 2**30:,.0f} GiB with "
            f"gradients and moments; this machine has {present / 2**30:,.0f} GiB"
        )


def check_algorithm(config: Config) -> Recipe:
    """Build the algorithm and check that this run provides what it needs.

    Raises:
      ConfigError: no such algorithm or option, or what cannot be had together; says which and why.
    """
    env = env_factory(config)()
    asks = "answers" in make_recipe(config.algorithm).required()
    world = World(config.env.id, env.snapshot_level, asks and "answer" in env.reset(seed=0)[1])
    composition = compose(config, world)
    check_sampler(config, composition.sampler, env)
    check_help(config, composition.recipe, env)
    env.close()
    return composition.recipe


def most_tokens(config: Config, max_turns: int | None) -> int:
    """Return the most tokens that can be sampled in one training sequence: a turn, or an episode."""
    turn = config.context.max_turn_tokens
    if config.context.kind == "window":
        return turn
    return min(config.context.max_context, turn * (max_turns or config.context.max_context))


def prepare_policy(config: Config, folder: Path) -> None:
    """Write the initial policy to ``folder``: a copy of ``policy.path``, or one built from nothing.

    Raises:
      DataError: ``policy.path`` cannot be loaded.
    """
    if config.policy.path is not None:
        model, tokenizer = load_policy(config.policy.path)
    else:
        build = config.policy.build
        tokenizer = train_tokenizer(
            environment_texts(config),
            vocab_size=build.vocab_size,
            tags=named_protocol(config.context.protocol).marks,
        )
        model = build_model(
            tokenizer,
            hidden_size=build.hidden_size,
            num_layers=build.num_layers,
            num_heads=build.num_heads,
            num_kv_heads=build.num_kv_heads,
            intermediate_size=build.intermediate_size,
            max_context=config.context.max_context,
            seed=config.run.seed,
        )
    save_policy(folder, model, tokenizer)


def describe_policy(model: Any, tokenizer: Any) -> str:
    """Return one line about a policy."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    kind = type(model).__name__
    return f"{kind}, {parameters / 1e6:.2f} M parameters, {len(tokenizer)} tokens"


def check_policy(config: Config) -> None:
    """Look at the policy to begin with before processes are started.

    Raises:
      DataError: ``policy.path`` holds no model, no tokenizer or no chat template.
      ConfigError: the policy to be built does not fit this machine.
    """
    if config.policy.path is not None:
        check_policy_folder(config.policy.path)
    check_memory(config)
