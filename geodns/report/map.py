"""The world map as SVG: a figure a country, readable in colour, in grey, aloud and on paper.

Shapes are Natural Earth's (public domain), in the Equal Earth projection, which keeps areas true;
``contrib/world_shapes.py`` made them. An SVG is one document without scripts and without
anything loaded from elsewhere; it may stand alone or inside a page, several in one page too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from math import log10
from textwrap import wrap
from typing import Any

import svg

from geodns.model.place import country_name

STEPS = 4
"""How many kinds of filling there are for counts."""
DOT = 4.2
"""Radius of a state too small to be seen, in thousandths of the map's width."""
LABEL_AREA = 140
"""Area from which a country has room for its code, in the same units squared."""
HEAD = 84
"""Characters of the title that are drawn."""
LINE = 118
"""Characters of a line of the list below the map."""
TEXT = "font-family:system-ui,'Segoe UI',Roboto,'Noto Sans',Arial,sans-serif"

Number = float | int


@dataclass(frozen=True, slots=True)
class Step:
    """Counts from low to high (both included) that are drawn alike."""

    low: Number
    high: Number

    def text(self) -> str:
        """The step as the legend says it."""
        if self.low == self.high:
            return _figure(self.low)
        return f"{_figure(self.low)} to {_figure(self.high)}"


class Outline(svg.PathData):
    """Path data that is text already."""

    def __init__(self, data: str) -> None:
        self.data = data

    def __str__(self) -> str:
        """The data as they stand."""
        return self.data


def world(
    counts: Mapping[str, Number],
    title: str,
    *,
    unit: str = "",
    withheld: Collection[str] = (),
    withheld_as: str = "few",
    partly: Collection[str] = (),
    notes: Collection[str] = (),
    nothing: str = "none",
    listed: bool = True,
    alone: bool = False,
) -> str:
    """Draw a figure for each country.

    counts: by ISO 3166-1 alpha-2 code; 0 is drawn as nothing. unit: what is counted, for the
    legend (``blocked names``). withheld: codes whose figure is kept back, whatever ``counts``
    says; withheld_as: what is written instead, such as ``< 10``. partly: codes of which only a
    part is meant, drawn hatched. notes: lines below. nothing: what the legend says of the rest.
    listed: whether the countries are listed in words below the map; they are in the description
    in any case. alone: a document of its own, with its own ground, and no part of a page.

    Returns one ``svg`` element that grows to the width it is given; below some 500 pixels let
    it scroll. Codes that the map does not know are named below it.
    """
    data = _shapes()
    width, height = data["size"]
    figures = {
        code: 0 if code in withheld else count
        for code, count in counts.items()
        if count > 0 or code in partly or code in withheld
    }
    told = {
        code: withheld_as if code in withheld else _figure(count) if count else ""
        for code, count in figures.items()
    }
    # A reader who cannot see the map, or its small states, has everything in words.
    order = sorted(figures, key=lambda code: (-figures[code], country_name(code)))
    words = [
        f"{country_name(code)} {told[code]}".strip() + (" (in part)" if code in partly else "")
        for code in order
    ]
    where = ", ".join(words) if words else f"No country: {nothing}"
    lost = [code for code in order if code not in data["paths"] and code not in data["dots"]]
    below = [f"Not on the map: {', '.join(lost)}"] if lost else []
    for text in (*([where] if listed else []), *notes):
        below += wrap(text, LINE)
    apart = {*partly, *withheld}
    most = STEPS - 1 if withheld else STEPS
    steps = _steps([count for code, count in figures.items() if code not in apart], most)
    rows = [("s0", f"{withheld_as} {unit}".strip())] if withheld else []
    rows += [(_kind(at, steps), f"{step.text()} {unit}".strip()) for at, step in enumerate(steps)]
    kinds = {code: _filling(code, count, steps, partly) for code, count in figures.items()}
    rows += [("part", "in a part of the country")] if partly else []
    rows += [("land", nothing)]
    mark = "m" + sha256(f"{title}{sorted(told.items())}{where}".encode()).hexdigest()[:8]
    total = height + 70 + 26 * len(rows) + 22 * len(below) + 14
    ground = [svg.Rect(width=width, height=total, class_=["ground"])] if alone else []
    drawn: list[svg.Element] = [
        svg.Title(id=f"{mark}-t", text=escape(title)),
        svg.Desc(id=f"{mark}-d", text=escape(f"World map. {unit or 'Figures'}: {where}.")),
        svg.Style(text=_style(mark)),
        svg.Defs(elements=_patterns(mark)),
        *ground,
        svg.Text(x=12, y=30, class_=["head"], text=escape(_cut(title))),
        svg.G(
            transform=[svg.Translate(0, 44)],
            elements=_countries(data, kinds, told),
        ),
        *_legend(rows, 44 + height + 14),
    ]
    y = 44 + height + 14 + 26 * len(rows) + 22
    for line in below:
        drawn.append(svg.Text(x=12, y=y, class_=["line"], text=escape(line)))
        y += 22
    return svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, width, total),
        class_=[mark],
        extra={"role": "img", "aria-labelledby": f"{mark}-t {mark}-d"},
        elements=drawn,
    ).as_str()


def codes() -> frozenset[str]:
    """The countries that the map has."""
    data = _shapes()
    return frozenset((*data["paths"], *data["dots"]))


@cache
def _shapes() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(files("geodns.report").joinpath("world.json").read_bytes())
    return read


def _cut(title: str) -> str:
    """A title that fits above the map; the whole of it is what a screen reader has."""
    return title if len(title) <= HEAD else title[: HEAD - 1] + "…"


def _figure(count: Number) -> str:
    return f"{count:,}" if isinstance(count, int) else f"{count:,.4g}"


def _steps(counts: list[Number], most: int) -> list[Step]:
    """Up to so many steps: each count its own where they are few, else equal in magnitude."""
    distinct = sorted(set(counts))
    if len(distinct) <= most:
        return [Step(count, count) for count in distinct]
    low, high = log10(distinct[0]), log10(distinct[-1])
    bins: list[list[Number]] = [[] for _ in range(most)]
    for count in distinct:
        share = (log10(count) - low) / (high - low)
        bins[min(most - 1, int(share * most))].append(count)
    return [Step(each[0], each[-1]) for each in bins if each]


def _kind(at: int, steps: list[Step]) -> str:
    """The filling of a step: the highest step always has the strongest."""
    return f"s{STEPS - len(steps) + at}"


def _filling(code: str, count: Number, steps: list[Step], partly: Collection[str]) -> str:
    if code in partly:
        return "part"
    held = (at for at, step in enumerate(steps) if step.low <= count <= step.high)
    return next((_kind(at, steps) for at in held), "s0")


def _countries(
    data: dict[str, Any], kinds: Mapping[str, str], told: Mapping[str, str]
) -> list[svg.Element]:
    rest = "".join(path for code, path in data["paths"].items() if code not in kinds)
    drawn: list[svg.Element] = [_land(rest, ["land"])]
    dots: list[svg.Element] = []
    labels: list[svg.Element] = []
    for code, kind in kinds.items():
        head = svg.Title(text=escape(f"{country_name(code)}: {told[code] or 'in part'}"))
        if code in data["paths"]:
            drawn += [_land(data["paths"][code], ["base", kind], head)]
            drawn += [_land(data["paths"][code], ["over", f"{kind}o"])]
        if code in data["dots"]:
            x, y = data["dots"][code]
            # A ring of the ground sets it off from the country that surrounds it.
            dots.append(svg.Circle(cx=x, cy=y, r=DOT + 1.4, class_=["ring"]))
            dots.append(svg.Circle(cx=x, cy=y, r=DOT, class_=["dot", kind], elements=[head]))
        if code in data["labels"] and data["labels"][code][2] >= LABEL_AREA:
            x, y, area = data["labels"][code]
            size = ["code"] if area >= 4 * LABEL_AREA else ["code", "less"]
            labels.append(svg.Text(x=x, y=y + 4, class_=size, text=escape(code)))
    return [*drawn, *dots, *labels]


def _land(path: str, kind: list[str], head: svg.Element | None = None) -> svg.Path:
    return svg.Path(
        d=[Outline(path)],
        transform=[svg.Scale(0.1)],
        class_=kind,
        elements=None if head is None else [head],
    )


def _legend(rows: list[tuple[str, str]], top: int) -> list[svg.Element]:
    drawn: list[svg.Element] = []
    for at, (kind, text) in enumerate(rows):
        y = top + 26 * at
        box: dict[str, Any] = {"x": 12, "y": y, "width": 34, "height": 18}
        drawn.append(svg.Rect(**box, class_=[kind, "box"]))
        if kind != "land":
            drawn.append(svg.Rect(**box, class_=["over", f"{kind}o"]))
        drawn.append(svg.Text(x=56, y=y + 15, class_=["line"], text=escape(text)))
    return drawn


def _patterns(mark: str) -> list[svg.Element]:
    """Hatchings, so that the steps differ without colour; in two scales, shapes being in tenths."""
    made: list[svg.Element] = []
    lines = {
        "s0": "M1.5 1.5h.9",
        "s1": "M0 0L6 6M-1.5 4.5L1.5 7.5M4.5-1.5L7.5 1.5",
        "s2": "M0 3H6M3 0V6",
        "part": "M0 6L6 0M-1.5 1.5L1.5-1.5M4.5 7.5L7.5 4.5",
    }
    for kind, data in lines.items():
        for scale, name in ((10, ""), (1, "b")):
            made.append(
                svg.Pattern(
                    id=f"{mark}-{kind}{name}",
                    patternUnits="userSpaceOnUse",
                    width=6,
                    height=6,
                    patternTransform=[svg.Scale(scale)],
                    elements=[svg.Path(d=[Outline(data)], class_=["hatch", f"h{kind}"])],
                )
            )
    return made


def _style(mark: str) -> str:
    """Rules for this map alone, whatever page it stands in."""
    fills = ("#fbd9c6", "#f3a27f", "#dd6646", "#a3211c")
    dark = ("#5b3a2e", "#94503a", "#d0704c", "#ffb08c")
    light_rules = _colours(mark, "#e4e6e8", "#ffffff", "#1b1d21", "#8a3b22", fills)
    dark_rules = _colours(mark, "#2f343b", "#16181c", "#eceae4", "#ffd2be", dark)
    grey = ("#f0f0f0", "#dddddd", "#bbbbbb", "#555555")
    print_rules = _colours(mark, "#ffffff", "#ffffff", "#000000", "#000000", grey)
    hatches = "".join(
        f".{mark} .{kind}o{{fill:url(#{mark}-{kind})}}"
        f".{mark} rect.{kind}o{{fill:url(#{mark}-{kind}b)}}"
        for kind in ("s0", "s1", "s2", "part")
    )
    return (
        f".{mark}{{{TEXT};max-width:100%;height:auto}}"
        f".{mark} path,.{mark} rect,.{mark} circle{{vector-effect:non-scaling-stroke}}"
        f".{mark} .head{{font-size:21px;font-weight:600}}.{mark} .line{{font-size:16px}}"
        f".{mark} .code{{font-size:11px;font-weight:600;text-anchor:middle;paint-order:stroke;"
        f"stroke-width:2.5px;stroke-linejoin:round}}"
        f".{mark} .less{{font-size:8.5px;stroke-width:2px}}"
        f".{mark} .hatch{{fill:none;stroke-width:1px;vector-effect:none}}"
        f".{mark} .over,.{mark} .s3o{{fill:none;stroke:none}}{hatches}"
        f"{light_rules}@media (prefers-color-scheme:dark){{{dark_rules}}}"
        f"@media print{{{print_rules}.{mark} .land{{stroke:#999;stroke-width:.5px}}}}"
    )


def _colours(mark: str, land: str, border: str, ink: str, line: str, fills: tuple[str, ...]) -> str:
    steps = "".join(f".{mark} .s{at}{{fill:{fill}}}" for at, fill in enumerate(fills))
    return (
        f".{mark} text{{fill:{ink}}}.{mark} .land{{fill:{land};stroke:{border};stroke-width:.5px}}"
        f".{mark} .base{{stroke:{line};stroke-width:.7px}}.{mark} .part{{fill:{land}}}"
        f".{mark} .dot{{stroke:{line};stroke-width:1.2px}}"
        f".{mark} .box{{stroke:{line};stroke-width:.7px}}.{mark} .hatch{{stroke:{line}}}"
        f".{mark} .code{{stroke:{border}}}.{mark} .ground,.{mark} .ring{{fill:{border}}}{steps}"
    )
