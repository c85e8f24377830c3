"""A notice as an HTML page: no scripts, nothing from elsewhere, readable by every browser."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from geodns.blockpage import wording
from geodns.blockpage.language import Words, best, languages
from geodns.blockpage.notice import Notice, incident_url
from geodns.model.language import UNDETERMINED
from geodns.model.name import to_text, unicode_of
from geodns.policy.snapshot import Disclosed


@cache
def style() -> str:
    """The style sheet, which stands in the page itself."""
    return files("geodns.blockpage").joinpath("style.css").read_text("utf-8").strip()


@cache
def style_hash() -> str:
    """The style sheet's hash as Content-Security-Policy names it."""
    return "sha256-" + b64encode(hashlib.sha256(style().encode()).digest()).decode()


def page(notice: Notice, words: Words, wanted: Sequence[str]) -> str:
    """The whole document. wanted: the visitor's language ranges, for the order's own text."""
    title, lead = _title(notice, words)
    body = [
        "<main>" if notice.order is not None else '<main class="plain">',
        '<header class="head">',
        f'<p class="status"><span class="code">{notice.status}</span> '
        f"{escape(words[f'status_{notice.status}'])}</p>",
        f"<h1>{title}</h1>",
        *(f'<p class="lead">{text}</p>' for text in lead),
        "</header>",
        *_sections(notice, words, wanted),
        "</main>",
        *_footer(notice, words),
    ]
    head = [
        "<!DOCTYPE html>",
        f'<html lang="{words.tag}" dir="{words.direction}">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="robots" content="noindex">',
        '<meta name="color-scheme" content="light dark">',
        '<link rel="icon" href="data:,">',
        f"<title>{_plain_title(notice, words)}</title>",
        f"<style>{style()}</style>",
        "</head>",
    ]
    return "\n".join((*head, "<body>", *body, "</body>", "</html>", ""))


def _fill(text: str, **parts: str) -> str:
    """A sentence of ours with pieces of markup in its gaps."""
    return escape(text, quote=False).format(**parts)


def _foreign(text: str, language: str = UNDETERMINED) -> str:
    """Text that is not ours, of any direction. language: a BCP 47 tag."""
    return f'<bdi lang="{_lang(language)}">{escape(text)}</bdi>'


def _lang(tag: str) -> str:
    """A tag as HTML has it, where an unknown language is the empty one."""
    return "" if tag == UNDETERMINED else escape(tag)


def _link(url: str, text: str | None = None) -> str:
    shown = url.partition(":")[2] if text is None and not url.startswith("http") else text or url
    return f'<a href="{escape(url)}" rel="noreferrer">{escape(shown)}</a>'


def _plain_title(notice: Notice, words: Words) -> str:
    if notice.order is not None and notice.host is not None:
        return escape(words["blocked_title"].format(host=notice.host.shown), quote=False)
    return escape(words["bad_title" if notice.host is None else "neutral_title"])


def _host(notice: Notice) -> str:
    assert notice.host is not None
    shown = f'<bdi class="host">{escape(notice.host.shown)}</bdi>'
    if notice.host.ascii != notice.host.shown:
        shown += f' <bdi class="alabel">({escape(notice.host.ascii)})</bdi>'
    return shown


def _title(notice: Notice, words: Words) -> tuple[str, list[str]]:
    if notice.host is None:
        told = "bad_method" if notice.status == 501 else "bad_lead"
        return escape(words["bad_title"]), [escape(words[told])]
    order, operator = notice.order, _foreign(notice.operator.name)
    if order is None:
        if notice.host.name is None:
            return escape(words["neutral_title"]), [escape(words["no_name_lead"])]
        told = _fill(words["neutral_lead"], host=_host(notice))
        return escape(words["neutral_title"]), [told, escape(words["neutral_why"])]
    told = "operator" if order.authority_kind == "operator" else "authority"
    lead = [
        _fill(
            words[f"blocked_by_{told}"],
            authority=f"<strong>{_foreign(order.authority, order.disclosed.language)}</strong>",
            operator=operator,
        )
    ]
    choice = notice.choice
    if choice is not None and order.disclosed.text is not None:
        if choice.alias is not None:
            lead.append(_fill(words["blocked_through"], alias=_name(choice.alias)))
        elif not choice.target:
            lead.append(escape(words["blocked_address"]))
    return _fill(words["blocked_title"], host=_host(notice)), lead


def _name(wire: bytes) -> str:
    text = to_text(wire)
    return f'<bdi class="host">{escape(unicode_of(text) or text)}</bdi>'


def _sections(notice: Notice, words: Words, wanted: Sequence[str]) -> Iterator[str]:
    if notice.order is not None:
        yield from _section("order", words["order_heading"], _order(notice, words, wanted))
        yield from _section("appeal", words["appeal_heading"], _appeal(notice, words))
    if notice.choice is not None and notice.host is not None and notice.host.name is not None:
        yield from _section("place", words["place_heading"], _place(notice, words))


def _section(name: str, heading: str, content: Iterator[str]) -> Iterator[str]:
    yield f'<section aria-labelledby="{name}">'
    yield f'<h2 id="{name}">{escape(heading)}</h2>'
    yield from content
    yield "</section>"


def _order(notice: Notice, words: Words, wanted: Sequence[str]) -> Iterator[str]:
    order = notice.order
    assert order is not None
    disclosed = order.disclosed
    if disclosed.text is not None:
        tag, text = sentence(disclosed, (*wanted, words.tag))
        yield f'<blockquote dir="auto" lang="{_lang(tag)}">{escape(text)}</blockquote>'
    yield "<dl>"
    for label, value in _rows(notice, words):
        yield f"<div><dt>{escape(words[f'label_{label}'])}</dt><dd>{value}</dd></div>"
    yield "</dl>"
    if disclosed.text is None:
        yield f"<p>{escape(words['undisclosed'])}</p>"


def sentence(disclosed: Disclosed, wanted: Sequence[str]) -> tuple[str, str]:
    """The order's sentence in the language that is wanted first, with its tag.

    Its own language is told where it has none of those wanted.
    """
    told = {disclosed.language: disclosed.text or "", **dict(disclosed.translations)}
    tag = best(wanted, told) or disclosed.language
    return tag, told[tag]


def _rows(notice: Notice, words: Words) -> Iterator[tuple[str, str]]:
    order, choice = notice.order, notice.choice
    assert order is not None and choice is not None
    disclosed = order.disclosed
    language = disclosed.language
    authority = _foreign(order.authority, language)
    identifier = f"<code>{escape(order.id)}</code>"
    if disclosed.text is None:
        yield "authority", authority
        yield "order", identifier
        return
    kind = escape(words[f"kind_{order.authority_kind}"])
    yield "authority", f"{authority} <span>({kind}, {_place_name(words, order.place)})</span>"
    yield "title", _foreign(order.title, language)
    yield "order", identifier
    if order.reference:
        yield "reference", _foreign(order.reference, language)
    if order.legal_basis:
        yield "legal_basis", _foreign(order.legal_basis, language)
    for label, epoch in (
        ("issued", disclosed.issued),
        ("effective", order.effective),
        ("expires", order.expires),
        ("review", disclosed.review),
    ):
        if epoch is not None:
            yield label, escape(wording.instant(words, epoch, order.timezone))
    yield "jurisdiction", escape(wording.jurisdiction(words, disclosed))
    if choice.target:
        yield "target", _name(choice.target)
    if order.url:
        yield "link", _link(order.url)
    if disclosed.incident is not None:
        database, entry = disclosed.incident
        url = incident_url(database, entry)
        shown = f"{database} {entry}"
        yield "incident", _foreign(shown) if url is None else _link(url, shown)


def _place_name(words: Words, code: str) -> str:
    return escape(wording.place(words, code))


def _appeal(notice: Notice, words: Words) -> Iterator[str]:
    order, operator = notice.order, notice.operator
    assert order is not None
    disclosed = order.disclosed
    if order.authority_kind == "operator":
        told = _fill(words["appeal_operator"], operator=_foreign(operator.name))
    else:
        told = escape(words["appeal_authority"])
    if order.reference and disclosed.text is not None:
        reference = _foreign(order.reference)
        write = _fill(words["appeal_write_reference"], reference=reference)
    else:
        write = escape(words["appeal_write"])
    yield f"<p>{told} {write}</p>"
    rows: list[tuple[str, Sequence[str]]] = []
    if disclosed.text is not None:
        rows.append(("appeal_contact", [_link(uri) for uri in disclosed.contact]))
        rows.append(("appeal_more", [_link(disclosed.url)] if disclosed.url else []))
    rows.append(("operator_contact", [_link(uri) for uri in operator.contact]))
    filled = [(label, links) for label, links in rows if links]
    if filled:
        yield "<dl>"
        for label, links in filled:
            yield f"<div><dt>{escape(words[label])}</dt><dd>{'<br>'.join(links)}</dd></div>"
        yield "</dl>"


def _place(notice: Notice, words: Words) -> Iterator[str]:
    country = notice.country
    if country is None:
        yield f"<p>{escape(words['place_unknown'])}</p>"
    else:
        shown = f"<strong>{_place_name(words, country)}</strong>"
        told = _fill(words["place_known"], place=shown)
        yield f"<p>{told} {escape(words['place_wrong'])}</p>"


def _footer(notice: Notice, words: Words) -> Iterator[str]:
    yield "<footer>"
    shown = words["operator_page"].format(operator=notice.operator.name)
    yield f"<p>{_link(notice.operator.url, shown)}</p>"
    yield f"<p>{escape(words['privacy'])}</p>"
    yield f'<nav aria-label="{escape(words["languages_label"])}"><ul>'
    for tag, each in languages().items():
        if tag == words.tag:
            yield f'<li><span lang="{tag}" aria-current="true">{escape(each.name)}</span></li>'
        else:
            link = f'<a href="?lang={tag}" lang="{tag}" hreflang="{tag}">{escape(each.name)}</a>'
            yield f"<li>{link}</li>"
    yield "</ul></nav>"
    yield "</footer>"


def choose_words(wanted: Sequence[str], default: str) -> Words:
    """The page's language for a visitor's ranges. default: a tag of ``languages``."""
    known = languages()
    return known[best(wanted, known) or default]
