"""What becomes of held rows: only what was committed leaves, whatever stands between; and statements are judged."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from connectors.mysql.log.follower import Ended, Follower, Loud
from connectors.mysql.log.gtid_set import GtidSet
from connectors.mysql.log.identifiers import Xid
from connectors.mysql.log.queries import Query
from connectors.mysql.log.spool import Spool
from connectors.mysql.log.sql_words import cut
from connectors.mysql.log.statements import Scope, find_effect
from connectors.mysql.log.transactions import Held, Lost, Transactions
from connectors.mysql.names import TableNames

NAMES = TableNames("shop", ["orders", "odd `name`"], ignore_case=False)
SCOPE = Scope(NAMES.is_database, NAMES.find)
ONE, TWO = Xid(1, b"one", b""), Xid(1, b"two", b"b")
U1, U2 = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"


def fresh() -> Transactions:
    return Transactions(lambda: Spool(memory_bytes_max=64))


def bodies(held: object) -> list[bytes]:
    assert isinstance(held, Held)
    found = [record.body for record in held.store.read_records()]  # type: ignore[attr-defined]
    held.store.close()
    return found


def test_rows_leave_with_their_commit_and_not_before() -> None:
    moves = fresh()
    moves.start("f:4", opened=False)
    moves.begin()
    for number in range(200):
        moves.hold(30, 1, bytes([number]))
    assert moves.inside
    held = moves.commit()
    assert held is not None
    assert held.begin == "f:4"
    assert bodies(held) == [bytes([number]) for number in range(200)]
    assert not moves.inside


def test_nested_savepoints_cut_back_to_where_they_were() -> None:
    moves = fresh()
    moves.start("f:4", opened=True)
    moves.set_savepoint("BEFORE")
    moves.hold(30, 1, b"a")
    moves.set_savepoint("A")
    moves.hold(30, 1, b"b")
    moves.set_savepoint("B")
    moves.hold(30, 1, b"c")
    assert moves.roll_back_to("B")
    assert moves.roll_back_to("A")
    moves.hold(30, 1, b"d")
    assert not moves.roll_back_to("UNKNOWN")
    assert bodies(moves.commit()) == [b"a", b"d"]


def test_a_prepared_transaction_waits_for_its_verdict_across_others() -> None:
    moves = fresh()
    for xid, body in ((ONE, b"a"), (TWO, b"b")):
        moves.start("f:4", opened=True)
        moves.hold(30, 1, body)
        moves.prepare(xid)
    assert not moves.inside
    moves.start("f:9", opened=True)
    moves.hold(30, 1, b"c")
    assert bodies(moves.commit()) == [b"c"]
    assert moves.roll_back_prepared(TWO)
    assert bodies(moves.commit_prepared(ONE)) == [b"a"]
    assert moves.commit_prepared(ONE) == Lost(ONE)


def test_what_was_broken_off_is_dropped_by_the_next_beginning() -> None:
    moves = fresh()
    moves.start("f:4", opened=True)
    moves.hold(30, 1, b"a")
    moves.start("f:9", opened=True)
    assert moves.commit() is None


class Log(RuleBasedStateMachine):
    """Random transactions against a model that keeps lists."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = fresh()
        self.open: list[bytes] | None = None
        self.savepoints: dict[str, int] = {}
        self.prepared: dict[Xid, list[bytes]] = {}
        self.count = 0

    @rule()
    def start(self) -> None:
        self.moves.start("f:4", opened=True)
        self.open, self.savepoints = [], {}

    @rule()
    def write(self) -> None:
        if self.open is not None:
            self.count += 1
            body = str(self.count).encode()
            self.moves.hold(30, 1, body)
            self.open.append(body)

    @rule(name=st.sampled_from("AB"))
    def savepoint(self, name: str) -> None:
        if self.open is not None:
            self.moves.set_savepoint(name)
            self.savepoints[name] = len(self.open)

    @rule(name=st.sampled_from("AB"))
    def roll_back_to(self, name: str) -> None:
        if self.open is not None and name in self.savepoints and self.savepoints[name] <= len(self.open):
            assert self.moves.roll_back_to(name)
            del self.open[self.savepoints[name] :]
            self.savepoints = {other: at for other, at in self.savepoints.items() if at <= len(self.open)}

    @rule()
    def commit(self) -> None:
        if self.open is not None:
            held = self.moves.commit()
            assert (bodies(held) if held else []) == self.open
            self.open = None

    @rule()
    def roll_back(self) -> None:
        self.moves.roll_back()
        self.open = None

    @rule(xid=st.sampled_from([ONE, TWO]))
    def prepare(self, xid: Xid) -> None:
        if self.open is not None:
            self.moves.prepare(xid)
            self.prepared[xid], self.open = self.open, None

    @rule(xid=st.sampled_from([ONE, TWO]), keep=st.booleans())
    def verdict(self, xid: Xid, keep: bool) -> None:
        if self.open is not None:
            return
        expected = self.prepared.pop(xid, None)
        if not keep:
            self.moves.roll_back_prepared(xid)
        elif expected is None:
            assert self.moves.commit_prepared(xid) == Lost(xid)
        else:
            held = self.moves.commit_prepared(xid)
            assert (bodies(held) if held else []) == expected

    @invariant()
    def a_position_may_be_saved_only_between_transactions(self) -> None:
        assert self.moves.inside == (self.open is not None)

    def teardown(self) -> None:
        self.moves.close()


TestLog = Log.TestCase


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("BEGIN", "begin"), ("commit", "commit"), ("ROLLBACK", "rollback"), ("/* x */ ROLLBACK WORK TO SAVEPOINT `a b`", "rollback_to"),
        ("SAVEPOINT `a b`", "savepoint"), ("XA START X'6f6e65',X'',1", "xa_start"), ("XA RECOVER", "loud"), ("XA", "loud"), ("START TRANSACTION WITH CONSISTENT SNAPSHOT", "begin"),
        ("START REPLICA", "definition"), ("START", "definition"), ("COMMIT AND CHAIN", "commit"), ("BEGIN WORK", "begin"), ("ROLLBACK WORK", "rollback"),
        ("SET STATEMENT max_statement_time=1", "definition"), ("(SELECT 1)", "loud"),
        ("XA ROLLBACK 'one'", "xa_rollback"),
        ("CREATE TABLE orders (id INT)", "definition"), ("CREATE TABLE orders LIKE other", "definition"),
        ("CREATE TABLE orders AS SELECT * FROM x", "loud"), ("CREATE TABLE `odd ``name``` (a INT) SELECT 1", "loud"),
        ("CREATE TABLE orders TABLE x", "loud"), ("CREATE TABLE orders VALUES ROW(1)", "loud"), ("CREATE TEMPORARY TABLE orders SELECT 1", "definition"),
        ("CREATE VIEW orders_seen AS SELECT * FROM orders", "definition"),
        ("CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW INSERT INTO x TABLE orders", "definition"),
        ("ALTER TABLE orders ADD COLUMN `import` INT, ADD COLUMN import INT", "definition"), ("ALTER TABLE orders RENAME COLUMN a TO b", "definition"),
        ("ALTER TABLE orders EXCHANGE PARTITION p WITH TABLE x", "loud"), ("ALTER TABLE x EXCHANGE PARTITION p WITH TABLE shop.orders", "loud"),
        ("ALTER TABLE x EXCHANGE PARTITION p WITH TABLE y", "definition"), ("ALTER TABLE x CONVERT TABLE y TO PARTITION p", "definition"),
        ("ALTER TABLE x CONVERT PARTITION p TO TABLE orders", "loud"), ("ALTER TABLE IF EXISTS x RENAME TO orders", "loud"),
        ("DELETE LOW_PRIORITY FROM other.t WHERE a = 1", "definition"), ("DELETE a FROM other.t a", "loud"), ("DELETE other.t", "loud"), ("INSERT", "loud"),
        ("ALTER TABLE orders IMPORT TABLESPACE", "loud"), ("ALTER TABLE x RENAME TO orders", "loud"), ("ALTER TABLE orders CONVERT TABLE x TO PARTITION p VALUES LESS THAN (1)", "loud"),
        ("ALTER TABLE x RENAME AS y, ENGINE=InnoDB", "definition"), ("RENAME TABLE x TO orders", "loud"),
        ("RENAME TABLE orders TO _orders_del, _orders_gho TO orders", "definition"), ("RENAME TABLE orders TO orders_old, orders_new TO orders", "loud"),
        ("RENAME TABLE orders TO elsewhere", "definition"), ("TRUNCATE orders", "definition"), ("DROP TABLE orders", "definition"),
        ("INSERT INTO orders VALUES (1)", "loud"), ("INSERT INTO bystanders VALUES (1)", "loud"), ("insert ignore into other.t values (1)", "definition"),
        ("/*!50000 INSERT */ INTO orders VALUES (1)", "loud"), ("UPDATE other.t SET a = 1", "definition"), ("UPDATE other.t, orders SET a = 1", "loud"),
        ("LOAD DATA INFILE 'x' INTO TABLE orders", "loud"), ("CALL p()", "loud"), ("SELECT `f`()", "loud"), ("FROBNICATE orders", "loud"),
        ("GRANT SELECT ON shop.* TO x", "definition"), ("SET STATEMENT binlog_format=STATEMENT FOR INSERT INTO orders VALUES (1)", "loud"), ("", "definition"),
    ],
)  # fmt: skip
def test_what_a_statement_does(text: str, kind: str) -> None:
    assert find_effect(Query("shop", text), SCOPE).kind == kind


@pytest.mark.parametrize("ignore_case", [True, False])
@pytest.mark.parametrize(
    ("text", "ignoring", "exact"),
    [
        ("RENAME TABLE refunds TO orders", "loud", "loud"), ("ALTER TABLE refunds RENAME TO orders", "loud", "loud"),
        ("RENAME TABLE orders TO _orders_del, _refunds_gho TO orders", "loud", "loud"),
        ("RENAME TABLE orders TO x, refunds TO orders, x TO refunds", "loud", "loud"),
        ("RENAME TABLE x TO SHOP.Orders", "loud", "definition"), ("ALTER TABLE X RENAME ORDERS", "loud", "definition"),
        ("RENAME TABLE ORDERS TO _Orders_del, _Orders_gho TO Orders", "definition", "definition"),
        ("RENAME TABLE shop.orders TO _orders_old, _ORDERS_new TO orders", "definition", "loud"),
        ("RENAME TABLE Orders TO elsewhere", "definition", "definition"), ("ALTER TABLE orders RENAME TO Orders", "definition", "definition"),
    ],
)  # fmt: skip
def test_a_mapped_table_that_becomes_another_brings_rows_that_no_event_shows(
    text: str, ignoring: str, exact: str, ignore_case: bool
) -> None:
    names = TableNames("shop", ["orders", "refunds"], ignore_case=ignore_case)
    found = find_effect(Query("shop", text), Scope(names.is_database, names.find))
    assert found.kind == (ignoring if ignore_case else exact)


def test_a_statement_is_harmless_where_the_server_says_that_it_wrote_elsewhere() -> None:
    assert find_effect(Query("shop", "CALL p()", frozenset(("other",))), SCOPE).kind == "definition"
    assert find_effect(Query("other", "CALL p()", frozenset(("other", "shop"))), SCOPE).kind == "loud"


@pytest.mark.parametrize("text", ["XA COMMIT X'74776f',X'62',1", "XA COMMIT 'two','b'", "XA COMMIT 0x74776f, 'b', 1"])
def test_names_of_distributed_transactions_are_read_in_every_notation(text: str) -> None:
    assert find_effect(Query("", text), SCOPE).xid == TWO


@given(st.text(max_size=80), st.booleans(), st.booleans())
def test_no_statement_raises_anything(text: str, quotes: bool, escapes: bool) -> None:
    for verb in ("", "RENAME TABLE ", "ALTER TABLE ", "XA COMMIT ", "INSERT ", "CREATE TABLE "):
        find_effect(Query("shop", verb + text, None, quotes, escapes), SCOPE)


def test_a_lost_transaction_and_a_statement_within_one_do_not_end_another() -> None:
    followed = Follower(NAMES, Spool)

    def query(text: str) -> list[object]:
        from connectors.mysql.log.framing import Event

        body = pack("<IIBHH", 8, 0, 4, 0, 0) + b"shop\0" + text.encode()
        return list(followed.follow(Event(1, 2, 1, 0, 0, body, 50), "f:4"))

    followed.transactions.start("f:4", opened=True)
    assert [type(each) for each in query("INSERT INTO orders VALUES (1)")] == [Loud]
    assert followed.inside
    assert [type(each) for each in query("COMMIT")] == [Ended]
    assert [type(each) for each in query("XA COMMIT 'x'")] == [Lost, Ended]


sets = st.dictionaries(
    st.tuples(st.sampled_from([U1, U2]), st.sampled_from(["", "till", "_x9"])),
    st.lists(st.integers(1, 40), min_size=1),
    max_size=4,
).map(
    lambda parts: GtidSet.parse(",".join(f"{u}:{t + ':' if t else ''}{n}" for (u, t), ns in parts.items() for n in ns))
)


@given(sets, sets)
def test_sets_of_identifiers_keep_the_laws_of_sets(one: GtidSet, two: GtidSet) -> None:
    assert GtidSet.parse(str(one)) == one
    assert GtidSet.decode(one.encode()) == one
    assert one.combine(two) == two.combine(one)
    assert one.subtract(two).combine(two) == one.combine(two)
    assert not one.subtract(one)
    assert one.combine(two).has_all_of(two)
    assert one.subtract(two).has_all_of(two) == (not two)
    added = one.add((U1, "till"), 17)
    assert added.has((U1, "till"), 17)
    assert added == one.combine(GtidSet.parse(f"{U1}:till:17"))


def test_sets_are_written_as_the_servers_write_them() -> None:
    text = f"{U1}:1-13:20:till:1-2"
    assert str(GtidSet.parse(f"{U1.upper()}:1-5:6-13:20\n, {U1}:TILL:1:2")) == text
    assert GtidSet.parse(text).encode()[:8] == bytes([1, 2, 0, 0, 0, 0, 0, 1])
    assert GtidSet.parse(f"{U1}:1-3").encode()[:8] == bytes([1, 0, 0, 0, 0, 0, 0, 0])
    for bad in ("x", U1, f"{U1}:0", f"{U1}:a b:-", f"{U1}:1-x"):
        with pytest.raises(ValueError):  # noqa: PT011 - any of them will do
            GtidSet.parse(bad)


@pytest.mark.parametrize("text", ["XA COMMIT X'7'", "XA COMMIT 0xzz", "XA COMMIT", "XA COMMIT 'a','b','c'"])
def test_a_distributed_transaction_without_a_name_is_none_that_was_prepared(text: str) -> None:
    found = find_effect(Query("", text), SCOPE)
    assert (found.kind, found.xid) == ("xa_commit", None)


@pytest.mark.parametrize(
    ("text", "escapes", "held"),
    [
        (r"'a\'b' c", True, ["a'b", "c"]),
        (r"'a\' c", False, ["a\\", "c"]),
        ("'a''b' c", True, ["a'b", "c"]),
        (r"`a\` c", True, ["a\\", "c"]),
        ("'never ends", True, ["never ends"]),
        ("'ends with a \\", True, ["ends with a "]),
        ("a -- b\nc # d\ne --f", True, ["a", "c", "e", "-", "-", "f"]),
        ("a /* b */ c /*!50000 d */ /*M!100000 e */ /* f", True, ["a", "c", "d", "e"]),
    ],
)
def test_strings_end_and_comments_are_left_out_as_on_the_server(text: str, escapes: bool, held: list[str]) -> None:
    assert [token.text for token in cut(text, backslash_escapes=escapes)] == held
