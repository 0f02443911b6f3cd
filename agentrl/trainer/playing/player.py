"""How a run's policy plays: its engine, what it sees of an episode, and the tasks it is given."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from agentrl import seeding
from agentrl.algorithms.base import Recipe
from agentrl.context import make_context
from agentrl.engines.base import SamplingParams
from agentrl.hosts import make_host
from agentrl.policy import end_ids
from agentrl.rollout import Errors, Limits, demonstrate, demonstration_tasks
from agentrl.trainer.config import Config
from agentrl.trainer.config.section import fields_of
from agentrl.trainer.engine import PolicyEngine
from agentrl.trainer.interrupts import unless_aborted
from agentrl.trainer.playing.collect import Collector, check_played, max_refills
from agentrl.trainer.playing.evaluate import Scores, evaluate_demonstrator, evaluate_policy
from agentrl.trainer.playing.sampling import make_rollout
from agentrl.trainer.world import env_factory
from agentrl.types import Trajectory
from agentrl.update import distributed


class Player:
    """Plays a run's episodes: training groups, evaluations, demonstrations.

    Args:
      config: of the run.
      recipe: the algorithm, which may ask for a sampler, refills and hints.
      model: the policy.
      tokenizer: the policy's.
      folder: holds a policy of the same architecture, which vLLM starts from.
      is_aborted: whether to give up what is being played, with ``AbortedError`` in every process.

    Attributes:
      collector: chooses and plays the tasks of an iteration.
      context: how conversations are written.
      engine: samples the policy's turns.
      max_turns: most turns of an episode; None for no limit.
    """

    def __init__(
        self,
        config: Config,
        recipe: Recipe,
        model: Any,
        tokenizer: Any,
        folder: Path,
        is_aborted: Callable[[], bool] | None = None,
    ) -> None:
        self._config = config
        self._is_aborted = is_aborted
        self._env_factory = env_factory(config)
        self._host = make_host(self._env_factory, config.env.options())
        self._policy_engine = PolicyEngine(config, model, tokenizer, folder)
        self.engine = self._policy_engine.engine
        context, rollout = config.context, config.rollout
        self.context = make_context(
            tokenizer,
            context.kind,
            protocol=context.protocol,
            window=context.window,
            show_admissible=context.show_admissible,
            system=context.system,
        )
        self._limits = Limits(max_turns=context.max_turns, max_context=context.max_context)
        self._params = SamplingParams(context.max_turn_tokens, rollout.temperature, stop_token_ids=end_ids(model))
        self._rollout = make_rollout(
            config, recipe, self._host, self.engine, self.context, self._params, self._limits, is_aborted
        )
        env = self._env_factory()
        self._train_ids = env.tasks.ids(config.env.train_split)
        self.max_turns = context.max_turns or env.max_turns
        env.close()
        refills = max_refills(config, recipe)
        self.collector = Collector(config, self._train_ids, self._rollout.collect, refills, recipe.hint_levels)

    def sync(self, version: int) -> dict[str, float]:
        """Bring the engine to the policy's weights; return what that took."""
        return self._policy_engine.sync(version)

    def check(self, *, trains: bool) -> dict[str, float]:
        """Compare engine, and trainer if there is one, with the policy's own forward pass; return differences, nats.

        Raises:
          ModelError: one of them computes something else.
        """
        return self._policy_engine.check(trains=trains)

    def scores(self, *, greedy: bool) -> Scores:
        """Play the evaluation tasks."""
        return evaluate_policy(
            self._host,
            self.engine,
            self.context,
            self._config.eval,
            self._params,
            self._limits,
            concurrency=self._config.rollout.concurrency,
            greedy=greedy,
            is_aborted=self._is_aborted,
        )

    def demonstrator_scores(self) -> Scores:
        """Let the demonstrator play the evaluation tasks."""
        demonstrator = self._config.warm_start.demonstrator
        return evaluate_demonstrator(
            self._host, self.context, self._config.eval, demonstrator, self._limits, self._is_aborted
        )

    def demonstrations(self, say: Callable[[str], None]) -> list[Trajectory]:
        """Return this process's share of the demonstrations; the same on every resumption."""
        config, seed = self._config.warm_start, self._config.run.seed
        tasks = demonstration_tasks(self._train_ids, config.demonstrations, seed=seed)
        mine = range(distributed.rank(), len(tasks), distributed.world_size())
        began = time.monotonic()
        play = partial(
            demonstrate,
            self._host,
            [tasks[number] for number in mine],
            self.context,
            seed=seeding.derive(seed, "demonstrations"),
            numbers=mine,
            errors=Errors(**fields_of(Errors, config.demonstrator)),
            limits=self._limits,
            is_aborted=self._is_aborted,
        )
        result = unless_aborted(play)
        check_played(result, "demonstrations")
        played = result.trajectories
        solved = sum(trajectory.success for trajectory in played)
        kept = played if config.demonstrator.keep_failures else [t for t in played if t.success]
        all_solved, all_played, turns, lost = distributed.all_sum(
            [
                float(solved),
                float(len(played)),
                float(sum(len(t.turns) for t in played)),
                float(len(result.incomplete_groups)),
            ]
        )
        missing = f", {lost:.0f} lost to accidents" if lost else ""
        say(
            f"{all_played:.0f} demonstrations, {100 * all_solved / all_played:.1f} % solved, "
            f"{turns / all_played:.1f} turns each{missing}, in {time.monotonic() - began:.1f} s"
        )
        return kept

    def close(self) -> None:
        """End what plays, and free an engine's memory."""
        self._rollout.close()
        self._host.close()
        self._policy_engine.close()
