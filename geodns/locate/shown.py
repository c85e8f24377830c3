"""What databases say beside the country: shown to people, never judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import geoip2.models
from maxminddb import InvalidDatabaseError
from maxminddb.const import MODE_FD
from maxminddb.reader import Reader

from geodns.errors import DatabaseError


@dataclass(frozen=True, slots=True)
class Shown:
    """MaxMind's other words on an address; None where no database has them.

    registered: the country where the network is registered. represented: the country that
    its users represent (an embassy, a military base), with its kind in represented_type.
    organisation: who runs the AS.
    """

    registered: str | None = None
    represented: str | None = None
    represented_type: str | None = None
    organisation: str | None = None


def read_shown(databases: Sequence[str], address: IPv4Address | IPv6Address) -> Shown:
    """Look an address up in MMDB files (paths); each word is of the first that has it.

    Raises DatabaseError if a file cannot be read.
    """
    registered = represented = represented_type = organisation = None
    for path in databases:
        try:
            reader = Reader(BytesIO(Path(path).read_bytes()), MODE_FD)
            if address.version == 6 and reader.metadata().ip_version == 4:
                continue
            record = reader.get(address)
            if not isinstance(record, dict):
                continue
            organisation = organisation or _text(record.get("autonomous_system_organization"))
            if not isinstance(record.get("registered_country"), dict):
                continue
            # Any of MaxMind's country schemas: what a model does not know it leaves out.
            fields: dict[str, Any] = dict(record)
            found = geoip2.models.Country(("en",), **fields)
        except OSError as error:
            raise DatabaseError(f"{path}: {error.strerror}") from None
        except (InvalidDatabaseError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise DatabaseError(f"{path}: this is no whole MMDB file ({error})") from None
        registered = registered or _text(found.registered_country.iso_code)
        represented = represented or _text(found.represented_country.iso_code)
        represented_type = represented_type or _text(found.represented_country.type)
    return Shown(registered, represented, represented_type, organisation)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
