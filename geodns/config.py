"""Reading geodns.toml: the whole file, and all its faults at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from geodns.errors import Fault, SettingsError
from geodns.model.endpoint import parse_endpoint
from geodns.model.resolver import parse_resolver
from geodns.model.tomllines import find_line, read_lines
from geodns.settings import DEFAULTS_ON_DISK, Section, Settings

__all__ = ["FILE_NAME", "Settings", "load_settings", "load_state", "parse_settings"]

FILE_NAME = "geodns.toml"
# Keys and sections that are foreseen and not built yet. Their empty forms mean what
# happens anyway, so those are no faults.
NOT_BUILT = (
    ("tls",),
    ("dot",),
    ("doh",),
    ("doq",),
    ("proxy",),
    ("server", "tls"),
)


def load_settings(path: Path | None) -> Settings:
    """Read the settings: of ``path`` (``-c``), else of ./geodns.toml, else the defaults.

    Relative paths inside are relative to the file. Raises SettingsError with all faults.
    """
    if path is None and not Path(FILE_NAME).is_file():
        return Settings()
    chosen = path or Path(FILE_NAME)
    try:
        text = chosen.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SettingsError([Fault("there is no such settings file", str(chosen))]) from None
    except OSError as error:
        raise SettingsError([Fault(f"cannot be read: {error.strerror}", str(chosen))]) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (octet {error.start})"
        raise SettingsError([Fault(message, str(chosen))]) from None
    return parse_settings(text, chosen)


def load_state(path: Path | None) -> tuple[Path, tuple[Fault, ...]]:
    """The state folder that the settings name, and what is wrong with the settings file.

    A command that asks the running server needs no more of the file, and works while the
    rest of it is faulty. Raises SettingsError where the file cannot be read at all.
    """
    try:
        return load_settings(path).server.state, ()
    except SettingsError as error:
        chosen = path or Path(FILE_NAME)
        try:
            text = chosen.read_bytes().decode("utf-8-sig", "replace")
        except OSError:
            raise error from None
        state = _find_state(text)
        server = {} if state is None else {"state": state}
        base = chosen.resolve().parent
        try:
            found = Settings.model_validate({"server": server}, context={"base": base})
        except ValidationError:
            raise error from None
        return found.server.state, error.faults


def _find_state(text: str) -> str | None:
    """``state`` of [server], also in a text that is no TOML elsewhere."""
    try:
        state = tomllib.loads(text)["server"]["state"]
    except (ValueError, RecursionError):
        section = re.search(
            r"^\s*\[\s*server\s*\](.*?)(?=^\s*\[|\Z)", text, re.DOTALL | re.MULTILINE
        )
        line = section and re.search(r"^\s*(state\s*=.*)$", section[1], re.MULTILINE)
        try:
            state = tomllib.loads(line[1])["state"] if line else None
        except (ValueError, RecursionError):
            state = None
    except (KeyError, TypeError):
        state = None
    return state if isinstance(state, str) and state else None


def parse_settings(text: str, path: Path) -> Settings:
    """Read the text of a settings file that is (or would be) at ``path``."""
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise SettingsError([Fault("is nested too deeply to be settings", str(path))]) from None
    except ValueError as error:
        match = re.search(r"\s*\(at line (\d+), column \d+\)", str(error))
        message = str(error) if match is None else str(error).replace(match[0], "")
        raise SettingsError(
            [Fault(f"is not TOML: {message}", str(path), int(match[1]) if match else None)]
        ) from None
    base = path.resolve().parent
    faults: list[tuple[tuple[str | int, ...], str]] = [
        (keys, f"{'.'.join(keys)} is not built yet; take it out")
        for keys in NOT_BUILT
        if _take(document, keys)
    ]
    filled = frozenset(
        f"{section}.{key}"
        for (section, key), default in DEFAULTS_ON_DISK.items()
        if _fill(document, section, key, default(base))
    )
    settings = None
    try:
        settings = Settings.model_validate(document, context={"base": base})
    except ValidationError as error:
        faults += [(tuple(detail["loc"]), _explain(dict(detail))) for detail in error.errors()]
    else:
        faults += _asks_itself(settings)
    if settings is None or faults:
        lines = read_lines(text)
        raise SettingsError(
            Fault(message, str(path), find_line(lines, keys), ".".join(map(str, keys)) or None)
            for keys, message in sorted(faults, key=lambda fault: find_line(lines, fault[0]) or 0)
        )
    settings._path = path.resolve()
    settings._filled = filled
    return settings


def _take(document: dict[str, Any], keys: tuple[str, ...]) -> bool:
    """Remove a key and say whether it asked for anything."""
    inner: object = document
    for key in keys[:-1]:
        inner = inner.get(key) if isinstance(inner, dict) else None
    return isinstance(inner, dict) and bool(inner.pop(keys[-1], None))


def _fill(document: dict[str, Any], section: str, key: str, value: object) -> bool:
    """Give a key its default and say whether it had no value."""
    inner = document.setdefault(section, {})
    if not isinstance(inner, dict) or key in inner:
        return False
    inner[key] = value
    return True


def _asks_itself(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Upstreams that are our own listen addresses: each query would go round and round."""
    own = [parse_endpoint(text, None) for text in settings.server.listen]
    asked: list[tuple[tuple[str | int, ...], str]] = [
        (("upstream", "servers", index), text)
        for index, text in enumerate(settings.upstream.servers)
    ]
    for number, zone in enumerate(settings.upstream.zones):
        for index, text in enumerate(zone.servers):
            asked.append((("upstream", "zones", number, "servers", index), text))
    for keys, text in asked:
        resolver = parse_resolver(text)
        host, port = resolver.sockaddr[:2]
        for ours, listen in own:
            mine, theirs = ip_address(ours), ip_address(host)
            everywhere = mine.is_unspecified and mine.version == theirs.version
            if port == listen and (
                mine == theirs or everywhere and (theirs.is_loopback or theirs.is_unspecified)
            ):
                yield keys, f"{text!r} is this server itself (server.listen); give another resolver"
                break


def _explain(detail: Mapping[str, Any]) -> str:
    kind: str = detail["type"]
    value = detail["input"]
    if kind == "extra_forbidden":
        *where, key = (str(part) for part in detail["loc"])
        known = _known(where)
        near = get_close_matches(key, known, n=1)
        what = "key" if where else "section"
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"unknown {what} {key!r}; {hint}"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    if kind in ("model_type", "model_attributes_type"):
        if len(detail["loc"]) > 1:
            where = [str(part) for part in detail["loc"] if isinstance(part, str)]
            return f"must be a table ([[{'.'.join(where)}]]), not {value!r}"
        return f"must be a section ([{detail['loc'][0]}]), not {value!r}"
    if kind in ("path_type", "string_type"):
        what = "a path (text)" if kind == "path_type" else "text"
        return f"must be {what}, not {value!r}"
    if kind == "tuple_type":
        return f"must be a list, not {value!r}"
    return f"{message.replace('input should', 'must')}, not {value!r}"


def _known(where: list[str]) -> list[str]:
    if not where:
        return list(Settings.model_fields)
    section: type[Section] = Settings
    for key in where:
        if not key.isdigit():
            section = _section(section.model_fields[key].annotation)
    return list(section.model_fields)


def _section(kind: Any) -> type[Section]:
    """The section that a key holds, or a list of them."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind
    return next(_section(inner) for inner in get_args(kind) if inner is not Ellipsis)
