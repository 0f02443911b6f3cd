"""Evaluating a model that somebody serves, on a run's environment and held-out tasks."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from agentrl.context import Context, named_context, named_protocol
from agentrl.context.text import TextChat
from agentrl.engines.base import SamplingParams
from agentrl.engines.openai import ChatEngine
from agentrl.engines.served import ServedEngine
from agentrl.errors import ConfigError
from agentrl.hosts import make_host
from agentrl.making import import_env
from agentrl.rollout import Limits
from agentrl.trainer.config import Config
from agentrl.trainer.directory.checkpoint import Progress
from agentrl.trainer.directory.report import results_table, write_evaluation
from agentrl.trainer.playing.evaluate import evaluate_policy
from agentrl.trainer.world import check_tasks, env_factory


def evaluate_served(config: Config, out: Path | None = None) -> dict[str, dict[str, Any]]:
    """Evaluate the model of ``engine.base_url``, print the table and what it cost; return the numbers by mode.

    Its answers are read by the run's protocol; whole conversations or windows are sent as messages. An episode that the
    server gives no answer for, after the retries, is an accident: it is played again, and never counts as a failure.

    Raises:
      ConfigError: the context cannot be sent in messages, or no such environment, protocol or split.
      LostIterationError: no episode was answered.
    """
    import_env(config.env.id)
    context, settings = served_context(config), config.engine
    check_tasks(config)
    client = ChatEngine(
        settings.base_url or "",
        settings.model or "",
        api_key=os.environ.get(settings.api_key_env),
        timeout_s=settings.timeout_s,
        retries=settings.retries,
        requests_per_minute=settings.requests_per_minute,
        connections=min(config.rollout.concurrency, 256),
    )
    host = make_host(env_factory(config), config.env.options())
    modes: dict[str, dict[str, Any]] = {}
    try:
        for greedy in (False, True) if config.eval.greedy else (False,):
            scores = evaluate_policy(
                host,
                ServedEngine(client, context.chat.system),
                context,
                config.eval,
                SamplingParams(config.context.max_turn_tokens),
                Limits(max_turns=config.context.max_turns),
                concurrency=config.rollout.concurrency,
                greedy=greedy,
            )
            modes[scores.mode] = scores.summary()
    finally:
        host.close()
        client.close()
    console = Console(highlight=False, markup=False)
    console.print(results_table(Progress(results={str(settings.model): modes})))
    usage, price = client.usage, client.usage.cost(settings.price_in, settings.price_out)
    console.print(
        f"{usage.requests} requests ({usage.retries} sent again), {usage.prompt_tokens} tokens read, "
        f"{usage.completion_tokens} written" + (f": {price:.4f} at the prices given" if price else ""),
        soft_wrap=True,
    )
    if out is not None:
        write_evaluation(out, config, str(settings.model), modes, asdict(usage) | {"cost": price})
    return modes


def served_context(config: Config) -> Context:
    """Return how an episode becomes messages.

    Raises:
      ConfigError: the context goes on inside an assistant's message, which the protocol cannot express.
    """
    settings = config.context
    if settings.kind == "inline":
        raise ConfigError("context.kind inline goes on inside a message, a chat server cannot: use append or window")
    protocol = named_protocol(settings.protocol)
    chat = TextChat(protocol.instructions if settings.system is None else settings.system or None)
    return named_context(settings.kind)(chat, protocol, settings.show_admissible, settings.window)
