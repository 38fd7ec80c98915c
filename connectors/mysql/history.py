"""MariaDB's tables WITH SYSTEM VERSIONING: the log also shows rows that end, and copies of what they were. Pure.

An UPDATE writes the new row and then inserts the old one as a row of the past; a DELETE is an UPDATE that ends the row. A row counts
now while its end lies at the end of all time: https://mariadb.com/kb/en/system-versioned-tables/
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from connectors.mysql.columns.row_images import Image, RowFault, RowImage

_NEVER = (
    datetime(2038, 1, 19, 3, 14, 7, 999999, UTC),
    datetime(2106, 2, 7, 6, 28, 15, 999999, UTC),  # from MariaDB 11.5 on
    2**64 - 1,  # where versions go by transactions
)


def drop_past_rows(
    images: Iterator[RowImage | RowFault], row_end: str, wanted: Collection[str]
) -> Iterator[RowImage | RowFault]:
    """`images` without rows of the past and without the end of a row.

    Args:
        images: Rows of one event.
        row_end: Column that says until when a row counts; empty where the table has none, and all images are given as they are.
        wanted: Columns that rows are given with.
    """
    if not row_end:
        yield from images
        return
    for image in images:
        if isinstance(image, RowFault):
            yield RowFault(_only(image.known, wanted), image.detail)
        elif image.after is None or _counts(image.after.get(row_end, _NEVER[0])):
            yield RowImage(*(None if each is None else _only(each, wanted) for each in (image.before, image.after)))


def _counts(end: object) -> bool:
    return (end.replace(tzinfo=UTC) if isinstance(end, datetime) else end) in _NEVER


def _only(image: Image, wanted: Collection[str]) -> Image:
    return {name: value for name, value in image.items() if name in wanted}
