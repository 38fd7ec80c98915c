from typing import Any

import pytest

from contract import errors
from contract.errors import ConfigurationError, InvalidEventError, PackageRefusedError, TillguardError


def test_every_error_of_the_module_is_in_the_one_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, TillguardError) for kind in kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


def test_a_configuration_error_keeps_every_fault_apart() -> None:
    error = ConfigurationError(["a is missing", "b is wrong"])
    assert (error.faults, str(error)) == (["a is missing", "b is wrong"], "a is missing; b is wrong")


@pytest.mark.parametrize("kind", [InvalidEventError, PackageRefusedError])
def test_a_refusal_keeps_reason_and_detail_apart(kind: Any) -> None:
    error = kind("checksum", "does not match")
    assert (error.reason, error.detail, str(error)) == ("checksum", "does not match", "checksum: does not match")
