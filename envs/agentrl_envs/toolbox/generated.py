"""A made-up shop in the form of tau-bench's retail data: small, seeded, with customers whose wishes are clear."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agentrl.seeding import generator
from agentrl.tasks import DrawnTasks
from agentrl.tool import ToolCall
from agentrl_envs.toolbox.tasks import ServiceTask

SIZES = {"train": 2000, "valid_unseen": 200}
POLICY = """# Policy of the shop

- First find out who the customer is: by email, or by name and zip code.
- Help with the customer's own orders and profile only.
- Pending orders can be cancelled (because of 'no longer needed' or 'ordered by mistake'), sent elsewhere, or have items
  replaced. Delivered orders can be returned or exchanged. Each of these is possible once for an order.
- Items are replaced and exchanged for available items of the same product.
- Refunds go to the payment method that paid.
- Say what you have done, and what was asked. Hand over to a human only what cannot be done here.
"""
_FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "Jill", "Kit", "Lena")
_LAST = ("Archer", "Baker", "Cooper", "Draper", "Fisher", "Glover", "Mason", "Turner", "Weaver")
_CITIES = (("Ashford", "AR"), ("Brookton", "BR"), ("Calder", "CA"), ("Denholm", "DE"))
_STREETS = ("Mill Lane", "High Street", "Park Road", "Station Road")
_PRODUCTS = ("Backpack", "Desk Lamp", "Kettle", "Notebook", "Puzzle", "Teapot", "Tent", "Umbrella")
_COLOURS = ("black", "blue", "green", "red")
_SIZES = ("small", "large")
_REASONS = ("no longer needed", "ordered by mistake")
_NUM_USERS, _ORDERS_EACH = 60, 4
Tables = dict[str, dict[str, Any]]


def _choose(rng: np.random.Generator, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


def _address(rng: np.random.Generator) -> dict[str, str]:
    city, state = _choose(rng, _CITIES)
    street = f"{int(rng.integers(1, 200))} {_choose(rng, _STREETS)}"
    place = {"city": city, "state": state, "country": "USA", "zip": str(int(rng.integers(10_000, 99_999)))}
    return {"address1": street, "address2": "", **place}


def generate_tables(seed: int) -> Tables:
    """Return the database of the shop: `orders`, `products` and `users`, as tau-bench's retail files have them."""
    rng = generator(seed, "service desk")
    products: dict[str, Any] = {}
    for number, name in enumerate(_PRODUCTS):
        variants: dict[str, Any] = {}
        for place, (colour, size) in enumerate((colour, size) for colour in _COLOURS for size in _SIZES):
            item_id, price = f"{5000 + 10 * number + place}", int(rng.integers(500, 20_000)) / 100
            options = {"color": colour, "size": size}
            available = bool(rng.random() < 0.75)
            variants[item_id] = {"item_id": item_id, "options": options, "available": available, "price": price}
        products[f"{100 + number}"] = {"name": name, "product_id": f"{100 + number}", "variants": variants}
    users: dict[str, Any] = {}
    orders: dict[str, Any] = {}
    for number in range(_NUM_USERS):
        user = _user(rng, number)
        users[f"{'_'.join(user['name'].values()).lower()}_{number}"] = user
    for number, (user_id, user) in enumerate((u for u in users.items() for _ in range(_ORDERS_EACH)), start=1000):
        order = _order(rng, f"#W{number}", user_id, user, products)
        orders[order["order_id"]] = order
        user["orders"].append(order["order_id"])
    return {"orders": orders, "products": products, "users": users}


def _user(rng: np.random.Generator, number: int) -> dict[str, Any]:
    first, last = _choose(rng, _FIRST), _choose(rng, _LAST)
    card = f"credit_card_{number}"
    return {
        "name": {"first_name": first, "last_name": last},
        "address": _address(rng),
        "email": f"{first}.{last}{number}@example.com".lower(),
        "payment_methods": {card: {"source": "credit_card", "brand": "visa", "last_four": "0000", "id": card}},
        "orders": [],
    }


def _order(
    rng: np.random.Generator, order_id: str, user_id: str, user: Mapping[str, Any], products: Mapping[str, Any]
) -> dict[str, Any]:
    items = []
    for key in rng.choice(list(products), size=int(rng.integers(1, 4)), replace=False).tolist():
        product = products[key]
        variant = _choose(rng, list(product["variants"].values()))
        about = {"name": product["name"], "product_id": key, "item_id": variant["item_id"]}
        items.append({**about, "price": variant["price"], "options": variant["options"]})
    amount = round(sum(item["price"] for item in items), 2)
    [method] = user["payment_methods"]
    paid = {"transaction_type": "payment", "amount": amount, "payment_method_id": method}
    return {
        "order_id": order_id,
        "user_id": user_id,
        "address": user["address"],
        "items": items,
        "status": _choose(rng, ("pending", "delivered")),
        "payment_history": [paid],
    }


Wish = tuple[str, ToolCall | None, str | None]
"""What is said, what does it, and what has to be told."""


def draw_tasks(tables: Tables, seed: int) -> DrawnTasks[ServiceTask]:
    """Return the customers of the shop: each has one or two wishes, about different orders."""
    user_ids = list(tables["users"])

    def draw(rng: np.random.Generator) -> ServiceTask | None:
        user_id = _choose(rng, user_ids)
        user = tables["users"][user_id]
        name = user["name"]
        chosen = rng.choice(user["orders"], size=int(rng.integers(1, 3)), replace=False).tolist()
        wishes = [_wish(rng, tables, tables["orders"][order_id]) for order_id in chosen]
        said = f"You are {name['first_name']} {name['last_name']}, zip code {user['address']['zip']}."
        who = {"first_name": name["first_name"], "last_name": name["last_name"], "zip": user["address"]["zip"]}
        calls = [ToolCall("find_user_id_by_name_zip", who)]
        calls += [ToolCall("get_order_details", {"order_id": order_id}) for order_id in chosen]
        calls += [call for _, call, _ in wishes if call is not None]
        told = tuple(told for _, _, told in wishes if told is not None)
        return ServiceTask(user_id, " ".join([said, *(text for text, _, _ in wishes)]), tuple(calls), told)

    return DrawnTasks(draw, SIZES, seed)


def _wish(rng: np.random.Generator, tables: Tables, order: Mapping[str, Any]) -> Wish:
    if order["status"] == "pending":
        wishes: tuple[Callable[..., Wish], ...] = (_cancel, _send_elsewhere, _replace, _ask_total)
    else:
        wishes = (_return, _replace, _ask_total)
    return wishes[int(rng.integers(len(wishes)))](rng, tables, order)


def _cancel(rng: np.random.Generator, tables: Tables, order: Mapping[str, Any]) -> Wish:
    reason = _choose(rng, _REASONS)
    call = ToolCall("cancel_pending_order", {"order_id": order["order_id"], "reason": reason})
    return f"You want to cancel order {order['order_id']}: {reason}.", call, None


def _send_elsewhere(rng: np.random.Generator, tables: Tables, order: Mapping[str, Any]) -> Wish:
    there = _address(rng)
    call = ToolCall("modify_pending_order_address", {"order_id": order["order_id"], **there})
    where = f"{there['address1']}, {there['city']}, {there['state']} {there['zip']}, {there['country']}"
    return f"You want order {order['order_id']} sent to {where}.", call, None


def _return(rng: np.random.Generator, tables: Tables, order: Mapping[str, Any]) -> Wish:
    item = _choose(rng, order["items"])
    paid_by = order["payment_history"][0]["payment_method_id"]
    arguments = {"order_id": order["order_id"], "item_ids": [item["item_id"]], "payment_method_id": paid_by}
    said = f"You want to return the {item['name']} of order {order['order_id']}."
    return said, ToolCall("return_delivered_order_items", arguments), None


def _replace(rng: np.random.Generator, tables: Tables, order: Mapping[str, Any]) -> Wish:
    item = _choose(rng, order["items"])
    variants = tables["products"][item["product_id"]]["variants"].values()
    others = [one for one in variants if one["available"] and one["item_id"] != item["item_id"]]
    if not others:
        return _ask_total(rng, tables, order)
    new = _choose(rng, others)
    arguments = {
        "order_id": order["order_id"],
        "item_ids": [item["item_id"]],
        "new_item_ids": [new["item_id"]],
        "payment_method_id": order["payment_history"][0]["payment_method_id"],
    }
    name = "modify_pending_order_items" if order["status"] == "pending" else "exchange_delivered_order_items"
    wanted = f"the {new['options']['size']} one in {new['options']['color']}"
    said = f"You want the {item['name']} of order {order['order_id']} replaced by {wanted}."
    return said, ToolCall(name, arguments), None


def _ask_total(rng: np.random.Generator, tables: Tables, order: Mapping[str, Any]) -> Wish:
    amount = order["payment_history"][0]["amount"]
    return f"You want to know what you paid for order {order['order_id']}.", None, str(amount)
