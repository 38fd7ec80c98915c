import re

from contract.settings import RetentionSettings
from contract.topics import ALARMS, CONTROL, MODELS, RULES, STATUS, TOPICS, TRANSACTIONS


def test_a_topic_is_named_by_retailer_kind_and_version() -> None:
    assert TRANSACTIONS.name("acme") == "acme.transactions.v1"


def test_every_name_is_one_that_kafka_accepts_for_the_longest_retailer() -> None:
    for topic in TOPICS:
        assert re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", topic.name("a" * 48))


def test_kinds_are_unique() -> None:
    assert len({topic.kind for topic in TOPICS}) == len(TOPICS)


def test_every_retention_is_a_setting_or_for_ever() -> None:
    for topic in TOPICS:
        assert topic.retention_setting in {*RetentionSettings.model_fields, "forever"}
        assert topic.retention_setting != "forever" or topic.compacted


def test_only_topics_that_everyone_reads_have_one_partition() -> None:
    assert {topic for topic in TOPICS if not topic.scaled} == {MODELS, RULES, ALARMS, STATUS, CONTROL}
