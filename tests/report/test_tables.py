"""Tables for terminals."""

from esprobe.tables import aligned, boxed, width


def test_borders_alignment_and_a_rule_between_rows() -> None:
    assert boxed(("k", "T=0.4"), [("1", "7 %"), ("16", "[b]x")], rule_after=1).splitlines() == [
        "+----+-------+",
        "| k  | T=0.4 |",
        "+----+-------+",
        "| 1  |   7 % |",
        "+----+-------+",
        "| 16 |  [b]x |",
        "+----+-------+",
    ]


def test_a_long_name_is_folded_and_no_cell_is() -> None:
    lines = boxed(("k", "a very long name"), [("1", "12.3 % [1, 2]")], head_width=8).splitlines()
    assert lines[1:3] == ["|   |   a very long |", "| k |          name |"]
    assert lines[4] == "| 1 | 12.3 % [1, 2] |"
    assert width(["\u4e2d\u4e2d", "abc"]) == 4  # wide characters take two cells


def test_columns_without_borders() -> None:
    assert aligned([["a", "bb"], ["ccc", "d"]]) == ["a    bb", "ccc  d"]
    assert aligned([["a", "bb"], ["ccc", "d"]], right=True) == ["  a  bb", "ccc   d"]
