"""The database: hashes by the rule and in increments, changes that stay their episode's own."""

import pickle
from typing import Any

import pytest

from agentrl.seeding import generator
from agentrl_envs.toolbox.database import Database, Store, fingerprint


def tables(size: int = 40) -> dict[str, Any]:
    return {
        "b": {f"k{number:03d}": {"x": [number, "it's", {}], "a": None} for number in range(size)},
        "a": {f"é{number:03d}": {"long": "x" * 300, "n": number / 7} for number in range(size)},
    }


def test_hash_of_the_definition() -> None:
    example = {"b": [1, 2.5, "it's"], "a": {}, "c": {"k": None, "j": [True]}}
    assert fingerprint(example) == "0a5b14b9c158e5832e0631139b201a3f505b517902b75dfd806332277b14f549"


@pytest.mark.parametrize("size", [0, 1, 2, 40])
def test_increments_give_the_hash_of_the_whole(size: int) -> None:
    whole, rng = tables(size), generator(0, "changes")
    database = Database(Store(tables(size)))
    assert database.hash() == fingerprint(whole)
    for step in range(30):
        table = "ab"[int(rng.integers(2))]
        new = ["", "~", f"é{step:03d}x", f"k{step:03d}x"][int(rng.integers(4))]
        key = new if not whole[table] or rng.random() < 0.4 else str(rng.choice(sorted(whole[table])))
        whole[table][key] = {"step": step}
        database.put(table, key, {"step": step})
        database.settle()
        assert database.hash() == fingerprint(whole)


def test_changes_are_the_episodes_own() -> None:
    store = Store(tables())
    one = Database(store)
    one.edit("b", "k001")["x"].append(1)
    one.settle()
    saved = pickle.loads(pickle.dumps(one.save()))
    one.edit("b", "k001")["x"].append(2)
    one.settle()
    other = Database(store, saved)
    assert [len(database.get("b", "k001")["x"]) for database in (Database(store), other, one)] == [3, 4, 5]
    assert len({database.key() for database in (Database(store), other, one)}) == 3
    other.edit("b", "k001")["x"].pop()
    other.settle()
    assert other.key() == () and other.is_original()


def test_keys_tell_what_the_hash_does_not() -> None:
    """The order of an entry's keys is seen in answers, not in the hash."""
    database = Database(Store(tables()))
    database.put("b", "k000", dict(reversed(database.get("b", "k000").items())))
    database.settle()
    assert database.hash() == Database(Store(tables())).hash() and database.is_original()
    assert database.key() != ()
