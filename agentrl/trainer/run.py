"""One process of a run: what plays, what learns and the files, and the stages that the loop calls."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.algorithms.base import make_recipe
from agentrl.context import strips_thoughts
from agentrl.errors import DivergedError
from agentrl.making import import_env
from agentrl.policy import load_policy, save_policy
from agentrl.rollout import RolloutResult
from agentrl.store import TrajectoryStore
from agentrl.trainer.config import Config, WarmStartConfig
from agentrl.trainer.directory.checkpoint import (
    KINDS,
    Progress,
    State,
    check_checkpoint,
    checkpoints,
    load_state,
    save_checkpoint,
)
from agentrl.trainer.directory.log import RunLog
from agentrl.trainer.directory.metrics import read_lines
from agentrl.trainer.engine import describe_engine
from agentrl.trainer.interrupts import Interrupts
from agentrl.trainer.learner import Learner
from agentrl.trainer.playing.collect import LostIterationError
from agentrl.trainer.playing.evaluate import Scores
from agentrl.trainer.playing.player import Player
from agentrl.trainer.playing.sampling import slow_worlds
from agentrl.trainer.setup import describe_policy, prepare_policy
from agentrl.trainer.token_credit import Credit
from agentrl.trainer.totals import Totals, forest_totals, world_totals
from agentrl.trainer.warm_start import WarmStart
from agentrl.types import Trajectory
from agentrl.update import distributed


class Run:
    """A run in this process. Used by the loop as a context manager.

    Args:
      config: of the run.
      resume: the checkpoint to go on from, which was checked; None begins.

    Attributes:
      progress: the place in the run.
      log: what is told of it.
      recipe: the algorithm.
      model: the policy.
      player: plays episodes.
      learner: trains the policy.
    """

    def __init__(self, config: Config, *, resume: Path | None = None) -> None:
        self.config = config
        import_env(config.env.id)  # each process needs the protocols and contexts that it may register
        self.directory = Path(config.run.directory)
        self.log = RunLog(self.directory)
        self.recipe = make_recipe(config.algorithm)
        self._interrupts = Interrupts(self.log.say)
        self._told_of_threads = False
        state = check_checkpoint(resume) if resume else None
        self.progress = state.progress if state else Progress()
        self._began = time.monotonic() - self.progress.elapsed_s
        folder = resume or self.directory / "initial_policy"
        if resume is None and distributed.rank() == 0:
            prepare_policy(config, folder)
        distributed.gather(None)
        self.model, self.tokenizer = load_policy(str(folder))
        self.model.to(distributed.device())
        self.player = Player(
            config, self.recipe, self.model, self.tokenizer, folder, lambda: self._interrupts.requested
        )
        self.learner = Learner(
            config, self.recipe, self.model, self.tokenizer, self.player.context, self.player.max_turns
        )
        if resume and state:
            self._go_on(resume, state)
        self._sync()
        self.log.begin(config, read_lines(resume) if resume else (), str(resume))
        what = describe_policy(self.model, self.tokenizer) + describe_engine(config)
        self.log.say(f"policy: {what}; {distributed.world_size()} process(es)")
        if config.context.kind in ("append", "inline") and strips_thoughts(self.tokenizer):
            self.log.say(
                "the chat template drops <think>…</think> from earlier messages when served, while context "
                f"{config.context.kind} keeps them: context.kind=window shows actions only, in training as when served"
            )
        self.log.say(
            f"warm start: {config.warm_start.steps} steps, lr {config.warm_start.lr:g}; then lr {config.update.lr:g}"
        )
        found = self.player.check(trains=bool(config.run.iterations or config.warm_start.steps))
        which = " and ".join(f"{name} {nats:.1e}" for name, nats in found.items())
        self.log.say(f"differences from the policy's own forward pass, nats: {which}")

    # -- stages ----------------------------------------------------------------------------------------------------

    def evaluate_demonstrator(self) -> None:
        """Let the demonstrator play the evaluation tasks, once."""
        if self.config.warm_start.steps and "demonstrator" not in self.progress.results:
            self._remember("demonstrator", [self.player.demonstrator_scores()])

    def warm_start(self) -> None:
        """Imitate demonstrations, then evaluate; skipped where the checkpoint is past it."""
        config = self.config.warm_start
        if self.progress.stage != "warm_start":
            return
        if config.steps and config.demonstrations and self.progress.due is None:
            self._imitate(config, self.config.run.seed, first_step=self.progress.step)
        if self.should_stop():
            return
        self.progress.due = "warm start" if config.steps else "initial policy"
        self.evaluate_due()
        if config.control_steps and self.log.is_active:
            save_policy(self.directory / "warm_start_policy", self.model, self.tokenizer)
        self.progress.stage = "reinforce"
        self.learner.begin_reinforcement(self.progress.iteration)
        self.checkpoint()

    def collect(self) -> RolloutResult:
        """Play this iteration's groups. Where all are lost, the place in the run is saved first."""
        try:
            return self.player.collector.collect(self.progress.iteration)
        except LostIterationError:
            self.checkpoint()
            raise

    def evaluate_states(self, trajectories: Sequence[Trajectory]) -> NDArray[np.float64] | None:
        """Return the critic's value of the state before each sampled token; None where the algorithm needs none."""
        return self.learner.evaluate_states(trajectories)

    def assign_credit(self, trajectories: Sequence[Trajectory], values_A: NDArray[np.float64] | None = None) -> Credit:
        """Return what each turn, or each token, earned."""
        return self.learner.assign_credit(trajectories, values_A)

    def update(self, trajectories: Sequence[Trajectory], credit: Credit) -> dict[str, float]:
        """Step critic and policy, and let the engine follow.

        Raises:
          DivergedError: a loss, a gradient or weights are not finite, in every process alike.
        """
        iteration = self.progress.iteration
        try:
            metrics = self.learner.fit_critic(trajectories, credit, iteration)
            if self.learner.waits_for_critic(iteration):
                return metrics
            metrics |= self.learner.update_policy(credit.samples(trajectories), iteration)
        except DivergedError as error:
            raise DivergedError(f"iteration {iteration + 1}: {error}") from error
        self.progress.policy_version += 1
        return metrics | self._sync()

    def record(self, rollout: RolloutResult, credit: Credit, metrics: dict[str, float]) -> None:
        """Count, log, and now and then store rollouts, evaluate and save."""
        progress, every = self.progress, self.config.run.save_trajectories_every
        if every and progress.iteration % every == 0:
            played = [t for part in distributed.gather(rollout.trajectories + rollout.accidents) for t in part]
            if self.log.is_active:
                TrajectoryStore(self.directory / "trajectories").write(progress.iteration, played)
        progress.iteration += 1
        metrics |= self.totals(rollout, credit)
        self.log.record("reinforce", progress.iteration, metrics)
        entropy = metrics.get("entropy", math.nan)  # none if no turn was scored
        self.log.progress(
            f"  iteration {progress.iteration:4d}/{self.config.run.iterations}  success {metrics['success']:.2f}  "
            f"turns {metrics['turns']:4.1f}  entropy {entropy:.2f}  {progress.elapsed_s:5.0f} s"
        )
        if rollout.accidents:
            first = rollout.accidents[0]
            self.log.say(f"  {len(rollout.accidents)} accidents, the first: {first.outcome}: {first.outcome_reason}")
        if not self._told_of_threads and (advice := slow_worlds(self.config, rollout)):
            self._told_of_threads = True
            self.log.say(f"  {advice}")
        if self.config.eval.every and progress.iteration % self.config.eval.every == 0:
            progress.due = f"iteration {progress.iteration}"
            self.evaluate_due()
        if progress.iteration % self.config.run.checkpoint_every == 0:
            self.checkpoint()

    def keep_result(self) -> None:
        """Evaluate the trained policy and save it as the run's; once."""
        if self.progress.stage != "reinforce":
            return
        if self.config.run.iterations and "result" not in self.progress.results:
            self.evaluate("result")
        if self.log.is_active:
            save_policy(self.directory / "policy", self.model, self.tokenizer)

    def control(self) -> bool:
        """Imitate on from the warm start for ``control_steps``: what supervision alone would have reached.

        Return whether nothing of it is left to do. The learner is then as it was after the last iteration.
        """
        config = self.config.warm_start
        if not (config.control_steps and self.config.run.iterations):
            return True
        if self.progress.stage != "control":
            self.checkpoint()
            self._take_weights(self.directory / "warm_start_policy")
            self.learner.begin_imitation()
            self.progress.stage, self.progress.step = "control", 0
            self.checkpoint()
        self.log.say("supervised control: imitating on from the warm start")
        settings = config.model_copy(update={"steps": config.control_steps, "target_accuracy": None})
        self._imitate(settings, self.config.run.seed + 1, first_step=self.progress.step)
        if self.should_stop():
            self.checkpoint()
            return False
        self.evaluate("supervised control")
        *_, reinforced = (path for path in checkpoints(self._checkpoints) if path.name.startswith(KINDS["reinforce"]))
        self._take_weights(reinforced)
        self._restore_learner(reinforced)
        return True

    def evaluate(self, name: str) -> dict[str, Any]:
        """Evaluate the policy as it is and remember the result under ``name``."""
        modes = (False, True) if self.config.eval.greedy else (False,)
        return self._remember(name, [self.player.scores(greedy=greedy) for greedy in modes])

    def evaluate_due(self) -> None:
        """Make the evaluation that the run owes, if any: one that was given up is made on resumption."""
        if self.progress.due is not None:
            self.evaluate(self.progress.due)
            self.progress.due = None

    # -- interruption and files ------------------------------------------------------------------------------------

    def should_stop(self) -> bool:
        """True in every process as soon as one was interrupted."""
        return distributed.all_sum([float(self._interrupts.requested)])[0] > 0

    def checkpoint(self) -> None:
        """Save the place in the run."""
        self._tick()
        if self.log.is_active:
            state = State(
                progress=self.progress,
                config=self.config.model_dump(mode="json"),
                processes=distributed.world_size(),
                algorithm=self.recipe.state_dict(),
                curriculum=self.player.collector.state_dict(),
            )
            keep, tensors = self.config.run.keep_checkpoints, self.learner.state()
            save_checkpoint(self._checkpoints, state, self.model, self.tokenizer, tensors, self.log.metrics, keep)
        distributed.gather(None)

    def finish(self) -> None:
        """Write the report."""
        from agentrl.trainer.directory.report import write_report

        self._tick()
        if self.log.is_active:
            write_report(self.directory, self.config, self.progress, self.log)
        self.progress.stage = "done"
        self.checkpoint()

    def __enter__(self) -> "Run":
        self._interrupts.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._interrupts.__exit__()
        self.player.close()
        self.log.close()

    # -- parts -----------------------------------------------------------------------------------------------------

    def totals(self, rollout: RolloutResult, credit: Credit) -> dict[str, float]:
        """Return an iteration's numbers over all processes, and count what was played."""
        totals = Totals.of(rollout, credit.advantages_N)
        self.progress.episodes += int(totals.episodes)
        self.progress.environment_steps += int(totals.env_steps)
        return {
            **totals.metrics(),
            "episodes_total": float(self.progress.episodes),
            "environment_steps_total": float(self.progress.environment_steps),
            **self.player.collector.metrics(),
            **forest_totals(rollout),
            **world_totals(rollout),
            "elapsed_s": self._tick(),
        }

    @property
    def _checkpoints(self) -> Path:
        return self.directory / "checkpoints"

    def _go_on(self, checkpoint: Path, state: State) -> None:
        """Take over the state that a checkpoint has beside the policy."""
        progress = self.progress
        if progress.stage == "done":  # the run has become longer
            progress.stage = "reinforce"
        if progress.iteration < self.config.run.iterations and "result" in progress.results:
            progress.results[f"iteration {progress.iteration}"] = progress.results.pop("result")
        if progress.stage == "reinforce":
            self._restore_learner(checkpoint)
        else:
            load_state(checkpoint, "optimizer", self.learner.optimizer)
        self.recipe.load_state_dict(state.algorithm)
        self.player.collector.load_state_dict(state.curriculum)

    def _restore_learner(self, checkpoint: Path) -> None:
        """Reinforce on from a checkpoint's moments."""
        self.learner.begin_reinforcement(self.progress.iteration)
        for name, owner in self.learner.state().items():
            load_state(checkpoint, name, owner)

    def _sync(self) -> dict[str, float]:
        """Bring the engine to the policy's weights; return what that took."""
        return self.player.sync(self.progress.policy_version)

    def _tick(self) -> float:
        """Return the seconds that the run has taken, over all its sessions."""
        self.progress.elapsed_s = time.monotonic() - self._began
        return self.progress.elapsed_s

    def _take_weights(self, folder: Path) -> None:
        """Give the policy the weights of one that was saved."""
        saved, _ = load_policy(str(folder))
        self.model.load_state_dict(saved.state_dict())

    def _imitate(self, settings: WarmStartConfig, seed: int, first_step: int = 0) -> None:
        """Train on demonstrations, in the warm start or in the control, and let the engine follow."""
        is_warm_start = self.progress.stage == "warm_start"
        name, shown = ("warm_start", "warm start") if is_warm_start else ("control", "control")

        def after_step(step: int, metrics: dict[str, float]) -> bool:
            if step % 10 == 0 or step == settings.steps or "held_out_accuracy" in metrics:
                metrics["elapsed_s"] = self._tick()
                self.log.record(name, step, metrics)
                self.log.progress(
                    f"  {shown} {step:5d}/{settings.steps}  loss {metrics['loss']:.3f}  "
                    f"accuracy {metrics['accuracy']:.3f}  {metrics['elapsed_s']:5.0f} s"
                )
            self.progress.step = step
            if step % (10 * self.config.run.checkpoint_every) == 0:
                self.checkpoint()
            return not self.should_stop()

        stage = WarmStart(settings, self.model, self.learner.optimizer, seed, self.config.policy.dtype)
        stage.run(self.player.demonstrations(self.log.say), first_step=first_step, on_step=after_step)
        self._sync()

    def _remember(self, name: str, modes: list[Scores]) -> dict[str, Any]:
        result = {scores.mode: scores.summary() for scores in modes}
        elapsed_s = self._tick()
        self.progress.results[name] = result | {"elapsed_s": elapsed_s}
        spent = {"environment_steps_total": float(self.progress.environment_steps), "elapsed_s": elapsed_s}
        for scores in modes:
            flat = {f"{scores.mode}/{key}": float(value) for key, value in scores.summary().items()}
            self.log.record("eval", self.progress.iteration, flat | spent)
        line = ", ".join(f"{scores.mode} {scores.success.percent()}" for scores in modes)
        accidents = sum(scores.accidents for scores in modes)
        lost = f"; {accidents} accidents, not counted" if accidents else ""
        self.log.say(f"{name}: success on {self.config.eval.split}: {line}{lost}")
        return result
