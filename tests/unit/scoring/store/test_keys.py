import pytest

from contract.windows import hash_counterpart
from scoring.store.keys import VALUE_BYTES_MAX, Keys


def test_every_key_of_a_retailer_carries_its_hash_tag() -> None:
    keys = Keys("shop-a", "replay:7")
    made = [
        keys.sequence,
        keys.marks,
        keys.holds,
        keys.name_sight("t"),
        keys.name_case("t"),
        keys.name_entity("card", "x"),
    ]
    made.append(keys.name_aliases(keys.name_entity("card", "x")))
    assert all(key.startswith(b"{shop-a}replay:7/") for key in made)
    assert len(set(made)) == len(made)


def test_no_namespace_is_the_beginning_of_another() -> None:
    assert not Keys("s", "live2").prefix.startswith(Keys("s", "live").prefix)
    assert not Keys("s", "live:x").prefix.startswith(Keys("s", "live").prefix)


@pytest.mark.parametrize("namespace", ["", "a/b", "A", "a*", "{a}", "x" * 65])
def test_a_namespace_that_could_leave_its_place_is_refused(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        Keys("s", namespace)


def test_an_unknown_entity_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="phone is no entity"):
        Keys("s").name_entity("phone", "x")


def test_a_long_value_is_named_by_a_hash_of_its_own() -> None:
    keys = Keys("s")
    long = [keys.name_entity("card", "x" * VALUE_BYTES_MAX + end) for end in ("a", "b")]
    assert long[0] != long[1]
    assert all(len(key) < len(keys.prefix) + 45 for key in long)
    assert keys.name_entity("card", "ü" * 40) != keys.name_entity("card", "ü" * 41)


def test_a_counterparts_hash_is_eight_bytes_and_does_not_show_the_value() -> None:
    assert len(hash_counterpart(b"c-1")) == 8
    assert b"c-1" not in hash_counterpart(b"c-1")


def test_values_up_to_the_border_stand_in_the_key_and_longer_ones_do_not() -> None:
    keys = Keys("s")
    assert VALUE_BYTES_MAX == 64, "a key that changes makes every entity new"
    for value in ("x" * VALUE_BYTES_MAX, "ü" * (VALUE_BYTES_MAX // 2)):
        assert keys.name_entity("card", value).endswith(value.encode())
        assert value.encode() not in keys.name_entity("card", value + "x")
