"""Nodes stand near their neighbours."""

from __future__ import annotations

from evometrics.deploy.ui.layout import places


def crossings(found: dict[str, float], edges: list[tuple[str, str]]) -> int:
    return sum(
        (found[a] - found[c]) * (found[b] - found[d]) < 0
        for number, (a, b) in enumerate(edges)
        for c, d in edges[number + 1 :]
    )


def test_two_families_do_not_cross() -> None:
    layers = {"a": 0, "b": 0, "z": 1, "y": 1, "x": 1, "w": 1}
    edges = [("a", "z"), ("a", "x"), ("b", "y"), ("b", "w")]
    assert crossings(places(layers, edges), edges) == 0


def test_a_lone_node_is_in_the_middle_and_an_unknown_neighbour_is_no_matter() -> None:
    assert places({"only": 3}, [("only", "elsewhere")]) == {"only": 0.0}
    assert places({}, []) == {}
