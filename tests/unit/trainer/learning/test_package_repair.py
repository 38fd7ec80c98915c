"""A package from the pieces on the models topic."""

import msgspec

from contract.models import ModelChunk
from contract.package import hash_package
from support.tiny_model import tiny_package
from trainer.learning.package_repair import assemble

PACKAGE = tiny_package("m-1")
SHA = hash_package(PACKAGE)


def pieces(package: bytes = PACKAGE, *, version: str = "m-1", count: int = 3) -> list[bytes]:
    size = -(-len(package) // count)
    return [
        msgspec.json.encode(
            ModelChunk(
                model_version=version, index=index, count=count, package_sha256=hash_package(package),
                data=package[index * size : (index + 1) * size],
            )
        )
        for index in range(count)
    ]  # fmt: skip


def test_a_package_is_put_together_whatever_the_order_and_whatever_else_is_there() -> None:
    first, second, third = pieces()
    others = [b"{", b"\xff", *pieces(tiny_package("m-2"), version="m-2")]
    assert assemble([*others, third, first, first, second], "m-1", SHA) == PACKAGE


def test_a_missing_piece_or_another_package_of_that_version_gives_none() -> None:
    assert assemble(pieces()[:2], "m-1", SHA) is None
    assert assemble(pieces(tiny_package("m-1", bias=-2.0)), "m-1", SHA) is None
    assert assemble([], "m-1", SHA) is None
