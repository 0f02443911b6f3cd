"""The public code's rounds, against runs worked out by hand. Ids are code points; with V = 2, E counts coin flips."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from agentrl.errors import ConfigError
from agentrl.rollout.branching.authors import AuthorsOptions, AuthorsRollout, Row, Segment, branch_score

EOS = 0
SURE, FLIP = [0.0], [math.log(0.5)] * 2


def ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def say(text: str, flips: int = 0) -> Segment:
    """A segment with ``flips`` uncertain tokens; "." at its end ends the message, "~" cuts it for length."""
    body = ids(text.rstrip("~.")) + [EOS] * text.endswith(".")
    stop = None if text.endswith("~") else "" if text.endswith(".") else text[text.rindex("</") :]
    return Segment(body, [FLIP] * flips + [SURE] * (len(body) - flips), stop)


class Replay:
    """Plays a script of rounds, in which rows beyond it say "z.", and keeps what was asked."""

    def __init__(self, *rounds: list[Segment], draws: Sequence[float] = (), results: dict[str, str] | None = None):
        self.rounds: Iterator[list[Segment]] = iter(rounds)
        self.waiting: Iterator[float] = iter(draws)
        self.results = results
        self.asked: list[tuple[list[str], int]] = []

    def generate(self, rows: list[list[int]], max_tokens: int) -> list[Segment]:
        self.asked.append((["".join(map(chr, row)) for row in rows], max_tokens))
        said = next(self.rounds, [])
        assert len(said) <= len(rows)
        return said + [say("z.")] * (len(rows) - len(said))

    def tool(self, tag: str, content: str) -> str:
        return content.upper() if self.results is None else self.results[content]

    def rollout(self, **options: Any) -> AuthorsRollout:
        settings = AuthorsOptions(**{"n": 3, "initial": 1, "response_length": 100, "tags": ("a",)} | options)
        draw: Callable[[], float] = lambda: next(self.waiting)  # noqa: E731
        decode = lambda row: "".join(map(chr, row))  # noqa: E731
        return AuthorsRollout(settings, self.generate, self.tool, draw, ids, decode, vocab_size=2, eos_id=EOS)


def text(row: Row) -> str:
    return "".join(map(chr, row.ids))


RESULT = " <result>\n{}\n</result>".format


def test_three_rounds_by_hand() -> None:
    replay = Replay(
        [say("<a>x</a>", 1)],
        [say("<a>y</a>", 3), say("no.", 2)],
        [say("end.", 0), say("fin.", 1)],
        draws=[0.5, 0.85],
    )
    rollout = replay.rollout()
    [rows] = rollout.run([ids("Q")])
    x, y = RESULT("X"), RESULT("Y")
    first = "<a>x</a>" + x
    assert [text(row) for row in rows] == [
        f"{first}<a>y</a>{y}end\0",
        f"{first}no\0",
        f"{first}<a>y</a>{y}fin\0",
    ]
    assert [(row.parent, row.born, row.calls) for row in rows] == [
        (None, 0, 2),
        (0, len(first), 1),
        (0, len(first + "<a>y</a>" + y), 2),
    ]
    ones = [1] * 8 + [0] * len(x)
    assert [row.mask for row in rows] == [
        [*ones, *[1] * 8, *[0] * len(y), 1, 1, 1, 1],
        [*ones, 1, 1, 1],
        [*ones, *[1] * 8, *[0] * len(y), 1, 1, 1, 1],
    ]
    # The first draw sees ΔE = 0, though the reply is there already; the second E of the segment with the call, 3 - 1.
    assert [(d.round, d.source, d.delta, d.branched) for d in rollout.draws] == [(0, 0, 0.0, True), (1, 0, 2.0, True)]
    assert rollout.draws[1].score == pytest.approx(0.85 - 0.2 * 2)
    assert rollout.initial_entropy == {0: 1.0, 1: 2.0, 2: 1.0}
    assert [asked for asked, _ in replay.asked] == [["Q"], ["Q" + first] * 2, [f"Q{first}<a>y</a>{y}"] * 2]
    # The largest budget left, here that of row 0 and its copies.
    assert [limit for _, limit in replay.asked] == [100, 100 - len(first), 100 - len(first + "<a>y</a>" + y)]


def test_initial_entropies_outlive_the_batch() -> None:
    replay = Replay([say("a.", 2)], [say("<a>x</a>", 1)], [say("b.", 0)], draws=[0.9])
    rollout = replay.rollout(n=1)
    rollout.run([ids("Q")])
    rollout.options = AuthorsOptions(n=2, initial=1, response_length=100, tags=("a",))
    replay.rounds = iter([[say("<a>x</a>", 1)], [say("b.")], [say("c.")]])
    rollout.run([ids("R")])
    [draw] = rollout.draws
    assert draw.delta == -1.0 and draw.score == pytest.approx(1.0) and not draw.branched
    assert rollout.initial_entropy[0] == 2.0


def test_prompts_without_active_rows_get_one_row_a_round() -> None:
    replay = Replay([say("a."), say("b.")], [say("c."), say("d.")], [say("e."), say("f.")], [say("g."), say("h.")])
    rows = replay.rollout(n=4).run([ids("P"), ids("Q")])
    assert [[text(row) for row in group] for group in rows] == [[f"{c}\0" for c in "aceg"], [f"{c}\0" for c in "bdfh"]]
    assert [len(asked) for asked, _ in replay.asked] == [2, 2, 2, 2]


def test_prompts_branch_in_the_order_of_their_first_active_row() -> None:
    replay = Replay(
        [say("<a>p</a>"), say("<a>q</a>")],
        [say("p."), say("<a>q</a>"), say("<a>r</a>")],  # the branch of P, row 2, is active after Q's row 1
        draws=[0.1, 0.9, 0.1, 0.2],
    )
    rollout = replay.rollout(n=3)
    rollout.run([ids("P"), ids("Q")])
    assert [(d.prompt, d.source) for d in rollout.draws[:4]] == [(0, 0), (1, 1), (1, 1), (0, 2)]
    assert [row.parent for row in rollout.rows[:5]] == [None, None, 0, 1, 2]


def test_failed_draws_are_not_repeated_and_slots_are_those_left() -> None:
    replay = Replay([say("<a>x</a>")] * 2, draws=[0.9, 0.1, 0.1, 0.7])
    rollout = replay.rollout(n=5, initial=2, beam=3)
    rollout.run([ids("Q")])
    assert [(d.source, d.branched) for d in rollout.draws] == [(0, False), (0, True), (1, True), (1, False)]
    replay = Replay([say("<a>x</a>")] * 2, draws=[0.1])
    assert len(replay.rollout(n=3, initial=2, beam=3).run([ids("Q")])[0]) == 3


def test_how_rows_end() -> None:
    replay = Replay(
        [say("<a> </a>"), say("<a>x</a>"), say("<a>bad</a>"), say("long~")],
        [say("<a>y</a>"), say("ok.")],
        results={"x": "1", "bad": "", "y": "2"},
    )
    [rows] = replay.rollout(n=4, initial=4, call_limit=1, response_length=50).run([ids("Q")])
    assert text(rows[0]) == "<a> </a>" and rows[0].calls == 1  # an empty input ends the row, without its end
    assert text(rows[1]) == "<a>x</a>" + RESULT("1") + "<a>y</a>\0" and rows[1].mask[-1] == 1
    # "Tool(a) returned empty output." overruns the budget: the row is dropped, and cut at the end.
    assert text(rows[2]) == ("<a>bad</a>" + RESULT("Tool(a) returned empty output."))[:50]
    assert len(rows[2].mask) == 50
    assert text(rows[3]) == "longok\0"


def test_aepo_counts_rounds_per_prompt() -> None:
    call = say("<a>x</a>")
    replay = Replay(
        *([call] * count for count in (2, 3, 4, 5, 5)),
        draws=[*(0.6, 0.2), *(0.2, 0.2, 0.9), *(0.2, 0.2, 0.52, 0.55), *[0.1] * 10],
    )
    rollout = replay.rollout(n=4, algorithm="aepo", response_length=1000, call_limit=9)
    rollout.run([ids("P"), ids("Q")])
    penalty = {(d.round, d.prompt): round(d.score / d.uniform, 6) for d in rollout.draws}
    # P branches in round 0, Q in rounds 1 and 2; in round 3 nobody does, and both counts stay.
    assert [penalty[number, 0] for number in range(5)] == [1.0, 0.95, 1.0, 1.0, 1.0]
    assert [penalty[number, 1] for number in range(5)] == [1.0, 1.0, 0.95, 0.9, 0.9]
    assert [d.branched for d in rollout.draws] == [True, False] + [False, False, True] + [False] * 3 + [True] + [
        False
    ] * 10


def test_aepo_allots_by_two_looks_that_are_thrown_away() -> None:
    replay = Replay(
        [say("probe~", 5)],
        [say("<a>x</a>", 1)],
        [say("end.", 2)],
    )
    rollout = replay.rollout(n=10, algorithm="aepo", dynamic=True)
    [rows] = rollout.run([ids("Q")])
    initial = int(10 / (1 + math.exp(-0.5 * (5 - 1.5)))) + 1
    assert initial == 9
    assert replay.asked[0] == (["Q"], 50)
    assert len(replay.asked[3][0]) == initial
    assert len(rows) == 10


@pytest.mark.parametrize(
    ("algorithm", "uniform", "delta", "streak", "score", "branched"),
    [
        ("arpo", 0.5, 0.0, 0, 0.5, True),
        ("arpo", 0.5001, 0.0, 0, 0.5001, False),
        ("arpo", 0.1, 3.0, 0, 0.0, True),
        ("arpo", 0.9, -3.0, 0, 1.0, False),
        ("aepo", 0.5, 0.0, 0, 0.5, True),
        ("aepo", 0.49, 0.0, 0, 0.49, False),
        ("aepo", 0.9, 1.0, 10, 0.55, True),
        ("aepo", 1.0, 0.0, 30, 0.0, False),
    ],
)
def test_scores(algorithm: Any, uniform: float, delta: float, streak: int, score: float, branched: bool) -> None:
    got, did = branch_score(AuthorsOptions(algorithm=algorithm), uniform, delta, streak)
    assert got == pytest.approx(score) and did is branched


def test_entropy_is_truncated_summed_and_not_renormalised() -> None:
    rollout = Replay().rollout()
    top = [[math.log(0.3), math.log(0.2), math.log(0.1)]] * 25
    expected = -20 * sum(p * math.log(p) for p in (0.3, 0.2, 0.1)) / math.log(2)
    assert rollout.entropy(Segment([1] * 25, top, "")) == pytest.approx(expected)
    assert rollout.entropy(Segment([1] * 3, [], "")) == 0.0


def test_greedy_decoding_plays_one_row() -> None:
    replay = Replay([say("<a>x</a>")], [say("z.")])
    [rows] = replay.rollout(sampling=False).run([ids("Q")])
    assert len(rows) == 1
    with pytest.raises(ConfigError, match="AEPO's"):
        AuthorsOptions(dynamic=True)
