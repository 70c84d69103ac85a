"""A disk with two images: what was written (the page cache) and what is durable. A crash keeps any sectors between."""

from collections.abc import Callable

from ferrite.core.disk import DiskError

SECTOR = 512


class PowerLoss(BaseException):
    """The machine is off; nothing after it happens. No `Exception`: nobody may handle it."""


class TwoImages:
    """`Files` in memory. `power_loss_at` n raises `PowerLoss` in the n-th operation that changes something, half done."""

    def __init__(self) -> None:
        self.written: dict[str, bytearray] = {}
        self.durable: dict[str, bytearray] = {}
        self.dirty: dict[str, set[int]] = {}
        self.operations = 0
        self.syncs = 0
        self.writes = 0
        self.power_loss_at: int | None = None
        self.half_done: Callable[[], bool] = lambda: False
        self.fail_next: DiskError | None = None

    def list(self) -> tuple[str, ...]:
        return tuple(self.written)

    def size(self, name: str) -> int:
        return len(self._file(name))

    def read(self, name: str, offset: int, length: int) -> bytes:
        return bytes(self._file(name)[offset : offset + length])

    def create(self, name: str, size_bytes: int) -> None:
        if name in self.written:
            raise DiskError(f"{name} exists")
        if not self._operation() or self.half_done():
            self.written[name] = bytearray(size_bytes)
            self.durable[name] = bytearray(size_bytes)
        self._lose_power()

    def write(self, name: str, offset: int, data: bytes) -> None:
        self._operation()
        self.writes += 1
        file = self._file(name)
        file.extend(bytes(max(0, offset + len(data) - len(file))))
        file[offset : offset + len(data)] = data
        self.dirty.setdefault(name, set()).update(range(offset // SECTOR, -(-(offset + len(data)) // SECTOR)))
        self._lose_power()

    def sync(self, name: str) -> None:
        if not self._operation():
            self.syncs += 1
            self.durable[name] = bytearray(self._file(name))
            self.dirty.pop(name, None)
        self._lose_power()

    def rename(self, old: str, new: str) -> None:
        if new in self.written:
            raise DiskError(f"{new} exists")
        if not self._operation() or self.half_done():
            self.written[new] = self.written.pop(old)
            self.durable[new] = self.durable.pop(old)
            self.dirty[new] = self.dirty.pop(old, set())
        self._lose_power()

    def remove(self, name: str) -> None:
        self._file(name)
        if not self._operation() or self.half_done():
            del self.written[name], self.durable[name]
            self.dirty.pop(name, None)
        self._lose_power()

    def after_crash(self, survives: Callable[[], bool]) -> "TwoImages":
        """The disk as the next start finds it: each sector not synced as it was, or as it was written."""
        left = TwoImages()
        for name, durable in self.durable.items():
            image = bytearray(durable)
            for sector in sorted(self.dirty.get(name, ())):
                if survives():
                    start = sector * SECTOR
                    piece = self.written[name][start : start + SECTOR]
                    image.extend(bytes(max(0, start + len(piece) - len(image))))
                    image[start : start + len(piece)] = piece
            left.written[name], left.durable[name] = bytearray(image), image
        return left

    def copy(self) -> "TwoImages":
        return self.after_crash(lambda: True)

    def _file(self, name: str) -> bytearray:
        if name not in self.written:
            raise DiskError(f"{name} is missing")
        return self.written[name]

    def _operation(self) -> bool:
        """Count; true when the power goes off in this one."""
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            raise error
        self.operations += 1
        return self.operations == self.power_loss_at

    def _lose_power(self) -> None:
        if self.operations == self.power_loss_at:
            raise PowerLoss
