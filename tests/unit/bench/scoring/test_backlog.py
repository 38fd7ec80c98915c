from bench.scoring.backlog import Said, count_wanted


def test_an_event_answered_degraded_is_waited_for_until_its_full_answer_is_there() -> None:
    full = [Said("T-1", 1, "allow"), Said("T-2", 1, "hold")]
    degraded = Said("T-3", 0, "allow")
    assert count_wanted([*full, degraded], events=3) == 4
    assert count_wanted([*full, degraded, Said("T-3", 1, "block")], events=3) == 0


def test_a_verdict_that_came_twice_stands_for_one_event() -> None:
    assert count_wanted([Said("T-1", 1, "allow"), Said("T-1", 1, "allow")], events=2) == 3
