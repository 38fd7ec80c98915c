from tillguard.views.report.page import render_table


def test_a_column_with_a_long_text_wraps_and_columns_of_figures_stay_on_one_line() -> None:
    long = "card testing 93.2 % to 100.0 % of 44, coupon abuse 2.9 % to 37.1 % of 35"
    table = render_table(("", "examples", "never seen"), [("cedar", 4_661, long), ("elm", 1_862, "bots")])
    assert "<th>examples</th>" in table
    assert "<td>4,661</td>" in table
    assert '<th class="words">never seen</th>' in table
    assert f'<td class="words">{long}</td>' in table
    assert '<td class="words">bots</td>' in table


def test_what_names_the_row_is_never_a_column_of_text() -> None:
    table = render_table(("step", "time"), [("they learn together, next to thorn, who breaks the rules", "211.9 s")])
    assert "words" not in table


def test_every_cell_is_escaped() -> None:
    assert "<td>&lt;b&gt;</td>" in render_table(("", "a"), [("x", "<b>")])
