"""What goes into the ledger, without a server around it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from geodns.errors import Fault
from geodns.serve.witness import Witness
from geodns.settings import Server, Settings


def test_counts_are_what_came_since_the_last_ones(tmp_path: Path) -> None:
    witness = Witness(Settings(server=Server(state=tmp_path)), clock=lambda: 7300.0)
    (first,) = witness._counts(Counter({"block/it-x/IT": 3}), 0)
    assert (first.order, first.facts) == ("it-x", {"hour": 0, "blocks": {"IT": 3}, "shadow": {}})
    assert not list(witness._counts(Counter({"block/it-x/IT": 3}), 3600))
    later = Counter({"block/it-x/IT": 5, "block/it-x/unknown": 1, "shadow/fr-y/FR": 2})
    found = {each.order: each.facts for each in witness._counts(later, 7200)}
    assert found == {
        "fr-y": {"hour": 7200, "blocks": {}, "shadow": {"FR": 2}},
        "it-x": {"hour": 7200, "blocks": {"IT": 2, "unknown": 1}, "shadow": {}},
    }


def test_a_refusal_is_told_once_and_again_when_it_comes_back(tmp_path: Path) -> None:
    witness = Witness(Settings(server=Server(state=tmp_path)))
    fault, other = Fault("no date", "a.toml", 3, "dates"), Fault("no name", "a.toml")
    (first,) = witness._refusals([fault, other])
    assert first.facts["file"] == "a.toml"
    assert [each["message"] for each in first.facts["faults"]] == ["no name", "no date"]
    assert not list(witness._refusals([fault, other]))
    assert not list(witness._refusals([fault]))
    assert len(list(witness._refusals([fault, other]))) == 1
