"""The web application: addresses, and the moves that they stand for."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jinja2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from agentrl.errors import TaskNotFoundError
from agentrl_envs.webshop.env import WebShopEnv
from agentrl_envs.webshop.shop import BUY
from agentrl_envs.webshop.site.picture import draw
from agentrl_envs.webshop.site.session import Visitor, Visitors
from agentrl_envs.webshop.site.views import View, render_cart

_HERE = Path(__file__).parent
_HEADERS = {"Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"}
_BRACKETS = str.maketrans("[]", "  ")


def make_site(env: WebShopEnv, *, task: str | None = None) -> Starlette:
    """Return the shop of ``env`` as a web application (ASGI).

    Every visitor plays an episode of their own in a fork of ``env``: what they click there is an action here. Each page
    has an address, so that going back in the browser works; the first purchase ends the episode.

    Args:
      env: the shop; its catalogue, rewards and tasks.
      task: the id of the task of all visitors; None: each gets one drawn from the environment's split.

    Raises:
      TaskNotFoundError: there is no such task.
    """
    if task is not None:
        env.tasks.ref(task)
    return Starlette(
        routes=[*_Site(env, task).routes(), Mount("/static", StaticFiles(directory=_HERE / "static"), name="static")]
    )


class _Site:
    """The handlers. They never wait, so that a visitor's moves come one after the other."""

    def __init__(self, env: WebShopEnv, task: str | None) -> None:
        self._visitors, self._task = Visitors(env), task
        loader = jinja2.FileSystemLoader(_HERE / "templates")
        self._templates = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)

    def routes(self) -> list[Route]:
        page = "/s/{visitor}/{number:int}"
        return [
            Route("/", self.enter),
            Route("/new", self.enter),
            Route("/s/{visitor}/cart", self._of_visitor(self.cart)),
            Route(page, self._of_page(self.show)),
            Route(f"{page}/search", self._of_page(self.search)),
            Route(f"{page}/click", self._of_page(self.click)),
            Route(f"{page}/buy", self._of_page(self.buy), methods=["POST"]),
            Route(f"{page}/add", self._of_page(self.add), methods=["POST"]),
            Route(f"{page}/remove", self._of_page(self.remove), methods=["POST"]),
            Route("/picture/{category}/{kind}.svg", self.picture),
        ]

    # -- visitors --------------------------------------------------------------------------------------------------

    async def enter(self, request: Request) -> Response:
        try:
            visitor = self._visitors.enter(request.query_params.get("task") or self._task)
        except TaskNotFoundError as error:
            return self._missing("There is no such task", str(error))
        return _go(f"/s/{visitor.name}/0")

    async def cart(self, request: Request, visitor: Visitor) -> Response:
        return self._page("cart.html", render_cart(visitor))

    # -- pages ------------------------------------------------------------------------------------------------------

    async def show(self, request: Request, visitor: Visitor, number: int) -> Response:
        visitor.here = number
        return self._page(*View(visitor, number).render())

    async def search(self, request: Request, visitor: Visitor, number: int) -> Response:
        words = " ".join(request.query_params.get("q", "").translate(_BRACKETS).split())
        return self._move(visitor, number, f"search[{words}]")

    async def click(self, request: Request, visitor: Visitor, number: int) -> Response:
        text = request.query_params.get("on", "")
        return self._move(visitor, number, f"click[{text}]" if text.lower() != BUY.lower() else "")

    async def buy(self, request: Request, visitor: Visitor, number: int) -> Response:
        if visitor.receipt is not None:
            return _go(f"/s/{visitor.name}/{visitor.receipt}")
        return self._move(visitor, number, f"click[{BUY.lower()}]")

    async def add(self, request: Request, visitor: Visitor, number: int) -> Response:
        if number not in visitor.cart and visitor.pages[number].state.page == "item":
            visitor.cart.append(number)
        return _go(f"/s/{visitor.name}/cart")

    async def remove(self, request: Request, visitor: Visitor, number: int) -> Response:
        if number in visitor.cart:
            visitor.cart.remove(number)
        return _go(f"/s/{visitor.name}/cart")

    async def picture(self, request: Request) -> Response:
        parts = request.path_params["category"], request.path_params["kind"]
        drawn = draw(*parts, request.query_params.get("colour", ""))
        return Response(drawn, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})

    # -- answers ----------------------------------------------------------------------------------------------------

    def _move(self, visitor: Visitor, number: int, action: str) -> Response:
        return _go(f"/s/{visitor.name}/{visitor.act(number, action)}")

    def _page(self, template: str, context: dict[str, Any], status: int = 200) -> Response:
        text = self._templates.get_template(template).render(root="", **context)
        return HTMLResponse(text, status_code=status, headers=_HEADERS)

    def _missing(self, heading: str, message: str) -> Response:
        links = {"home": "/"}
        return self._page("missing.html", {"heading": heading, "message": message, "links": links}, status=404)

    def _of_visitor(self, handle: Callable[[Request, Visitor], Awaitable[Response]]) -> Callable[..., Any]:
        async def respond(request: Request) -> Response:
            visitor = self._visitors.find(request.path_params["visitor"])
            if visitor is None:
                return self._missing("This visit is over", "The shop was started anew, or you were away for long.")
            return await handle(request, visitor)

        return respond

    def _of_page(self, handle: Callable[[Request, Visitor, int], Awaitable[Response]]) -> Callable[..., Any]:
        async def respond(request: Request, visitor: Visitor) -> Response:
            number = request.path_params["number"]
            if number >= len(visitor.pages):
                return self._missing("No such page", "You have not been there yet.")
            return await handle(request, visitor, number)

        return self._of_visitor(respond)


def _go(address: str) -> Response:
    return RedirectResponse(address, status_code=303)
