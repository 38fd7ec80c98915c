from contract.features import GROUPS, names, schema, schema_hash
from contract.windows import ENTITIES, aggregate_names


def test_names_are_unique_and_in_the_order_of_the_vector() -> None:
    assert names() == tuple(feature.name for feature in schema())
    assert len(set(names())) == len(names())


def test_every_feature_belongs_to_a_group_that_a_reason_can_name_and_no_group_is_empty() -> None:
    assert {feature.group for feature in schema()} == set(GROUPS)


def test_every_aggregate_of_the_store_has_its_column() -> None:
    for entity in ENTITIES:
        for aggregate in aggregate_names(entity):
            assert f"{entity.name}_{aggregate.removesuffix('_ms')}" in names()


def test_every_feature_says_its_meaning_and_unit() -> None:
    assert all(feature.text and feature.unit for feature in schema())


def test_the_hash_names_the_version() -> None:
    assert schema_hash().startswith("v1-")
