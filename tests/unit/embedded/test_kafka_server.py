"""What Kafka's tools are given."""

from embedded.kafka_server import generate_cluster_id


def test_a_cluster_id_is_22_characters_and_never_begins_with_a_dash() -> None:
    ids = {generate_cluster_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert {len(one) for one in ids} == {22}
    assert not [one for one in ids if one.startswith("-")]
