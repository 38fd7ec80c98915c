"""A real MySQL server next to MariaDB: that the tests' own server is what they take it for."""

from typing import Any

import pytest

pytestmark = pytest.mark.integration


def test_the_server_is_mysql_with_gtids_and_names_in_its_row_events(mysql_server: Any) -> None:
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@version_comment, @@gtid_mode, @@binlog_format, @@binlog_row_metadata")
        (comment, gtid_mode, binlog_format, metadata) = cursor.fetchone()
    assert "MariaDB" not in comment
    assert (gtid_mode, binlog_format, metadata) == ("ON", "ROW", "FULL")
