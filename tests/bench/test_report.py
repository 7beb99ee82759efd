"""Figures become rows, tables and medians."""

from __future__ import annotations

from bench.report import Row, json_lines, medians, rows, table


def test_a_figure_of_several_rounds_is_its_median() -> None:
    assert medians([{"a": 1.0}, {"a": 9.0, "b": 4.0}, {"a": 2.0}]) == {"a": 2.0, "b": 4.0}


def test_all_stand_against_the_raw_limit_and_ours_against_peers_that_were_measured() -> None:
    values = {"x.ours": 6.0, "x.peer": 3.0, "x.raw": 12.0}
    found = rows(values, "1/s", 10, "x.raw", ["x.peer", "x.absent"], "x.ours")
    assert [(row.name, row.ratio, row.against) for row in found] == [
        ("x.ours", 0.5, "x.raw"),
        ("x.peer", 0.25, "x.raw"),
        ("x.raw", 1.0, "x.raw"),
        ("x.ours", 2.0, "x.peer"),
    ]


def test_a_table_has_a_line_for_each_row_under_its_heading() -> None:
    text = table([Row("x.ours", 1234.5, "1/s", 10, 0.25, "x.raw")])
    assert [line.split() for line in text.splitlines()] == [
        ["name", "value", "unit", "size", "ratio", "against"],
        ["x.ours", "1234.5", "1/s", "10", "0.25", "x.raw"],
    ]


def test_json_has_one_object_a_line() -> None:
    row = Row("x", 1.5, "s", 10, 1.0, "x")
    line = '{"name": "x", "value": 1.5, "unit": "s", "size": 10, "ratio": 1.0, "against": "x"}'
    assert json_lines([row, row]) == f"{line}\n{line}"
