"""YAML as every file of ours is read: a fault names its line, and no key stands twice."""

import pytest

from contract.errors import ConfigurationError
from runtime import yaml_document


def test_a_text_becomes_its_value() -> None:
    assert yaml_document.load("a: 1\nb: [2, {c: 3}]\n", "x.yaml") == {"a": 1, "b": [2, {"c": 3}]}
    assert yaml_document.load("", "x.yaml") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "x.yaml:3: a: named twice"),
        ("a:\n  - b: 1\n    b: 2", "x.yaml:3: b: named twice"),
        ("a: [", "x.yaml:1: not valid YAML"),
        ("a: !!python/object:os.system x", "x.yaml:1: not valid YAML"),
        ("\x00", "not valid YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        yaml_document.load(text, "x.yaml")
    assert says in str(refused.value)


def test_an_alias_that_leads_back_to_itself_ends() -> None:
    document = yaml_document.Document("a: &a [*a, {b: 1, b: 2}]", "x.yaml")
    assert document.faults == ["x.yaml:1: b: named twice"]
