"""The site and the text environment are one shop: what can be clicked, where it leads, and what it is worth."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient

from agentrl_envs.webshop.env import WebShopEnv
from agentrl_envs.webshop.site.app import make_site

TASK = "train/1"


class Page(HTMLParser):
    """A page as a browser sees it: links, forms, headings, and what a screen reader needs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "a":
            self.links.append(given["href"] or "")
        if tag == "form":
            self.forms.append((given["method"] or "", given["action"] or ""))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def clicks(self) -> dict[str, str]:
        """Text to click to the address of its link or form."""
        found = {parse_qs(urlsplit(link).query)["on"][0]: link for link in self.links if "/click?" in link}
        buy = [action for _, action in self.forms if action.endswith("/buy")]
        return found | ({"buy now": buy[0]} if buy else {})

    @property
    def search(self) -> str:
        return next(action for method, action in self.forms if action.endswith("/search"))


@pytest.fixture(scope="module")
def shop() -> WebShopEnv:
    env = WebShopEnv(catalogue={"products": 400})
    env.reset(options={"task": TASK})
    return env


@pytest.fixture
def client(shop: WebShopEnv) -> Iterator[TestClient]:
    with TestClient(make_site(shop, task=TASK)) as client:
        yield client


def get(client: TestClient, address: str) -> Page:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return Page(response.text)


def post(client: TestClient, address: str) -> Page:
    response = client.post(address)
    assert response.status_code == 200, (address, response.status_code)
    return Page(response.text)


@pytest.mark.parametrize("seed", range(4))
def test_site_and_text_walk_in_step(shop: WebShopEnv, client: TestClient, seed: int) -> None:
    rng = np.random.default_rng(seed)
    env = shop.fork()
    env.max_turns = None
    env.reset(options={"task": TASK})
    page = get(client, "/")
    assert env.goal.instruction in page.text
    for _ in range(40):
        possible = set(env.shop.targets(env.state)) - {"search"}
        assert set(page.clicks) == possible
        action = sorted(possible)[rng.integers(len(possible))] if possible and rng.random() < 0.8 else "?"
        if action == "buy now" and rng.random() < 0.8:
            continue
        if action == "?":
            query = str(rng.choice(["coffee", env.goal.query, "Blue PENS", "zzz", env.goal.name]))
            page = get(client, f"{page.search}?q={query}")
            _, reward, is_over, _, _ = env.step(f"search[{query}]")
        else:
            page = (post if action == "buy now" else get)(client, page.clicks[action])
            _, reward, is_over, _, _ = env.step(f"click[{action}]")
        if is_over:
            assert f"{100 * reward:.0f} %" in page.text
            return
        assert_shows(page, env)


def assert_shows(page: Page, env: WebShopEnv) -> None:
    """Assert that a page is the one that the environment is at."""
    state = env.state
    if state.page == "results":
        for asin in env.shop.listed(state):
            assert env.shop.product(asin).title in page.text
        assert f"Page {state.number}" in page.text
    if state.page in ("item", "sub"):
        product = env.shop.product(state.asin)
        assert product.title in page.text
        for _, value in state.options:
            assert value in page.text
    if state.sub == "Features":
        assert all(bullet in page.text for bullet in product.bullets)
    if state.sub == "Description":
        assert product.description in page.text


def walk(client: TestClient, env: WebShopEnv) -> Page:
    """Go to the goal's product and choose its options."""
    goal = env.goal
    page = get(client, f"{get(client, '/').search}?q={goal.name}")
    while goal.asin.lower() not in page.clicks:
        page = get(client, page.clicks["next >"])
    page = get(client, page.clicks[goal.asin.lower()])
    for value in goal.values:
        page = get(client, page.clicks[value])
    return page


@pytest.fixture
def env(shop: WebShopEnv) -> WebShopEnv:
    env = shop.fork()
    env.reset(options={"task": TASK})
    return env


def test_the_right_purchase_is_worth_everything_and_ends_the_task(client: TestClient, env: WebShopEnv) -> None:
    page = walk(client, env)
    receipt = post(client, page.clicks["buy now"])
    assert "100 %" in receipt.text and "missed" not in receipt.text
    again = client.post(page.clicks["buy now"])
    assert again.url.path == client.post(page.clicks["buy now"]).url.path  # the first purchase counts
    assert not receipt.clicks


def test_the_receipt_says_what_was_missed(client: TestClient, env: WebShopEnv) -> None:
    goal = env.goal
    page = get(client, f"{get(client, '/').search}?q={goal.name}")
    while goal.asin.lower() not in page.clicks:
        page = get(client, page.clicks["next >"])
    page = get(client, page.clicks[goal.asin.lower()])
    receipt = post(client, page.clicks["buy now"])
    assert receipt.text.count("✗ missed") == len(goal.values) > 0
    assert receipt.text.count("✓ yes") == 1 + len(goal.attributes) + (goal.price_upper < 1e6)
    assert all(value in receipt.text for value in goal.values)


def test_the_cart_keeps_products_with_their_options(client: TestClient, env: WebShopEnv) -> None:
    page = walk(client, env)
    add = next(action for _, action in page.forms if action.endswith("/add"))
    cart = post(client, add)
    assert all(value in cart.text for value in env.goal.values)
    assert "Cart 1" in cart.text
    post(client, add)  # twice the same is one entry
    buy = [action for _, action in cart.forms if action.endswith("/buy")]
    assert len(buy) == 1
    empty = post(client, next(action for _, action in cart.forms if action.endswith("/remove")))
    assert "It is empty" in empty.text
    assert "100 %" in post(client, buy[0]).text


def test_visitors_do_not_disturb_each_other(shop: WebShopEnv) -> None:
    client = TestClient(make_site(shop))
    first = get(client, "/new?task=train/2")
    second = get(client, "/new?task=train/3")
    get(client, f"{second.search}?q=coffee")
    results = get(client, f"{first.search}?q=tea")
    assert shop.tasks.load("train/2").instruction in results.text
    assert "Results for “tea”" in results.text
    assert shop.tasks.load("train/3").instruction in get(client, second.search.removesuffix("/search")).text


def test_pages_stay_where_they_are_when_the_browser_goes_back(client: TestClient, env: WebShopEnv) -> None:
    start = get(client, "/")
    results = client.get(f"{start.search}?q={env.goal.query}")
    product = next(link for text, link in Page(results.text).clicks.items() if text.startswith("b0"))
    item = get(client, product)
    moved = get(client, next(link for link in item.links if link.endswith("#options")))
    assert moved.clicks.keys() == item.clicks.keys() and moved.links != item.links
    assert client.get(str(results.url)).text == results.text
    assert get(client, product).links == item.links


@pytest.mark.parametrize("address", ["/s/nobody/0", "/s/nobody/cart", "/new?task=train/x", "/nowhere"])
def test_what_is_not_there_is_said(client: TestClient, address: str) -> None:
    response = client.get(address)
    assert response.status_code == 404


def test_nothing_is_bought_by_a_link(client: TestClient, env: WebShopEnv) -> None:
    page = walk(client, env)
    address = next(link for link in page.links if "/click?" in link).split("?")[0]
    assert get(client, f"{address}?on=buy+now").clicks.keys() == page.clicks.keys()
    assert get(client, f"{address}?on=Buy+Now").clicks.keys() == page.clicks.keys()
    assert client.get(page.clicks["buy now"]).status_code == 405


def test_brackets_in_a_search_are_no_action(client: TestClient) -> None:
    page = get(client, f"{get(client, '/').search}?q=tea]+click[buy now")
    assert "Results for" in page.text
    assert "Results for" not in get(client, f"{get(client, '/').search}?q=[]").text


def test_text_from_outside_is_escaped(client: TestClient) -> None:
    response = client.get(f"{get(client, '/').search}?q=<script>alert(1)</script>")
    assert "<script>" not in response.text
    assert "<script>" not in client.get("/picture/x/%3Cscript%3E.svg?colour=%22%3E").text
    assert "default-src 'self'" in response.headers["content-security-policy"]


def test_pages_work_with_keyboard_and_screen_reader(client: TestClient, env: WebShopEnv) -> None:
    start = get(client, "/")
    item = walk(client, env)
    cart = post(client, next(action for _, action in item.forms if action.endswith("/add")))
    receipt = post(client, item.clicks["buy now"])
    results = get(client, f"{start.search}?q={env.goal.query}")
    for page in (start, results, item, cart, receipt):
        tags = [tag for tag, _ in page.tags]
        assert tags.count("h1") == tags.count("main") == 1
        assert ("html", {"lang": "en"}) in page.tags
        assert page.links[0] == "#main"
        ids = [given["id"] for _, given in page.tags if "id" in given]
        assert len(set(ids)) == len(ids)
        assert all("alt" in given for tag, given in page.tags if tag == "img")
        labelled = {given.get("for") for tag, given in page.tags if tag == "label"}
        assert all(given.get("id") in labelled for tag, given in page.tags if tag == "input")
        assert not any("onclick" in given or tag == "script" for tag, given in page.tags)
        for _, given in page.tags:
            if reference := given.get("aria-labelledby"):
                assert reference in ids
    chosen = [given for tag, given in item.tags if given.get("aria-current") == "true"]
    assert len(chosen) == len(env.goal.values)


def test_everything_comes_from_the_shop_itself(client: TestClient) -> None:
    page = get(client, "/")
    addresses = [given.get("src") or given.get("href") or "" for tag, given in page.tags if tag in ("img", "link")]
    for address in addresses:
        assert address.startswith(("/", "data:"))
        if address.startswith("/"):
            assert client.get(address).status_code == 200
    assert re.search(r"image/svg\+xml", client.get("/picture/pets/dog%20food.svg").headers["content-type"])
