"""Italy and France get what each is owed: directly and through real forwarders, over one cache."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import two_countries
from tests.live.forwarders import PROGRAMS
from tests.live.servers import missing
from tests.live.two_countries import Row


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Row]]:
    folder = tmp_path_factory.mktemp("house")
    with two_countries.house(folder, two_countries.possible()) as house:
        made = two_countries.run(house)
        counters = house.server.status()["counters"]
    print("\n" + two_countries.table(made))
    assert not {name: n for name, n in counters.items() if name.startswith("proxy/") and n}
    yield made


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["directly", *PROGRAMS])
def test_one_country_s_answer_never_reaches_the_other(rows: list[Row], way: str) -> None:
    if way in PROGRAMS and (why := missing(PROGRAMS[way])):
        pytest.skip(why)
    mine = [row for row in rows if row.way == way]
    assert [row.transport for row in mine][-1] == "TCP"
    for row in mine:
        assert row.asked == 16 * len(two_countries.KINDS)
        assert row.faults == []
        if way.endswith("ECS"):
            # Else nothing would be shown of caches: these have answered by themselves.
            assert row.reached < row.asked * 0.7
