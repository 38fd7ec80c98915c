"""The picture of a transaction's way, as inline SVG in the page's own colours."""

_BOXES = (
    (8, "database", "MySQL, MongoDB"),
    (178, "connector", "maps, tokenises"),
    (348, "Kafka", "transactions"),
    (518, "scoring", "windows, model, rules"),
    (688, "Kafka", "verdicts"),
    (858, "checkout", "allow flag hold block"),
)
_BELOW = ((314, "dead letters", "what, where and why"), (688, "trainer", "labels, new models"))
_WIDTH, _HEIGHT, _GAP = 142, 58, 28
_TOP, _BOTTOM = 14, 112

_LINES = (
    f"M249 {_TOP + _HEIGHT}V{_BOTTOM + 29}H310m-6 -5l6 5l-6 5",
    f"M559 {_TOP + _HEIGHT}V{_BOTTOM + 29}H460m6 -5l-6 5l6 5",
    f"M929 {_TOP + _HEIGHT}V{_BOTTOM + 29}H834m6 -5l-6 5l6 5",
    f"M685 {_BOTTOM + 29}H619V{_TOP + _HEIGHT + 4}m-5 6l5 -6l5 6",
)
"""Connector and scoring to the dead letters, checkout (by labels) to the trainer, trainer to scoring."""


def _box(x: int, y: int, name: str, text: str) -> str:
    middle = x + _WIDTH / 2
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="10"/>'
        f'<text x="{middle:g}" y="{y + 25}" text-anchor="middle">{name}</text>'
        f'<text class="small" x="{middle:g}" y="{y + 44}" text-anchor="middle">{text}</text>'
    )


def _flow() -> str:
    boxes = "".join(_box(x, _TOP, name, text) for x, name, text in _BOXES)
    boxes += "".join(_box(x, _BOTTOM, name, text) for x, name, text in _BELOW)
    steps = [f"M{x + _WIDTH + 3} {_TOP + _HEIGHT / 2:g}h{_GAP - 8}m-6 -5l6 5l-6 5" for x, _, _ in _BOXES[:-1]]
    arrows = "".join(f'<path d="{line}"/>' for line in (*steps, *_LINES))
    return (
        '<div class="scroll"><svg class="flow" viewBox="0 0 1008 182" role="img" '
        f'aria-label="From the database to the verdict" style="min-width:720px">{boxes}{arrows}</svg></div>'
    )


FLOW = _flow()
