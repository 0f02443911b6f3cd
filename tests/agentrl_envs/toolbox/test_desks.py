"""The tools on databases that fit on the page: what they answer, refuse and change."""

from typing import Any

from agentrl.errors import ToolError
from agentrl_envs.toolbox.airline import AirlineDesk
from agentrl_envs.toolbox.database import Database, Store, clone
from agentrl_envs.toolbox.retail import RetailDesk

USER = {
    "name": {"first_name": "Ann", "last_name": "Lee"},
    "address": {"zip": "12345"},
    "email": "ann@example.com",
    "payment_methods": {
        "gift_card_1": {"source": "gift_card", "balance": 10.0, "id": "gift_card_1"},
        "credit_card_1": {"source": "credit_card", "id": "credit_card_1"},
    },
    "orders": ["#1"],
}
VARIANTS = {
    "11": {"item_id": "11", "options": {"size": "S"}, "available": True, "price": 5.5},
    "12": {"item_id": "12", "options": {"size": "L"}, "available": True, "price": 8.25},
    "13": {"item_id": "13", "options": {"size": "XL"}, "available": False, "price": 9.0},
    "14": {"item_id": "14", "options": {"size": "XXL"}, "available": True, "price": 90.0},
}
PAID = {"transaction_type": "payment", "amount": 5.5, "payment_method_id": "gift_card_1"}


def shop(status: str = "pending") -> RetailDesk:
    item = {"name": "Cup", "product_id": "1", "item_id": "11", "price": 5.5, "options": {"size": "S"}}
    order = {"order_id": "#1", "user_id": "ann", "items": [item], "status": status, "payment_history": [PAID]}
    products = {"1": {"name": "Cup", "product_id": "1", "variants": VARIANTS}}
    return RetailDesk(Database(Store(clone({"orders": {"#1": order}, "products": products, "users": {"ann": USER}}))))


def refusal(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except ToolError as error:
        return str(error)
    raise AssertionError("nothing was refused")


def balance(desk: RetailDesk) -> float:
    return float(desk.database.get("users", "ann")["payment_methods"]["gift_card_1"]["balance"])


def test_finding_users() -> None:
    desk = shop()
    assert desk.find_user_id_by_email("ANN@example.com") == "ann"
    assert desk.find_user_id_by_name_zip("ann", "LEE", "12345") == "ann"
    assert refusal(desk.find_user_id_by_name_zip, "ann", "lee", "1") == "user not found"


def test_cancelling() -> None:
    desk = shop()
    assert refusal(desk.cancel_pending_order, "#2", "no longer needed") == "order not found"
    assert refusal(desk.cancel_pending_order, "#1", "bored") == "invalid reason"
    order = desk.cancel_pending_order("#1", "no longer needed")
    assert [paid["transaction_type"] for paid in order["payment_history"]] == ["payment", "refund"]
    assert (order["status"], order["cancel_reason"], balance(desk)) == ("cancelled", "no longer needed", 15.5)
    assert refusal(desk.cancel_pending_order, "#1", "bored") == "non-pending order cannot be cancelled"


def test_modifying_items() -> None:
    desk = shop()
    modify = desk.modify_pending_order_items
    assert refusal(modify, "#1", ["11", "11"], ["12"], "gift_card_1") == "11 not found"
    assert refusal(modify, "#1", ["11"], [], "gift_card_1") == "the number of items to be exchanged should match"
    assert refusal(modify, "#1", ["11"], ["13"], "gift_card_1") == "new item 13 not found or available"
    assert refusal(modify, "#1", ["11"], ["12"], "paypal_1") == "payment method not found"
    short = "insufficient gift card balance to pay for the new item"
    assert refusal(modify, "#1", ["11"], ["14"], "gift_card_1") == short
    order = modify("#1", ["11"], ["12"], "gift_card_1")
    assert (order["items"][0]["price"], order["items"][0]["options"]) == (8.25, {"size": "L"})
    assert order["payment_history"][1]["amount"] == 2.75 and balance(desk) == 7.25
    assert order["status"] == "pending (item modified)"


def test_changing_the_payment() -> None:
    desk = shop()
    change = desk.modify_pending_order_payment
    assert refusal(change, "#1", "gift_card_1") == "the new payment method should be different from the current one"
    assert len(change("#1", "credit_card_1")["payment_history"]) == 3
    assert balance(desk) == 15.5
    assert refusal(change, "#1", "gift_card_1") == "there should be exactly one payment for a pending order"


def test_delivered_orders() -> None:
    desk = shop("delivered")
    wrong = "payment method should be either the original payment method or a gift card"
    assert refusal(desk.return_delivered_order_items, "#1", ["11"], "credit_card_1") == wrong
    assert refusal(desk.return_delivered_order_items, "#1", ["12"], "gift_card_1") == "some item not found"
    order = desk.exchange_delivered_order_items("#1", ["11"], ["12"], "gift_card_1")
    assert (order["status"], order["exchange_price_difference"]) == ("exchange requested", 2.75)
    again = refusal(desk.return_delivered_order_items, "#1", ["11"], "gift_card_1")
    assert again == "non-delivered order cannot be returned"


def airline() -> AirlineDesk:
    def flight(number: str, origin: str, there: str, leaves: str, lands: str) -> dict[str, Any]:
        day = {"status": "available", "available_seats": {"economy": 2}, "prices": {"economy": 100}}
        times = {"scheduled_departure_time_est": leaves, "scheduled_arrival_time_est": lands}
        dates = {"2024-05-20": day, "2024-05-21": {"status": "delayed"}}
        return {"flight_number": number, "origin": origin, "destination": there, **times, "dates": dates}

    flights = [flight("F1", "JFK", "ORD", "06:00:00", "08:00:00"), flight("F2", "ORD", "SEA", "09:00:00", "12:00:00")]
    methods = {
        "certificate_1": {"source": "certificate", "amount": 150, "id": "certificate_1"},
        "gift_card_1": {"source": "gift_card", "amount": 80, "id": "gift_card_1"},
    }
    users = {"ann": {"name": USER["name"], "payment_methods": methods, "reservations": []}}
    named = {str(one["flight_number"]): one for one in flights}
    return AirlineDesk(Database(Store({"flights": named, "reservations": {}, "users": users})))


def book(desk: AirlineDesk, **changed: Any) -> Any:
    arguments = {
        "user_id": "ann",
        "origin": "JFK",
        "destination": "SEA",
        "flight_type": "one_way",
        "cabin": "economy",
        "flights": [{"flight_number": number, "date": "2024-05-20"} for number in ("F1", "F2")],
        "passengers": [{"first_name": "Ann", "last_name": "Lee", "dob": "1990-01-01"}],
        "payment_methods": [
            {"payment_id": "certificate_1", "amount": 150},
            {"payment_id": "gift_card_1", "amount": 80},
        ],
        "total_baggages": 0,
        "nonfree_baggages": 0,
        "insurance": "yes",
    }
    return desk.book_reservation(**arguments | changed)


def test_flying() -> None:
    desk = airline()
    assert [one["flight_number"] for one in desk.search_direct_flight("JFK", "ORD", "2024-05-20")] == ["F1"]
    assert desk.search_direct_flight("JFK", "ORD", "2024-05-21") == []
    [[first, second]] = desk.search_onestop_flight("JFK", "SEA", "2024-05-20")
    assert (first["flight_number"], second["flight_number"], second["date"]) == ("F1", "F2", "2024-05-20")
    reservation = book(desk)
    methods = desk.database.get("users", "ann")["payment_methods"]
    assert methods == {"gift_card_1": {"source": "gift_card", "amount": 0, "id": "gift_card_1"}}
    assert reservation["reservation_id"] == "HATHAT" and [f["price"] for f in reservation["flights"]] == [100, 100]
    assert desk.cancel_reservation("HATHAT")["payment_history"][-1] == {"payment_id": "gift_card_1", "amount": -80}


def test_refused_bookings() -> None:
    desk = airline()
    assert refusal(lambda: book(desk, user_id="bob")) == "user not found"
    late = [{"flight_number": "F1", "date": "2024-05-21"}]
    assert refusal(lambda: book(desk, flights=late)) == "flight F1 not available on date 2024-05-21"
    crowd = [{"first_name": "A"}] * 3
    assert refusal(lambda: book(desk, passengers=crowd)) == "not enough seats on flight F1"
    said = "payment amount does not add up, total price is 200, but paid 230"
    assert refusal(lambda: book(desk, insurance="no")) == said
    assert desk.database.key() == ()


def test_changing_reservations() -> None:
    desk = airline()
    book(desk)
    refused = refusal(desk.update_reservation_baggages, "HATHAT", 1, 1, "gift_card_1")
    assert refused == "gift card balance is not enough"
    fewer = [{"flight_number": "F1", "date": "2024-05-20"}]
    reservation = desk.update_reservation_flights("HATHAT", "economy", fewer, "gift_card_1")
    assert reservation["payment_history"][-1] == {"payment_id": "gift_card_1", "amount": -100}
    assert desk.update_reservation_baggages("HATHAT", 1, 1, "gift_card_1")["total_baggages"] == 1
    assert desk.database.get("users", "ann")["payment_methods"]["gift_card_1"]["amount"] == 50
    refused = refusal(desk.update_reservation_passengers, "HATHAT", [])
    assert refused == "number of passengers does not match"


def test_certificates() -> None:
    desk = airline()
    said = "Certificate certificate_3221322 added to user ann with amount 50."
    assert desk.send_certificate("ann", 50) == said
    assert [desk.send_certificate("ann", 50) for _ in range(3)][-1] is None
