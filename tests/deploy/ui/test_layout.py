"""A graph of ancestors: few edges cross, children come after their parents, and one line is the best."""

from __future__ import annotations

from evometrics.deploy.ui.layout import best_path, generations, places


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


def test_a_child_is_later_than_all_its_parents_and_founders_stand_just_before_their_first_child() -> None:
    merge = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("new", "d")]
    assert generations(merge) == {"a": 0, "b": 1, "c": 2, "new": 2, "d": 3}


def test_the_best_path_is_the_line_whose_gains_sum_up_highest() -> None:
    gains = {("a", "b"): 0.1, ("a", "c"): 0.3, ("b", "d"): 0.4, ("c", "d"): None, ("c", "e"): -0.2}
    assert best_path(gains) == ["a", "b", "d"]


def test_no_line_is_best_where_none_gained_or_there_is_none() -> None:
    assert best_path({("a", "b"): -0.1, ("a", "c"): None}) == []
    assert best_path({}) == []


def test_who_is_its_own_ancestor_is_in_no_generation() -> None:
    circle = {("a", "b"): 1.0, ("b", "c"): 1.0, ("c", "b"): 1.0}
    assert generations(circle) == {"a": 0}
    assert best_path(circle) == []
