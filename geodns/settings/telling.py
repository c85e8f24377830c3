"""Settings of what the server tells: figures, logs, the block page."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictInt, model_validator

from geodns.settings.kinds import (
    AbsolutePath,
    ContactAddress,
    Listen,
    OneLine,
    PageLanguage,
    Section,
    WebAddress,
    no_twins,
)


class Metrics(Section):
    """Figures for Prometheus (`/metrics`), and how the server is (`/healthz`, `/readyz`)."""

    listen: Listen | None = Field(
        None,
        description="`ADDRESS:PORT` of an HTTP server for them, such as `127.0.0.1:9153`. Whoever "
        "reaches it may read it. Unset: none.",
    )
    orders: StrictInt = Field(
        200,
        ge=0,
        le=10000,
        description="How many orders have figures of their own; the rest are added up as `other`.",
    )


class Log(Section):
    """The log on stderr, and the log of rulings. Neither holds a client's address."""

    format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or one JSON document a line."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged: this and what is graver."
    )
    rulings: AbsolutePath | None = Field(
        None,
        description="File to which a JSON line is appended for each block, and for each that was "
        "only not one because of `shadow` or `never_block`. With it every block takes the long "
        "way. Unset: none.",
    )


class BlockPage(Section):
    """The page over plain HTTP that tells visitors of sinkholed names why they are there."""

    listen: Annotated[tuple[Listen, ...], AfterValidator(no_twins)] = Field(
        (),
        description="Addresses with ports (80, for browsers) that the sinkhole addresses of your "
        "orders lead to; empty: `geodns serve` runs no block page.",
    )
    operator: OneLine | None = Field(
        None,
        description="Your name, as visitors know it. Unset: the host of `operator_url`.",
    )
    operator_url: WebAddress | None = Field(
        None,
        description='Your page on blocking. It is the target of `Link: rel="blocked-by"`, which '
        "names who carries the block out (RFC 7725 section 4). Required with `listen`.",
    )
    contact: tuple[ContactAddress, ...] = Field(
        (),
        description="Whom visitors may ask about this server: `mailto:`, `tel:` and web addresses.",
    )
    language: PageLanguage = Field(
        "en",
        description="Language for visitors whose browser asks for none that the page has: "
        "`de`, `en`, `es`, `fr` or `it`.",
    )
    connections: StrictInt = Field(
        500, ge=1, le=10000, description="Open connections of the block page."
    )

    @model_validator(mode="after")
    def _says_who_blocks(self) -> Self:
        if self.listen and self.operator_url is None:
            raise ValueError(
                "operator_url is required with listen: the page must say who carries the block"
                " out (RFC 7725 section 4)"
            )
        return self
