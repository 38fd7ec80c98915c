"""Every generated page by its path below the docs folder, and how the folder differs from them.

`render` is pure; `write` and `find_outdated` touch the folder.
"""

import inspect
from pathlib import Path

from contract import risk, windows
from contract.dead_letters import REASONS
from contract.features import GROUPS, SCHEMA_VERSION, get_schema, get_schema_hash
from contract.metrics import METRICS
from contract.settings import RetentionSettings
from contract.topics import TOPICS, Topic
from tillguard.docs.api_pages import build_api_files
from tillguard.docs.command_rows import render_commands_page
from tillguard.docs.markdown import NONE, NOTICE, render_table
from tillguard.docs.schema_files import build_schema_files
from tillguard.docs.setting_rows import PROCESS_VARIABLES, list_setting_rows


def _settings_page() -> str:
    rows = [[f"`{row.name}`", f"`{row.variable}`", row.kind, row.default, row.text] for row in list_setting_rows()]
    process = [[f"`{name}`", text] for name, text in PROCESS_VARIABLES.items()]
    return (
        f"{NOTICE}# Settings\n\n"
        "One YAML file describes one retailer; an environment variable overrides the file. Unknown settings are refused, every fault\n"
        "is reported at once, and secrets are never printed. Maps are given in the environment as JSON, as\n"
        "`TILLGUARD_RATES='{\"USD\": 0.9}'`. A dot in a name is a level of the YAML file.\n\n"
        + render_table(["Setting", "Environment variable", "Type", "Default", "Meaning"], rows)
        + "\n## Where settings are looked for\n\n"
        + render_table(["Environment variable", "Meaning"], process)
    )


def _topic_row(topic: Topic) -> list[str]:
    forever = topic.retention_setting == "forever"
    return [
        f"`<retailer>.{topic.kind}.v1`",
        topic.text,
        ", ".join(f"[{m.__name__}](schemas/{m.__name__}.v1.json)" for m in topic.messages) or NONE,
        topic.key,
        "`kafka.partitions`" if topic.scaled else "1",
        "compact" if forever else "compact and delete" if topic.compacted else "delete",
        "newest per key, forever" if forever else f"{getattr(RetentionSettings(), topic.retention_setting):g} days",
        NONE if forever else f"`retention.{topic.retention_setting}`",
    ]


def _topics_page() -> str:
    rows = [_topic_row(topic) for topic in TOPICS]
    head = ["Topic", "Holds", "Messages", "Key", "Partitions", "Clean-up", "Kept by default", "Setting"]
    reasons = [[f"`{code}`", text] for code, text in REASONS.items()]
    return (
        f"{NOTICE}# Topics\n\n"
        "Every message is JSON. Within a topic's version a schema only grows: fields are added with a default, never removed, renamed\n"
        "or retyped. The machine-readable form is [asyncapi.yaml](asyncapi.yaml).\n\n"
        + render_table(head, rows)
        + "\n## Reasons of dead letters\n\n"
        + render_table(["Reason", "Meaning"], reasons)
    )


def _features_page() -> str:
    rows = [
        [str(place), f"`{f.name}`", f.group, f.text, f.unit + (f" of {f.buckets}" if f.buckets else "")]
        for place, f in enumerate(get_schema())
    ]
    groups = [[f"`{name}`", text, str(sum(f.group == name for f in get_schema()))] for name, text in GROUPS.items()]
    return (
        f"{NOTICE}# Features\n\nSchema version {SCHEMA_VERSION}, hash `{get_schema_hash()}`, {len(get_schema())} features. A feature vector is float32 in this order, NaN where\n"
        "something is missing. The hash stands in every model, every feature record and every verdict.\n\n## Groups\n\n"
        + render_table(["Group", "A reason calls it", "Features"], groups)
        + "\n## Features\n\n"
        + render_table(["Place", "Name", "Group", "Meaning", "Unit"], rows)
        + f"\n## How windows are defined\n\n{inspect.cleandoc(windows.__doc__ or '')}\n\n"
        f"MAX_EVENTS is {windows.MAX_EVENTS:,}, MAX_COUNTERPARTS is {windows.MAX_COUNTERPARTS}.\n\n"
        f"## How risk and unusual amounts are defined\n\n{inspect.cleandoc(risk.__doc__ or '')}\n\n"
        f"PLAIN_RATIO is {risk.PLAIN_RATIO}, USUAL_MIN is {risk.USUAL_MIN}, UNUSUAL_RATIO is {risk.UNUSUAL_RATIO}, EXCESS_MAX is "
        f"{risk.EXCESS_MAX:,}, MAX_UNUSUAL is {risk.MAX_UNUSUAL}; HORIZON_TILES is {risk.count_horizon_tiles(7)} with a label delay of 7 days.\n"
    )


def _metrics_page() -> str:
    rows = [[f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels) or NONE, m.text] for m in METRICS]
    return (
        f"{NOTICE}# Metrics\n\nScoring workers and connectors answer `/metrics` in Prometheus' form; the alerts over them are in\n"
        "[deploy/prometheus/alerts.yaml](../deploy/prometheus/alerts.yaml).\n\n"
        + render_table(["Metric", "Kind", "Labels", "Meaning"], rows)
    )


def render() -> dict[str, str]:
    """Every generated page by its path below the docs folder."""
    return {
        "settings.md": _settings_page(),
        "topics.md": _topics_page(),
        "features.md": _features_page(),
        "metrics.md": _metrics_page(),
        "commands.md": render_commands_page(),
        **build_schema_files(),
        **build_api_files(),
    }


def write(folder: Path, pages: dict[str, str]) -> list[str]:
    """Writes what differs, removes schemas of messages that are no more, and returns the paths it touched."""
    touched = find_outdated(folder, pages)
    for path in touched:
        file = folder / path
        if path in pages:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(pages[path], encoding="utf-8")
        else:
            file.unlink()
    return touched


def find_outdated(folder: Path, pages: dict[str, str]) -> list[str]:
    """Paths of pages that are missing, differ, or describe a message that is no more."""
    left_over = {f"schemas/{file.name}" for file in (folder / "schemas").glob("*.json")} - set(pages)
    differing = {
        path
        for path, text in pages.items()
        if not (folder / path).is_file() or (folder / path).read_text(encoding="utf-8") != text
    }
    return sorted(left_over | differing)


def list_hand_written(folder: Path, pages: dict[str, str]) -> list[Path]:
    """The Markdown pages below `folder` that are not generated, and those next to it (README, CONTRIBUTING …)."""
    below = [file for file in folder.rglob("*.md") if file.relative_to(folder).as_posix() not in pages]
    return sorted([*folder.absolute().parent.glob("*.md"), *below])
