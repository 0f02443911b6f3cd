"""Serving the site on this machine."""

import socket

import uvicorn

from agentrl_envs.webshop.env import WebShopEnv
from agentrl_envs.webshop.site.app import make_site


def serve(env: WebShopEnv, *, task: str | None = None, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the shop of ``env`` until it is interrupted, and print its address (see `app.make_site`).

    Args:
      env: the shop.
      task: the id of the task of all visitors; None: each gets one drawn.
      host: the address to listen at; ``"0.0.0.0"`` lets other machines in.
      port: 0 takes any free one.

    Raises:
      TaskNotFoundError: there is no such task.
      OSError: the port is taken.
    """
    site = make_site(env, task=task)
    with socket.create_server((host, port)) as listener:
        print(f"the shop is open: http://{host}:{listener.getsockname()[1]}/ (Ctrl-C closes it)", flush=True)
        uvicorn.Server(uvicorn.Config(site, log_level="warning")).run(sockets=[listener])
