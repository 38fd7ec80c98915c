"""The knobs of one simulated retailer."""

from dataclasses import dataclass

CATEGORIES = (
    "groceries", "fashion", "home", "books", "toys", "sports", "beauty", "garden", "electronics", "gift_cards",
)  # fmt: skip
RESOLD = ("electronics", "gift_cards", "fashion")
"""What is easily turned into money; genuine customers buy it, too."""
PAYMENT_METHODS = ("card", "wallet", "invoice", "gift_card")
PAYMENT_SHARES = (0.72, 0.14, 0.10, 0.04)


@dataclass(frozen=True, slots=True)
class Profile:
    """Where a retailer sells, how much, to how many. Amounts in major units of `currency`."""

    currency: str = "EUR"
    home: str = "DE"
    neighbours: tuple[str, ...] = ("AT", "NL", "FR", "PL")
    """Other countries that genuine customers come from, travel to and send gifts to."""
    distant: tuple[str, ...] = ("US", "BR", "VN", "NG", "RO")
    """Countries that fraud comes from more often than customers do, though customers do as well."""
    customers: int = 6_000
    tills: int = 120
    store_share: float = 0.25
    """Share of sales in stores, on average over customers."""
    spend_median: float = 38.0
    coupons: int = 24
    coupon_share: float = 0.18
    """Share of online sales with a coupon."""

    def __post_init__(self) -> None:
        if self.customers < 10 or self.tills < 1 or self.coupons < 2:
            raise ValueError("a retailer needs at least 10 customers, 1 till and 2 coupons")
