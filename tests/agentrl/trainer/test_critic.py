"""The critic: values by hand, credit of tokens by brute force, learning; runs that are interrupted or shared out."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agentrl import seeding
from agentrl.algorithms.critic import POAD, PPO, CriticRecipe, TurnPPO
from agentrl.curriculum import DynamicSampling
from agentrl.env import Outcome
from agentrl.errors import CheckpointError
from agentrl.trainer.directory.checkpoint import latest_checkpoint, load_state
from agentrl.trainer.launch import launch
from agentrl.trainer.loop import INTERRUPTED, run_training
from agentrl.trainer.run import Run
from agentrl.trainer.token_credit import TokenCredit, assign_token_credit
from agentrl.types import Trajectory
from agentrl.update import distributed
from agentrl.update.batch import token_rows
from agentrl.update.critic import Critic
from agentrl.update.settings import CriticSettings, UpdateSettings
from tests.agentrl.engines.tiny import build
from tests.agentrl.trainer.tiny import assert_same_run, interrupt_at, records, tiny_config
from tests.agentrl.update.samples import sequence, trajectory

RECIPES = (PPO(gamma=0.9, lam=0.8), TurnPPO(lam_turn=0.7, gamma_token=0.9, lam_token=0.6), POAD())


@pytest.fixture(scope="module")
def policy() -> Any:
    return build("qwen3").double()


def critic_of(
    policy: Any, *, packing: UpdateSettings | None = None, head_seed: int | None = None, **config: Any
) -> Critic:
    """Return a critic, with a random head if a seed is given."""
    critic = Critic.of(policy, CriticSettings(**({"minibatches": 1} | config)), packing or UpdateSettings())
    if head_seed is not None:
        weight = critic.model.head.weight
        noise = seeding.generator(head_seed, "head").normal(size=tuple(weight.shape))
        weight.data.copy_(torch.as_tensor(noise))
    return critic


def played() -> list[Trajectory]:
    """Return six trajectories: whole conversations and windows, two groups, one lost to an accident."""
    result = [
        trajectory(sequence([-1, -1, 0, 0, -1, 1, 1, 1], seed=1), name="a"),
        trajectory(sequence([-1, 0], seed=2), sequence([-1, -1, 1, 1], seed=3), name="b"),
        trajectory(sequence([-1, 0, 0], seed=4), name="lost"),
        trajectory(sequence([-1, 0, -1, 1, -1, 2, 2], seed=5), name="c"),
        trajectory(sequence([-1, -1, 0, 0, 0], seed=6), name="d"),
        trajectory(sequence([-1, -1, 0, 0, 0, -1, 1], seed=6), name="e"),
    ]
    outcomes = [Outcome.SUCCESS, Outcome.TRUNCATED, Outcome.ENV_ERROR, *[Outcome.FAILURE] * 3]
    for number, (one, outcome) in enumerate(zip(result, outcomes, strict=True)):
        one.outcome, one.group = outcome, f"group {number // 3}"
        for turn in one.turns:
            turn.reward = float(turn.index + 1) if number < 3 else 0.5 * turn.index
    return result


def known_values(trajectories: list[Trajectory]) -> NDArray[np.float64]:
    """Return some value for each token, NaN in episodes without a verdict."""
    values_A = seeding.generator(0, "values").normal(size=len(token_rows(trajectories)))
    judged = [one.outcome.is_verdict for one in trajectories for _ in one.turns]
    return np.where(np.array(judged)[token_rows(trajectories)], values_A, np.nan)


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", ["never", "always"])
def test_values_are_the_heads_at_the_token_before(policy: Any, merge: Any) -> None:
    critic = critic_of(policy, packing=UpdateSettings(merge_prefixes=merge, token_budget=12), head_seed=0)
    trajectories = [*played(), trajectory(sequence([0, 0, -1, 1], seed=7))]
    by_hand = []
    with torch.no_grad():
        for one in trajectories:
            for tokens in one.sequences:
                hidden_LH = critic.model.trunk(torch.as_tensor(tokens.ids_L)[None].long()).last_hidden_state[0]
                before_L = np.r_[np.nan, critic.model.head(hidden_LH)[:-1, 0].numpy()]
                judged_L = before_L if one.outcome.is_verdict else np.full(len(before_L), np.nan)
                by_hand.append(judged_L[tokens.action_mask_L])
    values_A = critic.evaluate(trajectories)
    np.testing.assert_allclose(values_A, np.concatenate(by_hand), rtol=1e-9)
    assert np.isnan(values_A).sum() == 2 + 1, "the accident's two tokens, and a first token"


def test_a_fresh_critic_expects_nothing_and_shares_nothing(policy: Any) -> None:
    critic, before = critic_of(policy), copy.deepcopy(policy.state_dict())
    trajectories = played()
    values_A = critic.evaluate(trajectories)
    assert np.nanmax(np.abs(values_A)) == 0
    targets_A = np.where(np.isnan(values_A), np.nan, 1.0)
    critic.fit(trajectories, TokenCredit(targets_A, values_A, targets_A), rng=seeding.generator(0, "deal"))
    assert np.nanmin(critic.evaluate(trajectories)) > 0
    assert all(value.equal(before[name]) for name, value in policy.state_dict().items())
    assert critic.evaluate([]).shape == (0,)


# -- credit ------------------------------------------------------------------------------------------------------------


def backward(rewards: list[float], values: list[float], gammas: list[float], lam: float, after: float) -> list[float]:
    """Return the advantages of one trajectory's steps, from the last to the first."""
    advantages, running = [0.0] * len(rewards), 0.0
    for step in reversed(range(len(rewards))):
        following = values[step + 1] if step + 1 < len(values) else after
        running = rewards[step] + gammas[step] * following - values[step] + gammas[step] * lam * running
        advantages[step] = running
    return advantages


def by_hand(recipe: CriticRecipe, one: Trajectory, values: list[float]) -> list[float]:
    """Return the advantages of one trajectory's tokens."""
    turns = [int(turn) for tokens in one.sequences for turn in tokens.turns_L if turn >= 0]
    ends = [number + 1 == len(turns) or turns[number + 1] != turn for number, turn in enumerate(turns)]
    rewards = [one.turns[turn].reward if end else 0.0 for turn, end in zip(turns, ends, strict=True)]
    is_cut = one.outcome is Outcome.TRUNCATED and recipe.bootstrap_truncated
    after = values[turns.index(turns[-1])] if is_cut else 0.0
    if isinstance(recipe, PPO):
        return backward(rewards, values, [recipe.gamma] * len(turns), recipe.lam, after)
    if isinstance(recipe, POAD):
        return backward(rewards, values, [recipe.gamma if end else 1.0 for end in ends], recipe.lam, after)
    assert isinstance(recipe, TurnPPO)
    at = [number for number, end in enumerate(ends) if end]
    of_turns = backward([rewards[n] for n in at], [values[n] for n in at], [recipe.gamma_turn] * len(at),
                        recipe.lam_turn, after)  # fmt: skip
    advantages: list[float] = []
    for turn, last in enumerate(at):
        first = at[turn - 1] + 1 if turn else 0
        inner = [0.0] * (last - first) + [of_turns[turn] + values[last]]
        gammas = [recipe.gamma_token] * len(inner)
        advantages += backward(inner, values[first : last + 1], gammas, recipe.lam_token, 0.0)
    return advantages


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_credit_of_tokens_by_brute_force(recipe: CriticRecipe, bootstrap: bool) -> None:
    recipe = recipe.model_copy(update={"whiten": False, "bootstrap_truncated": bootstrap})
    trajectories = played()
    values_A = known_values(trajectories)
    credit = assign_token_credit(recipe, trajectories, values_A)
    assert credit.tokens is not None
    first, expected = 0, []
    for one in trajectories:
        last = first + sum(int(tokens.action_mask_L.sum()) for tokens in one.sequences)
        nothing = [float("nan")] * (last - first)
        judged = one.outcome.is_verdict
        expected += by_hand(recipe, one, values_A[first:last].tolist()) if judged else nothing
        first = last
    np.testing.assert_allclose(credit.tokens.advantages_A, expected, atol=1e-12)
    np.testing.assert_allclose(credit.tokens.targets_A, np.array(expected) + values_A, atol=1e-12)
    samples = credit.samples(trajectories)
    assert len(samples) == 6, "a sequence per sample, but none of the accident"
    given = np.concatenate([sample.advantages_L for sample in samples])
    np.testing.assert_allclose(given[np.isfinite(given)], np.array(expected)[np.isfinite(expected)])
    np.testing.assert_allclose(samples[1].advantages_L, [np.nan, expected[5]])
    turns = [np.mean(expected[0:2]), np.mean(expected[2:5]), expected[5], np.mean(expected[6:8]), np.nan]
    np.testing.assert_allclose(credit.advantages_N[:5], turns)


def test_rewards_of_turns_without_tokens_go_to_the_token_before() -> None:
    silent = trajectory(sequence([-1, 1, 1, 4], seed=1))  # turns 0, 2 and 3 sampled nothing
    for turn, reward in zip(silent.turns, [8.0, 1.0, 2.0, 4.0, 16.0], strict=True):
        turn.reward = reward
    trajectories = [trajectory(sequence([-1, 0]), name="before"), silent]
    recipe = PPO(whiten=False)
    credit = assign_token_credit(recipe, trajectories, np.zeros(4))
    assert credit.tokens is not None
    assert credit.tokens.advantages_A.tolist() == [0.0, 23.0, 23.0, 16.0], "none of it leaves its episode"
    np.testing.assert_array_equal(credit.advantages_N, [0.0, np.nan, 23.0, np.nan, np.nan, 16.0])


def test_whitening_leaves_the_targets(policy: Any) -> None:
    trajectories = played()
    values_A = known_values(trajectories)
    raw, white = (assign_token_credit(PPO(whiten=whiten), trajectories, values_A).tokens for whiten in (False, True))
    assert raw is not None and white is not None
    np.testing.assert_array_equal(raw.targets_A, white.targets_A)
    scored = np.isfinite(white.advantages_A)
    assert [white.advantages_A[scored].mean(), white.advantages_A[scored].std()] == pytest.approx([0, 1], abs=1e-7)
    assert np.corrcoef(raw.advantages_A[scored], white.advantages_A[scored])[0, 1] == pytest.approx(1)


def test_the_critic_learns_from_groups_that_the_policy_does_not() -> None:
    trajectories = played()
    trajectories[0].turns[0].reward = 5.0  # else the first group's returns are equal too
    for one in trajectories[3:]:
        for turn in one.turns:
            turn.reward = 0.0
    credit = assign_token_credit(PPO(), trajectories, known_values(trajectories), DynamicSampling())
    assert credit.tokens is not None
    second_group = token_rows(trajectories) >= 5
    assert np.isnan(credit.tokens.advantages_A[second_group]).all()
    assert np.isfinite(credit.tokens.targets_A[second_group]).all()
    assert np.isfinite(credit.tokens.advantages_A[:8]).all()


def test_nothing_was_played() -> None:
    credit = assign_token_credit(TurnPPO(), [], np.zeros(0))
    assert credit.advantages_N.shape == (0,) and credit.samples([]) == []


# -- learning ----------------------------------------------------------------------------------------------------------


def credit_for(critic: Critic, trajectories: list[Trajectory]) -> TokenCredit:
    credit = assign_token_credit(PPO(), trajectories, critic.evaluate(trajectories))
    assert credit.tokens is not None
    return credit.tokens


def test_the_critic_learns(policy: Any) -> None:
    critic, trajectories = critic_of(policy, lr=3e-3, epochs=40), played()
    first = credit_for(critic, trajectories)
    before = critic.fit(trajectories, first, rng=seeding.generator(0, "deal"))
    after = critic.fit(trajectories, credit_for(critic, trajectories), rng=seeding.generator(1, "deal"))
    assert before["explained_variance"] == 0.0 and before["value_mean"] == 0.0, "it began with 0 everywhere"
    assert after["explained_variance"] > 0.8
    assert after["value_loss"] < 0.3 * before["value_loss"]
    assert after["value_target"] == pytest.approx(np.nanmean(first.targets_A)), "lam = 1: returns, whatever the values"


def test_equal_targets_leave_nothing_to_explain(policy: Any) -> None:
    critic, trajectories = critic_of(policy), played()
    for one in trajectories:
        for turn in one.turns:
            turn.reward = 0.0
    metrics = critic.fit(trajectories, credit_for(critic, trajectories), rng=seeding.generator(0, "deal"))
    assert "explained_variance" not in metrics
    assert metrics["value_loss"] == metrics["value_grad_norm"] == 0.0


@pytest.mark.parametrize("packing", [{"token_budget": 5}, {"merge_prefixes": "always"}])
def test_an_update_does_not_depend_on_how_it_is_cut(policy: Any, packing: dict[str, Any]) -> None:
    trajectories, results = played(), []
    for settings in (UpdateSettings(merge_prefixes="never"), UpdateSettings(**packing)):
        critic = critic_of(policy, packing=settings, head_seed=1, clip=0.1, epochs=2)
        metrics = critic.fit(trajectories, credit_for(critic, trajectories), rng=seeding.generator(0, "deal"))
        results.append((metrics, critic.model.state_dict()))
    (metrics, weights), (others, other_weights) = results
    assert metrics == pytest.approx(others, rel=1e-6)
    for name, value in weights.items():
        torch.testing.assert_close(value, other_weights[name], rtol=1e-6, atol=1e-8)


def test_one_update_by_hand(policy: Any) -> None:
    """The gradient of the head's bias is the mean of V - R; AdamW's first step is its sign."""
    critic, trajectories = critic_of(policy, head_seed=2, max_grad_norm=1e9, lr=0.25), played()
    credit = credit_for(critic, trajectories)
    bias = critic.model.head.bias.item()
    metrics = critic.fit(trajectories, credit, rng=seeding.generator(0, "deal"))
    error = np.nanmean(credit.values_A - credit.targets_A)
    assert critic.model.head.bias.item() - bias == pytest.approx(-0.25 * np.sign(error), rel=1e-4)
    assert metrics["value_loss"] == pytest.approx(0.5 * np.nanmean((credit.values_A - credit.targets_A) ** 2))


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def short(whole_run: Path) -> dict[str, Any]:
    """Return the settings of a short run that begins with a policy which sometimes finds the way out."""
    return {
        "policy": {"path": str(whole_run / "policy")},
        "warm_start": {"steps": 0, "demonstrations": 0},
        "eval": {"tasks": 2, "greedy": False},
        "run": {"iterations": 3, "save_trajectories_every": 0},
    }


@pytest.mark.parametrize(
    "algorithm", [{"name": "turn_ppo", "bootstrap_truncated": True}, {"name": "poad"}], ids=["turn_ppo", "poad"]
)
def test_a_run_interrupted_and_resumed(
    algorithm: dict[str, Any], short: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = short | {"algorithm": algorithm}
    changes["critic"] = {"clip": 0.5, "epochs": 2, "optimizer": "muon"}
    one, other = tmp_path / "one", tmp_path / "other"
    assert run_training(tiny_config(one, **changes)) == 0
    for index in (1, 2):
        with monkeypatch.context() as patch:
            interrupt_at(patch, "reinforce", index)
            assert run_training(tiny_config(other, **changes), resume=index > 1) == INTERRUPTED
    assert run_training(tiny_config(other, **changes), resume=True) == 0
    done = [record for record in records(other) if record["stage"] == "reinforce"]
    assert [record["value_mean"] == 0 for record in done] == [True, False, False], "it starts with 0 and learns"
    assert all(record["value_grad_norm"] > 0 and record["grad_norm"] > 0 for record in done)
    # The stores are empty: nothing but numbers and weights is compared.
    assert_same_run(one, other)


def test_the_policy_waits_for_the_critic(short: dict[str, Any], tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", **short, algorithm={"name": "ppo"}, critic={"warmup_iterations": 1})
    with Run(config) as run:
        run.warm_start()
        assert run.learner.critic is not None
        moved = []
        for _ in range(2):
            policy, critic = (copy.deepcopy(model.state_dict()) for model in (run.model, run.learner.critic.model))
            trajectories = run.collect().trajectories
            credit = run.assign_credit(trajectories, run.evaluate_states(trajectories))
            metrics = run.update(trajectories, credit)
            run.progress.iteration += 1
            after = run.model.state_dict(), run.learner.critic.model.state_dict()
            moved.append(
                [any(not now[n].equal(was[n]) for n in was) for was, now in zip((policy, critic), after, strict=True)]
            )
            assert ("grad_norm" in metrics) == (run.progress.policy_version > 0)
    assert moved == [[False, True], [True, True]]


def test_a_checkpoint_without_its_critic_is_damaged(short: dict[str, Any], tmp_path: Path) -> None:
    changes = short | {"algorithm": {"name": "ppo"}, "run": {"iterations": 1}}
    config = tiny_config(tmp_path / "run", **changes)
    with Run(config) as run:
        run.warm_start()
        run.checkpoint()
        critic = run.learner.critic
    folder = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert folder is not None and critic is not None
    load_state(folder, "critic", critic)
    (folder / "critic.pt").unlink()
    with pytest.raises(CheckpointError, match=r"is damaged: .* is incomplete: critic.pt is missing"):
        Run(config, resume=folder)


def work(folder: Path) -> None:
    """Evaluate, credit and fit this process's share; the second update has no trajectory in the second process."""
    rank, size = distributed.rank(), distributed.world_size()
    critic, result = critic_of(build("qwen3").double(), head_seed=3), {}
    for name, trajectories in (("all", played()), ("few", played()[:1])):
        mine = trajectories[rank * len(trajectories) // size : (rank + 1) * len(trajectories) // size]
        mine = mine if name == "all" else trajectories[rank:][:1]
        credit = assign_token_credit(TurnPPO(), mine, critic.evaluate(mine), DynamicSampling())
        assert credit.tokens is not None
        metrics = critic.fit(mine, credit.tokens, rng=seeding.generator(0, "deal"))
        result[name] = {"advantages": torch.as_tensor(credit.tokens.advantages_A), "metrics": metrics}
    torch.save(result | {"weights": critic.model.state_dict()}, folder / f"{size}-{rank}.pt")


@pytest.mark.slow
def test_two_processes_and_one(tmp_path: Path) -> None:
    for processes in (1, 2):
        launch(work, (tmp_path,), processes)
    one, first, second = (torch.load(tmp_path / name) for name in ("1-0.pt", "2-0.pt", "2-1.pt"))
    for name, value in first["weights"].items():
        assert value.equal(second["weights"][name]), "the processes stay together"
        torch.testing.assert_close(value, one["weights"][name], rtol=1e-6, atol=1e-8)
    for name in ("all", "few"):
        together = torch.cat([first[name]["advantages"], second[name]["advantages"]])
        torch.testing.assert_close(together, one[name]["advantages"], equal_nan=True)
        assert first[name]["metrics"] == second[name]["metrics"] == pytest.approx(one[name]["metrics"], rel=1e-6)
