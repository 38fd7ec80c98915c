import pytest

from contract.features import (
    GROUPS,
    SCHEMA_VERSION,
    find_plain_columns,
    get_feature_names,
    get_schema,
    get_schema_hash,
    get_schema_widths,
    is_plain,
)
from contract.windows import ENTITIES, list_aggregate_names


def test_names_are_unique_and_in_the_order_of_the_vector() -> None:
    assert get_feature_names() == tuple(feature.name for feature in get_schema())
    assert len(set(get_feature_names())) == len(get_feature_names())


def test_every_feature_belongs_to_a_group_that_a_reason_can_name_and_no_group_is_empty() -> None:
    assert {feature.group for feature in get_schema()} == set(GROUPS)


def test_every_aggregate_of_the_store_has_its_column() -> None:
    for entity in ENTITIES:
        for aggregate in list_aggregate_names(entity):
            assert f"{entity.name}_{aggregate.removesuffix('_ms')}" in get_feature_names()


def test_every_feature_says_its_meaning_and_unit() -> None:
    assert all(feature.text and feature.unit for feature in get_schema())


def test_the_hash_names_the_version() -> None:
    assert get_schema_hash().startswith(f"v{SCHEMA_VERSION}-")
    assert get_schema_hash(1).startswith("v1-")
    with pytest.raises(ValueError, match="version 9"):
        get_schema_hash(9)


def test_every_schema_whose_models_are_served_has_its_width() -> None:
    assert get_schema_widths() == {
        get_schema_hash(1): len(get_feature_names(1)),
        get_schema_hash(): len(get_feature_names()),
    }


def test_a_fraud_is_plain_where_its_amount_does_not_explain_it() -> None:
    ratio, unusual = find_plain_columns()
    assert (get_feature_names()[ratio], get_feature_names()[unusual]) == (
        "customer_usual_ratio",
        "customer_unusual_14d",
    )
    assert is_plain(2.0, 0.0)
    assert is_plain(float("nan"), float("nan"))
    assert not is_plain(2.1, 0.0)
    assert not is_plain(1.0, 1.0)
