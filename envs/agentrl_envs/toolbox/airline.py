"""The desk of an airline: tau-bench's airline tools, answering as the original's do."""

from collections.abc import Iterator, Sequence
from typing import Any

from agentrl.errors import ToolError
from agentrl_envs.toolbox.database import clone
from agentrl_envs.toolbox.desk import Desk

_NOW = "2024-05-15T15:00:00"
_NEW_RESERVATIONS = ("HATHAT", "HATHAU", "HATHAV")
_NEW_CERTIFICATES = ("certificate_3221322", "certificate_3221323", "certificate_3221324")
_INSURANCE_PRICE, _BAGGAGE_PRICE = 30, 50
_AIRPORTS = {
    "SFO": "San Francisco",
    "JFK": "New York",
    "LAX": "Los Angeles",
    "ORD": "Chicago",
    "DFW": "Dallas",
    "DEN": "Denver",
    "SEA": "Seattle",
    "ATL": "Atlanta",
    "MIA": "Miami",
    "BOS": "Boston",
    "PHX": "Phoenix",
    "IAH": "Houston",
    "LAS": "Las Vegas",
    "MCO": "Orlando",
    "EWR": "Newark",
    "CLT": "Charlotte",
    "MSP": "Minneapolis",
    "DTW": "Detroit",
    "PHL": "Philadelphia",
    "LGA": "LaGuardia",
}


class AirlineDesk(Desk):
    """Looks up `flights`, which never change, and looks up and changes `reservations` and `users`."""

    def get_user_details(self, user_id: str) -> Any:
        """Get a user's profile, payment methods and reservations.

        Args:
          user_id: such as 'sara_doe_496'.
        """
        return self._found("users", user_id, "user")

    def get_reservation_details(self, reservation_id: str) -> Any:
        """Get the details of a reservation.

        Args:
          reservation_id: such as '8JX2WO'.
        """
        return self._found("reservations", reservation_id, "user")  # the original's words

    def list_all_airports(self) -> dict[str, str]:
        """List all airports and their cities."""
        return _AIRPORTS

    def search_direct_flight(self, origin: str, destination: str, date: str) -> list[Any]:
        """Search the flights between two airports that can be booked for a day.

        Args:
          origin: such as 'JFK'.
          destination: such as 'LAX'.
          date: such as '2024-05-01'.
        """
        return [
            _on_day(flight, date)
            for flight in self._flights(origin)
            if flight["destination"] == destination and _is_available(flight, date)
        ]

    def search_onestop_flight(self, origin: str, destination: str, date: str) -> list[Any]:
        """Search the pairs of flights by which one gets from one airport to another with one stop.

        Args:
          origin: such as 'JFK'.
          destination: such as 'LAX'.
          date: of the first flight, such as '2024-05-01'.
        """
        found: list[Any] = []
        for first in self._flights(origin):
            for second in self._flights(first["destination"]):
                if second["destination"] != destination:
                    continue
                arrival = first["scheduled_arrival_time_est"]
                next_date = f"2024-05-{int(date[-2:]) + 1}" if "+1" in arrival else date
                if arrival > second["scheduled_departure_time_est"]:
                    continue
                if _is_available(first, date) and _is_available(second, next_date):
                    # Seats and prices of the second flight are those of the first day, as in the original.
                    found.append([_on_day(first, date) | {"date": date}, _on_day(second, date) | {"date": next_date}])
        return found

    def book_reservation(
        self,
        user_id: str,
        origin: str,
        destination: str,
        flight_type: str,
        cabin: str,
        flights: list[dict[str, Any]],
        passengers: list[dict[str, Any]],
        payment_methods: list[dict[str, Any]],
        total_baggages: int,
        nonfree_baggages: int,
        insurance: str,
    ) -> Any:
        """Book a reservation.

        Args:
          user_id: who books, such as 'sara_doe_496'.
          origin: such as 'SFO'.
          destination: such as 'JFK'.
          flight_type: 'one_way' or 'round_trip'.
          cabin: 'basic_economy', 'economy' or 'business'.
          flights: objects with 'flight_number' and 'date'.
          passengers: objects with 'first_name', 'last_name' and 'dob' (date of birth, 'YYYY-MM-DD').
          payment_methods: objects with 'payment_id', one of the user's, and 'amount'.
          total_baggages: the number of bags.
          nonfree_baggages: how many of them are paid for.
          insurance: 'yes' or 'no'.
        """
        user = self._found("users", user_id, "user")
        flights = clone(flights)
        price: Any = 0
        for flight in flights:
            price += self._seat(flight, cabin, passengers) * len(passengers)
        if insurance == "yes":
            price += _INSURANCE_PRICE * len(passengers)
        price += _BAGGAGE_PRICE * nonfree_baggages
        self._check_payments(user["payment_methods"], payment_methods, price)

        user = self.database.edit("users", user_id)
        for payment in payment_methods:
            payment_id = payment["payment_id"]
            method = user["payment_methods"][payment_id]
            if method["source"] == "gift_card":
                method["amount"] -= payment["amount"]
            elif method["source"] == "certificate":
                del user["payment_methods"][payment_id]
        taken = [self.database.get("reservations", one) is not None for one in _NEW_RESERVATIONS[:-1]]
        reservation_id = _NEW_RESERVATIONS[(*taken, False).index(False)]
        reservation = {
            "reservation_id": reservation_id,
            "user_id": user_id,
            "origin": origin,
            "destination": destination,
            "flight_type": flight_type,
            "cabin": cabin,
            "flights": flights,
            "passengers": passengers,
            "payment_history": payment_methods,
            "created_at": _NOW,
            "total_baggages": total_baggages,
            "nonfree_baggages": nonfree_baggages,
            "insurance": insurance,
        }
        self.database.put("reservations", reservation_id, reservation)
        user["reservations"].append(reservation_id)
        return reservation

    def cancel_reservation(self, reservation_id: str) -> Any:
        """Cancel a whole reservation and refund its payments.

        Args:
          reservation_id: such as 'ZFA04Y'.
        """
        self._found("reservations", reservation_id, "reservation")
        reservation = self.database.edit("reservations", reservation_id)
        history = reservation["payment_history"]
        history += [{"payment_id": paid["payment_id"], "amount": -paid["amount"]} for paid in history]
        reservation["status"] = "cancelled"
        return reservation

    def update_reservation_baggages(
        self, reservation_id: str, total_baggages: int, nonfree_baggages: int, payment_id: str
    ) -> Any:
        """Change the number of bags of a reservation; more paid bags cost 50 dollars each.

        Args:
          reservation_id: such as 'ZFA04Y'.
          total_baggages: the new number of bags.
          nonfree_baggages: how many of them are paid for.
          payment_id: one of the user's, such as 'credit_card_7815826'.
        """
        reservation = self._found("reservations", reservation_id, "reservation")
        price = _BAGGAGE_PRICE * max(0, nonfree_baggages - reservation["nonfree_baggages"])
        self._check_method(reservation, payment_id, price)
        reservation = self.database.edit("reservations", reservation_id)
        reservation["total_baggages"] = total_baggages
        reservation["nonfree_baggages"] = nonfree_baggages
        self._pay(reservation, payment_id, price)
        return reservation

    def update_reservation_flights(
        self, reservation_id: str, cabin: str, flights: list[dict[str, Any]], payment_id: str
    ) -> Any:
        """Change the flights of a reservation; the difference in price is paid or refunded.

        Args:
          reservation_id: such as 'ZFA04Y'.
          cabin: 'basic_economy', 'economy' or 'business'.
          flights: all flights of the new reservation, also those that stay: objects with 'flight_number' and 'date'.
          payment_id: one of the user's, such as 'credit_card_7815826'.
        """
        reservation = self._found("reservations", reservation_id, "reservation")
        flights = clone(flights)
        before, passengers = reservation["flights"], reservation["passengers"]
        price: Any = 0
        for flight in flights:
            kept = _same_flight(before, flight) if cabin == reservation["cabin"] else None
            if kept is not None:
                flight.update(price=kept["price"], origin=kept["origin"], destination=kept["destination"])
                price += kept["price"] * len(passengers)
            else:
                price += self._seat(flight, cabin, passengers) * len(passengers)
        price -= sum(flight["price"] for flight in before) * len(passengers)
        self._check_method(reservation, payment_id, price)
        reservation = self.database.edit("reservations", reservation_id)
        reservation["flights"] = flights  # the cabin stays what it was, as in the original
        self._pay(reservation, payment_id, price)
        return reservation

    def update_reservation_passengers(self, reservation_id: str, passengers: list[dict[str, Any]]) -> Any:
        """Change the passengers of a reservation, not their number.

        Args:
          reservation_id: such as 'ZFA04Y'.
          passengers: objects with 'first_name', 'last_name' and 'dob' (date of birth, 'YYYY-MM-DD').
        """
        reservation = self._found("reservations", reservation_id, "reservation")
        if len(passengers) != len(reservation["passengers"]):
            raise ToolError("number of passengers does not match")
        reservation = self.database.edit("reservations", reservation_id)
        reservation["passengers"] = passengers
        return reservation

    def send_certificate(self, user_id: str, amount: int | float) -> str | None:
        """Send a certificate to a user.

        Args:
          user_id: such as 'sara_doe_496'.
          amount: what it is worth.
        """
        methods = self._found("users", user_id, "user")["payment_methods"]
        for payment_id in _NEW_CERTIFICATES:
            if payment_id not in methods:
                certificate = {"source": "certificate", "amount": amount, "id": payment_id}
                self.database.edit("users", user_id)["payment_methods"][payment_id] = certificate
                return f"Certificate {payment_id} added to user {user_id} with amount {amount}."
        return None  # the original has no more than these and says nothing

    def _found(self, table: str, key: str, kind: str) -> Any:
        entry = self.database.get(table, key)
        if entry is None:
            raise ToolError(f"{kind} not found")
        return entry

    def _flights(self, origin: str) -> Iterator[Any]:
        return (flight for flight in self.database.original("flights").values() if flight["origin"] == origin)

    def _seat(self, wanted: dict[str, Any], cabin: str, passengers: Sequence[Any]) -> Any:
        """Complete a wanted flight by its price and its airports, and return the price of a seat."""
        number = wanted["flight_number"]
        flight = self.database.get("flights", number)
        if flight is None:
            raise ToolError(f"flight {number} not found")
        date = wanted["date"]
        if date not in flight["dates"]:
            raise ToolError(f"flight {number} not found on date {date}")
        day = flight["dates"][date]
        if day["status"] != "available":
            raise ToolError(f"flight {number} not available on date {date}")
        if day["available_seats"][cabin] < len(passengers):
            raise ToolError(f"not enough seats on flight {number}")
        wanted.update(price=day["prices"][cabin], origin=flight["origin"], destination=flight["destination"])
        return wanted["price"]

    def _check_payments(self, methods: Any, payments: Sequence[dict[str, Any]], price: Any) -> None:
        """Check that payments are the user's, covered and as much as the price."""
        for payment in payments:
            payment_id, amount = payment["payment_id"], payment["amount"]
            if payment_id not in methods:
                raise ToolError(f"payment method {payment_id} not found")
            method = methods[payment_id]
            if method["source"] in ("gift_card", "certificate") and method["amount"] < amount:
                raise ToolError(f"not enough balance in payment method {payment_id}")
        paid = sum(payment["amount"] for payment in payments)
        if paid != price:
            raise ToolError(f"payment amount does not add up, total price is {price}, but paid {paid}")

    def _check_method(self, reservation: Any, payment_id: str, price: Any) -> None:
        """Check that a payment method is the user's, may be used for a change and covers the price."""
        methods = self.database.get("users", reservation["user_id"])["payment_methods"]
        if payment_id not in methods:
            raise ToolError("payment method not found")
        method = methods[payment_id]
        if method["source"] == "certificate":
            raise ToolError("certificate cannot be used to update reservation")
        if method["source"] == "gift_card" and method["amount"] < price:
            raise ToolError("gift card balance is not enough")

    def _pay(self, reservation: Any, payment_id: str, price: Any) -> None:
        user_id = reservation["user_id"]
        if self.database.get("users", user_id)["payment_methods"][payment_id]["source"] == "gift_card":
            self.database.edit("users", user_id)["payment_methods"][payment_id]["amount"] -= price
        if price != 0:
            reservation["payment_history"].append({"payment_id": payment_id, "amount": price})


def _is_available(flight: Any, date: str) -> bool:
    return date in flight["dates"] and flight["dates"][date]["status"] == "available"


def _on_day(flight: Any, date: str) -> dict[str, Any]:
    """Return what is known of a flight and of its day: seats and prices."""
    return {**{key: value for key, value in flight.items() if key != "dates"}, **flight["dates"][date]}


def _same_flight(flights: Sequence[Any], wanted: dict[str, Any]) -> Any:
    """Return the first of these flights with the number and the day that are wanted, or None."""
    for flight in flights:
        if flight["flight_number"] == wanted["flight_number"] and flight["date"] == wanted["date"]:
            return flight
    return None
