"""Make geodns/report/world.json, the shapes of the world map, from Natural Earth.

    npm pack world-atlas && tar xzf world-atlas-*.tgz && pip install shapely
    python contrib/world_shapes.py package/countries-50m.json geodns/report/world.json

Shapes go by ISO 3166-1: what a code covers is drawn under that code (the overseas departments of
France apart from it, Crimea in UA as ISO 3166-2 lists it, Northern Cyprus in CY, Somaliland
in SO). Projection: Equal Earth (Savric, Patterson, Jenny 2018), in units of a
thousandth of the map's width.
"""

from __future__ import annotations

import json
import math
import sys
from itertools import pairwise
from pathlib import Path

import pycountry
from shapely.affinity import translate
from shapely.geometry import LineString, Point, Polygon, box
from shapely.ops import unary_union

WIDTH = 1000
TOLERANCE = 0.45
SMALLEST_ISLAND = 0.7
DOT_UNDER = 9.0
NAMED = {"Kosovo": "XK", "N. Cyprus": "CY", "Somaliland": "SO", "Indian Ocean Ter.": "AU"}
APART = {  # code: the country of the shape, west, south, east, north
    "GF": ("FR", -56, 1, -50, 7),
    "GP": ("FR", -62, 15.7, -60.9, 16.7),
    "MQ": ("FR", -61.4, 14.2, -60.7, 15),
    "RE": ("FR", 55, -22, 56, -20),
    "YT": ("FR", 44.8, -13.2, 45.5, -12.5),
    "BQ": ("NL", -70, 11, -62, 18.5),
    "SJ": ("NO", -10, 70.5, 40, 82),
    "UA": ("RU", 32.2, 44.2, 36.7, 46.3),
    "CX": ("AU", 105, -11, 106, -10),
    "CC": ("AU", 96, -13, 97.5, -11),
}
POINTS = {  # longitude and latitude of what the shapes leave out
    "GI": (-5.35, 36.14),
    "TV": (179.2, -8.52),
    "UM": (166.64, 19.3),
    "TK": (-171.8, -9.2),
    "BV": (3.4, -54.4),
    "CX": (105.63, -10.49),
    "CC": (96.87, -12.19),
    "GP": (-61.55, 16.2),
    "YT": (45.15, -12.83),
    "BQ": (-68.27, 12.18),
    "AQ": (0.0, -75.0),
}
A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796
SOUTH, NORTH = -58.0, 84.0


def project(lon: float, lat: float) -> tuple[float, float]:
    """Equal Earth, in units from the left and the top of the map."""
    theta = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(lat)))
    square = theta * theta
    sixth = square**3
    slope = A1 + 3 * A2 * square + sixth * (7 * A3 + 9 * A4 * square)
    x = 2 * math.sqrt(3) * math.radians(lon) * math.cos(theta) / (3 * slope)
    y = theta * (A1 + A2 * square + sixth * (A3 + A4 * square))
    return x, y


EDGE = project(180, 0)[0]
TOP = project(0, NORTH)[1]
SCALE = WIDTH / (2 * EDGE)


def placed(lon: float, lat: float) -> tuple[float, float]:
    """The same, on the map."""
    x, y = project(lon, lat)
    return (x + EDGE) * SCALE, (TOP - y) * SCALE


def simplified(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """An arc with fewer points. Arcs are shared, so that borders stay closed."""
    unwrapped = unwrap(points)
    on_map = [placed(*point) for point in unwrapped]
    kept = LineString(on_map).simplify(TOLERANCE).coords if len(points) > 2 else on_map
    found = []
    at = 0
    for point in kept:
        while on_map[at] != point:
            at += 1
        found.append(points[at])
    return found


def unwrap(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Longitudes without a jump where the line crosses the antimeridian."""
    found = [points[0]]
    for lon, lat in points[1:]:
        turn = round((found[-1][0] - lon) / 360)
        found.append((lon + 360 * turn, lat))
    return found


def decode(topology: dict) -> list[list[tuple[float, float]]]:
    """The arcs of a quantized TopoJSON document as longitude and latitude."""
    (kx, ky), (dx, dy) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            points.append((x * kx + dx, y * ky + dy))
        arcs.append(points)
    return arcs


def ring_of(numbers: list[int], arcs: list) -> list[tuple[float, float]]:
    """The points of a ring of arcs; ~n is arc n backwards."""
    points: list[tuple[float, float]] = []
    for number in numbers:
        part = arcs[number] if number >= 0 else arcs[~number][::-1]
        points.extend(part[1:] if points else part)
    return points


def polygons(geometry: dict, arcs: list, whole: list) -> list[Polygon]:
    """The polygons of a geometry between -180 and 180 degrees; small ones of whole arcs."""
    many = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
    found = []
    for rings in many:
        outer, *holes = (unwrap(ring_of(ring, arcs)) for ring in rings)
        if len(outer) < 4:
            outer = unwrap(ring_of(rings[0], whole))
        shape = Polygon(outer, [hole for hole in holes if len(hole) > 3]).buffer(0)
        for turn in (-360, 0, 360):
            part = translate(shape, turn).intersection(box(-180, SOUTH, 180, NORTH))
            found += [p for p in getattr(part, "geoms", [part]) if p.geom_type == "Polygon"]
    return [polygon for polygon in found if not polygon.is_empty]


def on_map(polygon: Polygon) -> Polygon:
    """A polygon of degrees on the map."""
    holes = [[placed(*point) for point in hole.coords] for hole in polygon.interiors]
    return Polygon([placed(*point) for point in polygon.exterior.coords], holes)


def path(polygons: list[Polygon]) -> str:
    """SVG path data in tenths of a unit, relative."""
    parts = []
    for polygon in polygons:
        for ring in (polygon.exterior, *polygon.interiors):
            points = [(round(x * 10), round(y * 10)) for x, y in ring.coords[:-1]]
            points = [p for at, p in enumerate(points) if p != points[at - 1]]
            if len(points) < 3:
                continue
            steps = [f"{x - px},{y - py}" for (px, py), (x, y) in pairwise(points)]
            parts.append(f"M{points[0][0]},{points[0][1]}l" + " ".join(steps) + "z")
    return "".join(parts).replace(",-", "-").replace(" -", "-")


def codes(shapes: Path) -> dict[str, list[Polygon]]:
    """Polygons in degrees by ISO 3166-1 alpha-2 code."""
    topology = json.loads(shapes.read_text())
    whole = decode(topology)
    arcs = [simplified(arc) for arc in whole]
    by_code: dict[str, list[Polygon]] = {}
    for geometry in topology["objects"]["countries"]["geometries"]:
        found = pycountry.countries.get(numeric=geometry.get("id", ""))
        code = found.alpha_2 if found else NAMED.get(geometry["properties"]["name"])
        if code and code != "AQ":
            by_code.setdefault(code, []).extend(polygons(geometry, arcs, whole))
    for code, (of, *corners) in APART.items():
        frame = box(*corners)
        moved = [p for p in by_code.get(of, []) if frame.contains(p.centroid)]
        by_code[of] = [p for p in by_code[of] if p not in moved]
        by_code.setdefault(code, []).extend(moved)
    return by_code


def main(shapes: Path, target: Path) -> None:
    """Write the map."""
    paths, dots, labels = {}, {}, {}
    for code, found in sorted(codes(shapes).items()):
        joined = unary_union([polygon.buffer(0) for polygon in found]) if found else None
        parts = [] if joined is None else list(getattr(joined, "geoms", [joined]))
        drawn = sorted(map(on_map, parts), key=lambda p: -p.area)
        kept = [p for at, p in enumerate(drawn) if at == 0 or p.area >= SMALLEST_ISLAND]
        if text := path(kept):
            paths[code] = text
        if not drawn or sum(p.area for p in drawn) < DOT_UNDER:
            centre = drawn[0].centroid if drawn else Point(placed(*POINTS[code]))
            dots[code] = [round(centre.x, 1), round(centre.y, 1)]
        else:
            middle = drawn[0].representative_point()
            labels[code] = [round(middle.x, 1), round(middle.y, 1), round(drawn[0].area)]
    for code, point in POINTS.items():
        if code not in paths and code not in dots:
            x, y = placed(*point)
            dots[code] = [round(x, 1), round(y, 1)]
    height = math.ceil((TOP - project(0, SOUTH)[1]) * SCALE)
    edge = [
        placed(side * 180, lat)
        for side, lats in ((-1, 1), (1, -1))
        for lat in range(-58 if lats > 0 else 84, 85 if lats > 0 else -59, 2 * lats)
    ]
    document = {
        "source": "Natural Earth 1:50m (public domain), through world-atlas 2.0.2",
        "projection": "Equal Earth",
        "size": [WIDTH, height],
        "edge": "M" + "L".join(f"{x:.0f},{y:.0f}" for x, y in edge) + "Z",
        "paths": paths,
        "dots": dots,
        "labels": labels,
    }
    target.write_text(json.dumps(document, indent=0, separators=(",", ":")) + "\n")
    iso = {country.alpha_2 for country in pycountry.countries} | {"XK"}
    missing = sorted(iso - paths.keys() - dots.keys())
    sys.stdout.write(f"{len(paths)} shapes, {len(dots)} dots, missing: {missing}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
