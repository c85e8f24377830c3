"""Charts of a report as SVG: each with all its figures in words, and coloured by the page.

The page's style gives ``bar``, ``line``, ``away``, ``grid`` and ``text`` their colours (page.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from html import escape
from math import ceil, floor, log10
from typing import Any

import svg

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 66, 12, 14, 30
ROW = 30
LABEL = 118

_SCALES = ((1, 5), (2, 4), (3, 3), (4, 4), (5, 5), (6, 3), (8, 4))
"""Scales end at a power of ten times the first figure, in so many parts."""

Bin = tuple[str, float]
"""A label and a figure."""


def bars(bins: Sequence[Bin], title: str, labels: int = 7) -> str:
    """Upright bars, one for each step of time. labels: how many steps are labelled at most."""
    top = _ceiling(max((value for _, value in bins), default=0))
    room = (WIDTH - LEFT - RIGHT) / max(len(bins), 1)
    drawn = _grid(top)
    every = ceil(len(bins) / labels)
    for at, (label, value) in enumerate(bins):
        x, height = LEFT + room * at, _high(value, top)
        wide = max(room * 0.78, 1)
        drawn.append(
            svg.Rect(
                x=_round(x + (room - wide) / 2),
                y=_round(HEIGHT - BOTTOM - height),
                width=_round(wide),
                height=_round(height),
                class_=["bar"],
                elements=[svg.Title(text=escape(f"{label}: {value:,.0f}"))],
            )
        )
        if at % every == 0:
            # The last one would stand out of the drawing.
            near = x + room / 2 > WIDTH - RIGHT - 36
            middle = WIDTH - RIGHT if near else x + room / 2
            drawn.append(_text(middle, HEIGHT - 9, label, "end" if near else "middle"))
    words = ", ".join(f"{label}: {value:,.0f}" for label, value in bins)
    return _drawing(title, words, drawn, HEIGHT)


def steps(
    points: Sequence[tuple[float, int]],
    since: float,
    until: float,
    ticks: Sequence[tuple[float, str]],
    away: Sequence[tuple[float, float]],
    title: str,
    words: str,
) -> str:
    """A count that holds from each point (epoch seconds) to the next, and the last to ``until``.

    ticks: labelled instants. away: times that are shaded.
    """
    top = _ceiling(max((count for _, count in points), default=0))
    drawn = _grid(top)

    def across(at: float) -> float:
        share = (at - since) / max(until - since, 1)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0), 1)

    for begin, end in away:
        x = across(begin)
        shade = max(across(end) - x, 1)
        box: dict[str, Any] = {"x": _round(x), "y": TOP, "width": _round(shade)}
        drawn.append(svg.Rect(**box, height=HEIGHT - TOP - BOTTOM, class_=["away"]))
    data: list[svg.PathData] = []
    for (at, count), (after, _) in zip(points, [*points[1:], (until, 0)], strict=True):
        y = _round(HEIGHT - BOTTOM - _high(count, top))
        data.append(svg.L(_round(across(at)), y) if data else svg.M(_round(across(at)), y))
        data.append(svg.L(_round(across(after)), y))
    if data:
        floor_at = HEIGHT - BOTTOM
        area = [*data, svg.L(_round(across(until)), floor_at), svg.L(LEFT, floor_at), svg.Z()]
        drawn.append(svg.Path(d=area, class_=["area"]))
        drawn.append(svg.Path(d=data, class_=["line"]))
    drawn += [_text(across(at), HEIGHT - 9, label, "middle") for at, label in ticks]
    return _drawing(title, words, drawn, HEIGHT)


def distribution(bins: Sequence[Bin], title: str) -> str:
    """Bars that lie, one below the other, each with its label and its figure."""
    most = max((value for _, value in bins), default=0) or 1
    drawn: list[svg.Element] = []
    for at, (label, value) in enumerate(bins):
        y = 8 + ROW * at
        wide = (WIDTH - LABEL - 90) * value / most
        drawn.append(_text(LABEL - 10, y + 15, label, "end"))
        box: dict[str, Any] = {"x": LABEL, "y": y, "width": _round(max(wide, 1.5))}
        drawn.append(svg.Rect(**box, height=20, class_=["bar" if value else "grid"]))
        drawn.append(_text(LABEL + wide + 8, y + 15, f"{value:,.0f}", "start"))
    words = ", ".join(f"{label}: {value:,.0f}" for label, value in bins)
    return _drawing(title, words, drawn, 16 + ROW * len(bins))


def _grid(top: int) -> list[svg.Element]:
    """Lines at whole figures, and these figures."""
    parts = next(parts for least, parts in _SCALES if str(top).startswith(str(least)))
    parts = parts if top >= parts else top
    drawn: list[svg.Element] = []
    for at in range(parts + 1):
        value = top * at // parts
        y = _round(HEIGHT - BOTTOM - _high(value, top))
        drawn.append(svg.Line(x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_=["grid"]))
        drawn.append(_text(LEFT - 8, y + 4, f"{value:,}", "end"))
    return drawn


def _ceiling(most: float) -> int:
    """The figure at the top of a scale, at least ``most`` and 1: see _SCALES."""
    power = 10 ** floor(log10(max(most, 1)))
    return int(next(n * power for n, _ in (*_SCALES, (10, 5)) if n * power >= most))


def _high(value: float, top: float) -> float:
    return (HEIGHT - TOP - BOTTOM) * value / top


def _text(x: float, y: float, text: str, anchor: Any) -> svg.Text:
    return svg.Text(x=_round(x), y=_round(y), text_anchor=anchor, text=escape(text))


def _round(value: float) -> float:
    return round(value, 1)


def _drawing(title: str, words: str, drawn: list[svg.Element], height: int) -> str:
    mark = "c" + sha256(f"{title}{words}".encode()).hexdigest()[:8]
    return svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, height),
        class_=["chart"],
        extra={"role": "img", "aria-labelledby": f"{mark}-t {mark}-d"},
        elements=[
            svg.Title(id=f"{mark}-t", text=escape(title)),
            svg.Desc(id=f"{mark}-d", text=escape(f"{words}.")),
            *drawn,
        ],
    ).as_str()
