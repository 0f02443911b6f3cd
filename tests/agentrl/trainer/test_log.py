"""What a run writes down."""

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agentrl.trainer.config import parse_config
from agentrl.trainer.log import RunLog, read_metrics
from tests.agentrl.trainer.tiny import tiny_config


def test_records(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    log = RunLog(tmp_path / "run")
    log.begin(config)
    log.record("warm_start", 10, {"loss": 0.5})
    log.record("reinforce", 1, {"success": 0.25, "loss": -0.125})
    log.close()
    assert read_metrics(tmp_path / "run") == [
        {"stage": "warm_start", "index": 10, "loss": 0.5},
        {"stage": "reinforce", "index": 1, "success": 0.25, "loss": -0.125},
    ]
    assert log.num_records == 2
    assert parse_config(yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())) == config
    versions = json.loads((tmp_path / "run" / "versions.json").read_text())
    assert versions["packages"]["torch"].startswith("2.") and len(versions["git_commit"]) in (0, 40)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["reinforce/loss", "reinforce/success", "warm_start/loss"]
    [event] = events.Scalars("reinforce/success")
    assert (event.step, event.value) == (1, 0.25)


@pytest.mark.parametrize("kept", [0, 2, 3])
def test_resumption_forgets_what_came_after_the_checkpoint(tmp_path: Path, kept: int) -> None:
    first = RunLog(tmp_path)
    first.begin(tiny_config(tmp_path))
    for index in (1, 2, 3):
        first.record("reinforce", index, {"success": index / 4})
    first.close()
    second = RunLog(tmp_path)
    second.begin(tiny_config(tmp_path), kept)
    assert second.num_records == kept
    second.record("reinforce", kept + 1, {"success": 1.0})
    second.close()
    assert [record["index"] for record in read_metrics(tmp_path)] == list(range(1, kept + 2))


def test_a_half_written_line_is_dropped(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text('{"stage": "eval", "index": 0}\n{"stage": "ev')
    assert read_metrics(tmp_path) == [{"stage": "eval", "index": 0}]


def test_lines_are_printed_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    log = RunLog(tmp_path, Console(file=text, markup=False, highlight=False, width=20))
    log.say("KeyError: '[/red]' in a long path /a/b/c/d/e/f")
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    log.progress("one")
    now[0] += 1
    log.progress("too soon")
    log.progress("forced", force=True)
    now[0] += 6
    log.progress("two")
    assert text.getvalue().splitlines() == ["KeyError: '[/red]' in a long path /a/b/c/d/e/f", "one", "forced", "two"]
