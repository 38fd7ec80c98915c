"""Table maps without names take names from where types, lengths and order agree, and from nowhere else."""

import pytest

from connectors.mysql.columns.table_map import VARCHAR, Column, TableMap
from connectors.mysql.nameless import DefinedColumn, add_names, name_key

LONG, BLOB = 3, 252
PLAIN = TableMap(
    7,
    "shop",
    "orders",
    (Column(LONG, 0, nullable=False), Column(VARCHAR, 40, nullable=True), Column(BLOB, 2, nullable=True)),
)
DEFINED = (
    DefinedColumn("id", "int", "int unsigned", None, None),
    DefinedColumn("note", "varchar", "varchar(10)", 45, 40),
    DefinedColumn("photo", "blob", "blob", None, 65_535),
)


def names(table_map: TableMap | None) -> list[str | None] | None:
    return None if table_map is None else [column.name for column in table_map.columns]


def test_the_newest_map_with_names_is_believed_where_its_columns_are_the_same() -> None:
    named = PLAIN._replace(
        table_id=3, columns=tuple(column._replace(name=f"c{i}") for i, column in enumerate(PLAIN.columns))
    )
    found = add_names(PLAIN, named, ())
    assert names(found) == ["c0", "c1", "c2"]
    assert found is not None
    assert found.table_id == 7
    longer = named._replace(columns=(*named.columns, Column(LONG, 0, nullable=True, name="more")))
    assert add_names(PLAIN, longer, ()) is None
    other = named._replace(columns=(named.columns[0]._replace(nullable=True), *named.columns[1:]))
    assert names(add_names(PLAIN, other, DEFINED)) == ["id", "note", "photo"]


def test_the_definition_gives_names_signs_and_collations_that_the_log_left_out() -> None:
    found = add_names(PLAIN, None, DEFINED)
    assert names(found) == ["id", "note", "photo"]
    assert found is not None
    number, note, photo = found.columns
    assert (number.unsigned, note.unsigned) == (True, False)
    assert (number.collation, note.collation, photo.collation) == (None, 45, 63)
    told = PLAIN._replace(
        columns=(PLAIN.columns[0]._replace(unsigned=True), PLAIN.columns[1]._replace(collation=8), PLAIN.columns[2])
    )
    kept = add_names(told, None, (DEFINED[0]._replace(column_type="int"), *DEFINED[1:]))
    assert kept is not None
    assert (kept.columns[0].unsigned, kept.columns[1].collation) == (True, 8)


@pytest.mark.parametrize(
    "definition",
    [
        (), DEFINED[:2], (DEFINED[0]._replace(data_type="bigint"), *DEFINED[1:]), (DEFINED[0], DEFINED[1]._replace(octets=44), DEFINED[2]),
        (DEFINED[0]._replace(data_type="unheard of"), *DEFINED[1:]), (DEFINED[1], DEFINED[0], DEFINED[2]),
    ],
)  # fmt: skip
def test_a_definition_that_does_not_fit_gives_no_names(definition: tuple[DefinedColumn, ...]) -> None:
    assert add_names(PLAIN, None, definition) is None


def test_a_length_that_the_definition_does_not_tell_is_no_objection() -> None:
    assert names(add_names(PLAIN, None, (DEFINED[0], DEFINED[1]._replace(octets=None), DEFINED[2]))) == [
        "id",
        "note",
        "photo",
    ]


def test_the_key_alone_has_its_name_where_the_column_in_its_place_can_be_it() -> None:
    assert names(name_key(PLAIN, DEFINED, "note")) == [None, "note", None]
    assert names(name_key(PLAIN, DEFINED, "elsewhere")) == [None] * 3
    assert names(name_key(PLAIN, (DEFINED[1],), "note")) == [None] * 3
    assert names(name_key(PLAIN._replace(columns=PLAIN.columns[:1]), DEFINED, "note")) == [None]
