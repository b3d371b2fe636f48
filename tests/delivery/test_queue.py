"""The queue: bounded, fair, and never short of an item."""

from concurrent.futures import Future

from hypothesis import given
from hypothesis import strategies as st

from mbuzz.delivery.queue import Answer, Item, Outbox


class Named(Item):
    def __init__(self, name, kind, size):
        body = f'{{"type":"{kind}"'.encode()
        super().__init__(body.ljust(size, b"x"), 0.0, important=kind != "track")
        self.id = name
        self.kind = kind


BODY = 20  # the least that says of which kind it is


def item(name, kind="track", size=BODY):
    return Named(name, kind, size)


def ids(items):
    return [entry.id for entry in items]


def drain(outbox):
    return outbox.take(max_items=99, max_bytes=10_000)


def test_items_leave_in_order_and_count_as_in_flight():
    outbox = Outbox(max_items=10, max_bytes=1000)
    for name in "abc":
        outbox.put(item(name))

    batch = outbox.take(max_items=2, max_bytes=1000)

    assert ids(batch) == ["a", "b"]
    assert (outbox.waiting, outbox.in_flight) == (1, 2)
    outbox.settle(batch)
    assert outbox.in_flight == 0
    assert not outbox.empty


def test_a_batch_ends_before_its_byte_limit_but_has_one_item_at_least():
    outbox = Outbox(max_items=10, max_bytes=1000)
    for name in "abc":
        outbox.put(item(name, size=40))

    assert ids(outbox.take(max_items=9, max_bytes=100)) == ["a", "b"]
    assert ids(outbox.take(max_items=9, max_bytes=1)) == ["c"]
    assert outbox.take(max_items=9, max_bytes=1) == []


def test_what_is_put_back_is_first_again():
    outbox = Outbox(max_items=10, max_bytes=1000)
    for name in "abc":
        outbox.put(item(name))
    batch = outbox.take(max_items=2, max_bytes=1000)

    outbox.put_back(batch)

    again = drain(outbox)
    assert ids(again) == ["a", "b", "c"]
    outbox.settle(again)
    assert outbox.empty


def test_items_in_flight_take_room_by_count_and_by_bytes():
    by_count = Outbox(max_items=2, max_bytes=1000)
    by_bytes = Outbox(max_items=9, max_bytes=2 * BODY + 5)
    for outbox in (by_count, by_bytes):
        outbox.put(item("a"))
        outbox.take(max_items=1, max_bytes=1000)
        outbox.put(item("b"))

        assert outbox.put(item("c")) is None
        assert not outbox.lend(item("c"))


def test_the_oldest_plain_event_makes_room_for_what_matters_more():
    outbox = Outbox(max_items=3, max_bytes=1000)
    outbox.put(item("who", kind="identify"))
    outbox.put(item("old"))
    outbox.put(item("new"))

    evicted = outbox.put(item("sale", kind="conversion"))

    assert ids(evicted) == ["old"]
    assert outbox.in_flight == 1  # until it is settled where it went
    outbox.settle(evicted)
    assert ids(drain(outbox)) == ["who", "new", "sale"]


def test_several_small_events_make_room_for_a_large_conversion():
    outbox = Outbox(max_items=9, max_bytes=100)
    for name in "abcd":
        outbox.put(item(name, size=25))

    evicted = outbox.put(item("sale", kind="conversion", size=60))

    assert ids(evicted) == ["a", "b", "c"]


def test_nothing_is_evicted_for_what_would_not_fit_all_the_same():
    outbox = Outbox(max_items=9, max_bytes=100)
    flying = item("flying", size=60)
    outbox.lend(flying)
    outbox.put(item("page", size=20))

    assert outbox.put(item("sale", kind="conversion", size=60)) is None
    assert ids(drain(outbox)) == ["page"]


def test_plain_events_never_make_room_and_important_ones_never_give_it():
    outbox = Outbox(max_items=1, max_bytes=1000)
    outbox.put(item("sale", kind="conversion"))

    assert outbox.put(item("page")) is None
    assert outbox.put(item("who", kind="identify")) is None
    assert ids(drain(outbox)) == ["sale"]


def test_a_lent_item_is_in_flight_until_it_is_settled():
    outbox = Outbox(max_items=1, max_bytes=1000)
    page = item("page")

    assert outbox.lend(page)
    assert not outbox.empty
    assert outbox.put(item("other")) is None

    outbox.settle([page])
    assert outbox.empty


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("put"),
                st.sampled_from(["track", "identify", "conversion"]),
                st.integers(BODY, 60),
            ),
            st.tuples(st.just("lend"), st.integers(BODY, 60)),
            st.tuples(st.just("take"), st.integers(1, 5), st.integers(1, 99)),
            st.tuples(st.sampled_from(["settle", "put_back"])),
        )
    )
)
def test_no_item_is_lost_or_doubled_whatever_happens(steps):
    outbox = Outbox(max_items=6, max_bytes=150)
    inside: dict[str, Item] = {}
    flying: list[Item] = []
    for number, (step, *args) in enumerate(steps):
        if step == "put":
            new = item(str(number), kind=args[0], size=args[1])
            evicted = outbox.put(new)
            if evicted is not None:
                inside[new.id] = new
                for victim in evicted:
                    assert inside.pop(victim.id).kind == "track"
                outbox.settle(evicted)
        elif step == "lend":
            new = item(str(number), size=args[0])
            if outbox.lend(new):
                inside[new.id] = new
                flying.append(new)
        elif step == "take":
            flying += outbox.take(max_items=args[0], max_bytes=args[1])
        elif step == "drain":
            for gone in outbox.drain():
                del inside[gone.id]
        else:
            getattr(outbox, step)(flying)
            if step == "settle":
                for gone in flying:
                    del inside[gone.id]
            flying = []
        assert outbox.waiting + outbox.in_flight == len(inside) <= 6
        assert sum(len(entry.body) for entry in inside.values()) <= 150
        assert outbox.in_flight == len(flying)


def test_closing_leaves_everything_in_flight_and_takes_no_more():
    outbox = Outbox(max_items=9, max_bytes=1000)
    for name in "abc":
        outbox.put(item(name))
    sent = outbox.take(max_items=1, max_bytes=1000)

    outbox.close()
    left = outbox.end()

    assert ids(left) == ["a", "b", "c"]
    assert outbox.end() is None
    assert (outbox.waiting, outbox.in_flight) == (0, 3)
    assert outbox.put(item("late")) is None
    assert not outbox.lend(item("late"))
    assert outbox.settle(sent) == sent
    assert outbox.settle(left) == left[1:]
    assert outbox.empty


def test_the_first_answer_counts():
    entry = item("a")
    entry.reply = Future()

    entry.settle(Answer(delivered=True))
    entry.settle(Answer(delivered=False))

    assert entry.reply.result().delivered


def test_a_reply_that_is_taken_away_while_it_is_answered_is_no_error():
    class Racing(Future):
        def done(self):
            return False

    entry = item("a")
    entry.reply = Racing()
    entry.reply.cancel()

    entry.settle(Answer(delivered=True))

    assert entry.reply.cancelled()
