"""The federation's messages whose bytes must decode for ever; `python tests/golden/federation_examples.py` writes the bytes of new ones.

As with examples.py: a golden file is written once and never changed, since such records lie on topics and in ledgers.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from contract.federation.frames import Announcement, Envelope, Part, PartsAnnounced, Probe, SignedEnvelope
from contract.federation.messages import (
    Adoption,
    Claim,
    EnrolmentRequest,
    Evaluated,
    Failure,
    GlobalModel,
    Halted,
    KeyList,
    LedgerEntry,
    LocalTraining,
    MaskedUpdate,
    MaskingTerms,
    MaskKeys,
    MaskShares,
    Member,
    Order,
    PrivacyTerms,
    Published,
    Refusal,
    Roster,
    RoundPlan,
    SealedShare,
    ShareList,
    SiteFigures,
    SiteModels,
    StageOver,
    Step,
    SurvivorList,
    TensorShape,
    Unmasking,
    Update,
    Withdrawal,
)

FOLDER = Path(__file__).parent / "federation-v1"
NOON_MS = 1_793_534_400_123
SIGNING, SEALING = bytes(range(256)) * 7 + bytes(160), bytes(range(64)) * 19
SHAPES = (TensorShape(name="layer0/weights", shape=(3, 2)), TensorShape(name="layer0/bias", shape=(2,)))
FORMED = (*SHAPES, TensorShape(name="statistics", shape=(6,), role="statistics"))
SIGNED = SignedEnvelope(envelope=b"\x01envelope", signature=bytes(range(200)))
DIGEST = bytes(range(32))
NO_PRIVACY = PrivacyTerms(
    level="none", noise_multiplier=0.0, delta=1e-5, epsilon_before=0.0, epsilon_after=0.0, examples_min=1_000
)

EXAMPLES: dict[str, Struct] = {
    "envelope": Envelope(
        version=1, federation="federation", type="keys", round=7, attempt=1, sender="harbour", recipient=None,
        sent_at_ms=NOON_MS, epoch=3, body=b"body",
    ),
    "envelope-sealed": Envelope(
        version=1, federation="federation", type="update", round=7, attempt=1, sender="harbour", recipient="coordinator",
        sent_at_ms=NOON_MS, epoch=3, body=bytes(range(100)),
    ),
    "announcement": Announcement(federation="federation", sender="harbour", bytes=1_700_000, digests=(DIGEST, DIGEST)),
    "frame-envelope": SIGNED,
    "frame-announced": PartsAnnounced(announcement=b"\x01announcement", signature=bytes(range(200))),
    "frame-part": Part(data=b"part"),
    "frame-probe": Probe(nonce=bytes(range(16))),
    "enrolment": EnrolmentRequest(signing_key=SIGNING, sealing_key=SEALING, allow_robust=True),
    "withdrawal": Withdrawal(reason="merged with another company"),
    "order-approve": Order(action="approve", participant="harbour", fingerprint="ab" * 32),
    "order-run": Order(action="run", rounds=10),
    "order-revoke": Order(action="revoke", participant="harbour", order_id="0123456789abcdef" * 2),
    "claim": Claim(instance="a1b2", signing_key=SIGNING, sealing_key=SEALING),
    "roster": Roster(
        version=2,
        members=(
            Member(
                name="harbour", signing_key=SIGNING, sealing_key=SEALING, allow_robust=False, status="approved",
                since_ms=NOON_MS,
            ),
        ),
    ),
    "plan-masked": RoundPlan(
        round=7, attempt=1, mode="masked", cohort=("harbour", "meadow", "quay"), updates_min=3, base_version=6,
        shapes=SHAPES,
        training=LocalTraining(epochs=5, batch_size=512, learning_rate=5e-4, prior_offset=True, proximal_mu=0.01),
        clip_norm=10.0, frauds_weight=0.5, weight_unit=10_000.0, weight_max=1.0,
        privacy=PrivacyTerms(
            level="client", noise_multiplier=4.0, delta=1e-5, epsilon_before=1.0, epsilon_after=1.5, examples_min=1_000
        ),
        bits=32, masking=MaskingTerms(ring_bits=32, neighbours=32, threshold=3, scale=65_536.0), seed=14,
        roster_version=2,
    ),
    "plan-robust": RoundPlan(
        round=7, attempt=0, mode="robust", cohort=("harbour", "meadow", "quay"), updates_min=3, base_version=6,
        shapes=SHAPES,
        training=LocalTraining(epochs=1, batch_size=512, learning_rate=5e-4, prior_offset=False, proximal_mu=0.0),
        clip_norm=10.0, frauds_weight=0.5, weight_unit=10_000.0, weight_max=1.0,
        privacy=NO_PRIVACY,
        bits=8, masking=None, seed=14, roster_version=2,
    ),
    "plan-statistics": RoundPlan(
        round=1, attempt=0, mode="robust", cohort=("harbour", "meadow", "quay"), updates_min=3, base_version=0,
        shapes=FORMED,
        training=LocalTraining(epochs=1, batch_size=512, learning_rate=5e-4, prior_offset=True, proximal_mu=0.0),
        clip_norm=10.0, frauds_weight=0.0, weight_unit=10_000.0, weight_max=1.0,
        privacy=NO_PRIVACY,
        bits=32, masking=None, seed=8, roster_version=2, purpose="statistics",
    ),
    "plan-masked-counting": RoundPlan(
        round=8, attempt=0, mode="masked", cohort=("harbour", "meadow", "quay"), updates_min=3, base_version=7,
        shapes=SHAPES,
        training=LocalTraining(epochs=5, batch_size=512, learning_rate=5e-4, prior_offset=True, proximal_mu=0.0),
        clip_norm=10.0, frauds_weight=0.5, weight_unit=10_000.0, weight_max=1.0,
        privacy=NO_PRIVACY,
        bits=32, masking=MaskingTerms(ring_bits=32, neighbours=32, threshold=3, scale=65_536.0), seed=15,
        roster_version=2, zstd_level=9, counts_clipped=True,
    ),
    "refusal": Refusal(reason="budget"),
    "keys": MaskKeys(key=SEALING),
    "key-list": KeyList(envelopes=(SIGNED, SIGNED)),
    "shares": MaskShares(shares=(SealedShare(recipient="meadow", sealed=b"sealed"),)),
    "share-list": ShareList(envelopes=(SIGNED,)),
    "masked-update": MaskedUpdate(payload=bytes(range(36))),
    "survivors": SurvivorList(survivors=("harbour", "meadow"), dropped=("quay",)),
    "unmasking": Unmasking(survivors_shares={"harbour": b"b"}, dropped_shares={"quay": b"k"}),
    "update": Update(payload=bytes(range(36)), examples=12_345, frauds=67, metrics={"ap": 0.75}),
    "stage-over": StageOver(stage="unmasking", members=("harbour", "meadow")),
    "evaluated": Evaluated(model_version=7, metrics={"ap": 0.75, "moved": 1.5}),
    "published": Published(model_version=7, payload_sha256=DIGEST),
    "failure": Failure(reason="keys: 2 answered in time, 3 are needed", final=False),
    "halted": Halted(reason="budget: round 8 would bring epsilon from 9.9 to 10.2"),
    "global-model": GlobalModel(
        model_version=7, base_version=6, shapes=SHAPES, payload=bytes(32), participants=3, weight=2.5,
        metrics={"ap": 0.75},
    ),
    "global-model-to-be-calibrated": GlobalModel(
        model_version=2, base_version=1, shapes=FORMED, payload=bytes(56), participants=3, weight=2.5, metrics={},
        purpose="training", calibration_follows=True,
    ),
    "global-model-of-trainings": GlobalModel(
        model_version=9, base_version=8, shapes=SHAPES, payload=bytes(32), participants=3, weight=2.5, metrics={},
        trainings=4,
    ),
    "adoption": Adoption(model_version=7, decision="blended", metrics={}),
    "ledger-entry": LedgerEntry(
        index=41, previous=DIGEST, at_ms=NOON_MS, kind="plan", round=7, attempt=1, content=b'{"mode":"masked"}'
    ),
    "update-to-be-shown": Update(
        payload=bytes(range(36)), examples=12_345, frauds=67, metrics={}, cross_site=True,
    ),
    "site-models": SiteModels(
        model_version=7, shapes=SHAPES, shown=("harbour", "meadow"),
        keys=(SealedShare(recipient="harbour", sealed=b"sealed"), SealedShare(recipient="meadow", sealed=b"too")),
        box=bytes(range(100)),
    ),
    "site-figures": SiteFigures(model_version=7, figures={"harbour": 0.75, "meadow": 0.5}),
    "step": Step(updates_offset=1_234, ledger_index=42),
}  # fmt: skip


def write(folder: Path) -> list[str]:
    """Writes what is missing; gives its names."""
    folder.mkdir(exist_ok=True)
    missing = [name for name in EXAMPLES if not (folder / f"{name}.msgpack").exists()]
    for name in missing:
        (folder / f"{name}.msgpack").write_bytes(msgspec.msgpack.encode(EXAMPLES[name]))
    return missing


if __name__ == "__main__":
    for written in write(FOLDER):
        print(written)  # noqa: T201 - its output
