"""Lists that are made to break their reader are refused in words."""

from __future__ import annotations

from datetime import date

import pytest

from geodns.orders.feeds.row import FeedFault
from geodns.orders.feeds.take import take

DAY = date(2026, 6, 1)
JSON = ["pl-cert-json", "it-piracy-shield", "de-cuii", "ua-orders"]
XML = (
    b'<Rejestr><PozycjaRejestru Lp="%s"><AdresDomeny>a.example</AdresDomeny></PozycjaRejestru>'
    b"</Rejestr>"
)


@pytest.mark.parametrize("data", [b"[" * 100_000, b"[" + b"9" * 10_000 + b"]"])
@pytest.mark.parametrize("name", JSON)
def test_json_that_cannot_be_read_is_a_fault(name: str, data: bytes) -> None:
    with pytest.raises(FeedFault):
        take(data, DAY, name)


def test_a_row_s_number_without_end_is_not_taken_for_its_number() -> None:
    taken = take(XML % (b"9" * 10_000), DAY, "pl-hazard")
    assert taken.rows == 1
