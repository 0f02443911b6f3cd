"""The viewer: lanes without crossings, a page that is well formed and harmless, pictures, and clear refusals."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from agentrl import credit
from agentrl.cli import main
from agentrl.env import Outcome
from agentrl.errors import DataError
from agentrl.store import TrajectoryStore
from agentrl.trainer.credit import turn_table
from agentrl.types import Trajectory
from agentrl.viewer.colours import ENTROPY_STOPS, INK, OUTCOME_COLOURS, entropy_colour, most_entropy
from agentrl.viewer.layout import lay_out
from agentrl.viewer.page import write_page
from agentrl.viewer.picture import draw_forest
from agentrl.viewer.run import view_run
from tests.agentrl.rollout.forests import family, path, random_forest


@pytest.fixture
def trees() -> list[Trajectory]:
    """The family with rewards, outcomes, an invalid action and text that HTML must not take for its own."""
    members = family()
    for number, member in enumerate(members):
        member.outcome = Outcome.SUCCESS if number % 2 else Outcome.FAILURE
        member.success = bool(number % 2)
        member.turns[-1].reward = float(number % 2)
        member.turns[-1].mean_entropy = 0.5 * number
    members[0].turns[3].observation = "<script>alert('&')</script>"
    members[1].turns[3].action_valid = False
    return members


@pytest.fixture
def run(tmp_path: Path, trees: list[Trajectory]) -> Path:
    """A run with one branched group, one plain one and an accident; GRPO."""
    plain, lost = path("p/0", "xy"), path("p/0", "x")
    plain.group = lost.group = "plain"
    lost.outcome, lost.outcome_reason = Outcome.ENV_ERROR, "KeyError in turn 1"
    store = TrajectoryStore(tmp_path / "run" / "trajectories")
    store.write(2, trees[:1])
    store.write(7, [lost, *trees, plain])
    config = {"env": {"id": "agentrl/Maze-v0"}, "algorithm": {"name": "grpo"}}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "run"


# -- lanes -------------------------------------------------------------------------------------------------------------


def test_branches_lie_below_their_parent_the_latest_nearest() -> None:
    layout = lay_out(family())
    assert layout.rows == (0, 1, 2, 3, 4.4)
    assert (layout.num_columns, layout.height) == (4, 5.4)
    found = {line.turn.action: (line.turn.index, line.from_row, line.row) for line in layout.lines if line.row < 4}
    assert found == {
        "a": (0, 0, 0),
        "b": (1, 0, 0),
        "c": (2, 0, 0),
        "d": (3, 0, 0),
        "e": (2, 0, 1),
        "f": (3, 1, 1),
        "g": (3, 1, 2),
        "h": (1, 0, 3),
    }
    assert {line.turn.action for line in layout.lines if line.is_branch_point} == set("bhcefg")


def test_states_are_numbered_where_they_were_met_again() -> None:
    layout = lay_out(family())  # a state is its turn number here: turns 0 to 3 were all played more than once
    assert layout.states == {"0": 1, "1": 2, "2": 3, "3": 4}
    alone = lay_out([path("a", "xyz")])
    assert alone.states == {} and [line.state for line in alone.lines] == [None, None, None]


@pytest.mark.parametrize("seed", range(6))
def test_no_line_crosses_another(seed: int) -> None:
    layout = lay_out(random_forest(seed))
    lanes = [row for row in layout.rows if row is not None]
    assert len(set(lanes)) == len(lanes) and max(lanes) < layout.height
    curves = [line for line in layout.lines if line.row != line.from_row]
    assert curves
    for curve in curves:
        assert curve.row > curve.from_row
        between = [line for line in layout.lines if curve.from_row < line.row < curve.row]
        for line in between:
            start = (line.turn.index, line.from_row)
            assert line.turn.index > curve.turn.index or start == (curve.turn.index, curve.from_row)


def test_a_branch_that_never_took_a_turn_has_no_lane() -> None:
    assert lay_out([path("root", "ab"), path("none", "a", "root", 1)]).rows == (0, None)


def test_branches_of_an_absent_parent_part_where_they_did() -> None:
    layout = lay_out([path("x", "abc", "gone", 2), path("y", "ad", "gone", 1)])
    found = {line.turn.action: (line.from_row, line.row, line.multiplicity) for line in layout.lines}
    assert found == {"a": (0, 0, 2), "b": (0, 0, 1), "c": (0, 0, 1), "d": (0, 1, 1)}


# -- colours -----------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2."""
    parts = np.array(list(bytes.fromhex(colour[1:]))) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_entropy_scale_is_ordered_by_lightness_alone() -> None:
    scale = [luminance(entropy_colour(value, 3.0)) for value in np.linspace(0, 3, 40)]
    assert all(a < b for a, b in pairwise(scale))
    assert [entropy_colour(place, 5.0) for place in range(6)] == list(ENTROPY_STOPS)


def test_texts_can_be_read_on_white() -> None:
    for colour in (INK, *OUTCOME_COLOURS.values()):
        assert 1.05 / (luminance(colour) + 0.05) > 4.5, colour


@pytest.mark.parametrize(("entropies", "most"), [([], 1.0), ([0.0], 1.0), ([0.2, 1.234], 1.24), ([1e-6], 0.01)])
def test_the_scale_ends_just_above_the_largest_entropy(entropies: list[float], most: float) -> None:
    assert most_entropy(entropies) == most


# -- the page ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The page's tags, its text, and whether every tag was closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_the_page_is_well_formed_and_needs_nothing_else(tmp_path: Path, trees: list[Trajectory]) -> None:
    write_page(tmp_path / "page.html", trees, title="<Run>", facts={"a & b": "<c>"})
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert page.count("script") == page.count("link") == page.count("img") == 0
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import", text)
    assert "<script>alert('&')</script>" in page.words  # as text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)
    paths = re.search(r'<g fill="none">(.*?)</g>', text, re.DOTALL)
    assert paths and paths[1].count("<path") == 10  # the turns that were played
    assert paths[1].count("stroke-dasharray") == 1
    assert page.count("tr") == len(trees) + 10  # and each is one row of one table, below the headings
    assert text.count('class="ring" r="11.5"') == 3


def test_pages_of_equal_trajectories_are_equal(tmp_path: Path, trees: list[Trajectory]) -> None:
    for name in "ab":
        write_page(tmp_path / name, trees, title="run")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", [], title="run")
    assert "0" in Page((tmp_path / "page.html").read_text()).words


def test_decisions_of_a_sampler_are_in_the_tooltips(tmp_path: Path, trees: list[Trajectory]) -> None:
    trees[0].extra["branching"] = {"decisions": [{"turn": 2, "branches": 1, "score": 0.51, "draws": [0.3]}]}
    write_page(tmp_path / "page.html", trees, title="run")
    assert "sampler: branches 1, score 0.51\n" in (tmp_path / "page.html").read_text()


def test_a_long_episode_gets_narrow_columns_without_actions(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", [path("long", "z" * 40)], title="run")
    drawing = re.search(r'<g class="labels">(.*?)</g>', (tmp_path / "page.html").read_text(), re.DOTALL)
    assert drawing and "<text" not in drawing[1]


# -- a run -------------------------------------------------------------------------------------------------------------


def words(page: Path) -> str:
    return " ".join(" ".join(Page(page.read_text()).words).split())


def test_the_page_of_a_run_shows_its_own_algorithms_advantages(run: Path, trees: list[Trajectory]) -> None:
    assert view_run(run) == [run / "index.html"]
    text = words(run / "index.html")
    assert "run, iteration 7" in text and "agentrl/Maze-v0" in text and "grpo" in text
    for value in np.unique(credit.grpo(turn_table(trees)).round(2)):
        assert f"{value:+.2f}" in text
    assert "is not a verdict (env_error in turn 1): KeyError in turn 1" in text
    assert "Turns 0 to 2 are those of child." in text
    group, other = re.findall(r'<details class="group"( open)?>', (run / "index.html").read_text())
    assert (group, other) == ("", " open")  # the branched one, though the file begins with the other


@pytest.mark.parametrize(
    ("algorithm", "reason"),
    [
        ({"name": "spo"}, "spo remembers earlier iterations"),
        ({"name": "gipgo"}, "unknown algorithm 'gipgo'; did you mean 'gigpo'?"),
        (None, "the run has no config.yaml of this version"),
    ],
)
def test_advantages_that_cannot_be_recomputed_are_left_out_with_the_reason(
    algorithm: dict[str, str] | None, reason: str, run: Path
) -> None:
    (run / "config.yaml").unlink()
    if algorithm is not None:
        (run / "config.yaml").write_text(yaml.safe_dump({"env": {"id": "x"}, "algorithm": algorithm}))
    view_run(run, out=run / "page.html")
    assert f"not shown: {reason}" in words(run / "page.html")


def test_an_older_iteration_and_one_group_can_be_chosen(run: Path) -> None:
    view_run(run, iteration=2)
    assert "iteration 2" in words(run / "index.html")
    for name in ("g", "1"):
        view_run(run, group=name)
        assert "plain" not in words(run / "index.html")


def test_a_picture_has_the_forest_on_it(run: Path) -> None:
    page, picture = view_run(run, png=run / "forest.png")
    assert page.exists() and picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("actions", ["a", "z" * 30])
def test_pictures_of_short_and_long_episodes(actions: str, tmp_path: Path) -> None:
    draw_forest(lay_out([path("one", actions), path("two", actions, "one", 1)]), tmp_path / "x.png", "title")
    assert (tmp_path / "x.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--group", "glain"], "no group 'glain' among 2; did you mean 'plain'?"),
        (["--group", "2"], "no group '2' among 2"),
        (["--iteration", "3"], "iteration 3 of .* is not stored; stored: 2, 7"),
        (["--out", "nowhere/page.html"], "no folder nowhere for page.html"),
    ],
)
def test_what_is_not_there_is_said(
    arguments: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["view", str(run), *arguments])
    assert ended.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_the_command_says_where_the_page_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["view", str(run)])
    assert ended.value.code == 0
    assert f"written: {run / 'index.html'}" in capsys.readouterr().out


def test_accidents_alone_have_no_picture(tmp_path: Path) -> None:
    lost = path("lost", "x")
    lost.outcome = Outcome.INFRA_LOST
    TrajectoryStore(tmp_path / "trajectories").write(0, [lost])
    with pytest.raises(DataError, match="nothing to draw"):
        view_run(tmp_path, png=tmp_path / "x.png")
