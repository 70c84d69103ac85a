"""What the commands of one apply work on."""

from __future__ import annotations

from typing import NamedTuple

from ferrite.core.kv.layout import Layout
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.ranges import View
from ferrite.core.kv.store import Overlay
from ferrite.core.kv.writer import Writer


class Workspace(NamedTuple):
    """The overlay, the working copy of the counters, and the writer of keys."""

    layout: Layout
    overlay: Overlay
    meta: Meta
    writer: Writer

    @property
    def view(self) -> View:
        """The state as it is now, changes of the revision at work included."""
        return View(self.layout, self.overlay, self.writer.revision)
