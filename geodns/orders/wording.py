"""What pydantic found wrong with an order file, in words that say what to write instead."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from geodns.model.tomllines import Path


def faults_of(error: ValidationError, model: type[BaseModel]) -> list[tuple[Path, str]]:
    """Return (path, message) for each thing that is wrong, paths as the file spells them."""
    found = []
    for detail in error.errors(include_url=False):
        raw = detail["loc"]
        if any(isinstance(part, str) and part.startswith("literal[") for part in raw):
            continue
        keep_last = detail["type"] == "extra_forbidden"
        path = tuple(
            part
            for index, part in enumerate(raw)
            if isinstance(part, int) or "[" not in part or (keep_last and index == len(raw) - 1)
        )
        found.append((path, _words(detail, path, model)))
    return found


def _words(detail: ErrorDetails, path: Path, model: type[BaseModel]) -> str:
    given = _quote(detail["input"])
    match detail["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            known = _keys(model, path[:-1])
            near = get_close_matches(str(path[-1]), known, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            return f"is no key of an order file; {hint}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a table, not {given}"
        case "tuple_type":
            return f"must be a list, as [{given}]"
        case "string_type":
            return f"must be text in quotes, not {given}"
        case "literal_error":
            return f"{given} must be one of {detail['ctx']['expected']}"
        case "string_pattern_mismatch":
            return f"{given} is no id: lower-case letters, digits and single hyphens between them"
        case "int_type":
            return f"must be a whole number, not {given}"
        case "greater_than_equal":
            return f"must be at least {detail['ctx']['ge']}, not {given}"
        case "less_than_equal":
            return f"must be at most {detail['ctx']['le']}, not {given}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return f"{detail['msg']}, not {given}"


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _keys(model: type[BaseModel], path: Path) -> list[str]:
    at: Any = model
    parts = iter(path)
    for part in parts:
        if not isinstance(part, str) or part not in at.model_fields:
            return []
        annotation = at.model_fields[part].annotation
        if get_origin(annotation) is dict:
            next(parts, None)  # a key of the operator's own
        at = next(
            (
                kind
                for kind in (annotation, *getattr(annotation, "__args__", ()))
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            ),
            None,
        )
        if at is None:
            return []
    return [info.alias or name for name, info in at.model_fields.items()]
