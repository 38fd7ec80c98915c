"""Text, binary text, ENUM, SET and JSON as rows of the binary log and answers to SELECT hold them. Pure."""

import zlib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from connectors.mysql.columns import binary_json
from connectors.mysql.columns.charsets import find_decoder
from connectors.mysql.columns.collations import Collation
from connectors.mysql.columns.packed import Read, UndecodableError, build_prefixed_reader
from connectors.values import PaddedBytes

Convert = Callable[[bytes], object]
"""The value that some bytes hold."""

_DEFLATED, _RAW, _LENGTH = 0x80, 0x08, 0x07
"""Head of a compressed value: written by zlib, without zlib's own head, bytes of the original's length."""
_UNPACKED_MAX = 1 << 30


def build_text_converter(found: Collation | None) -> Convert:
    """Text of that collation: without the blanks at its end where the server itself takes them for nothing."""
    if found is None:
        raise UndecodableError("a text whose character set is not known")
    if found.charset == "binary":
        return bytes
    decode = find_decoder(found.charset)
    if decode is None:
        raise UndecodableError(f"a text of the character set {found.charset}, which Tillguard does not know")
    if not found.pads:
        return decode
    return lambda data: decode(data).rstrip(" ")


def build_padding_converter(size: int) -> Convert:
    """A BINARY(size): the log leaves out the zero bytes that fill it up."""
    return lambda data: PaddedBytes(data.ljust(size, b"\x00"))


def convert_json(data: bytes) -> object:
    """A JSON column of MySQL, in its binary form."""
    return binary_json.format_value(binary_json.decode_document(data))


def build_unpacking_converter(convert: Convert) -> Convert:
    """A value of MariaDB that may be compressed; a column's own zero byte in front says that it is not."""

    def read(data: bytes) -> object:
        if not data:
            return convert(b"")
        head = data[0]
        if not head:
            return convert(data[1:])
        if head & 0xF0 != _DEFLATED:
            raise ValueError("compressed in a way that is not known")
        start = 1 + (head & _LENGTH)
        size = int.from_bytes(data[1:start], "big")
        if size > _UNPACKED_MAX:
            raise ValueError("compressed, and too large")
        inflate = zlib.decompressobj(-zlib.MAX_WBITS if head & _RAW else zlib.MAX_WBITS)
        try:
            plain = inflate.decompress(data[start:], size + 1)
        except zlib.error:
            raise ValueError("compressed, and damaged") from None
        if len(plain) != size:
            raise ValueError("compressed, and not as long as it says")
        return convert(plain)

    return read


def build_sized_reader(length: int, convert: Convert) -> Read:
    """Reads bytes with their number in `length` bytes in front."""
    take = build_prefixed_reader(length)

    def read(data: bytes, at: int) -> tuple[object, int]:
        found, end = take(data, at)
        return convert(found), end

    return read


def build_enumeration_reader(size: int, elements: tuple[bytes, ...], convert: Convert) -> Read:
    """Reads an ENUM: the number of its element, of which 0 is the empty text of a value that was refused."""
    texts = ("", *map(convert, elements))

    def read(data: bytes, at: int) -> tuple[object, int]:
        end = at + size
        number = int.from_bytes(data[at:end], "little")
        if number >= len(texts):
            raise ValueError("an element that its table does not have")
        return texts[number], end

    return read


def build_set_reader(size: int, elements: tuple[bytes, ...], convert: Convert) -> Read:
    """Reads a SET: one bit for each element; the value is their texts with commas between."""
    texts = [str(convert(element)) for element in elements]

    def read(data: bytes, at: int) -> tuple[object, int]:
        end = at + size
        bits = int.from_bytes(data[at:end], "little")
        if bits >> len(texts):
            raise ValueError("an element that its table does not have")
        return ",".join(text for number, text in enumerate(texts) if bits >> number & 1), end

    return read


def convert_uuid(data: bytes) -> object:
    """MariaDB's UUID."""
    return str(UUID(bytes=data.ljust(16, b"\x00")))


def convert_inet4(data: bytes) -> object:
    """MariaDB's INET4."""
    return str(IPv4Address(data.ljust(4, b"\x00")))


def convert_inet6(data: bytes) -> object:
    """MariaDB's INET6."""
    return _inet6(IPv6Address(data.ljust(16, b"\x00")))


def convert_selected_inet6(text: bytes) -> object:
    """An INET6, as SELECT writes it: the server shortens addresses in another way than RFC 5952 says."""
    return _inet6(IPv6Address(text.decode("ascii")))


def convert_ascii(text: bytes) -> object:
    """A UUID or INET4, as SELECT writes it."""
    return text.decode("ascii")


def _inet6(address: IPv6Address) -> str:
    """The address as RFC 5952 writes it, with the points of an IPv4 address inside it."""
    inner = address.ipv4_mapped
    return f"::ffff:{inner}" if inner else str(address)
