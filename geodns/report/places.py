"""Where orders have force, and how many of their targets: by place, and for the map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from geodns.model.place import atoms, kind
from geodns.report.life import Life
from geodns.report.map import codes


def where(lives: Iterable[Life]) -> dict[str, Any]:
    """Orders and targets by place, JSON-ready, of orders in force.

    everywhere: what has force in the whole world. places: of all others, named sets taken apart.
    map: targets by country, those everywhere among them; partly: countries of which no order has
    force in all; operators: AS numbers, which are in no country.
    """
    orders: Counter[str] = Counter()
    targets: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    partly: set[str] = set()
    world: list[Life] = []
    spared: set[str] = set()
    for life in lives:
        places = life.about.get("jurisdiction") or ()
        except_ = atoms(life.about.get("except") or ())
        if places == "global":
            world.append(life)
            spared |= except_
            whole.update(dict.fromkeys(codes() - except_, life.lasting))
            continue
        meant = atoms(places) - except_
        holed = {place.partition("-")[0] for place in except_ if kind(place) == "subdivision"}
        for place in meant:
            orders[place] += 1
            targets[place] += life.lasting
            if kind(place) == "subdivision":
                partly.add(place.partition("-")[0])
            elif place in holed:
                partly.add(place)
            elif kind(place) == "country":
                whole[place] += life.lasting
    ranked = sorted(orders, key=lambda place: (-orders[place], -targets[place], place))
    return {
        "everywhere": {
            "orders": len(world),
            "targets": sum(life.lasting for life in world),
            "except": sorted(spared),
        },
        "places": [
            {"place": place, "orders": orders[place], "targets": targets[place]} for place in ranked
        ],
        "map": {
            "counts": dict(sorted(whole.items())),
            "partly": sorted(partly - whole.keys()),
            "operators": sorted(place for place in orders if kind(place) == "asn"),
        },
    }
