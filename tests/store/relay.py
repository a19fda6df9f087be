"""A TCP relay before a server, for tests of what happens when it goes away."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """A TCP relay before a server, that can be switched off and can break connections in mid-reply."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.cut_after: list[int] = []  # how much of the next replies to let through before breaking
        self.cuts = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.switch_on()

    def switch_on(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,))
        self._accepting.start()

    def switch_off(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.hang_up(*self._open)

    def hang_up(self, *connections: socket.socket) -> None:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,)).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self.target) as server:
            self._open |= {client, server}
            sending = threading.Thread(target=self._pass_on, args=(client, server))
            sending.start()
            with contextlib.suppress(OSError):
                self._reply(server, client)
            self.hang_up(client, server)
            sending.join()
            self._open -= {client, server}

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)

    def _reply(self, server: socket.socket, client: socket.socket) -> None:
        left: int | None = None
        while data := server.recv(65536):
            if left is None and self.cut_after:
                left = self.cut_after.pop(0)
            if left is not None and left < len(data):
                self.cuts += 1
                client.sendall(data[:left])
                return
            client.sendall(data)
            if left is not None:
                left -= len(data)
