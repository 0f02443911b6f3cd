"""Anchor digests."""

import subprocess
import sys

import pytest

from agentrl.rollout import anchor_digest

KEYS = [0, 1, "0", "", (0, 1), (0, "1"), ((0,), 1), frozenset({1, 2}), frozenset({12}), (frozenset(), 1), None, b"0"]


def test_digests_are_equal_iff_keys_are() -> None:
    assert len({anchor_digest(key) for key in KEYS}) == len(KEYS)
    assert all(anchor_digest(key) == anchor_digest(key) for key in KEYS)


def test_odd_strings_have_digests() -> None:
    assert anchor_digest("\ud800") != anchor_digest("\ud801")


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_digests_do_not_depend_on_the_process(hash_seed: str) -> None:
    key = "('room', frozenset({'apple', 'pear', 'plum', 'fig', ('nested', frozenset({'a', 'b', 'c'}))}))"
    code = f"from agentrl.rollout.record import anchor_digest; print(anchor_digest({key}))"
    env = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
    printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == anchor_digest(eval(key))
