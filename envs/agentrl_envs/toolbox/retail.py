"""The desk of an online shop: tau-bench's retail tools, answering as the original's do."""

from collections.abc import Sequence
from typing import Any

from agentrl.errors import ToolError
from agentrl_envs.toolbox.desk import Desk

_REASONS = ("no longer needed", "ordered by mistake")


class RetailDesk(Desk):
    """Looks up and changes `orders`, `products` and `users`."""

    def find_user_id_by_email(self, email: str) -> str:
        """Find a user id by email address, in whatever case it is written.

        Args:
          email: such as 'something@example.com'.
        """
        for user_id in self.database.original("users"):
            if self.database.get("users", user_id)["email"].lower() == email.lower():
                return user_id
        raise ToolError("user not found")

    def find_user_id_by_name_zip(self, first_name: str, last_name: str, zip: str) -> str:
        """Find a user id by name, in whatever case it is written, and zip code.

        Args:
          first_name: such as 'John'.
          last_name: such as 'Doe'.
          zip: the zip code of the user's address, such as '12345'.
        """
        wanted = first_name.lower(), last_name.lower(), zip
        for user_id in self.database.original("users"):
            user = self.database.get("users", user_id)
            name = user["name"]
            if (name["first_name"].lower(), name["last_name"].lower(), user["address"]["zip"]) == wanted:
                return user_id
        raise ToolError("user not found")

    def get_order_details(self, order_id: str) -> Any:
        """Get status and details of an order.

        Args:
          order_id: such as '#W0000000', with the '#'.
        """
        return self._found("order", order_id)

    def get_product_details(self, product_id: str) -> Any:
        """Get all items (variants) of a product, with options, prices and availability.

        Args:
          product_id: such as '6086499569'; it is no item id.
        """
        return self._found("product", product_id)

    def get_user_details(self, user_id: str) -> Any:
        """Get a user's profile, payment methods and orders.

        Args:
          user_id: such as 'sara_doe_496'.
        """
        return self._found("user", user_id)

    def list_all_product_types(self) -> dict[str, str]:
        """List the name and the product id of every product."""
        ids = {product["name"]: product["product_id"] for product in self.database.original("products").values()}
        return dict(sorted(ids.items()))

    def cancel_pending_order(self, order_id: str, reason: str) -> Any:
        """Cancel a pending order and refund its payments; what was paid by gift card is refunded at once.

        Args:
          order_id: such as '#W0000000', with the '#'.
          reason: 'no longer needed' or 'ordered by mistake'.
        """
        self._order(order_id, "pending", "cancelled")
        if reason not in _REASONS:
            raise ToolError("invalid reason")
        order = self.database.edit("orders", order_id)
        refunds = [_money("refund", paid["amount"], paid["payment_method_id"]) for paid in order["payment_history"]]
        for refund in refunds:
            if "gift_card" in refund["payment_method_id"]:
                self._add_to_card(order["user_id"], refund["payment_method_id"], refund["amount"])
        order["status"] = "cancelled"
        order["cancel_reason"] = reason
        order["payment_history"] += refunds
        return order

    def exchange_delivered_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> Any:
        """Exchange items of a delivered order for others of the same products; possible once for an order.

        Args:
          order_id: such as '#W0000000', with the '#'.
          item_ids: the items to be exchanged; an id may occur several times.
          new_item_ids: the items to be had instead, in the same order.
          payment_method_id: pays or receives the difference in price.
        """
        order = self._order(order_id, "delivered", "exchanged")
        difference = round(self._difference(order, item_ids, new_item_ids), 2)
        self._afforded(order, payment_method_id, difference, "the price difference")
        order = self.database.edit("orders", order_id)
        order["status"] = "exchange requested"
        order["exchange_items"] = sorted(item_ids)
        order["exchange_new_items"] = sorted(new_item_ids)
        order["exchange_payment_method_id"] = payment_method_id
        order["exchange_price_difference"] = difference
        return order

    def modify_pending_order_address(
        self, order_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
    ) -> Any:
        """Change where a pending order is sent.

        Args:
          order_id: such as '#W0000000', with the '#'.
          address1: first line, such as '123 Main St'.
          address2: second line, such as 'Apt 1' or ''.
          city: such as 'San Francisco'.
          state: such as 'CA'.
          country: such as 'USA'.
          zip: such as '12345'.
        """
        self._order(order_id, "pending", "modified")
        order = self.database.edit("orders", order_id)
        order["address"] = _address(address1, address2, city, state, country, zip)
        return order

    def modify_pending_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> Any:
        """Replace items of a pending order by others of the same products; possible once for an order.

        Args:
          order_id: such as '#W0000000', with the '#'.
          item_ids: the items to be replaced; an id may occur several times.
          new_item_ids: the items to be had instead, in the same order.
          payment_method_id: pays or receives the difference in price.
        """
        order = self._order(order_id, "pending", "modified")
        difference = self._difference(order, item_ids, new_item_ids)
        method = self._afforded(order, payment_method_id, difference, "the new item")
        order = self.database.edit("orders", order_id)
        kind = "payment" if difference > 0 else "refund"
        order["payment_history"].append(_money(kind, abs(difference), payment_method_id))
        if method["source"] == "gift_card":
            self._add_to_card(order["user_id"], payment_method_id, -difference)
        for item_id, new_item_id in zip(item_ids, new_item_ids, strict=True):
            item = _first(order["items"], item_id)
            variant = self._variants(item)[new_item_id]
            item.update(item_id=new_item_id, price=variant["price"], options=variant["options"])
        order["status"] = "pending (item modified)"
        return order

    def modify_pending_order_payment(self, order_id: str, payment_method_id: str) -> Any:
        """Change how a pending order is paid; the payment made before is refunded.

        Args:
          order_id: such as '#W0000000', with the '#'.
          payment_method_id: another one than that of the order.
        """
        order = self._order(order_id, "pending", "modified")
        method = self._method(order, payment_method_id)
        history = order["payment_history"]
        if len(history) > 1 or history[0]["transaction_type"] != "payment":
            raise ToolError("there should be exactly one payment for a pending order")
        amount, before = history[0]["amount"], history[0]["payment_method_id"]
        if before == payment_method_id:
            raise ToolError("the new payment method should be different from the current one")
        if method["source"] == "gift_card" and method["balance"] < amount:
            raise ToolError("insufficient gift card balance to pay for the order")
        order = self.database.edit("orders", order_id)
        order["payment_history"] += [_money("payment", amount, payment_method_id), _money("refund", amount, before)]
        if method["source"] == "gift_card":
            self._add_to_card(order["user_id"], payment_method_id, -amount)
        if "gift_card" in before:
            self._add_to_card(order["user_id"], before, amount)
        return order

    def modify_user_address(
        self, user_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
    ) -> Any:
        """Change a user's default address.

        Args:
          user_id: such as 'sara_doe_496'.
          address1: first line, such as '123 Main St'.
          address2: second line, such as 'Apt 1' or ''.
          city: such as 'San Francisco'.
          state: such as 'CA'.
          country: such as 'USA'.
          zip: such as '12345'.
        """
        self._found("user", user_id)
        user = self.database.edit("users", user_id)
        user["address"] = _address(address1, address2, city, state, country, zip)
        return user

    def return_delivered_order_items(self, order_id: str, item_ids: list[str], payment_method_id: str) -> Any:
        """Return items of a delivered order; possible once for an order.

        Args:
          order_id: such as '#W0000000', with the '#'.
          item_ids: the items to be returned; an id may occur several times.
          payment_method_id: receives the refund: the one that paid, or a gift card.
        """
        order = self._order(order_id, "delivered", "returned")
        self._method(order, payment_method_id)
        paid_by = order["payment_history"][0]["payment_method_id"]
        if "gift_card" not in payment_method_id and payment_method_id != paid_by:
            raise ToolError("payment method should be either the original payment method or a gift card")
        if _missing(order, item_ids) is not None:
            raise ToolError("some item not found")
        order = self.database.edit("orders", order_id)
        order["status"] = "return requested"
        order["return_items"] = sorted(item_ids)
        order["return_payment_method_id"] = payment_method_id
        return order

    def _found(self, kind: str, key: str) -> Any:
        entry = self.database.get(f"{kind}s", key)
        if entry is None:
            raise ToolError(f"{kind} not found")
        return entry

    def _order(self, order_id: str, status: str, done: str) -> Any:
        """Return an order, to be read only, if it has the status in which that can be done."""
        order = self._found("order", order_id)
        if order["status"] != status:
            raise ToolError(f"non-{status} order cannot be {done}")
        return order

    def _method(self, order: Any, payment_method_id: str) -> Any:
        methods = self.database.get("users", order["user_id"])["payment_methods"]
        if payment_method_id not in methods:
            raise ToolError("payment method not found")
        return methods[payment_method_id]

    def _variants(self, item: Any) -> Any:
        return self.database.get("products", item["product_id"])["variants"]

    def _afforded(self, order: Any, payment_method_id: str, amount: float, what: str) -> Any:
        """Return a payment method; a gift card must cover the amount."""
        method = self._method(order, payment_method_id)
        if method["source"] == "gift_card" and method["balance"] < amount:
            raise ToolError(f"insufficient gift card balance to pay for {what}")
        return method

    def _difference(self, order: Any, item_ids: Sequence[str], new_item_ids: Sequence[str]) -> float:
        """Return by how much the new items are dearer, not rounded (0 without items)."""
        missing = _missing(order, item_ids)
        if missing is not None:
            raise ToolError(f"{missing} not found")
        if len(item_ids) != len(new_item_ids):
            raise ToolError("the number of items to be exchanged should match")
        difference: float = 0
        for item_id, new_item_id in zip(item_ids, new_item_ids, strict=True):
            item = _first(order["items"], item_id)
            variant = self._variants(item).get(new_item_id)
            if variant is None or not variant["available"]:
                raise ToolError(f"new item {new_item_id} not found or available")
            difference += variant["price"] - item["price"]
        return difference

    def _add_to_card(self, user_id: str, payment_method_id: str, amount: float) -> None:
        card = self.database.edit("users", user_id)["payment_methods"][payment_method_id]
        card["balance"] = round(card["balance"] + amount, 2)


def _first(items: Any, item_id: str) -> Any:
    return next(item for item in items if item["item_id"] == item_id)


def _missing(order: Any, item_ids: Sequence[str]) -> str | None:
    """Return the first id that is asked for more often than the order has it, or None."""
    present = [item["item_id"] for item in order["items"]]
    return next((one for one in item_ids if item_ids.count(one) > present.count(one)), None)


def _money(kind: str, amount: float, payment_method_id: str) -> dict[str, Any]:
    return {"transaction_type": kind, "amount": amount, "payment_method_id": payment_method_id}


def _address(address1: str, address2: str, city: str, state: str, country: str, zip: str) -> dict[str, str]:
    return {
        "address1": address1,
        "address2": address2,
        "city": city,
        "state": state,
        "country": country,
        "zip": zip,
    }
