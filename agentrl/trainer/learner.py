"""What a run trains: the policy, its critic, and the frozen policy that it is held by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl import seeding
from agentrl.algorithms.base import LossSettings, Need, Recipe
from agentrl.algorithms.critic import CriticRecipe
from agentrl.context.base import Context
from agentrl.curriculum import make_filter
from agentrl.trainer.checks.composition import loss_of
from agentrl.trainer.config import Config, UpdateConfig, WarmStartConfig
from agentrl.trainer.credit import assign_credit
from agentrl.trainer.playing.sampling import keeps_groups
from agentrl.trainer.reference import begin_reference, resume_reference
from agentrl.trainer.scoring import Scorer
from agentrl.trainer.setup import most_tokens
from agentrl.trainer.token_credit import Credit, assign_token_credit
from agentrl.types import Trajectory
from agentrl.update import distributed
from agentrl.update.batch import Sample
from agentrl.update.critic import Critic
from agentrl.update.optimizer import Optimizer, linear
from agentrl.update.update import Updater


class Learner:
    """The policy with all that steps its weights. It imitates until :meth:`begin_reinforcement`.

    Args:
      config: of the run.
      recipe: the algorithm.
      model: the policy, where it is to be trained.
      tokenizer: the policy's; saved beside the reference.
      context: how its conversations are written.
      max_turns: most turns of an episode; None for no limit.

    Attributes:
      optimizer: of the policy, in the stage that the run is in.
      updater: None before reinforcement.
      critic: None before reinforcement, and where the algorithm needs none.
    """

    def __init__(
        self, config: Config, recipe: Recipe, model: Any, tokenizer: Any, context: Context, max_turns: int | None
    ) -> None:
        self.config, self.recipe, self.model, self.tokenizer = config, recipe, model, tokenizer
        self._context = context
        self._most_tokens = most_tokens(config, max_turns)
        self._filter = make_filter(config.filter.name or recipe.filters_with(), share=config.filter.share)
        self.updater: Updater | None = None
        self.critic: Critic | None = None
        self.begin_imitation()

    def begin_imitation(self) -> None:
        """Start a new optimiser of the supervised kind."""
        self.optimizer = self._make_optimizer(self.config.warm_start)

    def begin_reinforcement(self, iteration: int) -> None:
        """Start a new optimiser, and a critic where one is needed; fix the reference policy, or at a later iteration
        read it again."""
        self.optimizer = self._make_optimizer(self.config.update)
        loss, settings = self.loss_at(iteration), self.config.update.settings(self.config.policy.dtype)
        self.updater = Updater(
            self.model,
            self._reference(iteration) if loss.kl_coef or loss.group_loss == "trpa" else None,
            self.optimizer,
            settings,
            loss,
            self.config.rollout.temperature,
            self._most_tokens,
            keeps_groups(self.config, self.recipe),
        )
        if isinstance(self.recipe, CriticRecipe):
            self.critic = Critic.of(self.model, self.config.critic.settings(), settings)

    def evaluate_states(self, trajectories: Sequence[Trajectory]) -> NDArray[np.float64] | None:
        """Return the critic's value of the state before each sampled token; None where the algorithm needs none."""
        return None if self.critic is None else self.critic.evaluate(trajectories)

    def assign_credit(self, trajectories: Sequence[Trajectory], values_A: NDArray[np.float64] | None) -> Credit:
        """Return what each turn, or each token, of the groups that the filter leaves earned."""
        if isinstance(self.recipe, CriticRecipe) and values_A is not None:
            return assign_token_credit(self.recipe, trajectories, values_A, self._filter)
        scored = self.score(trajectories, self.recipe.required())
        return Credit(assign_credit(self.recipe, trajectories, self._filter, scored))

    def score(self, trajectories: Sequence[Trajectory], needs: frozenset[Need]) -> dict[str, list[float]]:
        """Return the columns of turns that the policy has to be asked for, of an algorithm of these needs."""
        assert self.updater is not None, "the warm start comes first"
        return Scorer(self._context, self.updater.logprobs, self.config.context.max_context).columns(
            trajectories, needs
        )

    def fit_critic(self, trajectories: Sequence[Trajectory], credit: Credit, iteration: int) -> dict[str, float]:
        """Step the critic where there is one; return its metrics."""
        if self.critic is None or credit.tokens is None:
            return {}
        rng = seeding.generator(self.config.run.seed, "critic", iteration)
        return self.critic.fit(trajectories, credit.tokens, rng=rng)

    def waits_for_critic(self, iteration: int) -> bool:
        """Return whether the policy stands still in an iteration, for the critic to learn first."""
        return self.critic is not None and iteration < self.config.critic.warmup_iterations

    def update_policy(self, samples: Sequence[Sample], iteration: int) -> dict[str, float]:
        """Step the policy; return metrics."""
        assert self.updater is not None, "the warm start comes first"
        config, iterations = self.config.update, self.config.run.iterations
        lr = linear(iteration, iterations, config.lr, config.warmup_iterations, config.final_lr_share)
        rng = seeding.generator(self.config.run.seed, "minibatches", iteration)
        self.updater.loss = self.loss_at(iteration)
        return self.updater.run(samples, lr=lr, rng=rng) | {"lr": lr}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it beside the policy: what has tensors of its own."""
        return {"optimizer": self.optimizer} | ({} if self.critic is None else {"critic": self.critic})

    def loss_at(self, iteration: int) -> LossSettings:
        """Return the loss settings of an iteration."""
        progress = iteration / max(1, self.config.run.iterations)
        return loss_of(self.config.loss, self.recipe, progress)

    def _make_optimizer(self, settings: WarmStartConfig | UpdateConfig) -> Optimizer:
        return Optimizer(
            self.model,
            kind=settings.optimizer,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            max_grad_norm=self.config.update.max_grad_norm,
        )

    def _reference(self, iteration: int) -> Any:
        """Return the frozen policy that reinforcement learning is held by; kept on disk for resumption."""
        folder = Path(self.config.run.directory) / "reference_policy"
        if iteration:
            return resume_reference(folder, device=self.model.device)
        soup, save = self.recipe.soup(), distributed.rank() == 0
        return begin_reference(self.model, self.tokenizer, folder, soup=soup, save=save)
