from __future__ import annotations

import pytest

from geodns.serve.spared import EVERY, Spared


def test_each_use_is_logged_once_and_at_most_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spared = Spared()
    key = "never_block/a/b.example/it-x"
    spared.look({"order/it-x": 9, key: 1}, 10.0)
    spared.look({key: 5}, 10.0 + EVERY / 2)
    assert [record.getMessage() for record in caplog.records] == [
        "never_block kept a/b.example resolvable 1 time; order it-x would have blocked it"
    ]
    spared.look({key: 7}, 10.0 + EVERY)
    spared.look({key: 7}, 10.0 + 3 * EVERY)
    assert "resolvable 6 times" in caplog.records[1].getMessage()
    spared.look({key: 8, "never_block/c.example/it-y": 2}, 10.0 + 3 * EVERY)
    spared.look({key: 9}, 11.0 + 3 * EVERY, last=True)
    spared.look({key: 9}, 12.0 + 3 * EVERY, last=True)
    assert [record.getMessage().split()[4] for record in caplog.records[2:]] == ["1", "2", "1"]
