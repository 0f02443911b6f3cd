"""A run whose groups fork inside turns: sampled, stored, scored by the tree update, and the same if interrupted."""

from pathlib import Path
from typing import Any

import pytest

from agentrl.store import load_trajectories
from agentrl.trainer.loop import run_training
from tests.agentrl.trainer.tiny import assert_same_run, records, run_in_two_parts, tiny_config

# Turns have a few tokens: one other word before the end of the message is pruned, other ends and lengths stay.
SAMPLER = {
    "name": "latr",
    "tau_abs": 0.01,
    "tau_rel": 1.0,
    "lookahead": [2],
    "suffix_match": 0.4,
    "short": "compare",
}
CHANGES: dict[str, Any] = {
    "algorithm": {"name": "latr"},
    "rollout": {"sampler": SAMPLER},
    "warm_start": {"steps": 20},
    "eval": {"tasks": 1},
    "run": {"iterations": 2, "checkpoint_every": 1, "save_trajectories_every": 1},
}


def test_two_iterations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_training(tiny_config(whole, **CHANGES)) == 0
    run_in_two_parts(parts, monkeypatch, 1, **CHANGES)
    assert_same_run(whole, parts)
    rows = [row for row in records(whole) if row["stage"] == "reinforce"]
    assert len(rows) == 2
    assert all(row["engine/mismatch"] < 1e-5 for row in rows), "what was sampled or forced is scored as recorded"
    assert all(row["forest/num_branches"] > 0 for row in rows)
    members = [one for path in sorted(whole.glob("trajectories/*")) for one in load_trajectories(path)]
    notes = [one.extra["branching"] for one in members]
    assert sum(note["group"]["pruned"] for note in notes) > 0
    assert any(note["token"] is not None for note in notes)
