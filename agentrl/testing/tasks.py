"""Laws of tasks: splits that do not overlap, ids that are found again, solutions that win."""

import pickle
from collections.abc import Iterator, Sequence

from agentrl.env import Outcome, SnapshotLevel
from agentrl.errors import TaskNotFoundError
from agentrl.tasks import TaskRef
from agentrl.testing.case import Case, Episode, law, require, require_raises

SAMPLE = 100
"""How many tasks of a split are looked at; splits may have millions."""


def sampled(ids: Sequence[str], count: int) -> list[str]:
    """Return ``count`` ids (all, if there are fewer) at equal distances, the first among them."""
    return [ids[number * len(ids) // count] for number in range(count)] if len(ids) > count else list(ids)


@law
def check_splits(case: Case) -> None:
    """Every split has tasks, listed in the same order by every environment, and the environment's own split exists."""
    env, other = case.factory(), case.factory()
    require(env.split in env.tasks.splits, f"The split {env.split!r} is not among {list(env.tasks.splits)}.")
    require(list(env.tasks.splits) == list(other.tasks.splits), "Two environments have different splits.")
    for split in env.tasks.splits:
        ids = env.tasks.ids(split)
        require(len(ids) > 0, f"The split {split!r} is empty.")
        same = len(ids) == len(other.tasks.ids(split)) and sampled(ids, SAMPLE) == sampled(
            other.tasks.ids(split), SAMPLE
        )
        require(same, f"Two environments list the split {split!r} differently.")


@law
def check_task_ids(case: Case) -> None:
    """A task's id leads to its address, with the same split and digest in every environment, and to its content."""
    env, other = case.factory(), case.factory()
    for split in env.tasks.splits:
        for task_id in sampled(env.tasks.ids(split), SAMPLE // 5):
            ref = env.tasks.ref(task_id)
            require(isinstance(ref, TaskRef), f"tasks.ref({task_id!r}) returned {ref!r}.")
            require((ref.id, ref.split) == (task_id, split), f"tasks.ref({task_id!r}) of split {split!r} is {ref}.")
            there = other.tasks.ref(task_id)
            require(ref == there, f"tasks.ref({task_id!r}) is {ref} in one environment and {there} in another.")
            require(pickle.loads(pickle.dumps(ref)) == ref, f"{ref} does not survive pickling.")
            require(env.tasks.load(task_id) is not None, f"tasks.load({task_id!r}) returned None.")


@law
def check_disjoint_splits(case: Case) -> None:
    """No task is in two splits, neither by id nor by content, and no id is listed twice."""
    home: dict[str, TaskRef] = {}
    for split in case.env.tasks.splits:
        ids = sampled(case.env.tasks.ids(split), SAMPLE)
        require(len(set(ids)) == len(ids), f"The split {split!r} lists an id twice.")
        for ref in map(case.env.tasks.ref, ids):
            for name in (f"id {ref.id}", f"content {ref.digest}"):
                first = home.setdefault(name, ref)
                require(first.split == ref.split, f"{first} and {ref} have the same {name.split()[0]}.")


@law
def check_unknown_task(case: Case) -> None:
    """An unknown task or split raises TaskNotFoundError, naming it and what is near."""
    env = case.factory()
    known = env.tasks.ids(env.split)[0]
    calls = {
        f"{known}~": lambda: env.tasks.ref(f"{known}~"),
        f"{known}~~": lambda: env.reset(seed=0, options={"task": f"{known}~~"}),
        f"{env.split}~": lambda: env.tasks.ids(f"{env.split}~"),
    }
    for wrong, call in calls.items():
        message = str(require_raises(TaskNotFoundError, call, f"The unknown name {wrong!r}"))
        require(wrong in message, f"The message does not name {wrong!r}: {message}")
        rest = message.replace(wrong, "")
        hint = "did you mean" in rest or "there are" in rest or known in rest
        require(hint, f"The message about {wrong!r} has no hint: {message}")


@law
def check_task_option(case: Case) -> None:
    """``reset(options={"task": …})`` plays that task, given by its id or its TaskRef, of whatever split."""
    env = case.factory()
    for split in env.tasks.splits:
        for task_id in sampled(env.tasks.ids(split), 3):
            ref = env.tasks.ref(task_id)
            for task in (task_id, ref):
                _, info = env.reset(seed=0, options={"task": task})
                require(info["task_id"] == task_id, f"reset with task {task!r} played {info['task_id']!r}.")
                require(env.task == ref, f"reset with task {task!r}: env.task is {env.task}, not {ref}.")


def _tasks_to_solve(case: Case) -> Iterator[Episode]:
    """Begin each episode of the case, and one for some tasks of every split."""
    yield from case.episodes()
    if case.tasks is None:
        for split in case.env.tasks.splits:
            for task_id in sampled(case.env.tasks.ids(split), 3):
                yield Episode(case.env, 0, {"task": task_id})


@law
def check_solution(case: Case) -> None:
    """``solution`` wins every task from its start, within ``max_turns``, with actions that are all valid."""
    for episode in _tasks_to_solve(case):
        solution = episode.env.solution()
        if solution is None:
            episode.require(False, "There is no solution of this task, from its very start: draw others.")
            continue
        limit = episode.env.max_turns
        episode.require(limit is None or len(solution) <= limit, f"The solution is longer than {limit=}: {solution}.")
        _require_win(episode, solution)


@law
def check_solution_anywhere(case: Case) -> None:
    """``solution`` wins from wherever random play has led, or says that nothing does; then nothing will."""
    for episode in case.episodes(case.factory()):
        limit, episode.env.max_turns = episode.env.max_turns, None
        is_dead_end = False
        for _ in range(3):
            episode.wander(max(1, case.turns // 3))
            won = episode.frames[-1].facts["success"]
            episode.require(not (is_dead_end and won), "Solved, though there was said to be no solution.")
            if episode.ended:
                break
            solution = episode.env.solution()
            episode.require(solution is None or not is_dead_end, "A solution, though there was said to be none.")
            is_dead_end = solution is None
            if solution and case.env.snapshot_level is not SnapshotLevel.NONE:
                _require_win(episode.fork(), solution)
        if not (episode.ended or is_dead_end):
            _require_win(episode, episode.env.solution() or [])
        episode.env.max_turns = limit


def _require_win(episode: Episode, solution: list[str]) -> None:
    since = len(episode.actions)
    last = episode.play(solution).frames[-1]
    facts = last.facts
    won = last.terminated and facts["success"] and facts.get("outcome") is Outcome.SUCCESS
    episode.require(won, f"The solution {solution} from turn {since} did not win: {facts}.")
    episode.require(len(episode.actions) - since == len(solution), f"The solution {solution} went on after it won.")
    invalid = [frame for frame in episode.frames[since + 1 :] if not frame.facts["action_valid"]]
    episode.require(not invalid, f"The solution {solution} has actions that are not valid.")


@law
def check_solution_leaves_no_trace(case: Case) -> None:
    """Asking for the ``solution`` changes nothing."""
    env = case.factory()
    for episode in case.episodes():
        frames = episode.wander(case.turns).frames
        asked = Episode(env, episode.seed, episode.options)
        for action in episode.actions:
            asked.env.solution()
            asked.play([action])
        asked.require_same(frames, 0, "Asked for solution() before every turn against never asked")


@law
def check_expert(case: Case) -> None:
    """``expert`` answers with a string, or with None where it gives up; the same generator makes the same expert."""
    env = case.factory()
    for seed, options in case.starts():
        plays = []
        for _ in range(2):
            episode = Episode(env, seed, options)
            act = env.expert(episode.rng)
            for _ in range(case.turns):
                if episode.ended:
                    break
                frame = episode.frames[-1]
                action = act(frame.observation, frame.facts)  # type: ignore[arg-type]
                if action is None:
                    episode.require(episode.actions, "The expert gave up before its first action.")
                    break
                episode.require(isinstance(action, str), f"The expert answered {action!r}, not a string.")
                episode.step(action)
            plays.append(episode)
        plays[0].require_same(plays[1].frames, 0, "Two experts with equal generators")
