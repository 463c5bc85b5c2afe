"""Texts held against the checksums with which they were written (migration m002); damage below SQL keeps none."""

import zlib

from sqlalchemy import Connection


def checksum_column(connection: Connection) -> str:
    """The SQL of a completion's checksum; NULL in a file that no migration has given one yet."""
    names = connection.exec_driver_sql("SELECT name FROM pragma_table_info('completion')").scalars()
    return "completion.checksum" if "checksum" in set(names) else "NULL"


def has_changed(text: str, checksum: int | None) -> bool:
    """Whether a text is not the one that was written, as far as that was recorded."""
    return checksum is not None and checksum != zlib.crc32(text.encode())
