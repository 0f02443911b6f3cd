"""The branching loop: exact budgets, forks that are forks, accidents, budgets of steps, any concurrency."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.context import make_context
from agentrl.engines.base import SamplingParams
from agentrl.env import Outcome, SnapshotLevel
from agentrl.errors import ConfigError, TaskNotFoundError
from agentrl.hosts import HostOptions, make_host
from agentrl.rollout import EpisodeSpec, Limits, Rollout, RolloutResult, group_specs
from agentrl.rollout.branching import Aepo, Arpo, Independent, Latr, Sampler, TreeGrpo, TreePo
from agentrl.store import save_trajectories
from agentrl.types import Trajectory
from tests.agentrl.rollout.toys import Corridor, TracedEngine, byte_tokenizer, chatter

TASKS = ("corridor-2", "corridor-3", "corridor-2")
ARPO, AEPO = Arpo(scale="mean"), Aepo()
CHANCE = Arpo(scale="mean", rule="chance", initial=1)
AUTHORS = [Arpo(dialect="authors", initial=1), Aepo(dialect="authors")]
LATR = Latr(lookahead=(2,), share=0.8, suffix_match=None, rouge_l=0.4, short="compare")
BRANCHING = [ARPO, CHANCE, AEPO, *AUTHORS, TreeGrpo(), TreePo(root=(2, 3)), LATR]
ALL = [Independent(), *BRANCHING]
NEVER: Callable[[int], None] = lambda turn: None  # noqa: E731
TOKENIZER = byte_tokenizer()


def play(
    sampler: Sampler,
    *,
    size: int = 6,
    kind: str = "append",
    fault: Callable[[int], None] = NEVER,
    env: Callable[..., Corridor] = Corridor,
    fail_at: int | None = None,
    seed: int = 3,
    **kwargs: Any,
) -> RolloutResult:
    context = make_context(TOKENIZER, kind)
    engine = TracedEngine(chatter(context.chat, "left", "right", "ring"), TOKENIZER, fail_at=fail_at)
    specs = group_specs(TASKS, size, seed=seed, iteration=1)

    faults = {} if fault is NEVER else {"fault": fault}
    factory = partial(env, max_turns=6, **faults)
    if not sampler.branches:  # else every episode is a job of its own
        kwargs.setdefault("max_env_steps", 10**6)

    with (
        make_host(factory, kwargs.pop("host", None)) as host,
        Rollout(host, engine, context, SamplingParams(), sampler=sampler, **kwargs) as rollout,
    ):
        result = rollout.collect(specs)
    assert engine.num_open == 0
    if fail_at is None and fault is NEVER:
        assert result.accidents == []
    return result


def content(trajectory: Trajectory, turns: int) -> list[Any]:
    return [(t.observation, t.response, t.action, t.reward, t.anchor, t.num_tokens) for t in trajectory.turns[:turns]]


def check_group(trajectories: list[Trajectory]) -> None:
    """Every trajectory is whole, and a branch begins with its parent's turns and tokens."""
    by_id = {trajectory.id: trajectory for trajectory in trajectories}
    for one in trajectories:
        assert [turn.index for turn in one.turns] == list(range(len(one.turns)))
        assert one.turns[-1].terminated or one.turns[-1].truncated
        if one.parent is None or one.parent.parent not in by_id:
            continue
        parent, turn = by_id[one.parent.parent], one.parent.turn
        assert content(one, turn) == content(parent, turn)
        assert one.env_steps >= 1
        if turn and len(one.sequences) == 1:
            mine, others = one.sequences[0], parent.sequences[0]
            shared = int(np.flatnonzero(mine.turns_L == turn)[0])
            assert mine.common_prefix(others) >= np.flatnonzero(others.turns_L == turn - 1)[-1] + 1
            if len(parent.turns) > turn:
                assert (mine.ids_L[:shared] == others.ids_L[:shared]).all()
        check_fork_inside(one, parent, turn)


def check_fork_inside(one: Trajectory, parent: Trajectory, turn: int) -> None:
    """A branch that left inside a turn has the parent's tokens of that turn up to there, and then another."""
    token = one.extra["branching"]["token"]
    if token is not None:
        mine, others = (
            next(
                each.ids_L[(each.turns_L == turn) & each.action_mask_L]
                for each in which.sequences
                if turn in each.turns_L
            )
            for which in (one, parent)
        )
        assert (mine[:token] == others[:token]).all() and len(mine) > token


@pytest.mark.parametrize("kind", ["append", "window"])
@pytest.mark.parametrize("sampler", ALL, ids=lambda sampler: sampler.name)
def test_every_group_gets_its_budget(sampler: Sampler, kind: str) -> None:
    result = play(sampler, kind=kind)
    assert [t.id for t in result.trajectories] == [s.id for s in group_specs(TASKS, 6, seed=3, iteration=1)]
    assert result.incomplete_groups == ()
    check_group(result.trajectories)
    assert any(t.parent for t in result.trajectories) == sampler.branches
    contents = {(t.id[:-2], tuple(turn.response for turn in t.turns)) for t in result.trajectories}
    assert len(contents) > len(result.trajectories) * 0.8, "branches are no copies"
    counted = {t.group: t.extra["branching"]["group"]["env_steps"] for t in result.trajectories}
    assert sum(counted.values()) == sum(t.env_steps for t in result.trajectories) == result.env_steps


def test_without_branches_it_plays_what_a_rollout_plays() -> None:
    context = make_context(TOKENIZER)
    specs = group_specs(TASKS, 6, seed=3, iteration=1)
    engine = TracedEngine(chatter(context.chat, "left", "right", "ring"), TOKENIZER)
    with Rollout(lambda: Corridor(max_turns=6), engine, context, SamplingParams()) as rollout:
        plain = rollout.collect(specs).trajectories
    for one, other in zip(plain, play(Independent()).trajectories, strict=True):
        assert one.turns == other.turns and one.sequences[0].common_prefix(other.sequences[0]) == len(one.sequences[0])


@pytest.mark.parametrize("sampler", [CHANCE, AEPO, TreePo(root=(2, 3))], ids=lambda sampler: sampler.name)
def test_what_is_played_depends_neither_on_concurrency_nor_on_the_host(
    sampler: Sampler, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    hosts = [HostOptions("inline"), HostOptions("threads"), HostOptions("processes", per_process=5)]
    for host, concurrency in zip(hosts, (6, 64, 64), strict=True):
        save_trajectories(folder / host.kind, play(sampler, host=host, concurrency=concurrency).trajectories)
    assert (folder / "inline").read_bytes() == (folder / "threads").read_bytes()
    assert (folder / "inline").read_bytes() == (folder / "processes").read_bytes()


@settings(max_examples=20, deadline=None)
@given(
    sampler=st.sampled_from([*ALL, Arpo(scale="mean", beam=4, initial=1)]),
    size=st.integers(3, 7),
    seed=st.integers(0, 10**6),
    faults=st.sets(st.integers(0, 60), max_size=4),
    fail_at=st.none() | st.integers(1, 60),
)
def test_the_budget_is_exact_whatever_breaks(
    sampler: Sampler, size: int, seed: int, faults: set[int], fail_at: int | None
) -> None:
    steps = iter(range(10**6))

    def fault(turn: int) -> None:
        if next(steps) in faults:
            raise RuntimeError("the world broke")

    result = play(sampler, size=size, seed=seed, fault=fault, fail_at=fail_at, max_retries=6)
    assert len(result.trajectories) == 3 * size and result.incomplete_groups == ()
    assert all(one.outcome.is_verdict for one in result.trajectories)
    assert not any(one.outcome.is_verdict for one in result.accidents)
    assert len({one.id for one in result.played}) == len(result.played)
    steps = {one.group: one.extra["branching"]["group"]["env_steps"] for one in result.trajectories}
    assert sum(steps.values()) == result.env_steps
    check_group(result.trajectories)


@pytest.mark.parametrize("sampler", [CHANCE, TreePo(root=(2, 3))], ids=lambda sampler: sampler.name)
def test_turns_that_others_share_outlive_an_accident(sampler: Sampler) -> None:
    def fault(turn: int) -> None:
        nonlocal once
        if turn == 4 and once:
            once = False
            raise RuntimeError("the world broke")

    once = True
    result = play(sampler, fault=fault)
    [accident] = result.accidents
    assert accident.outcome is Outcome.ENV_ERROR and "turn 4" in accident.outcome_reason
    check_group(result.trajectories)
    again = next(t for t in result.trajectories if accident.id == f"{t.id}~0")
    assert again.extra["attempt"] == 1
    forked = [one["turn"] for one in accident.extra["branching"]["decisions"] if one["branches"]]
    assert max(forked) >= 1, "others were forked before the accident"
    assert content(again, max(forked)) == content(accident, max(forked))
    assert [t.response for t in again.turns] != [t.response for t in accident.turns]


def test_a_path_without_retries_is_lost_and_its_group_reported() -> None:
    result = play(CHANCE, fail_at=1, max_retries=0)
    assert len(result.accidents) == 1 and len(result.incomplete_groups) == 1
    assert len(result.trajectories) == 17


@pytest.mark.parametrize("sampler", ALL, ids=lambda sampler: sampler.name)
@pytest.mark.parametrize("limit", [1, 7, 20, 1000])
def test_a_budget_of_steps_is_kept(sampler: Sampler, limit: int) -> None:
    result = play(sampler, max_env_steps=limit)
    check_group(result.trajectories)
    groups: dict[str, list[Trajectory]] = {}
    for one in result.trajectories:
        groups.setdefault(one.group, []).append(one)
    for group, members in groups.items():
        steps = sum(one.env_steps for one in members)
        assert members[0].extra["branching"]["group"]["env_steps"] == steps <= limit
        cut = [one for one in members if "tool budget" in one.outcome_reason]
        assert all(one.outcome is Outcome.TRUNCATED for one in cut)
        assert (len(members) < 6) == (group in result.incomplete_groups)
        if cut or len(members) < 6:
            assert steps == limit
    assert limit < 1000 or result.incomplete_groups == ()


class Replayed(Corridor):
    """Restored by playing the episode again."""

    snapshot_level = SnapshotLevel.REPLAY


class Unforkable(Corridor):
    """Cannot be restored."""

    snapshot_level = SnapshotLevel.NONE


class Stateless(Unforkable):
    """Answers by the action alone."""

    is_stateless = True

    def _advance(self, action: str) -> Any:
        at, result = self._at, super()._advance(action)
        self._at = at
        return result


def test_a_world_of_level_replay_gives_the_same_and_counts_what_it_repeats() -> None:
    exact, replayed = play(CHANCE), play(CHANCE, env=Replayed)
    for one, other in zip(exact.trajectories, replayed.trajectories, strict=True):
        assert one.turns == other.turns
    repeated = {t.group: t.extra["branching"]["group"]["replayed_env_steps"] for t in replayed.trajectories}
    assert sum(repeated.values()) == sum(t.parent.turn for t in replayed.trajectories if t.parent)
    assert not any(t.extra["branching"]["group"]["replayed_env_steps"] for t in exact.trajectories)


def test_a_world_that_cannot_be_restored_is_refused_unless_it_is_stateless() -> None:
    with pytest.raises(ConfigError, match=r"Unforkable declares snapshot level 'none'.*is_stateless = True"):
        play(ARPO, env=Unforkable)
    assert len(play(Independent(), env=Unforkable).trajectories) == 18
    result = play(CHANCE, env=Stateless)
    check_group(result.trajectories)
    assert any(t.parent for t in result.trajectories)
    assert max(len(t.turns) for t in result.trajectories) == 6, "turns are counted on in a fork"


def test_a_group_needs_a_session_per_path() -> None:
    with pytest.raises(ConfigError, match="a group of 6 paths needs as many sessions, concurrency is 5"):
        play(ARPO, concurrency=5)
    with pytest.raises(ConfigError, match="max_env_steps 0"):
        play(ARPO, max_env_steps=0)


def test_limits_are_those_of_an_episode() -> None:
    result = play(CHANCE, limits=Limits(max_turns=3))
    check_group(result.trajectories)
    assert max(len(t.turns) for t in result.trajectories) == 3


def test_misuse_is_raised_and_leaves_nothing_behind() -> None:
    context = make_context(TOKENIZER)
    engine = TracedEngine(chatter(context.chat, "left"), TOKENIZER)
    specs = [EpisodeSpec("a", "g", "corridor-99", 0, 0)]
    with (
        Rollout(Corridor, engine, context, SamplingParams(), sampler=ARPO) as rollout,
        pytest.raises(TaskNotFoundError),
    ):
        rollout.collect(specs)
    assert engine.num_open == 0


# -- ARPO's decisions over real groups, worked out once more from the records ------------------------------------------


@pytest.mark.parametrize("penalty", [None, 0.0, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_who_branches_from_whom_follows_from_the_records(seed: int, penalty: float | None) -> None:
    kwargs: dict[str, Any] = {"initial": 2, "beam": 3, "scale": "mean", "tokens": 3}
    sampler = Arpo(**kwargs) if penalty is None else Aepo(**kwargs, pre_monitoring=False, penalty=penalty)
    members = play(sampler, size=9, seed=seed).trajectories[:9]
    expected: list[tuple[int | None, int]] = [(None, 0), (None, 0)]
    streaks = [0, 0]
    played = [0, 0]
    while any(count < len(one.turns) for count, one in zip(played, members, strict=False)) or len(expected) < 9:
        live = [i for i in range(len(expected)) if played[i] < len(members[i].turns)]
        if not live:
            expected += [(None, 0)] * (9 - len(expected))
            played += [0] * (9 - len(played))
            streaks += [0] * (9 - len(streaks))
            continue
        for i in live:
            played[i] += 1
        for i in live:
            turn, sequence = played[i] - 1, members[i].sequences[0]
            if len(expected) == 9 or turn == 0 or turn == expected[i][1]:
                continue
            now, first = (sequence.entropies_L[sequence.turns_L == t][:3].astype(float) for t in (turn, 0))
            count = min(len(now), len(first))
            score = 0.5 + 0.2 * sum(now[:count] - first[:count]) / count
            if not score * (1 - (penalty or 0.0) * streaks[i]) > 0.5:
                streaks[i] = 0
                continue
            streaks[i] += 1
            for _ in range(min(2, 9 - len(expected))):
                expected.append((i, turn))
                played.append(turn)
                streaks.append(streaks[i])
    number = {one.id: i for i, one in enumerate(members)}
    got = [(None, 0) if one.parent is None else (number[one.parent.parent], one.parent.turn) for one in members]
    assert got == expected


def test_decisions_are_on_record() -> None:
    members = play(AEPO).trajectories[:6]
    notes = [one.extra["branching"] for one in members]
    assert [note["number"] for note in notes] == list(range(6))
    assert all(note["sampler"] == "aepo" and note["group"]["budget"] == 6 for note in notes)
    decided = [(i, d["turn"]) for i, note in enumerate(notes) for d in note["decisions"] for _ in range(d["branches"])]
    forked = [(int(one.parent.parent[-2:]), one.parent.turn) for one in members if one.parent]
    assert sorted(decided) == sorted(forked)
    fresh = sum(one.parent is None for one in members)
    assert fresh >= notes[0]["group"]["initial"]
