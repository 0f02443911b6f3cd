"""Scripted demonstrators and the form of their records."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from agentrl import rollout
from agentrl.context import Context, make_context
from agentrl.engines.base import SamplingParams
from agentrl.env import Expert, Info, Outcome
from agentrl.errors import AbortedError, ConfigError, DataError, TaskNotFoundError
from agentrl.rollout import EpisodeSpec, Errors, FallibleExpert, Limits, Rollout, demonstration_tasks
from agentrl.seeding import generator
from agentrl.tasks import TaskRef
from agentrl.types import Trajectory
from tests.agentrl.rollout.toys import Corridor, TracedEngine, byte_tokenizer, recite
from tests.contract import toy

TASKS = ["corridor-2", "corridor-5", "corridor-3"] * 10


def demonstrate(*args: Any, **kwargs: Any) -> list[Trajectory]:
    result = rollout.demonstrate(*args, **kwargs)
    assert not result.accidents
    return result.trajectories


@pytest.fixture
def context() -> Context:
    return make_context(byte_tokenizer())


@pytest.mark.parametrize("kind", ["append", "window"])
@pytest.mark.parametrize("protocol", ["bare", "tags"])
@pytest.mark.parametrize("show_admissible", [False, True])
def test_a_demonstration_is_what_an_engine_would_have_recorded(kind: str, protocol: str, show_admissible: bool) -> None:
    """The same episode is played again by an engine that says what was demonstrated: equal, log-probs included."""
    context = make_context(byte_tokenizer(), kind, protocol=protocol, show_admissible=show_admissible)
    for shown in demonstrate(Corridor, TASKS[:3], context, seed=4, errors=Errors(wander=0.3)):
        texts = [context.protocol.write(turn.action) for turn in shown.turns]
        engine = TracedEngine(recite(context.chat, *texts), context.chat.tokenizer)
        engine.policy_version = 0
        with Rollout(Corridor, engine, context, SamplingParams()) as play:
            spec = EpisodeSpec(shown.id, shown.group, shown.task_id, shown.seed, sampling_seed=0)
            (played,) = play.collect([spec]).trajectories
        assert played.turns == shown.turns
        assert (played.outcome, played.score) == (shown.outcome, shown.score)
        assert [s.ids_L.tolist() for s in shown.sequences] == engine.finished
        for mine, theirs in zip(shown.sequences, played.sequences, strict=True):
            for name in ("ids_L", "action_mask_L", "behavior_logprobs_L", "entropies_L", "turns_L"):
                np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), strict=True)


def test_an_infallible_expert_wins_by_the_shortest_way(context: Context) -> None:
    shown = demonstrate(Corridor, TASKS, context, seed=0)
    assert [t.task_id for t in shown] == TASKS
    assert all(t.outcome is Outcome.SUCCESS for t in shown)
    assert [len(t.turns) for t in shown] == [3, 6, 4] * 10
    assert len({t.seed for t in shown}) == len({t.id for t in shown}) == 30


def test_a_wandering_expert_finds_back(context: Context) -> None:
    """The default expert's plan is worthless after a departure: it makes a new one."""
    shown = demonstrate(lambda: Corridor(max_turns=400), TASKS, context, seed=0, errors=Errors(wander=0.3))
    assert all(t.success for t in shown)
    assert sum(len(t.turns) for t in shown) > 130 + 30
    assert any(turn.action == "left" for t in shown for turn in t.turns)


def test_demonstrations_are_reproducible_and_seeds_matter(context: Context) -> None:
    first, again, other = (
        demonstrate(Corridor, TASKS[:6], context, seed=s, errors=Errors(wander=0.3)) for s in (1, 1, 2)
    )
    assert [t.turns for t in first] == [t.turns for t in again]
    assert [t.turns for t in first] != [t.turns for t in other]


def test_limits_hold(context: Context) -> None:
    (shown,) = demonstrate(Corridor, ["corridor-5"], context, seed=0, limits=Limits(max_turns=2))
    assert (shown.outcome, len(shown.turns)) == (Outcome.TRUNCATED, 2)
    (shown,) = demonstrate(Corridor, ["corridor-5"], context, seed=0, limits=Limits(max_context=80))
    assert shown.outcome is Outcome.TRUNCATED
    assert 0 < len(shown.sequences[0]) <= 80
    # A message is not begun that would be cut off.
    (shown,) = demonstrate(Corridor, ["corridor-5"], context, seed=0, limits=Limits(max_sampled_tokens=15))
    assert shown.num_tokens == 12
    assert "3 tokens left, 6 needed" in shown.outcome_reason


def test_an_action_that_cannot_be_written_is_an_error(context: Context) -> None:
    class Mumbler(Corridor):
        def expert(self, rng: np.random.Generator) -> Expert:
            return lambda observation, info: " right "

    with pytest.raises(DataError, match="' right ' is read back as 'right'"):
        demonstrate(Mumbler, ["corridor-2"], context, seed=0)


def test_a_task_that_does_not_exist_is_an_error_and_the_world_is_closed(context: Context) -> None:
    env = Corridor()
    with pytest.raises(TaskNotFoundError):
        demonstrate(lambda: env, ["corridor-99"], context, seed=0)
    assert env._closed


# -- FallibleExpert ----------------------------------------------------------------------------------------------------

INFO: Info = {"admissible_actions": ["take cup", "take mug", "go north", "go south"]}
N = 4000


def right(observation: str, info: Info) -> str:
    return "take cup"


def counts(**knobs: Any) -> dict[str, float]:
    expert = FallibleExpert(right, generator(0, "expert"), **knobs)
    actions = [expert("", INFO) for _ in range(N)]
    return {action: actions.count(action) / N for action in INFO["admissible_actions"] or ()}


def test_an_expert_that_never_errs_is_right() -> None:
    assert counts(wander=0.0)["take cup"] == 1


def test_wandering_is_uniform_over_the_other_actions() -> None:
    share = counts(wander=0.3)
    # Four standard deviations of a share of 0.1 in 4000 draws are 0.019.
    assert share == pytest.approx({"take cup": 0.7, "take mug": 0.1, "go north": 0.1, "go south": 0.1}, abs=0.03)


def test_a_mistake_is_of_the_same_kind() -> None:
    share = counts(wander=0.0, mistake=0.25)
    assert share == pytest.approx({"take cup": 0.75, "take mug": 0.25, "go north": 0, "go south": 0}, abs=0.03)


def test_a_mistake_where_nothing_is_of_the_kind_is_any_other_action() -> None:
    expert = FallibleExpert(right, generator(0), wander=0.0, mistake=1.0)
    assert {expert("", {"admissible_actions": ["take cup", "look"]}) for _ in range(9)} == {"look"}


@pytest.mark.parametrize(
    ("right", "same", "other"),
    [("click[red]", "click[buy now]", "search[tea]"), ('{"name": "a"}', '{"name": "b"}', "done")],
)
def test_the_kind_of_an_action_is_its_first_word(right: str, same: str, other: str) -> None:
    expert = FallibleExpert(lambda observation, info: right, generator(0), wander=0.0, mistake=1.0)
    assert {expert("", {"admissible_actions": [right, same, other]}) for _ in range(9)} == {same}


@pytest.mark.parametrize("knobs", [{"wander": 1.0}, {"wander": 0.0, "mistake": 1.0}, {"wander": 0.0, "lapse": 1.0}])
def test_no_error_leaves_a_blank_unfilled(knobs: dict[str, float]) -> None:
    expert = FallibleExpert(lambda observation, info: "search[tea]", generator(0), **knobs)
    actions: Info = {"admissible_actions": ["search[<keywords>]", "click[back to search]"]}
    assert {expert("", actions) for _ in range(9)} == {"click[back to search]"}
    assert expert("", {"admissible_actions": ["search[<your query>]"]}) == "search[tea]"


def test_where_nothing_else_can_be_done_the_expert_is_right() -> None:
    expert = FallibleExpert(right, generator(0), wander=1.0)
    assert expert("", {"admissible_actions": ["take cup"]}) == "take cup"


def test_the_expert_sees_every_observation_also_when_overruled() -> None:
    seen: list[str] = []

    def attentive(observation: str, info: Info) -> str:
        seen.append(observation)
        return "take cup"

    expert = FallibleExpert(attentive, generator(0), wander=1.0)
    for turn in range(5):
        assert expert(str(turn), INFO) != "take cup"
    assert seen == list("01234")


def test_forgetting_starts_a_new_expert_after_a_departure_only() -> None:
    renewed: list[int] = []

    def renew() -> Expert:
        renewed.append(1)
        return right

    steady = FallibleExpert(right, generator(0), wander=0.0, forget=1.0, renew=renew)
    for _ in range(20):
        steady("", INFO)
    assert not renewed
    wandering = FallibleExpert(right, generator(0), wander=1.0, forget=1.0, renew=renew)
    for _ in range(20):
        wandering("", INFO)
    assert len(renewed) == 19


@pytest.mark.parametrize("knobs", [{"wander": 1.5}, {"mistake": -0.1}, {"forget": 2.0}, {"forget": 0.5}])
def test_impossible_knobs_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(knobs))):
        FallibleExpert(right, generator(0), **knobs)  # type: ignore[arg-type]


def test_errors_need_a_list_of_actions() -> None:
    with pytest.raises(ConfigError, match="wander, mistake and lapse"):
        FallibleExpert(right, generator(0), wander=1.0)("", {"admissible_actions": None})


def test_where_actions_are_listed_now_and_then_errors_wait_for_it() -> None:
    expert = FallibleExpert(right, generator(0), wander=1.0)
    assert expert("", INFO) != right("", INFO)
    assert expert("", {"admissible_actions": None}) == right("", INFO)


class Trapped(toy.Cliff):
    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        super()._start(task, rng)
        self.at = self.goal + 4
        return self._look()


def test_a_demonstrator_that_gives_up_ends_its_demonstration(context: Context) -> None:
    [trajectory] = demonstrate(Trapped, ["train/0"], context, seed=0)
    assert (trajectory.turns, trajectory.outcome) == ([], Outcome.TRUNCATED)
    assert "no way to solve" in trajectory.outcome_reason


def test_a_lapse_lasts_to_the_end(context: Context) -> None:
    """Once the thread is lost no turn is the expert's again; without a lapse nothing changes."""
    rng = np.random.default_rng(0)
    lapsed = FallibleExpert(lambda observation, info: "right", rng, wander=0.0, lapse=1.0)
    info = Info(admissible_actions=["left", "right", "ring"])
    assert all(lapsed("", info) != "right" for _ in range(20))
    sound = FallibleExpert(lambda observation, info: "right", rng, wander=0.0, lapse=0.0)
    assert all(sound("", info) == "right" for _ in range(20))
    shown = demonstrate(Corridor, TASKS, context, seed=0, errors=Errors(lapse=0.2))
    assert 0 < sum(t.success for t in shown) < len(shown)


def test_tasks_are_distinct_until_there_are_no_more() -> None:
    ids = [f"task {number}" for number in range(7)]
    for count in range(7):
        chosen = demonstration_tasks(ids, count, seed=1)
        assert len(set(chosen)) == len(chosen) == count
    assert demonstration_tasks(ids, 4, seed=1) == demonstration_tasks(ids, 4, seed=1)
    assert len({tuple(demonstration_tasks(ids, 4, seed=seed)) for seed in range(5)}) > 1
    assert set(Counter(demonstration_tasks(ids, 17, seed=1)).values()) == {2, 3}


def test_demonstrations_are_given_up_on_request(context: Context) -> None:
    asked = iter([False, False, True])
    with pytest.raises(AbortedError):
        demonstrate(Corridor, TASKS, context, seed=0, is_aborted=lambda: next(asked))
    assert next(asked, None) is None
