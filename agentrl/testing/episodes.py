"""Laws of a single episode: types, info, actions, order of calls, endings."""

import pickle
from typing import Any

from agentrl.env import Outcome, SnapshotLevel
from agentrl.errors import OrderError
from agentrl.testing.case import NONSENSE, Case, ContractError, Episode, Frame, law, require, require_raises


@law
def check_reset(case: Case) -> None:
    """``reset`` returns a string and an info without ``action_valid`` and ``outcome``: nothing was done yet."""
    for seed, options in case.starts():
        answer = case.env.reset(seed=seed, options=options)
        require(isinstance(answer, tuple) and len(answer) == 2, f"reset(seed={seed}) returned {answer!r}.")
        observation, info = answer
        require(isinstance(observation, str), f"reset(seed={seed}) gave the observation {observation!r}, not a string.")
        require(isinstance(info, dict), f"reset(seed={seed}) gave the info {info!r}, not a dict.")
        early = {"action_valid", "outcome", "outcome_reason"} & set(info)
        require(not early, f"The info of reset(seed={seed}) already has {sorted(early)}.")


@law
def check_step(case: Case) -> None:
    """``step`` returns (str, float, bool, bool, dict), and terminated and truncated are never both true."""
    for episode in case.episodes():
        for _ in range(case.turns):
            if episode.ended:
                break
            frame = episode.step(episode.draw_action(episode.rng))
            types = type(frame.observation), type(frame.reward), type(frame.terminated), type(frame.truncated)
            names = [kind.__name__ for kind in types]
            episode.require(types == (str, float, bool, bool), f"The last step returned the types {names}.")
            both = frame.terminated and frame.truncated
            episode.require(not both, "The last step both terminated and truncated the episode.")


@law
def check_info(case: Case) -> None:
    """``info`` has the documented keys with the documented types, and an outcome exactly when the episode has ended."""
    for episode in case.episodes():
        episode.wander(case.turns)
        assert case.env.task is not None
        for turn, frame in enumerate(episode.frames):
            for complaint in _complaints(frame, case.env.task.id, first=turn == 0):
                episode.require(False, f"After turn {turn}, info{complaint}.")
            answers = [one.facts.get("answer") for one in (episode.frames[0], frame)]
            episode.require(
                answers[0] == answers[1], f"The answer is {answers[0]!r}, after turn {turn} {answers[1]!r}."
            )


def _complaints(frame: Frame, task_id: str, *, first: bool) -> list[str]:
    """Return what is wrong with the info of ``frame``, each to be read after the word "info"."""
    info: dict[str, Any] = frame.facts
    actions = info.get("admissible_actions", ())
    listed = isinstance(actions, list) and all(isinstance(action, str) for action in actions)
    score = info.get("score")
    tests = {
        f"['task_id'] is not {task_id!r}, the task that is played": info.get("task_id") == task_id,
        "['anchor_key'] is missing": "anchor_key" in info,
        f"['admissible_actions'] is neither None nor a list of strings: {actions!r}": actions is None or listed,
        "['admissible_actions'] lists an action twice": not listed or len(set(actions)) == len(actions),
        f"['score'] is not a float from 0 to 1: {score!r}": isinstance(score, float) and 0 <= score <= 1,
        "['success'] is not a bool": isinstance(info.get("success"), bool),
        "['action_valid'] is not a bool": first or isinstance(info.get("action_valid"), bool),
        f"['outcome'] is {info.get('outcome')!r} though ended is {frame.ended}": ("outcome" in info) == frame.ended,
        "['outcome'] is not an Outcome": isinstance(info.get("outcome", Outcome.SUCCESS), Outcome),
        "['outcome_reason'] is not a string": isinstance(info.get("outcome_reason", ""), str),
        "['answer'] is not a text": isinstance(info.get("answer", "none"), str) and info.get("answer", "none") != "",
        "['success'] contradicts info['outcome']": (info.get("outcome") is Outcome.SUCCESS) == info.get("success"),
    }
    return [complaint for complaint, holds in tests.items() if not holds]


@law
def check_any_string(case: Case) -> None:
    """Any string is an action: nonsense never raises, and where actions are listed it is answered as not valid."""
    for episode in case.episodes():
        for action in NONSENSE:
            if episode.ended:
                break
            listed = episode.frames[-1].facts["admissible_actions"]
            try:
                frame = episode.step(action)
            except Exception as error:
                message = f"step({ascii(action)[:60]}) raised {error!r}.\n  To see it: {episode.script()}"
                raise ContractError(message) from error
            nonsense = listed is not None and action.strip() not in listed
            valid = frame.facts.get("action_valid")
            episode.require(not (nonsense and valid), "The last action is not possible, yet action_valid is True.")


@law
def check_admissible(case: Case) -> None:
    """Every action listed in ``admissible_actions`` is possible: taking it is answered with action_valid True."""
    for episode in case.episodes():
        for _ in range(min(case.turns, 10)):
            listed = list(episode.frames[-1].facts["admissible_actions"] or ())
            if episode.ended or not listed:
                break
            episode.rng.shuffle(listed)
            if case.env.snapshot_level is not SnapshotLevel.NONE:
                for action in listed[1:8]:
                    _take_listed(episode.fork(), action)
            _take_listed(episode, listed[0])


def _take_listed(episode: Episode, action: str) -> None:
    valid = episode.step(action).facts.get("action_valid")
    episode.require(valid is True, f"{action!r} was listed as admissible, and answered with action_valid {valid}.")


@law
def check_order(case: Case) -> None:
    """Stepping before ``reset``, after the end or after ``close`` raises OrderError; what is no string, TypeError."""
    env = case.factory()
    require_raises(OrderError, lambda: env.step("look"), "step() before reset()")
    require_raises(OrderError, env.solution, "solution() before reset()")
    env.max_turns = 1
    episode = Episode(env, *case.starts()[0])
    require_raises(TypeError, lambda: env.step(None), "step(None)")  # type: ignore[arg-type]
    episode.step(NONSENSE[4])
    episode.require(episode.ended, "max_turns was set to 1, and the episode goes on after the first turn.")
    require_raises(OrderError, lambda: env.step("look"), "step() after the end of the episode")
    require(env.solution() == [], "solution() after the end of the episode is not empty.")
    env.close()
    env.close()
    require_raises(OrderError, lambda: env.step("look"), "step() after close()")
    require_raises(OrderError, lambda: env.reset(seed=0), "reset() after close()")


@law
def check_turn_limit(case: Case) -> None:
    """The episode is truncated after exactly ``max_turns`` actions, with the outcome TRUNCATED."""
    env = case.factory()
    env.max_turns = 3
    for episode in case.episodes(env):
        episode.play([NONSENSE[4]] * 4)
        last = episode.frames[-1]
        if not last.terminated:
            turns = len(episode.actions)
            episode.require(last.truncated and turns == 3, f"max_turns is 3; the episode was truncated after {turns}.")
            outcome = last.facts.get("outcome")
            episode.require(outcome is Outcome.TRUNCATED, f"The episode was truncated with the outcome {outcome!r}.")


@law
def check_last_turn(case: Case) -> None:
    """A task solved on the very last turn is solved, not truncated."""
    env = case.factory()
    for episode in case.episodes(env):
        solution = env.solution() or []
        env.max_turns = len(solution)
        last = episode.play(solution).frames[-1]
        kept = last.terminated and last.facts.get("outcome") is Outcome.SUCCESS
        episode.require(kept, f"max_turns is {len(solution)}, as long as the solution, which ended in {last.facts}.")
        env.max_turns = None


@law
def check_render(case: Case) -> None:
    """``render`` returns a string in mode ``ansi`` and None without a mode."""
    env = case.factory()
    for mode, kind in (("ansi", str), (None, type(None))):
        env.render_mode = mode
        for episode in case.episodes(env):
            picture = episode.wander(2).env.render()
            episode.require(isinstance(picture, kind), f"render() in mode {mode!r} returned {picture!r}.")


@law
def check_anchor_key_type(case: Case) -> None:
    """``anchor_key`` can be hashed and pickled, comes back equal, and its ``repr`` names no memory address."""
    for episode in case.episodes():
        for frame in episode.wander(case.turns).frames:
            key = frame.facts["anchor_key"]
            copy = pickle.loads(pickle.dumps(key))
            same = copy == key and hash(copy) == hash(key) and " at 0x" not in repr(key)
            episode.require(same, f"The key {key!r} is, after pickling, another.")
