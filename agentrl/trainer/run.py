"""One process of a run: its policy, engine, rollouts and files, and the stages that the loop calls."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrl import seeding
from agentrl.algorithms.base import LossSettings, make_recipe
from agentrl.algorithms.critic import CriticRecipe
from agentrl.context import make_context
from agentrl.curriculum import make_filter
from agentrl.engines.base import SamplingParams
from agentrl.errors import DivergedError
from agentrl.policy import load_policy, save_policy
from agentrl.rollout import Limits, RolloutResult, demonstrate, demonstration_tasks
from agentrl.rollout.forest import forest_counts, summarise
from agentrl.store import TrajectoryStore
from agentrl.trainer.checkpoint import (
    Progress,
    latest_checkpoint,
    load_memory,
    load_progress,
    load_state,
    save_checkpoint,
)
from agentrl.trainer.collect import Collector, LostIterationError, max_refills
from agentrl.trainer.config import Config, config_digest
from agentrl.trainer.credit import assign_credit, num_unscored_groups
from agentrl.trainer.engine import PolicyEngine, describe_engine
from agentrl.trainer.evaluate import Scores, evaluate_demonstrator, evaluate_policy
from agentrl.trainer.interrupts import Interrupts
from agentrl.trainer.log import RunLog
from agentrl.trainer.reference import begin_reference, resume_reference
from agentrl.trainer.sampling import keeps_groups, make_rollout
from agentrl.trainer.scaffold import is_hinted
from agentrl.trainer.setup import describe_policy, env_factory, most_tokens, prepare_policy
from agentrl.trainer.token_credit import Credit, assign_token_credit
from agentrl.trainer.warm_start import WarmStart
from agentrl.types import Trajectory
from agentrl.update import distributed
from agentrl.update.batch import Sample
from agentrl.update.critic import Critic
from agentrl.update.optimizer import Optimizer, linear
from agentrl.update.update import Updater


class Run:
    """A run in this process. Used by the loop as a context manager.

    Args:
      config: of the run.
      resume: continue from the newest checkpoint.
    """

    def __init__(self, config: Config, *, resume: bool) -> None:
        self.config = config
        self.directory = Path(config.run.directory)
        self.log = RunLog(self.directory)
        self.env_factory = env_factory(config)
        self.recipe = make_recipe(config.algorithm)
        self._filter = make_filter(config.filter.name or self.recipe.filter, share=config.filter.share)
        self._interrupts = Interrupts(self.log.say)
        checkpoint = latest_checkpoint(self.directory / "checkpoints") if resume else None
        self.progress = load_progress(checkpoint, config_digest(config)) if checkpoint else Progress()
        self._began = time.monotonic() - self.progress.elapsed_s
        folder = checkpoint or self.directory / "initial_policy"
        if checkpoint is None and distributed.rank() == 0:
            prepare_policy(config, folder)
        distributed.gather(None)
        self.model, self.tokenizer = load_policy(str(folder), dtype=config.policy.dtype)
        self.model.to(torch.device("cuda", distributed.rank()) if torch.cuda.is_available() else "cpu")
        self.optimizer = self._make_optimizer()
        if checkpoint is not None:
            load_state(checkpoint, "optimizer", self.optimizer)
            self.recipe.load_state_dict(load_memory(checkpoint, "algorithm"))
        self._policy_engine = PolicyEngine(config, self.model, self.tokenizer, folder)
        self._sync()
        self._prepare_rollouts()
        if checkpoint is not None:
            self._collector.load_state_dict(load_memory(checkpoint, "curriculum"))
        is_reinforcing = self.progress.stage == "reinforce"
        self.updater = self._make_updater() if is_reinforcing else None
        self.critic = self._make_critic() if is_reinforcing else None
        if checkpoint is not None and self.critic is not None:
            load_state(checkpoint, "critic", self.critic)
        self.log.begin(config, self.progress.records)
        what = describe_policy(self.model, self.tokenizer) + describe_engine(config)
        self.log.say(f"policy: {what}; {distributed.world_size()} process(es)")

    # -- stages ----------------------------------------------------------------------------------------------------

    def warm_start(self) -> None:
        """Imitate demonstrations, then evaluate; skipped where the checkpoint is past it."""
        config = self.config.warm_start
        if self.progress.stage != "warm_start":
            return
        if config.steps and config.demonstrations:
            stage = WarmStart(config, self.model, self.optimizer, self.config.run.seed)
            stage.run(self._demonstrations(), first_step=self.progress.step, on_step=self._after_warm_start_step)
            self._sync()
        if self.should_stop():
            return
        self.evaluate("warm start" if config.steps else "initial policy")
        if config.control_steps and self.log.is_active:
            save_policy(self.directory / "warm_start_policy", self.model, self.tokenizer)
        self.progress.stage = "reinforce"
        self.optimizer = self._make_optimizer()
        self.updater, self.critic = self._make_updater(), self._make_critic()
        self.checkpoint()

    def collect(self) -> RolloutResult:
        """Play this iteration's groups. Where all are lost, the place in the run is saved first."""
        try:
            return self._collector.collect(self.progress.iteration)
        except LostIterationError:
            self.checkpoint()
            raise

    def evaluate_states(self, trajectories: Sequence[Trajectory]) -> NDArray[np.float64] | None:
        """Return the critic's value of the state before each sampled token; None where the algorithm needs none."""
        return None if self.critic is None else self.critic.evaluate(trajectories)

    def assign_credit(self, trajectories: Sequence[Trajectory], values_A: NDArray[np.float64] | None = None) -> Credit:
        """Return what each turn, or each token, earned."""
        if isinstance(self.recipe, CriticRecipe) and values_A is not None:
            return assign_token_credit(self.recipe, trajectories, values_A, self._filter)
        return Credit(assign_credit(self.recipe, trajectories, self._filter))

    def update(self, trajectories: Sequence[Trajectory], credit: Credit) -> dict[str, float]:
        """Step critic and policy, and let the engine follow.

        Raises:
          DivergedError: a loss, a gradient or weights are not finite, in every process alike.
        """
        try:
            return self._update(trajectories, credit)
        except DivergedError as error:
            raise DivergedError(f"iteration {self.progress.iteration + 1}: {error}") from error

    def _update(self, trajectories: Sequence[Trajectory], credit: Credit) -> dict[str, float]:
        metrics: dict[str, float] = {}
        if self.critic is not None and credit.tokens is not None:
            rng = seeding.generator(self.config.run.seed, "critic", distributed.rank(), self.progress.iteration)
            metrics = self.critic.fit(trajectories, credit.tokens, rng=rng)
            if self.progress.iteration < self.config.critic.warmup_iterations:
                return metrics
        return metrics | self._update_policy(credit.samples(trajectories))

    def _update_policy(self, samples: Sequence[Sample]) -> dict[str, float]:
        config, progress = self.config.update, self.progress
        lr = linear(
            progress.iteration, self.config.run.iterations, config.lr, config.warmup_iterations, config.final_lr_share
        )
        rng = seeding.generator(self.config.run.seed, "minibatches", distributed.rank(), progress.iteration)
        assert self.updater is not None, "the warm start comes first"
        self.updater.loss = self._loss()
        metrics = self.updater.run(samples, lr=lr, rng=rng)
        progress.policy_version += 1
        return metrics | self._sync() | {"lr": lr}

    def record(self, rollout: RolloutResult, credit: Credit, metrics: dict[str, float]) -> None:
        """Count, log, and now and then store rollouts, evaluate and save."""
        progress, every = self.progress, self.config.run.save_trajectories_every
        if every and progress.iteration % every == 0:
            played = [t for part in distributed.gather(rollout.trajectories + rollout.accidents) for t in part]
            if self.log.is_active:
                TrajectoryStore(self.directory / "trajectories").write(progress.iteration, played)
        progress.iteration += 1
        metrics |= self._totals(rollout, credit.advantages_N)
        progress.elapsed_s = time.monotonic() - self._began
        metrics["elapsed_s"] = progress.elapsed_s
        self.log.record("reinforce", progress.iteration, metrics)
        entropy = metrics.get("entropy", math.nan)  # none if no turn was scored
        self.log.progress(
            f"  iteration {progress.iteration:4d}/{self.config.run.iterations}  success {metrics['success']:.2f}  "
            f"turns {metrics['turns']:4.1f}  entropy {entropy:.2f}  {progress.elapsed_s:5.0f} s"
        )
        if rollout.accidents:
            first = rollout.accidents[0]
            self.log.say(f"  {len(rollout.accidents)} accidents, the first: {first.outcome}: {first.outcome_reason}")
        if self.config.eval.every and progress.iteration % self.config.eval.every == 0:
            self.evaluate(f"iteration {progress.iteration}")
        if progress.iteration % self.config.run.checkpoint_every == 0:
            self.checkpoint()

    def keep_result(self) -> None:
        """Evaluate the trained policy and save it as the run's; once."""
        if self.progress.stage != "reinforce":
            return
        if self.config.run.iterations:
            self.evaluate("result")
        if self.log.is_active:
            save_policy(self.directory / "policy", self.model, self.tokenizer)

    def control(self) -> bool:
        """Imitate on from the warm start for ``control_steps``: what supervision alone would have reached.

        It is made anew if interrupted, which the result tells: True if nothing of it is left to do.
        """
        config = self.config.warm_start
        if not (config.control_steps and self.config.run.iterations):
            return True
        self.progress.stage = "control"
        self.checkpoint()
        self.log.say("supervised control: imitating on from the warm start")
        warm, _ = load_policy(str(self.directory / "warm_start_policy"), dtype=self.config.policy.dtype)
        self.model.load_state_dict(warm.state_dict())
        settings = config.model_copy(update={"steps": config.control_steps, "target_accuracy": None})
        stage = WarmStart(settings, self.model, self._make_optimizer(), self.config.run.seed + 1)
        stage.run(self._demonstrations(), on_step=self._after_control_step)
        self._sync()
        if self.should_stop():
            return False
        self.evaluate("supervised control")
        trained, _ = load_policy(str(self.directory / "policy"), dtype=self.config.policy.dtype)
        self.model.load_state_dict(trained.state_dict())
        return True

    def evaluate(self, name: str) -> dict[str, Any]:
        """Evaluate the policy as it is and remember the result under ``name``."""
        modes = (False, True) if self.config.eval.greedy else (False,)
        return self._remember(name, [self.scores(greedy=greedy) for greedy in modes])

    def evaluate_demonstrator(self) -> None:
        """Let the demonstrator play the evaluation tasks, once."""
        if self.config.warm_start.steps and "demonstrator" not in (self.progress.results or {}):
            config = self.config
            scores = evaluate_demonstrator(
                self.env_factory, self.context, config.eval, config.warm_start.demonstrator, self.limits
            )
            self._remember("demonstrator", [scores])

    def scores(self, *, greedy: bool) -> Scores:
        """Play the evaluation tasks."""
        return evaluate_policy(
            self.env_factory,
            self._policy_engine.engine,
            self.context,
            self.config.eval,
            self._params,
            self.limits,
            concurrency=self.config.rollout.concurrency,
            greedy=greedy,
        )

    # -- interruption and files ------------------------------------------------------------------------------------

    def should_stop(self) -> bool:
        """True in every process as soon as one was interrupted."""
        return distributed.all_sum([float(self._interrupts.requested)])[0] > 0

    def checkpoint(self) -> None:
        """Save the place in the run."""
        self.progress.elapsed_s = time.monotonic() - self._began
        self.progress.records = self.log.num_records
        if self.log.is_active:
            save_checkpoint(
                self.directory / "checkpoints",
                self.progress,
                self.model,
                self.tokenizer,
                self.optimizer,
                config_digest(self.config),
                self.config.run.keep_checkpoints,
                self.recipe.state_dict(),
                self._collector.state_dict(),
                None if self.critic is None else self.critic.state_dict(),
            )
        distributed.gather(None)

    def finish(self) -> None:
        """Write the report."""
        from agentrl.trainer.report import write_report

        self.progress.elapsed_s = time.monotonic() - self._began
        if self.log.is_active:
            write_report(self.directory, self.config, self.progress, self.log)
        self.progress.stage = "done"
        self.checkpoint()

    def __enter__(self) -> "Run":
        self._interrupts.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._interrupts.__exit__()
        self._rollout.close()
        self._policy_engine.close()
        self.log.close()

    # -- parts -----------------------------------------------------------------------------------------------------

    def _sync(self) -> dict[str, float]:
        """Bring the engine to the policy's weights; return what that took."""
        return self._policy_engine.sync(self.progress.policy_version)

    def _prepare_rollouts(self) -> None:
        config = self.config
        context, rollout = config.context, config.rollout
        self.context = make_context(
            self.tokenizer,
            context.kind,
            protocol=context.protocol,
            window=context.window,
            show_admissible=context.show_admissible,
            system=context.system,
        )
        self.limits = Limits(max_turns=context.max_turns, max_context=context.max_context)
        self._params = SamplingParams(context.max_turn_tokens, rollout.temperature, rollout.top_p)
        self._rollout = make_rollout(
            config, self.recipe, self.env_factory, self._policy_engine.engine, self.context, self._params, self.limits
        )
        env = self.env_factory()
        self._train_ids = env.tasks.ids(config.env.train_split)
        self._max_turns = context.max_turns or env.max_turns
        env.close()
        refills = max_refills(config, self.recipe)
        self._collector = Collector(config, self._train_ids, self._rollout.collect, refills, self.recipe.hint_levels)

    def _make_optimizer(self) -> Optimizer:
        is_imitating = self.progress.stage in ("warm_start", "control")
        stage = self.config.warm_start if is_imitating else self.config.update
        update = self.config.update
        return Optimizer(
            self.model,
            kind=stage.optimizer,
            betas=stage.betas,
            weight_decay=stage.weight_decay,
            max_grad_norm=update.max_grad_norm,
        )

    def _make_updater(self) -> Updater:
        loss = self._loss()
        reference = self._reference() if loss.kl_coef or loss.group_loss == "trpa" else None
        return Updater(
            self.model,
            reference,
            self.optimizer,
            self.config.update.settings(),
            loss,
            self.config.rollout.temperature,
            most_tokens(self.config, self._max_turns),
            keeps_groups(self.config, self.recipe),
        )

    def _make_critic(self) -> Critic | None:
        if not isinstance(self.recipe, CriticRecipe):
            return None
        return Critic.of(self.model, self.config.critic.settings(), self.config.update.settings())

    def _reference(self) -> Any:
        """Return the frozen policy that reinforcement learning is held by; kept on disk for resumption."""
        folder, dtype = self.directory / "reference_policy", self.config.policy.dtype
        if self.progress.iteration:
            return resume_reference(folder, dtype=dtype, device=self.model.device)
        soup, save = self.recipe.soup(), self.log.is_active
        return begin_reference(self.model, self.tokenizer, folder, soup=soup, dtype=dtype, save=save)

    def _loss(self) -> LossSettings:
        """Return the loss settings of this iteration."""
        progress = self.progress.iteration / max(1, self.config.run.iterations)
        return self.recipe.loss_at(progress).override(self.config.loss.model_dump())

    def _demonstrations(self) -> list[Trajectory]:
        """Return this process's share of the demonstrations; the same on every resumption."""
        config, seed = self.config.warm_start, self.config.run.seed
        rank = distributed.rank()
        mine = demonstration_tasks(self._train_ids, config.demonstrations, seed=seed)[rank :: distributed.world_size()]
        began = time.monotonic()
        played = demonstrate(
            self.env_factory,
            mine,
            self.context,
            seed=seeding.derive(seed, "demonstrations", rank),
            wander=config.demonstrator.wander,
            mistake=config.demonstrator.mistake,
            forget=config.demonstrator.forget,
            lapse=config.demonstrator.lapse,
            limits=self.limits,
        )
        solved = sum(trajectory.success for trajectory in played)
        kept = played if config.demonstrator.keep_failures else [t for t in played if t.success]
        all_solved, all_played, turns = distributed.all_sum(
            [float(solved), float(len(played)), float(sum(len(t.turns) for t in played))]
        )
        self.log.say(
            f"{all_played:.0f} demonstrations, {100 * all_solved / all_played:.1f} % solved, "
            f"{turns / all_played:.1f} turns each, in {time.monotonic() - began:.1f} s"
        )
        return kept

    def _after_warm_start_step(self, step: int, metrics: dict[str, float]) -> bool:
        self.progress.step = step
        steps = self.config.warm_start.steps
        if step % 10 == 0 or step == steps or "held_out_accuracy" in metrics:
            metrics["elapsed_s"] = time.monotonic() - self._began
            self.log.record("warm_start", step, metrics)
            self.log.progress(
                f"  warm start {step:5d}/{steps}  loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.3f}  "
                f"{metrics['elapsed_s']:5.0f} s"
            )
        if step % (10 * self.config.run.checkpoint_every) == 0:
            self.checkpoint()
        return not self.should_stop()

    def _after_control_step(self, step: int, metrics: dict[str, float]) -> bool:
        if step % 10 == 0:
            metrics["elapsed_s"] = time.monotonic() - self._began
            self.log.record("control", step, metrics)
            self.log.progress(
                f"  control {step:5d}/{self.config.warm_start.control_steps}  loss {metrics['loss']:.3f}  "
                f"accuracy {metrics['accuracy']:.3f}  {metrics['elapsed_s']:5.0f} s"
            )
        return not self.should_stop()

    def _totals(self, rollout: RolloutResult, advantages_N: NDArray[np.float64]) -> dict[str, float]:
        """Return the iteration's numbers over all processes, and count what was played."""
        trajectories = rollout.trajectories
        turns = [turn for trajectory in trajectories for turn in trajectory.turns]
        keys = (
            "episodes",
            "success",
            "turns",
            "reward",
            "valid",
            "tokens",
            "accidents",
            "scored",
            "nonzero",
            "dropped",
            "env_steps",
        )
        sums = dict(
            zip(
                keys,
                distributed.all_sum(
                    [
                        float(len(trajectories)),
                        float(sum(t.success and not is_hinted(t) for t in trajectories)),
                        float(len(turns)),
                        sum(t.total_reward for t in trajectories),
                        float(sum(turn.action_valid for turn in turns)),
                        float(sum(t.num_tokens for t in trajectories)),
                        float(len(rollout.accidents)),
                        float(np.isfinite(advantages_N).sum()),
                        float((np.nan_to_num(advantages_N) != 0).sum()),
                        float(num_unscored_groups(trajectories, advantages_N)),
                        float(rollout.env_steps),
                    ]
                ),
                strict=True,
            )
        )
        episodes, num_turns = max(1.0, sums["episodes"]), max(1.0, sums["turns"])
        self.progress.episodes += int(sums["episodes"])
        self.progress.environment_steps += int(sums["env_steps"])
        return {
            "success": sums["success"] / episodes,
            "turns": sums["turns"] / episodes,
            "reward": sums["reward"] / episodes,
            "tokens_per_episode": sums["tokens"] / episodes,
            "valid_actions": sums["valid"] / num_turns,
            "scored_turns": sums["scored"] / num_turns,
            "turns_with_signal": sums["nonzero"] / num_turns,
            "groups_dropped": sums["dropped"],
            "accidents": sums["accidents"],
            "episodes_total": float(self.progress.episodes),
            "environment_steps_total": float(self.progress.environment_steps),
            "rollout/env_steps": sums["env_steps"],
            **self._collector.metrics(),
            **summarise(sum(distributed.gather(forest_counts(trajectories)), Counter())),
        }

    def _remember(self, name: str, modes: list[Scores]) -> dict[str, Any]:
        result = {scores.mode: scores.summary() for scores in modes}
        elapsed_s = time.monotonic() - self._began
        self.progress.results = (self.progress.results or {}) | {name: result | {"elapsed_s": elapsed_s}}
        spent = {"environment_steps_total": float(self.progress.environment_steps), "elapsed_s": elapsed_s}
        for scores in modes:
            flat = {f"{scores.mode}/{key}": float(value) for key, value in scores.summary().items()}
            self.log.record("eval", self.progress.iteration, flat | spent)
        line = ", ".join(f"{scores.mode} {scores.success.percent()}" for scores in modes)
        accidents = sum(scores.accidents for scores in modes)
        lost = f"; {accidents} accidents, not counted" if accidents else ""
        self.log.say(f"{name}: success on {self.config.eval.split}: {line}{lost}")
        return result
