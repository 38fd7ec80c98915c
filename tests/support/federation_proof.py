"""What must hold of every ledger, whatever struck: one model or one end of each round, and nobody counted twice."""

import itertools
from collections.abc import Sequence

from contract.federation.messages import LedgerEntry
from federation.audit.history import decode_content
from federation.audit.ledger import verify_chain
from federation.simulation.world import World
from support.federation_ledger import ledger_of

CLOSING = {"key_list", "share_list", "survivors", "stage_over"}


def of_round(entries: Sequence[LedgerEntry], number: int, kind: str) -> list[LedgerEntry]:
    """The round's entries of a kind."""
    return [entry for entry in entries if entry.round == number and entry.kind == kind]


def members_of(entries: Sequence[LedgerEntry], number: int, attempt: int | None = None) -> list[list[str]]:
    """Who is named by each list that closed a stage of an attempt, in their order; None: of the round's last."""
    closed = [entry for entry in entries if entry.kind in CLOSING and entry.round == number]
    wanted = max((entry.attempt for entry in closed), default=0) if attempt is None else attempt
    return [decode_content(entry)["members"] for entry in closed if entry.attempt == wanted]


def assert_counted_once(entries: Sequence[LedgerEntry], number: int) -> None:
    """The round has one model, of this many participants as its list of survivors names, and no list names anybody twice."""
    models, lists = of_round(entries, number, "global_model"), members_of(entries, number)
    assert len(models) == 1, "a round has one model"
    assert all(len(set(members)) == len(members) for members in lists), "nobody is counted twice"
    cohort = decode_content(of_round(entries, number, "plan")[-1])["cohort"]
    assert all(set(after) <= set(before) for before, after in itertools.pairwise([cohort, *lists]))
    assert decode_content(models[0])["participants"] == len(lists[2 if len(lists) > 1 else 0]) >= 3


def verdict_of(entries: Sequence[LedgerEntry]) -> int:
    """How many rounds ended, each with a model that is right as far as the ledger says, or given up; checks all of that."""
    assert verify_chain(entries).holds
    numbers = sorted({entry.round for entry in entries if entry.kind == "plan"})
    for number in numbers:
        given_up = [entry for entry in of_round(entries, number, "failure") if decode_content(entry)["final"]]
        assert len(given_up) + len(of_round(entries, number, "global_model")) == 1
        if not given_up:
            assert_counted_once(entries, number)
    return len(numbers)


def participants_of(world: World) -> list[int]:
    """Of each model that a round made."""
    return [decode_content(one)["participants"] for one in ledger_of(world) if one.kind == "global_model" and one.round]
