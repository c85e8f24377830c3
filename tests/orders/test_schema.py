from __future__ import annotations

import tomllib

import pytest
from pydantic import BaseModel, ValidationError

from geodns.orders.schema import Order, json_schema
from tests.orders.sample import good


def sections(model: type[BaseModel] = Order) -> list[type[BaseModel]]:
    found = [model]
    for info in model.model_fields.values():
        for kind in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += sections(kind)
    return found


def test_every_field_is_described() -> None:
    assert len(sections()) == 11
    for model in sections():
        for name, info in model.model_fields.items():
            assert info.description, f"{model.__name__}.{name}"
            assert info.description.endswith("."), f"{model.__name__}.{name}"


def test_orders_are_frozen() -> None:
    order = Order.model_validate(tomllib.loads(good("a")))
    with pytest.raises(ValidationError):
        order.title = "other"  # type: ignore[misc]


def test_the_schema_has_the_keys_of_the_file() -> None:
    schema = json_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert "except" in schema["properties"]
    assert "except_" not in schema["properties"]
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"id", "title", "status", "authority", "dates"}
    authority, dates = schema["$defs"]["Authority"], schema["$defs"]["Dates"]
    assert authority["required"] == ["name", "kind"]
    assert dates["required"] == ["effective"]
    assert schema["properties"]["status"]["enum"] == [
        "draft", "shadow", "active", "suspended", "lifted",
    ]  # fmt: skip
    ttl = schema["$defs"]["Response"]["properties"]["ttl"]
    assert (ttl["minimum"], ttl["maximum"], ttl["default"]) == (1, 86400, 60)
