"""One value for one row: by snapshot, by stream, in a sample and by its key, for every type and character set of both servers."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from connectors.mapping.mapper import Mapper
from connectors.mysql import server as db
from connectors.mysql.columns.charsets import list_charsets
from connectors.mysql.columns.collations import find_collation, find_named_collation
from connectors.mysql.columns.selection import build_condition
from connectors.ports import Row
from connectors.values import as_key
from contract.dead_letters import DeadLetter
from support.column_values import MOMENTS, NUMBERS, ONLY_MARIADB, ONLY_MYSQL, TEXTS, Case, Place, fill, rows, streamed
from support.connector_parts import NOW, admission

pytestmark = pytest.mark.integration
KINDS = ["mariadb", "mysql"]
UNINDEXED = ("LONGTEXT", "POINT", "GEOMETRY", "GEOMETRYCOLLECTION", "JSON", "VECTOR(3)")
NO_KEYS = ("point", "geometry", "json", "vector", "geomcollection")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "mysql":
        endpoint = request.getfixturevalue("mysql_server").endpoint
    else:
        endpoint = request.getfixturevalue("stack").endpoints["mariadb"]
    made = Place(endpoint)
    yield made
    made.close()


def is_mariadb(place: Place) -> bool:
    return "MariaDB" in place.execute("SELECT VERSION()")[0][0]


def written(place: Place) -> dict[str, Sequence[Case]]:
    """Tables of all types, and their cases."""
    own = ONLY_MARIADB if is_mariadb(place) else ONLY_MYSQL
    tables: dict[str, Sequence[Case]] = {"numbers": NUMBERS, "moments": MOMENTS, "texts": TEXTS, "own": own}
    for table, cases in tables.items():
        fill(place, table, cases)
    return tables


def test_every_type_reads_the_same_by_snapshot_stream_sample_and_key(place: Place) -> None:
    place.execute("CREATE TABLE nothing (id INT PRIMARY KEY)")
    start = place.end(place.source(["nothing"]))
    tables = written(place)
    names = list(tables)
    by_snapshot = rows(list(place.source(names).read_snapshot(None)))
    by_stream = rows(streamed(place.source(names), start))
    assert by_stream.keys() == by_snapshot.keys()
    for place_of, values in by_snapshot.items():
        # the text tells 12.3 from 12.30, and a number from its text
        assert {name: repr(value) for name, value in by_stream[place_of].items()} == {
            name: repr(value) for name, value in values.items()
        }, place_of
    for table, cases in tables.items():
        assert {row.values["id"]: row.values for row in place.source([table]).sample(table, 100)} == {
            number: values for (name, number), values in by_snapshot.items() if name == table
        }
        for column, case in enumerate(cases):
            for number, expected in case.texts.items():
                assert by_snapshot[table, number][f"c{column}"] == expected, case.type


def test_a_row_is_found_by_the_text_of_its_key_whatever_type_the_key_has(place: Place) -> None:
    for table, cases in written(place).items():
        declared = db.read_columns(place.connection, place.database, table)
        questions, expected = [], []
        for row in place.source([table]).sample(table, 2):
            for column, case in enumerate(cases):
                key = as_key(row.values[f"c{column}"]) if case.type not in UNINDEXED else None
                if key is not None:
                    found = build_condition(declared[f"c{column}"], key)
                    assert found is not None, (case.type, key)
                    questions.append(
                        (
                            f"SELECT COUNT(*) FROM {table} WHERE id = {row.values['id']} AND {found.statement}",
                            found.value,
                        )
                    )
                    expected.append((case.type, key))
        for one in declared.values():
            wrong = build_condition(one, "no such ü key")
            if wrong is not None and one.data_type not in NO_KEYS:
                questions.append((f"SELECT 1 - COUNT(*) FROM {table} WHERE {wrong.statement}", wrong.value))
                expected.append((one.data_type, "no such key"))
        statement = "SELECT " + ", ".join(f"({question})" for question, _ in questions)
        with place.connection.cursor() as cursor:
            cursor.execute(statement, [value for _, value in questions])
            (answers,) = cursor.fetchall()
        assert [each for each, answer in zip(expected, answers, strict=True) if answer != 1] == []


@pytest.mark.parametrize(
    ("kind", "literal", "key"),
    [
        ("BINARY(16)", "X'6CCD780CBABA102695645B8C656024DB'", "0x6ccd780cbaba102695645b8c656024db"),
        ("VARCHAR(20) COLLATE utf8mb4_bin", "' A'", " A"),
        ("FLOAT", "123456.78", "123456.78"),
    ],
)
def test_a_dead_letter_names_the_key_by_which_retry_finds_its_row(
    stack: Any, kind: str, literal: str, key: str
) -> None:
    place = Place(stack.endpoints["mariadb"])
    place.execute(f"CREATE TABLE sales (k {kind} PRIMARY KEY, id INT, at INT)")
    source = place.source(["sales"], key="k")
    start = place.end(source)
    place.execute(f"INSERT INTO sales VALUES ({literal}, 7, 1)")
    (row,) = (item for item in streamed(source, start) if isinstance(item, Row))
    (letter,) = Mapper(place.config(["sales"], "k"), admission(), None).map_row(row, NOW)
    assert isinstance(letter, DeadLetter)
    assert letter.key == key
    found = source.fetch("sales", letter.key)
    assert found is not None
    assert found.values == row.values
    place.close()


def test_every_character_of_every_character_set_reads_as_the_server_reads_it(place: Place) -> None:
    known = {name: single == 1 for name, _, _, single in place.execute("SHOW CHARACTER SET") if name != "binary"}
    assert set(known) <= list_charsets()
    columns = ", ".join(f"{name} LONGTEXT CHARACTER SET {name}" for name in known)
    place.execute(f"CREATE TABLE texts (id INT PRIMARY KEY, {columns})")
    start = place.end(place.source(["texts"]))
    plane = "".join(chr(point) for point in range(0x20, 0x10000) if not 0xD800 <= point < 0xE000) + "\U0001f600"
    place.execute(
        f"SET @bytes = X'{bytes(range(1, 256)).hex()}', @plane = CONVERT(X'{plane.encode('utf-32-be').hex()}' USING utf32)"
    )
    held = ", ".join(f"CONVERT({'@bytes' if single else '@plane'} USING {name})" for name, single in known.items())
    place.execute(f"INSERT INTO texts VALUES (1, {held})")
    shown = ", ".join(f"CONVERT({name} USING utf8mb4)" for name in known)
    place.execute("SET NAMES utf8mb4")
    (expected,) = place.execute(f"SELECT {shown} FROM texts")
    by_snapshot = rows(list(place.source(["texts"]).read_snapshot(None)))["texts", 1]
    by_stream = rows(streamed(place.source(["texts"]), start))["texts", 1]
    assert by_stream == by_snapshot
    for name, text in zip(known, expected, strict=True):
        assert len(text) == len(str(by_snapshot[name])), name
        # what the server cannot convert is a question mark or U+FFFD there, and told as a fault here
        pairs = zip(text, str(by_snapshot[name]), strict=True)
        differ = [(theirs, ours) for theirs, ours in pairs if theirs not in (ours, "?", "\ufffd")]
        assert differ == [], name


def test_the_numbers_of_collations_mean_what_the_server_says(place: Place) -> None:
    if is_mariadb(place):
        found = place.execute(
            "SELECT id, character_set_name, full_collation_name FROM information_schema.collation_character_set_applicability"
        )
    else:
        found = place.execute("SELECT id, character_set_name, collation_name FROM information_schema.collations")
    assert len(found) > 250
    wrong = [
        (number, name)
        for number, charset, name in found
        if charset != "binary" and find_collation(number) != find_named_collation(charset, name)
    ]
    assert wrong == []
