"""The whole product of credit, sampler, loss and filter: what is refused at the start, and a run of what is not.

A run here is what an iteration does between playing and the optimiser, on made-up episodes: filter, credit, shaping of
tokens, weights, loss and gradient.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch

from agentrl.algorithms import BUILTIN
from agentrl.algorithms.base import LossSettings, Recipe
from agentrl.algorithms.critic import CriticRecipe
from agentrl.algorithms.transform import Transform
from agentrl.curriculum import make_filter
from agentrl.env import Outcome
from agentrl.losses.named import NAMED
from agentrl.rollout.branching import SAMPLERS
from agentrl.seeding import generator
from agentrl.trainer.checks.composition import Composition, World, compose
from agentrl.trainer.config import parse_config
from agentrl.trainer.credit import assign_credit
from agentrl.trainer.token_credit import assign_token_credit
from agentrl.types import BranchPoint, TokenSequence, Trajectory, Turn
from agentrl.update.batch import Sample, pack, spread, spread_tokens, token_rows
from agentrl.update.grouped import weigh_groups
from agentrl.update.objective import token_losses
from agentrl.update.shaping import shape_tokens
from agentrl.update.weights import weigh_samples

FILTERS = ("none", "dynamic_sampling", "top_variance")
WORLD = World("world", has_answers=True)
GROUP, TOKENS = 4, 3  # episodes of a group, tokens of a turn


class Choice(NamedTuple):
    """One of each."""

    algorithm: dict[str, Any]
    sampler: str
    loss: str | None
    filter: str | None


def algorithms() -> list[dict[str, Any]]:
    """Return every algorithm, and every transform over every other."""
    given = {"salsa": {"other": "elsewhere"}}
    plain = [{"name": kind.name, **given.get(kind.name, {})} for kind in BUILTIN]
    over = [kind.name for kind in BUILTIN if issubclass(kind, Transform)]
    bases = [options for options in plain if options["name"] not in over]
    return [*(one for one in plain if one["name"] not in over)] + [
        {"name": name, "base": base} for name, base in product(over, bases)
    ]


def choices() -> Iterator[Choice]:
    """Yield the whole product."""
    yield from (Choice(*chosen) for chosen in product(algorithms(), SAMPLERS, (None, *NAMED), (None, *FILTERS)))


def composed(choice: Choice, **sections: dict[str, Any]) -> Composition:
    """Return what a choice comes to, or raise why it is refused."""
    rollout = {"group_size": 32 if choice.sampler in ("vine", "tree_grpo", "treepo") else 8}
    tree = {
        "env": {"id": "world"},
        "algorithm": choice.algorithm,
        "rollout": rollout | {"sampler": {"name": choice.sampler}},
        "loss": {} if choice.loss is None else {"kind": choice.loss},
        "filter": {} if choice.filter is None else {"name": choice.filter},
    }
    for name, keys in sections.items():
        tree[name] = tree.get(name, {}) | keys
    return compose(parse_config(tree), WORLD)


@cache
def episodes(*, forked: bool, groups: int = 3) -> tuple[Trajectory, ...]:
    """Return groups of episodes of one to four turns; forked ones share what came before."""
    rng = generator(5, "episodes")
    played: list[Trajectory] = []
    for group in range(groups):
        for member in range(GROUP):
            name, first = f"g{group}/{member}", played[-1] if member and forked else None
            shared = int(rng.integers(0, len(first.turns))) if first else 0
            kept = list(first.turns[:shared]) if first else []
            own = [_turn(shared + at, rng) for at in range(int(rng.integers(1, 6)))]
            trajectory = Trajectory(name, f"g{group}", f"task {group % 2}", 0, [*kept, *own])
            wins = bool(rng.random() < 0.5)
            trajectory.turns[-1] = replace(trajectory.turns[-1], reward=1.0 * wins)
            trajectory.outcome, trajectory.success = (Outcome.SUCCESS if wins else Outcome.FAILURE), wins
            trajectory.final_anchor, trajectory.answer = f"end {wins}", "right"
            trajectory.parent = BranchPoint(first.id, shared) if first else None
            trajectory.sequences = [_sequence(trajectory, first.sequences[0] if first else None, shared, rng)]
            played.append(trajectory)
    return tuple(played)


def _turn(index: int, rng: np.random.Generator) -> Turn:
    place, action = int(rng.integers(2)), f"go {rng.integers(2)}"
    return Turn(
        index, f"in room {place} there is a lamp", action, action, bool(rng.random() < 0.8), 0.0, f"room {place}",
        num_tokens=TOKENS, mean_entropy=float(rng.random()),
    )  # fmt: skip


def _sequence(
    trajectory: Trajectory, before: TokenSequence | None, shared: int, rng: np.random.Generator
) -> TokenSequence:
    """Return a prompt of two tokens and the tokens of all turns."""
    turns_L = np.array([-1, -1, *np.repeat(np.arange(len(trajectory.turns)), TOKENS)], np.int32)
    said_L, size = turns_L >= 0, len(turns_L)
    columns = [rng.integers(3, 40, size), said_L, -rng.random(size) * said_L, rng.random(size) * said_L, turns_L]
    if before is not None:
        kept = 2 + TOKENS * shared
        own = (before.ids_L, before.action_mask_L, before.behavior_logprobs_L, before.entropies_L, before.turns_L)
        columns = [np.concatenate([old[:kept], new[kept:]]) for old, new in zip(own, columns, strict=True)]
    kinds = (np.int32, np.bool_, np.float32, np.float32, np.int32)
    return TokenSequence(*(column.astype(kind) for column, kind in zip(columns, kinds, strict=True)))


@cache
def scored_columns(*, forked: bool) -> dict[str, list[float]]:
    """Return columns that a pass of the policy would fill."""
    count = sum(len(one.turns) for one in episodes(forked=forked))
    rng = generator(6, "scored")
    return {"hindsight": (-rng.random(count)).tolist(), "step_reward": (rng.random(count) - 0.5).tolist()}


class Outcomes(NamedTuple):
    """What came out of a run: credit of each scored token, the loss and the gradient."""

    advantages_A: np.ndarray[Any, Any]
    loss: float
    gradient_A: np.ndarray[Any, Any]


def run(made: Composition, *, drift: float = 0.3, progress: float = 0.0, loss: LossSettings | None = None) -> Outcomes:
    """Go from episodes to the gradient. ``drift`` is how far the policy has moved from the one that played."""
    forked = made.sampler.branches
    samples = shape_tokens(_credit(made.recipe, made.filter, forked), loss := loss or made.loss)
    if not samples:
        return Outcomes(np.zeros(0), 0.0, np.zeros(0))
    rng = generator(7, "drift")
    moved = [(drift * rng.standard_normal(len(sample))).astype(np.float32) for sample in samples]
    olds = [sample.old_logprobs_L + 0.5 * move for sample, move in zip(samples, moved, strict=True)]
    if loss.correction is not None:  # as after update.old_logprobs: recompute
        samples = [replace(sample, old_logprobs_L=old_L) for sample, old_L in zip(samples, olds, strict=True)]
    samples = weigh_samples(samples, loss, most_tokens=30)
    now = [sample.sequence.behavior_logprobs_L + move for sample, move in zip(samples, moved, strict=True)]
    if loss.group_loss:
        reference = [row_L - 0.1 for row_L in now]
        samples = weigh_groups(samples, now, reference, loss, 30)
    batch = pack(samples)
    at = batch.at_A
    logprobs_A = torch.tensor(np.concatenate(now), dtype=torch.float64)[at].requires_grad_()
    entropies_A = torch.tensor(np.concatenate([one.sequence.entropies_L for one in samples]))[at].double()
    entropies_A = entropies_A - 0.1 * logprobs_A
    reference_A = logprobs_A.detach() - 0.2 if loss.kl_coef else None
    losses_A, _ = token_losses(loss, logprobs_A, entropies_A, batch, reference_A)
    total = (losses_A * batch.weight_A).sum()
    (gradient_A,) = torch.autograd.grad(total, logprobs_A)
    return Outcomes(batch.advantages_A.numpy(), float(total.detach()), gradient_A.numpy())


def _credit(recipe: Recipe, kept: str, forked: bool) -> list[Sample]:
    played, group_filter = list(episodes(forked=forked)), make_filter(kept, share=0.67)
    if isinstance(recipe, CriticRecipe):
        values_A = generator(8, "values").random(len(token_rows(played)))
        credit = assign_token_credit(recipe, played, values_A, group_filter)
        assert credit.tokens is not None
        return spread_tokens(played, credit.tokens.advantages_A)
    needs = {"hindsight": "hindsight", "answers": "step_reward"}
    filled = scored_columns(forked=forked)
    columns = {column: filled[column] for need, column in needs.items() if need in recipe.required()}
    return spread(played, assign_credit(recipe, played, group_filter, columns))


def is_sound(outcomes: Outcomes) -> bool:
    """Return whether all numbers are finite."""
    return all(bool(np.isfinite(numbers).all()) for numbers in outcomes)
