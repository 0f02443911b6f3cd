"""Turns that leave another one in the middle: what is recorded, where they stop, and what the sessions hold."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentrl.context import make_context
from agentrl.engines.base import Alternatives, Completion, SamplingParams
from agentrl.engines.scripted import Line
from agentrl.errors import EngineError
from agentrl.rollout import Rollout, RolloutResult, group_specs
from agentrl.rollout.branching import FRESH, Latr, Path, Sampler, Start
from agentrl.rollout.branching.detour import Detour, join, reason_to_stop
from agentrl.types import StopReason, Trajectory
from tests.agentrl.rollout.toys import Corridor, TracedEngine, byte_tokenizer, chatter

TOKENIZER = byte_tokenizer()


def said(text: str, reason: StopReason = StopReason.END, base: float = 0.0, rival: str = "z") -> Completion:
    """Return ``text``, one token a letter, with numbers of its own; all runners-up are ``rival``."""
    ids = np.array(TOKENIZER.encode(text), np.int32)
    numbers = (base - np.arange(len(ids)) / 100).astype(np.float32)
    others = Alternatives(np.full(len(ids), TOKENIZER.encode(rival)[0], np.int32), numbers - 1)
    return Completion(ids, numbers, -numbers, reason, 3, others)


def detour(text: str, token: int, rival: str = "z") -> Completion:
    return Detour(said(text, rival=rival), token, lambda turn: None).head()


def test_a_head_is_the_parents_turn_with_the_runner_up_at_its_end() -> None:
    parent, head = said("abcd"), detour("abcd", 2)
    assert TOKENIZER.decode(head.ids) == "abz"
    np.testing.assert_allclose(head.logprobs, [*parent.logprobs[:2], parent.logprobs[2] - 1], rtol=1e-6)
    np.testing.assert_array_equal(head.entropies, parent.entropies[:3])
    assert head.alternatives is not None
    assert TOKENIZER.decode(head.alternatives.ids) == "zzc", "the forced token stands for the sampled one"
    np.testing.assert_array_equal(head.alternatives.logprobs, [*(parent.logprobs[:2] - 1), parent.logprobs[2]])
    bare = Completion(parent.ids, parent.logprobs, parent.entropies, StopReason.END, 0)
    with pytest.raises(EngineError, match="the engine reports none"):
        Detour(bare, 1, lambda turn: None).head()


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        (SamplingParams(), None),
        (SamplingParams(stop_token_ids=(TOKENIZER.encode("z")[0],), max_tokens=3), StopReason.END),
        (SamplingParams(stop=("bz",), max_tokens=3), StopReason.STOP_STRING),
        (SamplingParams(stop=("ab", "zz")), None),  # the parent's turn went on behind "ab"... and so does this one
        (SamplingParams(max_tokens=3), StopReason.MAX_TOKENS),
    ],
)
def test_a_turn_may_be_over_with_its_forced_token(params: SamplingParams, reason: StopReason | None) -> None:
    head = detour("abcd" if params.stop != ("ab", "zz") else "xycd", 2)
    assert reason_to_stop(head, params, TOKENIZER) == reason


@pytest.mark.parametrize(
    ("rest", "reason", "stop", "text", "expected"),
    [
        ("cd", StopReason.MAX_TOKENS, (), "abzcd", StopReason.MAX_TOKENS),
        ("cd", StopReason.MAX_TOKENS, ("zc",), "abzc", StopReason.STOP_STRING),
        ("cd", StopReason.MAX_TOKENS, ("bzcd",), "abzcd", StopReason.STOP_STRING),
        ("cd", StopReason.END, ("bzcd",), "abzcd", StopReason.END),
        ("cxzc", StopReason.STOP_STRING, ("xzc",), "abzcxzc", StopReason.STOP_STRING),
    ],
)
def test_the_joint_is_searched_for_stop_strings(
    rest: str, reason: StopReason, stop: tuple[str, ...], text: str, expected: StopReason
) -> None:
    head, tail = detour("abcd", 2), said(rest, reason, base=-5.0)
    whole = join(head, tail, SamplingParams(stop=stop), TOKENIZER)
    assert (TOKENIZER.decode(whole.ids), whole.stop_reason) == (text, expected)
    columns = [(whole.logprobs, head.logprobs, tail.logprobs), (whole.entropies, head.entropies, tail.entropies)]
    assert whole.alternatives and head.alternatives and tail.alternatives
    columns.append((whole.alternatives.logprobs, head.alternatives.logprobs, tail.alternatives.logprobs))
    for got, first, second in columns:
        np.testing.assert_array_equal(got, np.concatenate([first, second])[: len(text)])


@given(st.text("abz", min_size=3, max_size=6), st.text("abz", min_size=1, max_size=12), st.text("abz", min_size=1))
def test_the_joint_equals_a_search_of_the_whole_text(parent: str, rest: str, stop: str) -> None:
    params = SamplingParams(stop=(stop,), max_tokens=99)
    head = detour(parent, 2)
    text = TOKENIZER.decode(head.ids)
    if stop in text[:2]:
        return  # the parent's turn would have ended
    cut = next((n for n in range(1, len(rest) + 1) if stop in rest[:n]), len(rest))
    tail = said(rest[:cut], StopReason.STOP_STRING if stop in rest else StopReason.MAX_TOKENS)
    assert (reason_to_stop(head, params, TOKENIZER) is StopReason.STOP_STRING) == (stop in text)
    if stop not in text:
        whole = text + rest
        first = next((n for n in range(1, len(whole) + 1) if stop in whole[:n]), len(whole))
        assert TOKENIZER.decode(join(head, tail, params, TOKENIZER).ids) == whole[:first]


# -- sessions hold what is on record -----------------------------------------------------------------------------------


def contexts(one: Trajectory) -> list[tuple[int, ...]]:
    """Return what the engine had before it when it sampled each of a trajectory's own turns, from the record."""
    before = []
    for sequence in one.sequences:
        for turn in range(one.kept_turns, len(one.turns)):
            places = np.flatnonzero((sequence.turns_L == turn) & sequence.action_mask_L)
            if len(places):
                forced = one.extra["branching"]["token"] if turn == (one.parent and one.parent.turn) else None
                sampled = places if forced is None else places[forced + 1 :]
                before += [tuple(sequence.ids_L[: sampled[0]].tolist())] if len(sampled) else []
    return before


class Listener:
    """A script that says words at random and remembers what its sessions held."""

    def __init__(self, kind: str) -> None:
        self.context = make_context(TOKENIZER, kind)
        self.heard: set[tuple[int, ...]] = set()
        self._script = chatter(self.context.chat, "left", "right", "ring")

    def __call__(self, ids: NDArray[np.int32], rng: np.random.Generator) -> str | Line:
        self.heard.add(tuple(ids.tolist()))
        return self._script(ids, rng)

    def play(
        self, sampler: Sampler, params: SamplingParams, size: int, *, seed: int = 0, fail_at: int | None = None
    ) -> RolloutResult:
        """Play a group and check that whatever is on record of it was heard."""
        engine = TracedEngine(self, TOKENIZER, fail_at=fail_at)
        with Rollout(lambda: Corridor(max_turns=5), engine, self.context, params, sampler=sampler) as rollout:
            result = rollout.collect(group_specs(["corridor-2"], size, seed=seed, iteration=0))
        assert engine.num_open == 0 and len(result.trajectories) == size
        assert len(result.accidents) == (fail_at is not None)
        for one in result.trajectories:
            assert self.heard.issuperset(contexts(one)), "a session held something else"
        return result


@pytest.mark.parametrize("kind", ["append", "window"])
@pytest.mark.parametrize("stop", [(), ("ti", "gl", "rr")])
@pytest.mark.parametrize("max_tokens", [3, 64])
@pytest.mark.parametrize("fail_at", [None, 12])
def test_sessions_hold_what_is_on_record(
    kind: str, stop: tuple[str, ...], max_tokens: int, fail_at: int | None
) -> None:
    listener = Listener(kind)
    sampler = Latr(initial=2, lookahead=(2,), suffix_match=None, short="compare")
    params = SamplingParams(max_tokens=max_tokens, stop=stop)
    reasons: Counter[StopReason] = Counter()
    for seed in range(6):
        trajectories = listener.play(sampler, params, 9, seed=seed, fail_at=fail_at).trajectories
        by_id = {one.id: one for one in trajectories}
        for one in trajectories:
            token = one.extra["branching"]["token"]
            if token is not None and one.parent is not None:
                turn, parent = one.turns[one.parent.turn], by_id[one.parent.parent].turns[one.parent.turn]
                reasons[turn.stop_reason] += turn.num_tokens == token + 1
                assert turn.num_tokens <= max_tokens and turn.response[:token] == parent.response[:token]
    assert reasons[StopReason.END] or max_tokens == 3, "some turns were over with their forced token"
    assert reasons[StopReason.STOP_STRING] or not stop
    assert reasons[StopReason.MAX_TOKENS] or max_tokens > 3


class Fixed(Sampler):
    """One episode, then what is given for each round; prunes every fork inside turn ``unwanted``."""

    name: ClassVar[str] = "fixed"
    alternatives: ClassVar[bool] = True

    rounds: tuple[tuple[Start, ...], ...]
    unwanted: bool = False

    def plan(self, budget: int, seed: int, vocab_size: int) -> "FixedPlan":
        return FixedPlan(self.rounds)

    def look(self, parent: Completion, branch: Completion, token: int) -> int | None:
        return 1 if self.unwanted else None


class FixedPlan:
    def __init__(self, rounds: Sequence[Sequence[Start]]) -> None:
        self.notes: dict[str, Any] = {}
        self._rounds = iter([[FRESH], *rounds])

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        starts = list(next(self._rounds, []))
        for start in starts:
            if start.parent is not None:
                decision = {"turn": start.turn, "token": start.token, "branches": 1}
                paths[start.parent].decisions.append(decision)
        return starts


@pytest.mark.parametrize("kind", ["append", "window"])
@pytest.mark.parametrize("token", range(4))
def test_a_fork_inside_an_earlier_turn(kind: str, token: int) -> None:
    sampler = Fixed(rounds=((), (), (Start(0, 0, token), Start(0, 1, token))))
    members = Listener(kind).play(sampler, SamplingParams(), 3).trajectories
    assert [one.parent and one.parent.turn for one in members] == [None, 0, 1]


@pytest.mark.parametrize("kind", ["append", "window"])
def test_a_fork_from_a_path_that_ended_its_turn_with_the_forced_token(kind: str) -> None:
    """That path's session has not heard the end of its turn yet."""
    sampler = Fixed(rounds=((Start(0, 0, 1),), (Start(1, 1),)))
    members = Listener(kind).play(sampler, SamplingParams(max_tokens=2), 3).trajectories
    assert [one.parent and (one.parent.parent[-2:], one.parent.turn) for one in members] == [None, ("00", 0), ("01", 1)]
    assert members[1].turns[0].num_tokens == 2


def test_what_was_pruned_leaves_nothing_when_its_parent_is_played_again() -> None:
    sampler = Fixed(rounds=((Start(0, 0, 1),),), unwanted=True)
    result = Listener("append").play(sampler, SamplingParams(), 2, fail_at=4)
    (accident,) = result.accidents
    assert len(accident.turns) == 2 and len(accident.extra["branching"]["decisions"]) == 1
    again, fresh = result.trajectories
    assert again.kept_turns == 0 and not again.extra["branching"]["decisions"], "the turn that was forked is gone"
    assert fresh.parent is None and fresh.extra["branching"]["group"]["pruned"] == 1
    assert fresh.extra["branching"]["group"]["pruned_tokens"] > 0
