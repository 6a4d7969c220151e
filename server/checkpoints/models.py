"""The checkpoints: which are here, which is the default, and getting, checking and deleting them.

Downloads and checks run in child processes, so that pausing is ending one and neither a slow network nor hashing
gigabytes is felt here. What was downloading when the server ended goes on after its next start. Reads the catalog and
file sizes only; loads nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections import defaultdict
from typing import Any, Literal

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import catalog, published
from bonsai_mlx.hub.entry import Entry
from bonsai_mlx.wording import format_bytes

from ..engine import child_process
from ..errors import ApiError, not_found, shutting_down
from ..events import EventHub
from ..schemas.models import Download, Model
from ..schemas.names import ModelState
from ..settings import Settings
from ..store import Store
from .lines import lines_of
from .ready import ReadyModels
from .transfers import Action, Transfer, progress_of

log = logging.getLogger("bonsai.models")

_EMBEDDED = "It takes a few megabytes; choose one that was downloaded."


class Models(ReadyModels):
    """Use from the event loop."""

    def __init__(self, settings: Settings, store: Store, events: EventHub) -> None:
        super().__init__(settings, store)
        self._events = events
        self._transfers: dict[str, Transfer] = {}
        self._failures: dict[str, str] = {}
        self._outlived: set[str] = set()  # whose intent is over, which the store has not taken in
        # by checkpoint: whoever starts or ends a transfer awaits its process, and nobody may come in between
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._closing = False
        self._looked, self._downloaded = -1, False
        self.transfer_command = child_process.command("server.checkpoints.transfer_child")

    # looking

    def all(self) -> list[Model]:
        return [self.get(name) for name in self.names()]

    def any_downloaded(self) -> bool:
        """Whether a model is here that is not embedded; their files are looked at once a second."""
        second = int(time.monotonic())
        if self._looked != second:
            names = [name for name in self.names() if not _entry(name).embedded]
            self._looked, self._downloaded = second, any(self.get(name).state == "ready" for name in names)
        return self._downloaded

    def parts(self) -> list[Model]:
        """What may take the place of a model's own parts; got, checked and deleted as models are."""
        return [self.get(entry.name) for entry in published.PARTS]

    def get(self, name: str) -> Model:
        """One of them, or a part; ApiError 404 for an unknown name."""
        entry = _entry(name)
        local = hub.status(entry, self._folder(entry))
        transfer = self._transfers.get(entry.name)
        packing = local.packed_from is not None and local.state == "partial"
        here = self._folder(entry)
        original = catalog.lookup(entry.made_from) if entry.made_from else None
        return Model(
            name=entry.name,
            kind=published.kind_of(entry),
            title=entry.title,
            variant=entry.precision or "",
            family=entry.family,
            embedded=entry.embedded,
            repo=entry.repo,
            revision=entry.revision if entry.repo else None,
            state=self._state(entry, local.state),
            path=str(local.path) if local.path else None,
            bytes_total=entry.bytes_total if packing else local.bytes_total or entry.bytes_total,
            bytes_present=hub.bytes_of_packing(entry, here) if packing else local.bytes_present,
            packed_from=local.packed_from,
            original=original.precision if original else None,
            original_bytes=original.bytes_total if original else None,
            passing_bytes=max(file.size for file in original.files) if original else None,
            recommended_steps=entry.recommended_steps,
            recommended_size=entry.recommended_size,
            recommended_guidance=entry.recommended_guidance,
            note=entry.note,
            resident_bytes=entry.resident_bytes or None,
            content=local.content,
            download=transfer.progress if transfer else self._failed_download(entry, local),
            problems=list(local.problems[:5]),
        )

    def _state(self, entry: Entry, local: ModelState) -> ModelState:
        transfer = self._transfers.get(entry.name)
        if transfer is not None:
            return "verifying" if transfer.action == "verify" else "downloading"
        if local != "ready" and entry.name in self._failures:
            return "failed"
        return "paused" if local == "partial" and self._intent(entry.name) == "paused" else local

    def _failed_download(self, entry: Entry, local: hub.LocalStatus) -> Download | None:
        error = self._failures.get(entry.name)
        if error is None:
            return None
        return Download(bytes_done=local.bytes_present, bytes_total=local.bytes_total, error=error)

    # getting

    def _intent(self, name: str) -> str | None:
        return None if name in self._outlived else self._store.preference(f"download:{name}")

    def _set_intent(self, name: str, intent: Literal["downloading", "paused"] | None) -> None:
        self._store.set_preference(f"download:{name}", intent)
        self._outlived.discard(name)

    def _drop_intent(self, name: str) -> None:
        """Nothing is to go on. What a full disk does not take in is tried again when the server ends."""
        try:
            self._set_intent(name, None)
        except sqlite3.Error as error:
            self._outlived.add(name)
            log.warning("the end of %s's download could not be noted yet: %s", name, error)

    async def download(self, name: str, origin: str | None = None) -> Model:
        """Start or resume; with an `origin` by packing the original's files. ApiError 507 when the disk is too small.

        What was begun to be packed goes on so, and what is got in no other way is packed always. ApiError 422 for a
        model that is not made from another one.
        """
        entry = _entry(name)
        if origin is not None:
            _check_origin(entry, origin)
        async with self._turns[entry.name]:
            model = self.get(name)
            if entry.name in self._transfers or model.state == "ready":
                return model
            packed = origin is not None or model.packed_from is not None or model.repo is None
            self._check_room(entry, packed=packed)
            started = await self._start(entry, "pack" if packed else "download", model)
            self._set_intent(entry.name, "downloading")
            return started

    def _check_room(self, entry: Entry, *, packed: bool) -> None:
        """A first answer, which spares a start in vain; the child, which asks the Hub, knows exactly."""
        needed, free = hub.bytes_to_download(entry, self._folder(entry), packed=packed), self.disk_free_bytes()
        if needed > free:
            message = f"The download needs {format_bytes(needed)}, but the disk has only {format_bytes(free)}."
            raise ApiError(507, "disk_full", message, remedy="Free some space, or use --models-dir on another disk.")

    async def verify(self, name: str) -> Model:
        entry = _entry(name)
        async with self._turns[entry.name]:
            model = self.get(name)
            if entry.name in self._transfers:
                raise ApiError(
                    409, "conflict", f"{entry.title} is {model.state} already.", remedy="Wait until that has ended."
                )
            if model.state == "absent":
                raise ApiError(409, "model_missing", f"{entry.title} is not here.", remedy=hub.remedy(entry))
            return await self._start(entry, "verify", model)

    async def pause(self, name: str) -> Model:
        """Stop a download; everything that has arrived is kept. 409 when none is running."""
        entry = _entry(name)
        async with self._turns[entry.name]:
            transfer = self._transfers.get(entry.name)
            if transfer is None or transfer.action == "verify":
                raise ApiError(
                    409, "conflict", f"{entry.title} is not being downloaded.", remedy="There is nothing to pause."
                )
            self._set_intent(entry.name, "paused")
            await self._stop(entry.name)
            return self._publish(entry.name)

    async def cancel(self, name: str) -> Model:
        """Stop a download or check and forget that it was to go on. Deletes nothing: that is what `delete` is for."""
        entry = _entry(name)
        async with self._turns[entry.name]:
            await self._forget(entry)
            return self._publish(entry.name)

    async def delete(self, name: str) -> Model:
        entry = _entry(name)
        if entry.embedded:
            raise ApiError(409, "conflict", f"{entry.title} is part of the program and stays.", remedy=_EMBEDDED)
        async with self._turns[entry.name]:
            await self._forget(entry)
            await asyncio.to_thread(hub.delete, entry, self._folder(entry))
            return self._publish(entry.name)

    async def _forget(self, entry: Entry) -> None:
        self._drop_intent(entry.name)
        self._failures.pop(entry.name, None)
        await self._stop(entry.name)

    async def _start(self, entry: Entry, action: Action, model: Model) -> Model:
        if self._closing:
            raise shutting_down()
        self._failures.pop(entry.name, None)
        folder = self._folder(entry)
        done = 0 if action == "verify" else model.bytes_present
        begun = Download(bytes_done=done, bytes_total=model.bytes_total)
        words = (*self.transfer_command, action, entry.name, *([str(folder)] if folder else []))
        transfer = await Transfer.start(words, action, begun)
        self._transfers[entry.name] = transfer
        transfer.task = asyncio.create_task(self._follow(entry.name, transfer))
        return self._publish(entry.name)

    async def _follow(self, name: str, transfer: Transfer) -> None:
        assert transfer.process.stdout is not None  # noqa: S101
        error: str | None = None
        async for line in lines_of(transfer.process.stdout):
            try:
                event: dict[str, Any] = json.loads(line)
                error = event.get("error")
                if error is None:
                    transfer.progress = progress_of(event)
            except (ValueError, KeyError, TypeError, AttributeError) as problem:  # a library that prints, for one
                log.warning("a line of the %s of %s cannot be read: %s", transfer.action, name, type(problem).__name__)
                continue
            if error is None:
                self._events.publish("model", self.get(name).model_dump(), replay=False)
        code = await transfer.process.wait()
        if self._transfers.get(name) is not transfer:  # ended on purpose
            return
        del self._transfers[name]
        if code != 0:
            self._failures[name] = str(error or "The download ended unexpectedly; it can be resumed.")
            log.warning("%s of %s ended with status %d", transfer.action, name, code)
        self._drop_intent(name)
        self._publish(name)

    async def _stop(self, name: str) -> None:
        transfer = self._transfers.pop(name, None)
        if transfer is not None:
            await transfer.end()

    def _publish(self, name: str) -> Model:
        model = self.get(name)
        self._events.publish("model", model.model_dump())
        return model

    # starting and stopping with the server

    async def restore(self) -> None:
        for name in self._transferable():
            if self._intent(name) == "downloading":
                try:
                    await self.download(name)
                except ApiError as error:
                    self._failures[name] = error.detail.message

    async def close(self) -> None:
        self._closing = True
        await asyncio.gather(*map(self._close, self._transferable()))

    def _transferable(self) -> tuple[str, ...]:
        return (*self.names(), *(entry.name for entry in published.PARTS))

    async def _close(self, name: str) -> None:
        async with self._turns[name]:  # also what is only about to start
            await self._stop(name)
            if name in self._outlived:
                self._drop_intent(name)


def _check_origin(entry: Entry, origin: str) -> None:
    known = catalog.lookup(entry.made_from).precision if entry.made_from else None
    if origin != known:
        message = f"{entry.title} is not made from {origin[:32]!r}."
        remedy = f"Leave it out, or give {known!r}." if known else "Leave it out: it is downloaded as it is."
        raise ApiError(422, "bad_field", message, field="from", remedy=remedy)


def _entry(name: str) -> Entry:
    try:
        return catalog.part(name) or catalog.lookup(name)
    except CheckpointError:
        raise not_found("model") from None
