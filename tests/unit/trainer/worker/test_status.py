"""What a trainer says of itself."""

from contract.status.message import Condition, Lag
from contract.status.words import describe_condition
from trainer.worker.service import SILENT_S, Vitals
from trainer.worker.status import describe_trainer


def test_a_trainer_tells_what_waits_and_that_it_trains() -> None:
    vitals = Vitals(kafka_spoke_s=0.0)
    assert describe_trainer(vitals, 1.0) == Condition(activity="collecting", healthy=True)
    vitals.lag = 1_200
    assert describe_condition(describe_trainer(vitals, 1.0)) == "collecting, 1,200 records behind"
    vitals.training, vitals.lag = True, 0
    assert describe_trainer(vitals, 1.0) == Condition(activity="training", healthy=True, lag=Lag(records=0))


def test_it_is_not_well_for_the_reasons_of_its_page() -> None:
    vitals = Vitals(kafka_spoke_s=0.0, store_fault="the disk is full")
    told = describe_trainer(vitals, SILENT_S + 1)
    assert (told.healthy, told.reasons) == (False, vitals.list_ailments(SILENT_S + 1))
    assert len(told.reasons) == 2
