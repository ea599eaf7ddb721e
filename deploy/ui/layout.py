"""A graph of ancestors: places of its nodes, so that few edges cross, and its best path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

#: Times that every layer is sorted by its neighbours' places; more changes little.
SWEEPS = 6


def places(layers: Mapping[str, int], edges: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Return each node's place across its layer, -0.5 to 0.5.

    By the barycentre heuristic of Sugiyama, Tagawa and Toda (1981).

    `layers`: each node's layer; `edges`: pairs of nodes.
    """
    neighbours: dict[str, list[str]] = defaultdict(list)
    for one, other in edges:
        neighbours[one].append(other)
        neighbours[other].append(one)
    by_layer: dict[int, list[str]] = defaultdict(list)
    for node in sorted(layers):
        by_layer[layers[node]].append(node)
    found = {node: spread(number, nodes) for nodes in by_layer.values() for number, node in enumerate(nodes)}
    for sweep in range(SWEEPS):
        for layer in sorted(by_layer, reverse=sweep % 2 == 1):
            nodes = sorted(
                by_layer[layer], key=lambda node: (barycentre(neighbours[node], found, node), node)
            )
            found.update({node: spread(number, nodes) for number, node in enumerate(nodes)})
    return found


def spread(number: int, nodes: list[str]) -> float:
    """Return the place of a layer's node by its number."""
    return (number + 0.5) / len(nodes) - 0.5


def barycentre(neighbours: list[str], found: Mapping[str, float], node: str) -> float:
    """Return the mean place of a node's neighbours; its own where it has none."""
    known = [found[each] for each in neighbours if each in found]
    return sum(known) / len(known) if known else found[node]


def generations(edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return each node's generation: later than those of all its parents, and as early as that allows.

    A node without parents is one generation before its first child. Nodes that are their own ancestors are
    left out.

    `edges`: pairs of parent and child.
    """
    offspring, order = descent(edges)
    found: dict[str, int] = {}
    for node in order:
        found.setdefault(node, 0)
        for child in offspring[node]:
            found[child] = max(found.get(child, 0), found[node] + 1)
    children = {child for each in offspring.values() for child in each}
    for node in order:
        if node not in children and offspring[node]:
            found[node] = min((found[child] for child in offspring[node] if child in found), default=1) - 1
    return {node: found[node] for node in order}


def descent(edges: Iterable[tuple[str, str]]) -> tuple[dict[str, list[str]], list[str]]:
    """Return each node's children, and all nodes with parents before their children."""
    offspring: dict[str, list[str]] = defaultdict(list)
    waiting: dict[str, int] = {}
    for parent, child in edges:
        offspring[parent].append(child)
        waiting.setdefault(parent, 0)
        waiting[child] = waiting.get(child, 0) + 1
    order = sorted(node for node, parents in waiting.items() if not parents)
    for node in order:  # grows as it is read
        for child in offspring[node]:
            waiting[child] -= 1
            if not waiting[child]:
                order.append(child)
    return offspring, order


def best_path(gains: Mapping[tuple[str, str], float | None]) -> list[str]:
    """Return the line of descent whose gains have the largest sum, its oldest member first.

    `gains`: by parent and child, what the child gained. Empty where no line gained anything; nodes that are
    their own ancestors are on no line.
    """
    offspring, order = descent(gains)
    gained: dict[str, float] = {}
    came_from: dict[str, str] = {}
    for node in order:
        so_far = gained.setdefault(node, 0.0)
        for child in offspring[node]:
            total = so_far + (gains[node, child] or 0.0)
            if child not in gained or total > gained[child]:
                gained[child], came_from[child] = total, node
    best = max(order, key=lambda node: (gained[node], node), default="")
    path = [best] if best and gained[best] > 0 else []
    while path and path[-1] in came_from:
        path.append(came_from[path[-1]])
    return path[::-1]
