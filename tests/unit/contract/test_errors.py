from typing import Any

import pytest

from contract.errors import ConfigurationError, InvalidEventError, PackageRefusedError


def test_a_configuration_error_keeps_every_fault_apart() -> None:
    error = ConfigurationError(["a is missing", "b is wrong"])
    assert (error.faults, str(error)) == (["a is missing", "b is wrong"], "a is missing; b is wrong")


@pytest.mark.parametrize("kind", [InvalidEventError, PackageRefusedError])
def test_a_refusal_keeps_reason_and_detail_apart(kind: Any) -> None:
    error = kind("checksum", "does not match")
    assert (error.reason, error.detail, str(error)) == ("checksum", "does not match", "checksum: does not match")
