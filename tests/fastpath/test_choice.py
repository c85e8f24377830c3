"""Which twin serves, and that a native one that cannot be used is told of."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from geodns.errors import ServerError
from geodns.fastpath import choice
from geodns.fastpath.pure import FastPath
from geodns.serve.fast import make_fast_path


class Refuses:
    """An importer of a native module that is there, and fails as a stale one does."""

    def __init__(self, fault: Exception | None) -> None:
        self.fault = fault

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name == choice.NATIVE else None  # type: ignore[arg-type]

    def create_module(self, _: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if self.fault is not None:
            raise self.fault
        module.FastPath = FastPath  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEODNS_PURE", raising=False)
    monkeypatch.delenv("GEODNS_REQUIRE_NATIVE", raising=False)


def there(monkeypatch: pytest.MonkeyPatch, fault: Exception | None) -> None:
    monkeypatch.delitem(sys.modules, choice.NATIVE, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refuses(fault), *sys.meta_path])


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ImportError("built for other tables"), "built for other tables"),
        (ValueError("size changed"), "size changed"),
        (None, "plain_names"),
    ],
)
def test_a_native_one_that_cannot_be_used_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception | None,
    told: str,
) -> None:
    there(monkeypatch, fault)
    assert type(make_fast_path(16)) is FastPath
    (record,) = caplog.records
    assert record.levelname == "WARNING" and told in record.getMessage()
    assert "the pure fast path serves" in record.getMessage()
    monkeypatch.setenv("GEODNS_REQUIRE_NATIVE", "1")
    with pytest.raises(ServerError, match=told):
        make_fast_path(16)


def test_the_pure_one_that_was_chosen_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    there(monkeypatch, ImportError("never asked"))
    monkeypatch.setenv("GEODNS_PURE", "1")
    monkeypatch.setenv("GEODNS_REQUIRE_NATIVE", "1")
    assert type(make_fast_path(16)) is FastPath
    assert not caplog.records
