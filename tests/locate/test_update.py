from __future__ import annotations

import time
from pathlib import Path

import pytest

from geodns.errors import DatabaseError
from geodns.locate.update import install
from tests.geo.make import BUILT, asn_rows, city_rows, country_rows, write_mmdb

DAY = 86400
MANY_ASNS = [
    *asn_rows(),
    *((f"9.{n}.0.0/16", {"autonomous_system_number": n}) for n in range(1, 99)),
]


def made(path: Path, rows: object, built: int = BUILT) -> bytes:
    write_mmdb(path, rows, built=built)  # type: ignore[arg-type]
    data = path.read_bytes()
    path.unlink()
    return data


def test_a_newer_one_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "db.mmdb"
    first, second = (made(path, country_rows(), BUILT + day * DAY) for day in (0, 1))
    done = install(path, first)
    assert done.changed and done.old is None and path.read_bytes() == first
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o600)
    done = install(path, second)
    assert done.changed and done.old is not None and path.read_bytes() == second
    assert path.stat().st_mode & 0o777 == 0o600
    assert not install(path, second).changed
    assert [file.name for file in tmp_path.iterdir()] == ["db.mmdb"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link, target = tmp_path / "db.mmdb", tmp_path / "real.mmdb"
    data = made(target, country_rows())
    link.symlink_to(target)
    install(link, data)
    assert link.is_symlink() and target.read_bytes() == data


@pytest.mark.parametrize(
    ("rows", "built", "said"),
    [
        (city_rows(), BUILT - DAY, "older"),
        (city_rows()[-6:], BUILT + DAY, "less than half"),
        (country_rows(), BUILT + DAY, "knows more"),
        (MANY_ASNS, BUILT + DAY, "knows more"),
        (city_rows(), int(time.time()) + 30 * DAY, "still to come"),
    ],
    # The time of day is no part of a name: every process must give it the same.
    ids=["older", "less", "country", "asn", "to-come"],
)
def test_a_worse_one_is_refused_unless_forced(
    tmp_path: Path, rows: object, built: int, said: str
) -> None:
    path = tmp_path / "db.mmdb"
    old, new = made(path, city_rows()), made(path, rows, built)
    install(path, old)
    with pytest.raises(DatabaseError, match=said):
        install(path, new)
    assert path.read_bytes() == old
    assert install(path, new, force=True).changed
    assert path.read_bytes() == new


def test_a_damaged_one_is_refused_even_if_forced(tmp_path: Path) -> None:
    path = tmp_path / "db.mmdb"
    old = made(path, country_rows())
    install(path, old)
    for bad in (b"", b"<html>", old[:-20], old[: len(old) // 2]):
        with pytest.raises(DatabaseError):
            install(path, bad, force=True)
        assert path.read_bytes() == old


def test_a_damaged_present_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "db.mmdb"
    data = made(path, country_rows())
    path.write_bytes(data[:100])
    assert install(path, data).old is None
    assert path.read_bytes() == data


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    data = made(tmp_path / "db.mmdb", country_rows())
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match="cannot be written"):
        install(tmp_path / "file" / "db.mmdb", data)
