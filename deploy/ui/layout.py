"""Places for the nodes of a graph whose layers are given: near their neighbours, so that few edges cross."""

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
