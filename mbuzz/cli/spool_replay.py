"""`mbuzz spool replay`: the SDK's own batches, sent by hand."""

from __future__ import annotations

import argparse
import itertools
import time
from typing import TYPE_CHECKING, TypeVar

from mbuzz import protocol
from mbuzz.cli.console import CliError, Progress
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mbuzz.delivery.sender import Outcome
    from mbuzz.delivery.spool import Spool, Ticket
    from mbuzz.delivery.spool_inspection import DeadLetter, Destination

    Settle = Callable[[Sequence["T"], Mapping[int, str]], None]

T = TypeVar("T")

_BATCH_BYTES = protocol.MAX_BODY_BYTES - 1_024  # leaves room for the envelope
_TRIES = 3  # in a row, where the server does not say when to come back
_PAUSE = 0.5  # seconds before the second one
_LONGEST_WAIT = 300.0
_FAULT_OF_ONE = ("http_400", "http_422")  # of a batch: it is looked for


class Stopped(Exception):  # noqa: N818 - it says what happened
    """The backend cannot be had, or refuses all alike; what was not sent stays."""


class Replay:
    """Sends bodies and counts what became of them."""

    def __init__(
        self, post: Callable[[Sequence[bytes]], Outcome], batch: int, total: int
    ) -> None:
        self._post = post
        self._batch = batch
        self._progress = Progress("replay", total)
        self.delivered = 0
        self.rejected = 0
        self.lost: dict[str, int] = {}

    def dead(self, folder: str, fingerprint: str) -> None:
        """Send the dead letters of a destination and remove those that are taken."""
        from mbuzz.delivery.spool_inspection import read_dead, remove_dead

        def settle(letters: Sequence[DeadLetter], refused: Mapping[int, str]) -> None:
            taken = [x for i, x in enumerate(letters) if i not in refused]
            remove_dead(folder, fingerprint, taken)

        letters = list(read_dead(folder, fingerprint))
        for first in range(0, len(letters), self._batch):
            batch = letters[first : first + self._batch]
            self._send(batch, [letter.body for letter in batch], settle)

    def waiting(self, spool: Spool) -> None:
        """Send what waits; what the backend refuses becomes dead letters."""

        def settle(
            batch: Sequence[tuple[Ticket, bytes]], refused: Mapping[int, str]
        ) -> None:
            spool.ack(
                ticket
                for i, (ticket, body) in enumerate(batch)
                # what cannot be buried stays where it is
                if i not in refused or spool.bury([body], refused[i])
            )

        try:
            while batch := spool.take(max_items=self._batch, max_bytes=_BATCH_BYTES):
                self._send(batch, [body for _, body in batch], settle)
        finally:
            for reason, count in spool.losses().items():
                if reason != "recovered":
                    self.lost[reason] = self.lost.get(reason, 0) + count

    def _send(
        self, batch: Sequence[T], bodies: Sequence[bytes], settle: Settle[T]
    ) -> None:
        """Send *bodies*, those of *batch*, and settle it by index: refused, and why.

        Raises:
            Stopped: If what became of it cannot be known; it is not settled, then.
        """
        outcome = self._ask(bodies)
        refused: dict[int, str] = {}
        if outcome.verdict == "delivered":
            answers = enumerate(outcome.answers(len(bodies)))
            refused = {i: a.error or "rejected" for i, a in answers if not a.delivered}
        elif outcome.verdict != "split" and outcome.reason not in _FAULT_OF_ONE:
            raise Stopped(outcome.reason)
        elif len(bodies) > 1:
            half = len(bodies) // 2
            self._send(batch[:half], bodies[:half], settle)
            self._send(batch[half:], bodies[half:], settle)
            return
        else:
            refused = {0: outcome.reason}
        settle(batch, refused)
        self.delivered += len(batch) - len(refused)
        self.rejected += len(refused)
        for _ in batch:
            self._progress.step()

    def _ask(self, bodies: Sequence[bytes]) -> Outcome:
        for attempt in itertools.count(1):
            outcome = self._post(bodies)
            if outcome.verdict != "retry":
                return outcome
            if attempt >= _TRIES and not outcome.wait:
                raise Stopped(outcome.reason)
            pause = outcome.wait or _PAUSE * 2 ** (attempt - 1)
            time.sleep(min(pause, _LONGEST_WAIT))
        raise AssertionError  # for type checkers: the count does not end

    def finish(self) -> None:
        """Print what became of everything."""
        self._progress.finish()
        facts = [f"delivered {self.delivered}"]
        if self.rejected:
            facts.append(f"rejected {self.rejected} (kept as dead letters)")
        facts += [f"{reason} {count}" for reason, count in sorted(self.lost.items())]
        print(", ".join(facts))


def run(args: argparse.Namespace, folder: str, found: Sequence[Destination]) -> int:
    """Send what waits in *folder*; return 0 if the backend has taken all of it.

    Raises:
        CliError: If the backend cannot be had; what was not sent stays.
        ConfigurationError: If key or address cannot work.
        OSError: If the folder cannot be read.
    """
    from mbuzz.delivery.spool import Spool
    from mbuzz.delivery.spool_folder import fingerprint

    config = Config.load({"api_key": args.api_key, "api_url": args.api_url})
    # as `mbuzz.delivery.worker` names it
    own = fingerprint(f"{config.api_url} {config.api_key}")
    chosen = [x for x in found if args.any_destination or x.fingerprint == own]
    total = sum(_count(each, dead=args.dead) for each in chosen)
    if not total:
        print(_nothing(args, found, own))
        return 0
    post, close = _poster(config)
    replay = Replay(post, config.batch_size, total)
    try:
        for each in chosen:
            if args.dead:
                replay.dead(folder, each.fingerprint)
            spool = Spool.of_fingerprint(
                folder, each.fingerprint, max_age=config.spool_for
            )
            try:
                replay.waiting(spool)
            finally:
                spool.close()
    except Stopped as error:
        raise CliError(_stopped(config.api_url, str(error))) from None
    finally:
        close()
        replay.finish()
    settled = replay.delivered + replay.rejected + sum(replay.lost.values())
    if settled < total:
        print(
            f"left {total - settled}: another process was sending them; "
            "`mbuzz spool list` shows what is there now"
        )
    return 1 if replay.rejected or settled < total else 0


def _count(each: Destination, *, dead: bool) -> int:
    return each.waiting + (sum(each.dead.values()) if dead else 0)


def _nothing(args: argparse.Namespace, found: Sequence[Destination], own: str) -> str:
    others = sum(_count(x, dead=args.dead) for x in found if x.fingerprint != own)
    running = sum(x.running for x in found if x.fingerprint == own)
    dead = 0 if args.dead else sum(sum(x.dead.values()) for x in found)
    hints = []
    if running:
        hints.append(f"{running} belong to running processes, which send them")
    if others:
        hints.append(
            f"{others} were meant for another key or address; "
            "pass --any-destination to send them to this one"
        )
    if dead:
        hints.append(f"dead letters are sent with --dead (there are {dead})")
    return "; ".join(["nothing waits to be sent", *hints])


def _stopped(url: str, reason: str) -> str:
    if reason in ("http_401", "http_403"):
        return (
            f"{url} refuses the key ({reason}); what was not sent stays: "
            "check --api-key and run this again"
        )
    return (
        f"{url} does not take them ({reason}); what was not sent stays: "
        "check --api-url and run this again"
    )


def _poster(
    config: Config,
) -> tuple[Callable[[Sequence[bytes]], Outcome], Callable[[], None]]:
    """Return what sends a batch as the SDK does, and what ends the connection."""
    from mbuzz.delivery.breaker import Breaker
    from mbuzz.delivery.counters import Counters
    from mbuzz.delivery.http_transport import HttpTransport
    from mbuzz.delivery.queue import Item
    from mbuzz.delivery.sender import Sender

    clock = SYSTEM_CLOCK
    sender = Sender(config.api_key, clock, Counters(clock), Breaker(clock))
    transport = HttpTransport(
        config.api_url,
        clock,
        connect_timeout=config.connect_timeout,
        ca_bundle=config.ca_bundle,
    )

    def post(bodies: Sequence[bytes]) -> Outcome:
        items = [Item(body, 0.0) for body in bodies]
        return sender.send(items, transport, config.timeout)

    return post, transport.close
