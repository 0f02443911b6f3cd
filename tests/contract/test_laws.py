"""The laws hold for a right world, whatever it can do, and each finds the world that breaks it."""

import functools

import pytest

from agentrl import TextEnv, testing
from agentrl.errors import ConfigError
from agentrl.testing import LAWS, Case, ContractError, Law, check_env, contract
from agentrl.testing import case as case_module
from tests.contract import toy

BROKEN: list[tuple[str, type[TextEnv]]] = [
    ("reset", toy.OutcomeAtReset),
    ("step", toy.IntegerReward),
    ("info", toy.ScoreOfTwo),
    ("info", toy.ListedTwice),
    ("info", toy.AnswersTwice),
    ("info", toy.AnswersNothing),
    ("any_string", toy.ChokesOnEmpty),
    ("any_string", toy.SwallowsNonsense),
    ("admissible", toy.ListsTheImpossible),
    ("order", toy.NeverEnds),
    ("turn_limit", toy.NonsenseIsFree),
    ("last_turn", toy.TruncatesTheWinner),
    ("render", toy.Invisible),
    ("same_seed", toy.Remembers),
    ("seed_draws_task", toy.AlwaysTheFirst),
    ("other_process", toy.HashOrder),
    ("independence", toy.SharedState),
    ("global_rng", toy.ReadsGlobalRng),
    ("global_rng", toy.SeedsGlobalRng),
    ("anchor_key_type", toy.KeyWithAddress),
    ("anchor_key_type", toy.UnhashableKey),
    ("equal_keys", toy.CoarseKey),
    ("equal_states", toy.KeyWithClock),
    ("snapshot_level", toy.RestoresAnything),
    ("restore", toy.Forgets),
    ("restore", toy.LiveState),
    ("restore_elsewhere", toy.StateInDrawer),
    ("restore_end", toy.RevivesTheDead),
    ("fork", toy.ForkIsSelf),
    ("fork", toy.LiveState),
    ("branch", toy.LiveState),
    ("splits", toy.EmptySplit),
    ("task_ids", toy.MisplacedTask),
    ("disjoint_splits", toy.Overlap),
    ("unknown_task", toy.StopIterationForUnknown),
    ("task_option", toy.IgnoresTheTask),
    ("solution", toy.WrongWay),
    ("solution", toy.Detour),
    ("solution", toy.Unsolved),
    ("solution", toy.Hopeless),
    ("solution_anywhere", toy.Despairs),
    ("solution_anywhere", toy.SolvesTheStartOnly),
    ("solution_leaves_no_trace", toy.SolvesInPlace),
    ("expert", toy.Speechless),
    ("text", toy.HalfACharacter),
    ("text", toy.Flood),
    ("surroundings", toy.MovesAway),
    ("surroundings", toy.TurnsGradientsOff),
    ("leaks", toy.LeavesFilesOpen),
    ("leaks", toy.LeavesAThread),
    ("leaks", toy.Hoards),
    ("step", toy.Exits),
]


def law_named(name: str) -> Law:
    return {law.__name__: law for law in LAWS}[f"check_{name}"]


@pytest.mark.parametrize("kind", [toy.Line, toy.Cliff, toy.Replayed, toy.Unbranched, toy.Unlisted])
def test_a_right_world_keeps_every_law(kind: type[TextEnv]) -> None:
    check_env(kind, seeds=(0, 1))


def test_given_tasks_are_played() -> None:
    case = Case(toy.Line, seeds=(3,), tasks=["valid/4", "train/2"])
    assert [episode.frames[0].facts["task_id"] for episode in case.episodes()] == ["valid/4", "train/2"]


@pytest.mark.parametrize(("name", "kind"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_each_law_finds_its_culprit(name: str, kind: type[TextEnv]) -> None:
    with pytest.raises(ContractError) as caught:
        law_named(name)(Case(kind))
    law, sentence, *details = str(caught.value).replace(": ", "\n", 1).splitlines()
    assert law == f"broken law check_{name}"
    assert sentence == (law_named(name).__doc__ or "").splitlines()[0]
    assert details


def test_the_kit_does_not_hang_with_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_module, "LIMIT_S", 0.5)
    monkeypatch.setattr(case_module, "AGAIN_LIMIT_S", 0.1)
    case = Case(toy.Hangs)
    for name, seconds in (("step", "0.5"), ("info", "0.1")):
        with pytest.raises(ContractError, match=f"no end within {seconds} s: does it hang"):
            law_named(name)(case)


def test_every_law_has_a_culprit() -> None:
    assert {f"check_{name}" for name, _ in BROKEN} == {law.__name__ for law in LAWS}


def test_the_kit_lists_every_check_that_it_exports() -> None:
    checks = {name for name in vars(testing) if name.startswith("check_")} - {"check_env"}
    assert checks == {law.__name__ for law in LAWS}
    assert len(contract().splitlines()) == len(LAWS)


def test_check_env_reports_every_broken_law() -> None:
    with pytest.raises(ContractError) as caught:
        check_env(toy.WrongWay, seeds=(0,))
    broken = [line.split(":")[0].split()[-1] for line in str(caught.value).splitlines() if line.startswith("broken")]
    assert broken == ["check_last_turn", "check_restore_end", "check_solution", "check_solution_anywhere"]


def test_a_message_shows_how_to_see_it() -> None:
    with pytest.raises(ContractError) as caught:
        testing.check_equal_keys(Case(toy.CoarseKey))
    one, two = (line.split(": ", 1)[1] for line in str(caught.value).splitlines()[-2:])
    keys = []
    for script in (one, two):
        env = toy.CoarseKey(max_turns=None)
        exec(script, {"env": env})
        keys.append((env._anchor_key(), env.at))
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]


def test_a_factory_that_cannot_travel_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"functools\.partial"):
        testing.check_other_process(Case(lambda: toy.Line()))
    testing.check_other_process(Case(functools.partial(toy.Line, max_turns=9)))
