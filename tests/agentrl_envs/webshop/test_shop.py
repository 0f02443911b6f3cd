"""Where actions lead, by hand from the original's server."""

import numpy as np
import pytest

from agentrl_envs.webshop.pages import Pages, plain_text, rich_text
from agentrl_envs.webshop.shop import State, url
from tests.agentrl_envs.webshop.goods import REVIEWED, small_shop, walk

ITEM = ("?oak table", "b000000001")


def text(shop_state: State, *, rich: bool = False) -> str:
    pages = Pages(small_shop(REVIEWED))
    parts = pages.parts(shop_state, "find me a table", 0.5)
    return rich_text(parts, shop_state, "5") if rich else plain_text(parts)


def test_the_index_page() -> None:
    state = walk(small_shop())
    assert list(small_shop().targets(state)) == ["search"]
    assert text(state) == "WebShop [SEP] Instruction: [SEP] find me a table [SEP] Search"
    assert text(state, rich=True) == "WebShop\nInstruction: \nfind me a table\n[button] Search [button_]\n"
    assert url(state, "5") == "http://127.0.0.1:3000/5"
    assert small_shop().click(state, "search", np.random.default_rng(0)) is None


def test_pages_of_results() -> None:
    shop = small_shop()
    first = walk(shop, "?oak table")
    assert list(shop.targets(first))[:3] == ["back to search", "next >", "b000000001"]
    assert len(shop.targets(first)) == 12
    assert text(first).startswith(
        "Instruction: [SEP] find me a table [SEP] Back to Search [SEP] Page 1 (Total results: 25) [SEP] Next > [SEP] "
        "B000000001 [SEP] Oak Table & Chairs [SEP] $20.0 to $40.0 [SEP] B0000000"
    )
    third = walk(shop, "?oak table", "next >", "next >")
    assert list(shop.targets(third))[:3] == ["back to search", "< prev", "next >"]
    assert len(shop.targets(third)) == 8
    beyond = walk(shop, "?oak table", *["next >"] * 4)
    assert list(shop.targets(beyond)) == ["back to search", "< prev", "next >"]
    assert text(beyond).endswith("Page 5 (Total results: 25) [SEP] < Prev [SEP] Next >")
    assert walk(shop, "?oak table", "next >", "< prev") == first
    assert url(third, "5") == "http://127.0.0.1:3000/search_results/5/oak+table/3"
    assert text(first, rich=True).endswith("Plain table number 10\n$10.0\n")
    assert "\n\n[button] B000000001 [button_]\nOak" in text(first, rich=True)


def test_a_product_s_page_and_its_options() -> None:
    shop = small_shop()
    state = walk(shop, *ITEM, "navy blue", "small", "oak")
    assert state.options == (("color", "oak"), ("size", "small"))
    buttons = ["back to search", "< prev", "description", "features", "reviews", "buy now"]
    assert list(shop.targets(state)) == [*buttons, "oak", "navy blue", "small", '18" <wide>']
    assert text(state) == text(walk(shop, *ITEM)), "choosing is not seen"
    assert text(state) == (
        "Instruction: [SEP] find me a table [SEP] Back to Search [SEP] < Prev [SEP] color [SEP] oak [SEP] navy blue "
        '[SEP] size [SEP] small [SEP] 18" <wide> [SEP] Oak Table & Chairs [SEP] Price: $20.0 to $40.0 [SEP] '
        "Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] Buy Now"
    )
    assert (
        url(state, "5") == 'http://127.0.0.1:3000/item_page/5/B000000001/oak+table/1/{"color": "oak", "size": "small"}'
    )
    rich = text(state, rich=True)
    assert rich.startswith("You have clicked small.\nYou have clicked oak.\nInstruction:\n")
    assert "  [clicked button] oak [clicked button_]\n  [button] navy blue [button_]\n" in rich


def test_going_back_forgets_what_the_original_forgets() -> None:
    shop = small_shop()
    results = walk(shop, *ITEM, "oak", "< prev")
    assert (results.page, results.asin, results.options) == ("results", "", ())
    assert results.visited == {"B000000001"}
    assert "[clicked button] B000000001 [clicked button_]" in text(results, rich=True)
    assert walk(shop, *ITEM, "back to search") == State()
    sub = walk(shop, *ITEM, "oak", "features")
    assert list(shop.targets(sub)) == ["back to search", "< prev"]
    assert walk(shop, *ITEM, "oak", "features", "< prev") == walk(shop, *ITEM, "oak")
    assert url(sub, "5") == "http://127.0.0.1:3000/item_sub_page/5/B000000001/oak+table/1/Features/{'color': 'oak'}"
    assert walk(shop, *ITEM, "oak", "?chairs").asin == "", "any page takes a search"


def test_sub_pages() -> None:
    shop = small_shop(REVIEWED)
    heading = "Instruction: [SEP] find me a table [SEP] Back to Search [SEP] < Prev"
    assert text(walk(shop, *ITEM, "description")) == f"{heading} [SEP] All about the Oak Table & Chairs."
    assert text(walk(shop, *ITEM, "features")) == f"{heading} [SEP] Solid. [SEP] Easy."
    assert text(walk(shop, *ITEM, "reviews")) == heading
    lamp = ("?lamp", "b00000revu")
    assert text(walk(shop, *lamp, "reviews")) == f'{heading} [SEP] "Good" [SEP] 4.0 [SEP] It shines.'
    assert text(walk(shop, *lamp, "features")) == f"{heading} [SEP]  [SEP] Bright.", "blanks stay, blank lines go"


def test_options_that_are_called_like_buttons() -> None:
    shop = small_shop(REVIEWED)
    lamp, rng = ("?lamp", "b00000revu"), np.random.default_rng(0)
    item = walk(shop, *lamp)
    assert walk(shop, *lamp, "description").page == "sub"
    assert walk(shop, *lamp, "attributes").sub == "Attributes"
    assert shop.click(item, "search", rng) is None
    assert walk(shop, *lamp, "next >").options == (("kind", "next >"),)
    assert walk(shop, *lamp, "buy now").page == "done"


def test_a_customer_is_led_astray_by_the_names_of_pages() -> None:
    shop = small_shop()
    state = walk(shop, "?oak search_results", "b000000001", "< prev")
    assert (state.page, state.number) == ("results", 0), "one page back instead of back to the page"
    assert shop.listed(state) == ()
    assert walk(shop, "?oak item_page", "b000000001", "features", "< prev").page == "results"


def test_searches_for_the_curious() -> None:
    shop, rng = small_shop(), np.random.default_rng(0)
    assert shop.results(walk(shop, "?<q> tables")) == ("B000000001",)
    assert len(shop.results(walk(shop, "?<c> garden"))) == len(shop.results(walk(shop, "?<a> easy clean"))) == 25
    assert shop.results(walk(shop, "?<c>")) == ()
    drawn = shop.search(State(), "<r>", rng)
    assert sorted(shop.results(drawn)) == sorted(product.asin for product in shop.stock)
    assert text(walk(shop, "? ")).endswith("Page 1 (Total results: 0) [SEP] Next >")


def test_the_receipt() -> None:
    state = walk(small_shop(), *ITEM, '18" <wide>', "buy now")
    assert small_shop().targets(state) == {}
    assert text(state) == (
        "Thank you for shopping with us! [SEP] Your code: [SEP] None [SEP] (Paste it in your MTurk interface.) [SEP] "
        'Purchased [SEP] asin [SEP] B000000001 [SEP] options [SEP] {"size": "18\\" \\u003cwide\\u003e"} [SEP] '
        "attrs [SEP] None [SEP] category [SEP] None [SEP] query [SEP] None [SEP] product category [SEP] None [SEP] "
        "Target [SEP] asin [SEP] options [SEP] attrs [SEP] price upper "
        "[SEP] instuction text [SEP] category [SEP] product category [SEP] "
        "query [SEP] Goal [SEP] None [SEP] Reward [SEP] Your score (min 0.0, max 1.0) [SEP] 0.5 [SEP] Reward Details "
        "[SEP] None"
    )


@pytest.mark.parametrize("value", ["", "nothing", "OAK", "search[table]"])
def test_there_is_nothing_else_to_click(value: str) -> None:
    shop = small_shop()
    assert shop.click(walk(shop, *ITEM), value, np.random.default_rng(0)) is None
