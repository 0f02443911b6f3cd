"""Messages over a socket: whole ones, each behind its length; on our side nothing ever waits."""

import socket
import struct
from collections.abc import Iterator

HEADER = struct.Struct("!Q")
PIECE = 2**20


class Wire:
    """One end of a connection that never blocks.

    Attributes:
      is_closed: the other end has gone, or this one was closed.
      has_rest: something that was sent still waits to be taken.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._received = bytearray()
        self._rest = bytearray()
        self.is_closed = False

    def fileno(self) -> int:
        """Return the descriptor, to be watched by an event loop."""
        return self._socket.fileno()

    @property
    def has_rest(self) -> bool:
        """Something that was sent still waits to be taken."""
        return bool(self._rest) and not self.is_closed

    def send(self, message: bytes) -> None:
        """Send a message, or as much as is taken now: see :meth:`flush`."""
        self._rest += HEADER.pack(len(message))
        self._rest += message
        self.flush()

    def flush(self) -> None:
        """Send on what was not taken yet."""
        while self._rest and not self.is_closed:
            try:
                del self._rest[: self._socket.send(self._rest)]
            except BlockingIOError:
                return
            except OSError:
                self.is_closed = True

    def receive(self) -> Iterator[bytes]:
        """Yield the messages that have arrived whole."""
        while not self.is_closed:
            try:
                piece = self._socket.recv(PIECE)
            except BlockingIOError:
                break
            except OSError:
                piece = b""
            if not piece:
                self.is_closed = True
            self._received += piece
        while len(self._received) >= HEADER.size:
            (size,) = HEADER.unpack_from(self._received)
            end = HEADER.size + size
            if len(self._received) < end:
                return
            message = bytes(memoryview(self._received)[HEADER.size : end])
            del self._received[:end]
            yield message

    def close(self) -> None:
        """Close this end."""
        self.is_closed = True
        self._socket.close()


def send_message(end: socket.socket, message: bytes) -> None:
    """Send a message and wait until it is taken."""
    end.sendall(HEADER.pack(len(message)) + message)


def receive_message(end: socket.socket) -> bytes:
    """Wait for a message.

    Raises:
      EOFError: the other end has gone.
    """
    (size,) = HEADER.unpack(_read(end, HEADER.size))
    return _read(end, size)


def _read(end: socket.socket, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        piece = end.recv(min(PIECE, size - len(read)))
        if not piece:
            raise EOFError("the other end has gone")
        read += piece
    return bytes(read)
