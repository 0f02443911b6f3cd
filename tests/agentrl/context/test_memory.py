"""What is remembered is right, and bounded in bytes."""

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.context import ChatFormat
from agentrl.context.memory import ENTRY_BYTES, Memory
from tests.agentrl.rollout.toys import byte_tokenizer


def cost(text: str) -> int:
    return 2 * sys.getsizeof(text) + ENTRY_BYTES


@settings(max_examples=50, deadline=None)
@given(asked=st.lists(st.text("ab", max_size=6), max_size=60), room=st.integers(1, 12))
def test_it_is_the_function_and_forgets_what_was_asked_longest_ago(asked: list[str], room: int) -> None:
    bound = room * cost("aaaa")
    made: list[str] = []
    memory = Memory(lambda text: (made.append(text), text)[1], bound)
    recent: list[str] = []
    for text in asked:
        expected = text not in recent
        made.clear()
        assert memory(text) == text
        assert made == ([text] if expected else [])
        recent = [other for other in recent if other != text]
        if not expected or cost(text) <= bound // 8:
            recent.append(text)
        while sum(map(cost, recent)) > bound:
            recent.pop(0)
        assert memory.num_bytes == sum(map(cost, recent)) <= bound
        assert len(memory) == len(recent)


def test_long_texts_that_never_repeat_do_not_fill_a_chat_formats_memory() -> None:
    chat = ChatFormat(byte_tokenizer(), memory_bytes=2**20)
    words = chat.encode("left")
    for number in range(60):
        chat.opening(f"{number} " + "x" * 10_000)
        assert chat.encode("left") is words, "what repeats stays"
    assert 2**18 < chat._encode.num_bytes <= 2**19
    long = "y" * 200_000
    assert chat.encode(long) is not chat.encode(long)
    assert chat.encode("left") is words
