"""What steps may ask of the run they belong to."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.calibration import serves
from keyhole.engine.book import StepBook
from keyhole.engine.events import Caveat, EventSink, Metric, PreviewDrawn, ProductWritten, Progress
from keyhole.engine.served import Served
from keyhole.errors import CalibrationError
from keyhole.frames import (
    Frame,
    MasterPart,
    MasterParts,
    Parking,
    file_md5,
    into_memory,
    read_frame,
    read_frame_and_checksum,
    sources_of,
    write_frame,
)
from keyhole.instruments import Instrument, load
from keyhole.primitives.previews import draw, plain

__all__ = ["RunContext", "caveats_of"]

_MOST_CAVEATS = 99


class RunContext:
    """Keeps streams, calibrations, caveats and outputs of a run; implements `keyhole.primitives.Context`.

    Parameters
    ----------
    mode : str
        ``sq``, ``ql`` or ``qa``.
    served : Served
        Masters chosen for the frames.
    output_dir : Path
        Where products go.
    protected : iterable of Path
        Inputs and masters, which no product may replace.
    emit : callable
        Receiver of events.
    clock : callable
        Returns the current UTC time.
    best_effort : bool
        Whether steps go on without a master that is required.
    details : bool
        Whether what a report shows is measured and drawn.
    parking : Parking, optional
        Where frames are kept that do not fit into memory; None: all are kept in memory.
    checksums : mapping
        MD5 sums of files that are known already.

    Attributes
    ----------
    streams : dict of str to list of Frame
        Named lists of frames; ``main`` holds the inputs.
    outputs : list of Path
        All files written, in order.
    caveats : Counter of str
        Weaker ways taken so far, with the number of cases.
    book : StepBook
        What the step that runs has told so far.
    books : list of StepBook
        Those of the steps that run frame by frame, in turn.
    """

    def __init__(
        self,
        *,
        mode: str,
        served: Served,
        output_dir: Path,
        protected: Iterable[Path],
        emit: EventSink,
        clock: Callable[[], datetime],
        best_effort: bool = False,
        details: bool = False,
        parking: Parking | None = None,
        checksums: Mapping[Path, str] = MappingProxyType({}),
    ) -> None:
        self.mode = mode
        self.best_effort = best_effort
        self.details = details
        self.served = served
        self.streams: dict[str, list[Frame]] = {"main": []}
        self.outputs: list[Path] = []
        self.caveats: Counter[str] = Counter()
        self._output_dir = output_dir
        self._protected = {path.resolve() for path in protected}
        self.book = StepBook(emit)
        self.books: list[StepBook] = []
        self._clock = clock
        self._parking = parking
        self._masters: dict[Path, Frame] = {}
        self._parts = MasterParts()
        self._checksums = dict(checksums)
        # Figures and pictures belong to no step's turn: a run that fails has told those it came to.
        self._tell = emit
        # Weak, so that no pixels are kept.
        self._drawn: weakref.ref[NDArray[np.float32]] | None = None

    def instrument(self, frame: Frame) -> Instrument:
        """Facts about the instrument of a frame."""
        return load(str(frame.primary.get("INSTRUME", "")).strip())

    def calibration(self, frame: Frame, kind: str) -> Frame | None:
        """Return the master of `kind` chosen for a frame, read once per run."""
        path = self.served.ask(frame.root, kind)
        return None if path is None else self._master(path)

    def read_calibration(self, path: str, kind: str) -> Frame:
        """Return a master that the user named in a parameter of a step.

        Raises
        ------
        InputError, DataError
            The file is missing or damaged.
        CalibrationError
            It is not of the kind.
        """
        self.served.ask_named(Path(path), kind)
        master = self._master(Path(path))
        if not serves(kind, master.headers):
            raise CalibrationError(f"{path} is no {kind.replace('_', ' ')}; name a master of that kind")
        return master

    def part(self, master: Frame, frame: Frame) -> MasterPart:
        """Return the part of a master that belongs to a frame; frames of one window share it."""
        return self._parts.of(master, frame)

    def _master(self, path: Path) -> Frame:
        if path not in self._masters:
            if path in self._checksums:
                self._masters[path] = read_frame(path)
            else:
                # Its sum will be asked for, as it becomes part of a product.
                self._masters[path], self._checksums[path] = read_frame_and_checksum(path)
        return self._masters[path]

    def read_input(self, path: Path, *, stored: bool = False) -> Frame:
        """Read an input of the run; the name of a raw frame is noted in ORIGNAME, where all names start from.

        Caveats of an earlier run are taken out of the header: see `caveats_of`. Planes that are `stored` stay in the
        file, see `keyhole.frames.read_frame`.

        Raises
        ------
        InputError, DataError
            The file is missing or damaged.
        """
        if stored:
            frame = read_frame(path, stored=True)
        else:
            frame, self._checksums[path] = read_frame_and_checksum(path)
        if "ORIGNAME" not in frame.primary:
            name = path.name.removesuffix(".gz").removesuffix(".bz2")
            frame.primary["ORIGNAME"] = (name, "Original filename prior to processing")
        for number in range(1, _MOST_CAVEATS + 1):
            frame.primary.remove(f"CAVEAT{number:02d}", ignore_missing=True)
        return frame

    def checksum(self, path: Path) -> str:
        """MD5 sum of a file, computed once per run."""
        if path not in self._checksums:
            self._checksums[path] = file_md5(path)
        return self._checksums[path]

    def note(self, text: str) -> None:
        """Tell one fact of the result; it is shown with the step."""
        self.book.notes[text] = None

    def caveat(self, text: str, frames: list[Frame] | None = None) -> None:
        """Record that a weaker way was taken; told once, with the number of cases."""
        self.book.caveat(text, max(1, len(frames or ())))

    def tell_caveats(self, book: StepBook) -> None:
        """End the caveats of a step: count them, and announce those that are new to the run."""
        for text, count in book.caveats.items():
            if text not in self.caveats:
                book.emit(Caveat(text, count))
        self.caveats.update(book.caveats)

    def progress(self, done: int, total: int) -> None:
        """Tell how far a long step has come."""
        self.book.emit(Progress(done, total))

    def settle(self, frame: Frame, n_frames: int, *, by_rows: bool = False) -> None:
        """Keep a frame on disk from here on, if so many of its kind do not fit into memory.

        Planes that are still in its file stay there, if it is to be read by rows.
        """
        wanted = self._parking is not None and self._parking.wanted(frame, n_frames)
        if not (wanted and by_rows):
            into_memory(frame)
        if self._parking is not None and wanted:
            self._parking.park(frame)
            self._parking.breathe()

    def measure(
        self, name: str, value: Any, *, error: float | None = None, unit: str = "", frame: Frame | None = None
    ) -> None:
        """Tell a figure that was measured, of a frame or of the result as a whole."""
        self._tell(Metric(name, plain(value), plain(error), unit, None if frame is None else frame.root))

    def preview(self, frame: Frame, role: str) -> None:
        """Draw a frame as a small picture, if a report wants it; the same pixels are drawn once."""
        if not self.details or (self._drawn is not None and self._drawn() is frame.data):
            return
        self._drawn = weakref.ref(frame.data)
        drawn = draw(frame)
        if drawn is not None:
            self._tell(PreviewDrawn(role, frame.name, *drawn))

    def timestamp(self) -> str:
        """UTC now, ISO with microseconds."""
        return self._clock().replace(tzinfo=None).isoformat(timespec="microseconds")

    def write(self, frame: Frame, *, final: bool = True) -> str:
        """Write a frame into the output folder under its current name.

        A name that an input or a master holds is changed: ``<root>_aligned<suffix>``, then ``_aligned2`` and
        so on; one that another frame of the step was written under becomes ``<root>_2<suffix>``, with a
        caveat. The frame keeps the new name. The product carries the caveats of the run in its header.

        Parameters
        ----------
        frame : Frame
            Only its name may change.
        final : bool
            Whether the file is announced as a product.

        Returns
        -------
        str
            Path of the file.
        """
        self._give_free_name(frame)
        path = self._output_dir / frame.name
        self.book.wrote(path, frame)
        product = frame.copy()
        self._add_caveats(product)
        self.served.write_cards(product)
        write_frame(product, path)
        if path not in self.outputs:
            self.outputs.append(path)
        if final:
            self.book.emit(ProductWritten(str(path), sources_of(frame)))
            self.preview(frame, "after")
        return str(path)

    def _give_free_name(self, frame: Frame) -> None:
        suffix = frame.name.removeprefix(frame.root)
        number = 1
        while self._is_protected(frame.name):
            frame.name = f"{frame.root}_aligned{number if number > 1 else ''}{suffix}"
            number += 1
        wanted, number = frame.name, 2
        while self._is_protected(frame.name) or self._is_of_another(frame):
            frame.name = f"{frame.root}_{number}{wanted.removeprefix(frame.root)}"
            number += 1
        if frame.name != wanted:
            text = f"two frames are called {wanted}; the second is written as {frame.name}"
            self.caveats[text] += 1
            self.book.emit(Caveat(text))

    def _is_protected(self, name: str) -> bool:
        return (self._output_dir / name).resolve() in self._protected

    def _is_of_another(self, frame: Frame) -> bool:
        # What a step writes may replace what an earlier one wrote, but not what it writes itself.
        return self.book.is_of_another(self._output_dir / frame.name, frame)

    def _add_caveats(self, product: Frame) -> None:
        told = dict.fromkeys([*self.caveats, *(text for book in self.books for text in book.caveats)])
        texts = [_ascii(text) for text in told]
        if len(texts) > _MOST_CAVEATS:
            texts[_MOST_CAVEATS - 1 :] = [f"and {len(texts) - _MOST_CAVEATS + 1} more; see the log file"]
        for number, text in enumerate(texts, start=1):
            product.primary[f"CAVEAT{number:02d}"] = text


def caveats_of(headers: Mapping[str, object]) -> list[str]:
    """Caveats that a product of an earlier run carries; they hold for what is made of it, too."""
    keywords = (f"CAVEAT{number:02d}" for number in range(1, _MOST_CAVEATS + 1))
    return [str(headers[keyword]) for keyword in keywords if keyword in headers]


def _ascii(text: str) -> str:
    """FITS cards hold nothing but printable ASCII."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
