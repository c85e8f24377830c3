"""The kinds of values in the settings: each checked where it is read, in words for people."""

from __future__ import annotations

import re
import ssl
from base64 import b64decode, b64encode
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationInfo,
)

from geodns.model import contact, name
from geodns.model.endpoint import join_endpoint, parse_endpoint, parse_network
from geodns.model.resolver import parse_resolver

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def _base(info: ValidationInfo) -> Path:
    return info.context["base"] if info.context else Path.cwd()


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path) or not str(value):
        return value
    return (_base(info) / Path(value).expanduser()).resolve()


def _listen(text: str) -> str:
    return join_endpoint(*parse_endpoint(text, None))


def distinct(listen: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses to listen on: one at least, none twice. Raises ValueError."""
    if not listen:
        raise ValueError("must not be empty")
    return no_twins(listen)


def no_twins(listen: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses to listen on, none twice. Raises ValueError."""
    # Port 0 is any free port, so it may stand more than once.
    fixed = [text for text in listen if not text.endswith(":0")]
    for text in fixed:
        if fixed.count(text) > 1:
            raise ValueError(f"has {text!r} twice")
    return listen


def _upstream(text: str) -> str:
    resolver = parse_resolver(text)
    if resolver.scheme == "https" and find_spec("h2") is None:
        raise ValueError(f"{text!r} needs the package h2: pip install 'geodns[doh]'")
    return resolver.text


def usual(text: str) -> str:
    """A name as it is usually written. Raises ValueError."""
    return name.to_text(name.parse(text))


def readable(path: Path) -> Path:
    """A file that holds certificates in PEM form. Raises ValueError."""
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificates in PEM form") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+)\s*([smhd])", value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no duration; write seconds (3600) or 30m, 12h, 1d")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _octets(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+)\s*(KiB|MiB|GiB|)", value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no size; write octets (67108864) or 64MiB, 512KiB, 1GiB")
    return int(match[1]) * _UNITS[match[2]]


def _name(text: str) -> str:
    name.parse(text)
    return text


def _ed25519(text: str) -> str:
    try:
        octets = b64decode(text, validate=True)
    except ValueError:
        octets = b""
    if len(octets) != 32:
        raise ValueError(f"{text!r} is no Ed25519 public key: 32 octets in base64")
    # Base64 has several spellings of the same octets: one key is one person.
    return b64encode(octets).decode()


def _info_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or not re.fullmatch(r"[!-~]+", text):
        raise ValueError(f"{text!r} is no https: address in ASCII")
    if len(text) > 200:
        raise ValueError("is over 200 octets long")
    return text


def _identity(text: str) -> str:
    if len(text.encode()) > 255:
        raise ValueError("is over 255 octets long, which no TXT string holds")
    return text


AbsolutePath = Annotated[Path, BeforeValidator(_path)]
Network = Annotated[StrictStr, AfterValidator(parse_network)]
Listen = Annotated[StrictStr, AfterValidator(_listen)]
UpstreamServer = Annotated[StrictStr, AfterValidator(_upstream)]
Octets = Annotated[StrictInt, BeforeValidator(_octets), Field(ge=0, le=1 << 40)]
Duration = Annotated[StrictInt, BeforeValidator(_duration), Field(ge=0, le=604800)]
DomainName = Annotated[StrictStr, AfterValidator(_name)]
Text = Annotated[StrictStr, AfterValidator(_identity)]
NodeName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$")]
OneLine = Annotated[StrictStr, AfterValidator(contact.one_line)]
WebAddress = Annotated[StrictStr, AfterValidator(contact.web_address)]
ContactAddress = Annotated[StrictStr, AfterValidator(contact.contact_address)]
PageLanguage = Literal["de", "en", "es", "fr", "it"]
PublicKey = Annotated[StrictStr, AfterValidator(_ed25519)]
InfoUrl = Annotated[StrictStr, AfterValidator(_info_url)]
Seconds = Annotated[StrictFloat, Field(ge=0.01, le=3600)]


class Section(BaseModel):
    """A section of the settings: immutable, unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)
