"""Many episodes at once: order, determinism, accidents, cancellation."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from agentrl.context import Context, make_context
from agentrl.engines.base import SamplingParams
from agentrl.env import Outcome, TurnResult
from agentrl.errors import AbortedError, ConfigError, TaskNotFoundError
from agentrl.hosts import HostOptions, make_host
from agentrl.rollout import EpisodeSpec, RollIn, Rollout, group_specs
from agentrl.rollout.branching import Arpo, Independent, Sampler
from agentrl.store import save_trajectories
from tests.agentrl.rollout.toys import Corridor, TracedEngine, byte_tokenizer, chatter

TASKS = ("corridor-2", "corridor-3", "corridor-2")
NEVER: Callable[[int], None] = lambda turn: None  # noqa: E731


@pytest.fixture
def context() -> Context:
    return make_context(byte_tokenizer())


def wandering(context: Context, **kwargs: Any) -> TracedEngine:
    return TracedEngine(chatter(context.chat, "left", "right", "ring"), context.chat.tokenizer, **kwargs)


class OwnHost(Rollout):
    """A rollout that closes its host."""

    def close(self) -> None:
        self._host.close()


def rollout(
    context: Context, engine: TracedEngine, *, fault: Callable[[int], None] = NEVER, kind: Any = "inline", **kwargs: Any
) -> Rollout:
    host = make_host(lambda: Corridor(max_turns=8, fault=fault), HostOptions(kind))
    return OwnHost(host, engine, context, SamplingParams(), **kwargs)


def specs(size: int = 4, tasks: Sequence[str] = TASKS) -> list[EpisodeSpec]:
    return group_specs(tasks, size, seed=3, iteration=1)


def test_trajectories_come_in_the_order_of_the_specs(context: Context) -> None:
    with rollout(context, wandering(context)) as play:
        result = play.collect(specs())
    assert [t.id for t in result.trajectories] == [spec.id for spec in specs()]
    assert [t.task_id for t in result.trajectories] == [spec.task_id for spec in specs()]
    assert result.accidents == []
    assert result.incomplete_groups == ()


@pytest.mark.parametrize("kind", ["inline", "threads"])
@pytest.mark.parametrize("view", ["append", "window"])
def test_what_is_played_does_not_depend_on_concurrency(
    view: str, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    context = make_context(byte_tokenizer(), view)
    folder = tmp_path_factory.mktemp("runs")
    for concurrency in (1, 8):
        engine = wandering(context)
        with rollout(context, engine, concurrency=concurrency, kind=kind) as play:
            save_trajectories(folder / str(concurrency), play.collect(specs()).trajectories)
        assert engine.num_open == 0
    assert (folder / "1").read_bytes() == (folder / "8").read_bytes()


def test_a_rollout_can_be_repeated(context: Context) -> None:
    with rollout(context, wandering(context), concurrency=3) as play:
        first, second = play.collect(specs()), play.collect(specs())
    assert [t.turns for t in first.trajectories] == [t.turns for t in second.trajectories]


def test_members_of_a_group_share_the_first_state_and_differ_after(context: Context) -> None:
    with rollout(context, wandering(context)) as play:
        trajectories = play.collect(specs(6)).trajectories
    starts: dict[str, set[tuple[str, str, int]]] = {}
    for t in trajectories:
        starts.setdefault(t.group, set()).add((t.turns[0].observation, t.turns[0].anchor, t.seed))
    assert all(len(start) == 1 for start in starts.values())
    # Three groups, two of one task: every group has a seed of its own.
    assert len({start.pop()[2] for start in starts.values()}) == 3
    for group in starts:
        played = {tuple(turn.action for turn in t.turns) for t in trajectories if t.group == group}
        assert len(played) > 1


def test_seeds_are_named_not_counted() -> None:
    """A group's seeds depend neither on the group's size nor on what else is asked for."""
    both = group_specs(TASKS, 4, seed=3, iteration=1)
    assert group_specs(TASKS[1:], 2, seed=3, iteration=1, first=1) == [*both[4:6], *both[8:10]]
    assert len({spec.sampling_seed for spec in both}) == len({spec.id for spec in both}) == 12
    elsewhere = {spec.env_seed for i in (0, 2) for spec in group_specs(TASKS, 4, seed=3, iteration=i)}
    assert not elsewhere & {spec.env_seed for spec in both}


def test_a_retry_keeps_the_first_state_and_samples_anew() -> None:
    spec = specs()[0]
    again = spec.retry()
    assert (again.id, again.group, again.env_seed, again.attempt) == (spec.id, spec.group, spec.env_seed, 1)
    assert len({spec.sampling_seed, again.sampling_seed, again.retry().sampling_seed}) == 3


def test_environments_are_reused_and_rebuilt_only_after_they_raised(context: Context) -> None:
    built: list[Corridor] = []
    broken: list[int] = []

    def factory() -> Corridor:
        def fault(turn: int) -> None:
            if number == 0 and not broken:
                broken.append(number)
                raise RuntimeError("once")

        number = len(built)
        built.append(Corridor(max_turns=8, fault=fault))
        return built[-1]

    play = Rollout(factory, wandering(context), context, SamplingParams(), concurrency=2)
    result = play.collect(specs())
    assert result.num_env_errors == 1
    assert len(result.trajectories) == 12
    assert len(built) == 3
    assert [env._closed for env in built] == [True, False, False]
    play.close()
    assert all(env._closed for env in built)


def test_an_accident_is_replaced_kept_for_the_record_and_counted(context: Context) -> None:
    with rollout(context, wandering(context, fail_at=5), concurrency=2) as play:
        result = play.collect(specs())
    (accident,) = result.accidents
    assert accident.outcome is Outcome.INFRA_LOST
    assert accident.extra["attempt"] == 0
    replaced = next(t for t in result.trajectories if accident.id == f"{t.id}~0")
    assert replaced.extra["attempt"] == 1
    assert replaced.seed == accident.seed
    assert replaced.extra["sampling_seed"] != accident.extra["sampling_seed"]
    assert len(result.trajectories) == 12
    assert (result.num_infra_lost, result.num_env_errors, result.incomplete_groups) == (1, 0, ())


def test_a_group_that_cannot_be_filled_is_flagged(context: Context) -> None:
    class Cursed(Corridor):
        def _start(self, task: Any, rng: np.random.Generator) -> str:
            if task.id == "corridor-3":
                raise OSError("no such room")
            return super()._start(task, rng)

    with Rollout(lambda: Cursed(max_turns=4), wandering(context), context, SamplingParams(), max_retries=2) as play:
        result = play.collect(specs(2))
    assert {t.task_id for t in result.trajectories} == {"corridor-2"}
    assert len(result.trajectories) == 4
    assert result.incomplete_groups == ("000001/0001",)
    assert result.num_env_errors == 2 * 3
    assert {accident.outcome_reason for accident in result.accidents} == {"OSError in reset: no such room"}
    assert all(t.outcome.is_verdict for t in result.trajectories)


@pytest.mark.parametrize("sampler", [Independent(), Arpo(scale="mean")], ids=lambda sampler: sampler.name)
def test_a_world_that_cannot_be_built_is_an_accident(context: Context, sampler: Sampler) -> None:
    built = iter(range(10**6))

    def factory() -> Corridor:
        if next(built) in (1, 3, 4):
            raise OSError("no more ports")
        return Corridor(max_turns=8)

    engine = wandering(context)
    with Rollout(factory, engine, context, SamplingParams(), sampler=sampler, concurrency=8) as play:
        result = play.collect(specs())
    assert [t.id for t in result.trajectories] == [spec.id for spec in specs()]
    assert result.num_env_errors == 3
    assert {lost.outcome_reason for lost in result.accidents} == {"OSError while making the environment: no more ports"}
    assert all(not lost.turns for lost in result.accidents)
    assert engine.num_open == 0


def test_where_no_world_can_be_built_everything_is_lost(context: Context) -> None:
    def factory() -> Corridor:
        raise OSError("no more ports")

    with Rollout(factory, wandering(context), context, SamplingParams(), max_retries=1) as play:
        result = play.collect(specs())
    assert (result.trajectories, len(result.accidents), len(result.incomplete_groups)) == ([], 2 * 12, 3)
    assert len({lost.id for lost in result.accidents}) == 24


def test_misuse_is_raised_as_it_is(context: Context) -> None:
    engine = wandering(context)
    with rollout(context, engine) as play, pytest.raises(TaskNotFoundError, match="corridor-99"):
        play.collect(specs(2, ["corridor-2", "corridor-99"]))
    assert engine.num_open == 0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of Ctrl-C, which a process started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("kind", ["inline", "threads"])
def test_ctrl_c_passes_through_and_leaves_nothing_behind(context: Context, kind: str) -> None:
    pressed = threading.Lock()  # once: a second Ctrl-C would interrupt whatever runs by then, pytest included

    def fault(turn: int) -> None:
        if turn == 2 and pressed.acquire(blocking=False):
            signal.raise_signal(signal.SIGINT)

    engine = wandering(context)
    with rollout(context, engine, fault=fault, kind=kind) as play, pytest.raises(KeyboardInterrupt):
        play.collect(specs())
    assert engine.num_requests > 0
    assert engine.num_open == 0
    assert not [t for t in threading.enumerate() if t.name.startswith("agentrl-env")]


def test_cancelling_waits_for_the_world_that_a_thread_is_in(context: Context) -> None:
    inside, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    class Slow(Corridor):
        def _advance(self, action: str) -> TurnResult:
            inside.set()
            go_on.wait(10)
            order.append("stepped")
            raise RuntimeError("nobody hears this")

        def close(self) -> None:
            order.append("closed")

    async def cancel_inside() -> None:
        task = asyncio.create_task(play.collect_async(specs(1, ["corridor-2"])))
        await asyncio.to_thread(inside.wait, 10)
        task.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task

    host = make_host(Slow, HostOptions("threads"))
    with OwnHost(host, wandering(context), context, SamplingParams()) as play:
        asyncio.run(cancel_inside())
    assert order == ["stepped", "closed"]


def test_cancelling_waits_until_every_session_is_released(context: Context) -> None:
    class Stuck(TracedEngine):
        async def generate(self, *args: Any) -> Any:
            await asyncio.sleep(3600)

    async def cancel_midway() -> None:
        task = asyncio.create_task(play.collect_async(specs()))
        for _ in range(5):
            await asyncio.sleep(0)
        assert engine.num_open == 12
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.num_open == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    engine = Stuck(chatter(context.chat, "left"), context.chat.tokenizer)
    with rollout(context, engine) as play:
        asyncio.run(cancel_midway())


@pytest.mark.parametrize("kind", ["inline", "threads"])
@pytest.mark.parametrize("sampler", [Independent(), Arpo(scale="mean")], ids=lambda sampler: sampler.name)
def test_an_aborted_rollout_leaves_nothing_behind(context: Context, sampler: Sampler, kind: str) -> None:
    steps: list[int] = []
    engine = wandering(context)
    with rollout(
        context, engine, fault=steps.append, sampler=sampler, kind=kind, is_aborted=lambda: len(steps) >= 5
    ) as play:
        with pytest.raises(AbortedError):
            play.collect(group_specs(TASKS * 40, 4, seed=3, iteration=1))
        assert engine.num_open == 0
        assert 5 <= len(steps) < 2000
    assert not [t for t in threading.enumerate() if t.name.startswith("agentrl-env")]


def test_slow_worlds_run_side_by_side_in_threads(context: Context) -> None:
    """Each world waits for the other: without threads this would never end."""
    meet = threading.Barrier(2, timeout=10)

    def fault(turn: int) -> None:
        if turn == 0:
            meet.wait()

    with rollout(context, wandering(context), fault=fault, concurrency=2, kind="threads") as play:
        result = play.collect(specs(2, ["corridor-2"]))
    assert result.num_env_errors == 0
    assert len(result.trajectories) == 2


def test_metrics_are_the_records_own_numbers(context: Context) -> None:
    with rollout(context, wandering(context)) as play:
        result = play.collect(specs())
    metrics, trajectories = result.metrics(), result.trajectories
    turns = [turn for t in trajectories for turn in t.turns]
    assert metrics["rollout/num_trajectories"] == 12
    assert metrics["rollout/success_rate"] == sum(t.success for t in trajectories) / 12
    assert 0 < metrics["rollout/success_rate"] < 1
    assert metrics["rollout/mean_turns"] == len(turns) / 12
    assert metrics["rollout/num_sampled_tokens"] == sum(int(t.sequences[0].action_mask_L.sum()) for t in trajectories)
    assert metrics["rollout/sampled_tokens_per_s"] * result.wall_s == pytest.approx(result.num_sampled_tokens)
    assert 0 < metrics["rollout/env_s"] < metrics["rollout/wall_s"]


def test_a_results_text_is_short(context: Context) -> None:
    """`asyncio.run` renders it: with every id in it, that would cost as much as the rollout."""
    with rollout(context, wandering(context)) as play:
        assert len(repr(play.collect(specs()))) < 200


def test_no_specs_make_an_empty_result(context: Context) -> None:
    with rollout(context, wandering(context)) as play:
        result = play.collect([])
    assert result.trajectories == []
    assert "rollout/success_rate" not in result.metrics()


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"max_retries": -1}, {"max_env_steps": 0}])
def test_impossible_settings_are_refused(context: Context, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        rollout(context, wandering(context), **wrong)


def test_a_roll_in_and_groups_that_are_one_job_do_not_go_together(context: Context) -> None:
    with pytest.raises(ConfigError, match="one by one"):
        rollout(context, wandering(context), roll_in=RollIn(), max_env_steps=9)
