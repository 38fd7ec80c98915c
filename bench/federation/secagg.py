"""Cost of a masked sum: `python -m bench.federation.secagg [--quick] [--json FILE]`.

Ten members, all in one process, as the protocol runs between them. Bytes are those of the records that a member would put on
the topic, signatures, keys and framing included; time is a member's own processor time for everything but its training. The
baselines of the same run are the bare vector (4 bytes a parameter) and the plain addition of the vectors without any masks.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from bench.table import Row, print_table, write_json
from contract.federation.frames import SignedEnvelope
from contract.federation.messages import Message
from federation.messages.envelope import seal, to_records, unseal
from federation.messages.identity import Identity, PublicIdentity
from federation.numeric.fixed_point import choose_finest
from federation.numeric.masks import Stream, Words
from federation.secagg.coordinator_side import MaskingCoordinator
from federation.secagg.masked_sum import MaskingPlan
from federation.secagg.member_side import MaskingMember

FEDERATION = "bench"
NOW_MS = 1_790_000_000_000
MEMBERS = 10
PARAMETERS = 1_000_000
UPLOAD_BYTES_MAX = 4_100_000
OVERHEAD_BYTES_MAX = 40_000
CPU_S_MAX = 1.0
T = TypeVar("T")


class Cost(NamedTuple):
    """Of one attempt."""

    upload_bytes: int
    """Of the member that sends most."""
    member_cpu_s: float
    """Of the member that needs most."""
    coordinator_cpu_s: float
    plain_cpu_s: float
    exact: bool


class Round:
    """One attempt among members with keys of their own; `lost` of them send no masked words."""

    def __init__(self, members: int, parameters: int, lost: int, bits: int) -> None:
        self._identities = {f"p{index:03}": Identity.generate(f"p{index:03}") for index in range(members)}
        self._office = Identity.generate("coordinator")
        cohort = tuple(self._identities)
        self._plan = MaskingPlan(
            federation=FEDERATION, round=1, attempt=1, cohort=cohort, members_min=3, words=parameters + 1, bits=bits
        )
        self._staying = cohort[lost:]
        self._bytes = dict.fromkeys(cohort, 0)
        self._cpu_s = dict.fromkeys(cohort, 0.0)
        self._office_cpu_s = 0.0
        self._point = choose_finest(bits, 1.0, members)
        self._values = np.random.default_rng(7).uniform(-0.1, 0.1, parameters + 1)

    def run(self) -> Cost:
        """All four stages."""
        cohort = self._plan.cohort
        members = {name: self._timed(name, partial(MaskingMember, self._plan, name, self._public)) for name in cohort}
        office = MaskingCoordinator(self._plan)
        for name in cohort:
            keys = self._timed(name, members[name].make_keys)
            self._office_timed(partial(office.take_keys, name, keys, self._send(name, keys)))
        key_list = self._office_timed(partial(office.close_keys, cohort))
        for name in cohort:
            shares = self._timed(name, partial(members[name].make_shares, key_list.envelopes, NOW_MS))
            self._office_timed(partial(office.take_shares, name, shares, self._send(name, shares)))
        share_list = self._office_timed(partial(office.close_shares, cohort))
        words: dict[str, Words] = {}
        for name in self._staying:
            words[name] = self._timed(name, partial(self._encoded, name))
            update = self._timed(name, partial(members[name].mask, share_list.envelopes, words[name], NOW_MS))
            self._send(name, update, sealed=True)
            self._office_timed(partial(office.take_update, name, update))
        lists = self._office_timed(partial(office.close_updates, self._staying))
        for name in self._staying:
            answer = self._timed(name, partial(members[name].make_unmasking, lists))
            self._send(name, answer, sealed=True)
            self._office_timed(partial(office.take_unmasking, name, answer))
        result = self._office_timed(office.compute_result)
        began_s = time.process_time()
        plain = np.zeros_like(words[self._staying[0]])
        for each in words.values():
            plain += each
        plain_s = time.process_time() - began_s
        return Cost(
            max(self._bytes.values()),
            max(self._cpu_s.values()),
            self._office_cpu_s,
            plain_s,
            bool(np.array_equal(result.words, plain)),
        )

    def _encoded(self, name: str) -> Words:
        return self._point.encode(self._values, Stream(name.encode().ljust(32, b"."))).words

    def _public(self, name: str) -> PublicIdentity | None:
        identity = self._identities.get(name)
        return identity.public if identity else None

    def _send(self, name: str, message: Message, *, sealed: bool = False) -> SignedEnvelope:
        """What the member puts on the topic; sealing and signing are its time, opening is the coordinator's."""
        identity = self._identities[name]

        def pack() -> tuple[SignedEnvelope, list[bytes]]:
            envelope = seal(
                message,
                identity,
                federation=FEDERATION,
                round_number=1,
                attempt=1,
                sent_at_ms=NOW_MS,
                reader=self._office.public if sealed else None,
            )
            return envelope, to_records(envelope, identity)

        envelope, records = self._timed(name, pack)
        self._bytes[name] += sum(map(len, records))
        self._office_timed(
            lambda: unseal(envelope, federation=FEDERATION, roster=self._public, now_ms=NOW_MS, reader=self._office)
        )
        return envelope

    def _timed(self, name: str, work: Callable[[], T]) -> T:
        began_s = time.process_time()
        result = work()
        self._cpu_s[name] += time.process_time() - began_s
        return result

    def _office_timed(self, work: Callable[[], T]) -> T:
        began_s = time.process_time()
        result = work()
        self._office_cpu_s += time.process_time() - began_s
        return result


def build_rows(label: str, cost: Cost, parameters: int, bits: int, *, ten: bool, judged: bool) -> list[Row]:
    """The figures of one attempt; targets are for ten members and a million parameters at 32 bits."""
    vector = (parameters + 1) * bits // 8
    overhead = cost.upload_bytes - vector
    targets = (f"<= {UPLOAD_BYTES_MAX:,}", f"<= {CPU_S_MAX:g}") if judged else (None, None)
    return [
        Row(
            f"{label}: upload of one member",
            cost.upload_bytes,
            "bytes",
            vector,
            cost.upload_bytes / vector,
            targets[0],
            cost.upload_bytes <= UPLOAD_BYTES_MAX if judged else None,
        ),
        Row(
            f"{label}: of it keys, shares, signatures, framing",
            overhead,
            "bytes",
            target=f"<= {OVERHEAD_BYTES_MAX:,}" if ten else None,
            holds=overhead <= OVERHEAD_BYTES_MAX if ten else None,
        ),
        Row(
            f"{label}: processor time of one member",
            cost.member_cpu_s,
            "s",
            target=targets[1],
            holds=cost.member_cpu_s <= CPU_S_MAX if judged else None,
        ),
        Row(
            f"{label}: processor time of the coordinator",
            cost.coordinator_cpu_s,
            "s",
            cost.plain_cpu_s,
            cost.coordinator_cpu_s / max(cost.plain_cpu_s, 1e-9),
        ),
        Row(f"{label}: the sum is exact", float(cost.exact), "", target="1", holds=cost.exact),
    ]


def measure(*, quick: bool) -> list[Row]:
    """Every case."""
    parameters = 20_000 if quick else PARAMETERS
    cases: Sequence[tuple[str, int, int, int, bool]] = (
        ("10 members, 32 bits", MEMBERS, 0, 32, not quick),
        ("10 members, 3 lost, 32 bits", MEMBERS, 3, 32, False),
        ("10 members, 16 bits", MEMBERS, 0, 16, False),
        *(() if quick else (("32 members, 32 bits", 32, 0, 32, False), ("48 members on a ring", 48, 2, 32, False))),
    )
    rows: list[Row] = []
    for label, members, lost, bits, judged in cases:
        cost = Round(members, parameters, lost, bits).run()
        rows += build_rows(label, cost, parameters, bits, ten=members == MEMBERS, judged=judged)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, writes; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small vector: shows that it works, judges bytes only")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args(arguments)
    rows = measure(quick=options.quick)
    print_table(rows)
    if options.json:
        write_json(rows, options.json)
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
