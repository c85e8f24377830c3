"""From a request to a reply: who is told what, in which form."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from geodns.blockpage.answer import Answers, Reply, Request
from geodns.blockpage.render import style_hash
from geodns.orders.loaded import LoadedOrder
from geodns.policy.compile import amend_snapshot, compile_snapshot
from geodns.policy.layers import LayeredSnapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.inforce import InForce
from geodns.settings import Settings
from tests.policy.making import NOW, order
from tests.serve.test_inforce import in_force

ITALIAN, FRENCH, NOWHERE, PROXY = "10.1.0.1", "10.0.0.1", "10.224.0.1", "192.0.2.1"
PAGE = {
    "operator": "Rete Esempio",
    "operator_url": "https://rete.example/blocchi",
    "contact": ["mailto:abuse@rete.example"],
}
FULL = order(
    "it-full",
    domains=["full.example", "xn--bcher-kva.example"],
    exempt=["free.full.example"],
    places=["IT", "SM"],
    action="sinkhole",
    addresses=["127.0.0.80"],
    text="Su ordine del <Tribunale> l'accesso è inibito.",
    title='Ordinanza "cautelare" & altro',
    reference="R.G. 1/2024",
    legal_basis="art. 700 c.p.c.",
    timezone="Europe/Rome",
    effective=datetime(2024, 7, 12, 10, tzinfo=UTC),
    expires=datetime(2029, 12, 31, 23, tzinfo=UTC),
    disclosure={
        "contact": ["mailto:a@example.org", "tel:+3902"],
        "url": "https://example.org/order?a=1&b=2",
        "incident": {"db": "lumen", "id": "12 3"},
    },
)
SILENT = order(
    "it-silent",
    domains=["silent.example"],
    title="A title that may not be told",
    reference="SECRET-1",
    legal_basis="a secret law",
    disclosure={"contact": ["mailto:secret@example.org"], "url": "https://secret.example/"},
)
OWN = order("own", domains=["own.example"], kind="operator", places=None, text="Malware.")
SHADOW = order("shadow", domains=["shadow.example"], status="shadow", text="x")
UNKNOWN = order("unknown", domains=["unknown.example"], on_unknown="block", text="x")
ORDERS = (FULL, SILENT, OWN, SHADOW, UNKNOWN)


def settings(**page: Any) -> dict[str, Any]:
    raw = {"trust": {"forwarded": [PROXY]}, "blockpage": {**PAGE, **page}}
    return Settings.model_validate(raw).model_dump(mode="json")


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> InForce:
    return in_force(tmp_path_factory.mktemp("page"), *ORDERS)


@pytest.fixture
def answers(orders: InForce) -> Answers:
    return Answers(settings(), orders)


def reply(answers: Answers, asked: Request) -> Reply:
    """The reply to a request that nobody upstream is asked for."""
    return asyncio.run(answers.answer(asked))


def request(host: str, peer: str = ITALIAN, method: str = "GET", **fields: Any) -> Request:
    return Request(method, ip_address(peer).packed, (host,), **fields)


def text(reply: Reply) -> str:
    return reply.body.decode()


def document(reply: Reply) -> dict[str, Any]:
    assert reply.headers["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(reply.body)
    return found


class Outline(HTMLParser):
    """Checks that tags nest, and gathers what an auditor of accessibility looks at first."""

    VOID = frozenset(("meta", "link", "br"))

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.seen if tag == name]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_an_italian_is_told_and_a_frenchman_is_not(answers: Answers) -> None:
    told = reply(answers, request("www.full.example"))
    assert told.status == 451
    assert told.headers["Link"] == '<https://rete.example/blocchi>; rel="blocked-by"'
    assert "it-full" in text(told)
    neutral = reply(answers, request("www.full.example", FRENCH))
    assert neutral.status == 421
    assert "Link" not in neutral.headers
    for word in ("it-full", "Tribunale", "R.G."):
        assert word not in text(neutral)
    assert answers.counters == {
        "blockpage/451": 1,
        "blockpage/421": 1,
        "blockpage/order/it-full": 1,
    }


@pytest.mark.parametrize(
    ("host", "peer", "status"),
    [
        ("full.example", ITALIAN, 451),
        ("FULL.example.:8080", ITALIAN, 451),
        ("bücher.example", ITALIAN, 451),
        ("notfull.example", ITALIAN, 421),
        ("free.full.example", ITALIAN, 421),
        ("shadow.example", ITALIAN, 421),
        ("own.example", FRENCH, 451),
        ("full.example", NOWHERE, 421),
        ("unknown.example", NOWHERE, 451),
        ("full.example", "::ffff:10.1.0.1", 451),
        ("full.example", "2001:db8::1", 451),
        ("full.example", "2001:db8:1::1", 421),
        ("192.0.2.1", ITALIAN, 421),
        ("[2001:db8::1]:80", ITALIAN, 421),
        ("nonsense/", ITALIAN, 400),
        ("", ITALIAN, 400),
    ],
)
def test_status(answers: Answers, host: str, peer: str, status: int) -> None:
    assert reply(answers, request(host, peer)).status == status


def test_requests_without_one_host(answers: Answers) -> None:
    peer = ip_address(ITALIAN).packed
    assert reply(answers, Request("GET", peer, ())).status == 400
    assert reply(answers, Request("GET", peer, ("full.example", "full.example"))).status == 400
    absolute = Request("GET", peer, ("other.example",), authority="full.example:80")
    assert reply(answers, absolute).status == 451


def test_every_method_of_a_site_is_refused_alike(answers: Answers) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert reply(answers, request("full.example", method=method)).status == 451
    for method in ("CONNECT", "TRACE", "BREW", "get"):
        assert reply(answers, request("full.example", method=method)).status == 501


def test_the_visitor_behind_a_proxy(answers: Answers) -> None:
    for peer, field, status in (
        (PROXY, ITALIAN, 451),
        (PROXY, FRENCH, 421),
        (PROXY, "nonsense", 421),
        (FRENCH, ITALIAN, 421),
        (ITALIAN, FRENCH, 451),
    ):
        asked = request("full.example", peer, x_forwarded_for=(field,))
        assert reply(answers, asked).status == status, (peer, field)


def test_all_that_may_be_told_is_told(answers: Answers) -> None:
    shown = Outline(text(reply(answers, request("full.example", accept_language="it")))).text
    for word in (
        "full.example è bloccato",
        "Tribunale (autorità giudiziaria, Italia)",
        "Su ordine del <Tribunale> l'accesso è inibito.",
        'Ordinanza "cautelare" & altro',
        "it-full",
        "R.G. 1/2024",
        "art. 700 c.p.c.",
        "12 luglio 2024, ore 12:00 (CEST)",
        "1 gennaio 2030",
        "Italia, San Marino",
        "lumen 12 3",
        "a@example.org",
        "+3902",
        "abuse@rete.example",
        "Rete Esempio",
    ):
        assert word in shown, word


def test_links_go_where_the_order_says(answers: Answers) -> None:
    outline = Outline(text(reply(answers, request("full.example"))))
    links = {link["href"] for link in outline.tags("a")}
    assert links == {
        "mailto:a@example.org",
        "tel:+3902",
        "mailto:abuse@rete.example",
        "https://example.org/order?a=1&b=2",
        "https://lumendatabase.org/notices/12%203",
        "https://rete.example/blocchi",
        "?lang=de",
        "?lang=es",
        "?lang=fr",
        "?lang=it",
    }


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_an_order_that_discloses_nothing_tells_its_id_and_authority_only(
    answers: Answers, accept: str
) -> None:
    told = text(reply(answers, request("silent.example", accept=accept)))
    assert "it-silent" in told
    assert "Tribunale" in told
    lowered = told.lower()
    assert "secret" not in lowered
    assert "title that may not" not in lowered
    assert "2020" not in told


def test_the_operators_own_block(answers: Answers) -> None:
    shown = Outline(text(reply(answers, request("own.example", FRENCH)))).text
    assert "Rete Esempio blocks this name where you are, under its own rules." in shown
    assert "Has force inall places" in shown


def test_json(answers: Answers) -> None:
    asked = request("full.example", accept="application/json, text/html;q=0.9")
    found = reply(answers, asked)
    assert (found.status, found.headers["Vary"]) == (451, "Accept, Accept-Language")
    assert document(found) == {
        "type": "about:blank",
        "title": "Unavailable For Legal Reasons",
        "status": 451,
        "host": "full.example",
        "place": "IT",
        "detail": "Su ordine del <Tribunale> l'accesso è inibito.",
        "order": {
            "id": "it-full",
            "title": 'Ordinanza "cautelare" & altro',
            "text": "Su ordine del <Tribunale> l'accesso è inibito.",
            "authority": {
                "name": "Tribunale",
                "kind": "court",
                "place": "IT",
                "reference": "R.G. 1/2024",
            },
            "legal_basis": "art. 700 c.p.c.",
            "jurisdiction": ["IT", "SM"],
            "effective": "2024-07-12T12:00:00+02:00",
            "expires": "2030-01-01T00:00:00+01:00",
            "target": "full.example",
            "contact": ["mailto:a@example.org", "tel:+3902"],
            "url": "https://example.org/order?a=1&b=2",
            "incident": {
                "db": "lumen",
                "id": "12 3",
                "url": "https://lumendatabase.org/notices/12%203",
            },
        },
        "blocked_by": "https://rete.example/blocchi",
        "operator": {
            "name": "Rete Esempio",
            "url": "https://rete.example/blocchi",
            "contact": ["mailto:abuse@rete.example"],
        },
    }


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json;q=0, */*", "text/html; charset=utf-8"),
        ("application/json;q=0.5, text/html", "text/html; charset=utf-8"),
        ("application/json;q=x", "text/html; charset=utf-8"),
        ("image/avif", "text/html; charset=utf-8"),
        ("Application/JSON, */*", "application/problem+json"),
        ("application/problem+json;charset=utf-8", "application/problem+json"),
    ],
)
def test_accept(answers: Answers, accept: str, kind: str) -> None:
    for host in ("full.example", "other.example", ""):
        found = reply(answers, request(host, accept=accept))
        assert found.headers["Content-Type"] == kind


def test_language_of_page(answers: Answers) -> None:
    for field, lang, tag in (
        ("", None, "en"),
        ("de-AT,en;q=0.5", None, "de"),
        ("pt, es;q=0.1", None, "es"),
        ("de", "fr", "fr"),
        ("de", "tlh", "de"),
    ):
        found = reply(answers, request("full.example", accept_language=field, lang=lang))
        assert found.headers["Content-Language"] == tag
        assert Outline(text(found)).tags("html") == [{"lang": tag, "dir": "ltr"}]
    for host in ("other.example", ""):
        assert (
            reply(answers, request(host, accept_language="it")).headers["Content-Language"] == "it"
        )


def test_default_language_is_a_setting(orders: InForce) -> None:
    answers = Answers(settings(language="it"), orders)
    assert reply(answers, request("full.example")).headers["Content-Language"] == "it"


@pytest.mark.parametrize(
    "host", ["full.example", "silent.example", "other.example", "192.0.2.1", ""]
)
def test_no_script_and_nothing_from_elsewhere(answers: Answers, host: str) -> None:
    found = reply(answers, request(host))
    assert found.headers["Cache-Control"] == "no-store"
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert found.headers["Referrer-Policy"] == "no-referrer"
    policy = found.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert style_hash() in policy
    outline = Outline(text(found))
    names = {tag for tag, _ in outline.seen}
    assert not names & {"script", "img", "iframe", "form", "input", "object", "video"}
    assert [link for link in outline.tags("link") if link["href"] != "data:,"] == []
    for _, attributes in outline.seen:
        assert not [key for key in attributes if key.startswith("on") or key == "style"]


@pytest.mark.parametrize("host", ["full.example", "silent.example", "own.example", "x.example", ""])
def test_outline_for_readers_who_cannot_see(answers: Answers, host: str) -> None:
    """WCAG 1.3.1, 2.4.1, 2.4.2, 3.1.1, 3.1.2: landmarks, headings, title, languages."""
    outline = Outline(text(reply(answers, request(host))))
    for one in ("html", "title", "main", "h1", "nav", "footer"):
        assert len(outline.tags(one)) == 1, one
    ids = {each.get("id") for _, each in outline.seen} - {None}
    for section in outline.tags("section"):
        assert section["aria-labelledby"] in ids
    assert len(outline.tags("section")) == len(outline.tags("h2"))
    assert outline.tags("nav")[0]["aria-label"] == "Languages"
    assert [quote["dir"] for quote in outline.tags("blockquote")] in ([], ["auto"])


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two colours (#rrggbb)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_enough_in_light_and_dark() -> None:
    from geodns.blockpage.render import style

    themes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part))
        for part in re.findall(r":root \{(.*?)\}", style(), re.DOTALL)[:2]
    ]
    assert len(themes) == 2
    for colours in themes:
        for text_colour in ("ink", "soft", "mark", "link"):
            for ground in ("ground", "sheet", "quote"):
                assert contrast(colours[text_colour], colours[ground]) >= 4.5


def test_what_an_order_says_cannot_become_markup(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>{host}'
    hostile = order(
        "evil",
        domains=["evil.example"],
        text=evil,
        title=evil,
        reference=evil,
        legal_basis=evil,
        disclosure={
            "contact": ['mailto:"><script>'],
            "url": 'https://evil.example/"><script>{x}',
            "incident": {"db": evil, "id": evil},
        },
    )
    answers = Answers(settings(operator=evil), in_force(tmp_path, hostile))
    outline = Outline(text(reply(answers, request("evil.example"))))
    assert outline.tags("script") == []
    assert outline.text.count("<script>alert(1)</script>{host}") >= 6


def test_a_request_cannot_become_markup(answers: Answers) -> None:
    for host in ("<script>.example", "{host}.example", "a'b.example", "%3Cb%3E.example"):
        found = reply(answers, request(host, accept_language="<script>", lang='"><script>'))
        assert found.status == 400
        assert "script>" not in text(found)


def test_other_orders_and_settings_take_over(answers: Answers, orders: InForce) -> None:
    lifted = (SILENT, OWN)
    base = orders.snapshot
    amended = LayeredSnapshot(amend_snapshot(base, lifted, NOW), base)
    answers.apply(settings(operator="Anders"), InForce(amended, orders.places))
    assert reply(answers, request("full.example")).status == 421
    assert "Anders" in text(reply(answers, request("silent.example")))


def test_what_is_disclosed_survives_the_snapshot(orders: InForce) -> None:
    found = Snapshot(compile_snapshot(ORDERS, NOW)).orders
    records = {record.id: record.disclosed for record in found}
    told = records["it-full"]
    assert told.text == "Su ordine del <Tribunale> l'accesso è inibito."
    assert told.places == ("IT", "SM")
    assert told.contact == ("mailto:a@example.org", "tel:+3902")
    assert told.incident == ("lumen", "12 3")
    assert records["own"].places is None
    assert records["it-silent"].text is None


def dated(loaded: LoadedOrder) -> LoadedOrder:
    from dataclasses import replace

    return replace(
        loaded,
        issued=datetime(2024, 7, 1, tzinfo=UTC),
        review=datetime(2029, 7, 1, tzinfo=UTC),
    )


def test_dates_of_issue_and_review(tmp_path: Path) -> None:
    answers = Answers(settings(), in_force(tmp_path, dated(OWN), dated(SILENT)))
    shown = Outline(text(reply(answers, request("own.example")))).text
    assert "Issued1 July 2024" in shown
    assert "To be reviewed on1 July 2029" in shown
    assert "July" not in text(reply(answers, request("silent.example")))


TRANSLATED = order(
    "translated",
    domains=["translated.example"],
    text="Inibito.",
    disclosure={
        "language": "it",
        "translations": {"de": {"text": "Gesperrt."}, "pt-BR": {"text": "Bloqueado."}},
    },
)


@pytest.mark.parametrize(
    ("accept_language", "tag", "told"),
    [
        ("it", "it", "Inibito."),
        ("de-CH", "de", "Gesperrt."),
        ("pt-BR, de;q=0.5", "pt-BR", "Bloqueado."),
        ("fr, de;q=0.5", "de", "Gesperrt."),
        ("fr", "it", "Inibito."),
        ("", "it", "Inibito."),
    ],
)
def test_the_orders_sentence_in_the_visitors_language(
    tmp_path: Path, accept_language: str, tag: str, told: str
) -> None:
    answers = Answers(settings(), in_force(tmp_path, TRANSLATED))
    found = reply(answers, request("translated.example", accept_language=accept_language))
    outline = Outline(text(found))
    assert outline.tags("blockquote") == [{"dir": "auto", "lang": tag}]
    assert told in outline.text
    assert {"lang": "it"} in outline.tags("bdi")


def test_json_has_every_language(tmp_path: Path) -> None:
    answers = Answers(settings(), in_force(tmp_path, TRANSLATED))
    found = document(reply(answers, request("translated.example", accept="application/json")))
    assert found["order"]["language"] == "it"
    assert found["order"]["translations"] == {"de": "Gesperrt.", "pt-BR": "Bloqueado."}
