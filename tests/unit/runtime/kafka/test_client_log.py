"""Clients without a broker complain seldom."""

import logging

from runtime.kafka.client_log import LIBRDKAFKA_FORMAT, Seldom, quieten_loggers


def line(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("kafka", logging.ERROR, "", 0, text, arguments, None)


def test_a_kind_of_line_is_shown_once_in_a_while() -> None:
    now_s = [0.0]
    seldom = Seldom(10, lambda: now_s[0])
    shown = []
    for moment in (0.0, 1.0, 9.9, 10.0, 11.0, 25.0):
        now_s[0] = moment
        shown.append(seldom.filter(line("cannot reach %s", moment)))
    assert shown == [True, False, False, True, False, True]


def test_librdkafka_s_kinds_do_not_hide_each_other() -> None:
    seldom = Seldom(10, lambda: 0.0)
    assert seldom.filter(line(LIBRDKAFKA_FORMAT, "FAIL", "a", "b"))
    assert seldom.filter(line(LIBRDKAFKA_FORMAT, "REQTMOUT", "a", "b"))
    assert not seldom.filter(line(LIBRDKAFKA_FORMAT, "FAIL", "c", "d"))


def test_a_library_s_loggers_are_calmed_once_each() -> None:
    child = logging.getLogger("chatty-library.child")
    quieten_loggers("chatty-library")
    quieten_loggers("chatty-library")
    assert [type(known) for known in child.filters] == [Seldom]
    assert not logging.getLogger("chatty-library-other").filters
