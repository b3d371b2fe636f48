"""One keep-alive HTTP connection to the API; imported by the first delivery only."""

from __future__ import annotations

from mbuzz.delivery import resolver
from mbuzz.delivery.answers import AnswerError, AnswerReader
from mbuzz.delivery.proxies import Origin, Proxy, proxy_for
from mbuzz.delivery.timed_socket import TimedSocket, connect
from mbuzz.delivery.transport import Response, TransportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from mbuzz.clock import Clock

_LONGEST_REST = 55.0  # seconds; balancers drop what is idle for a minute, silently


class HttpTransport:
    """A small HTTP/1.1 client: the standard library's costs more than all of mbuzz.

    Redirects are answers like others: the key goes to no other host.
    """

    def __init__(
        self,
        api_url: str,
        clock: Clock,
        *,
        connect_timeout: float = 3.0,
        ca_bundle: str | None = None,
    ) -> None:
        self._origin = Origin(api_url)
        self._clock = clock
        self._connect_timeout = connect_timeout
        self._ca_bundle = ca_bundle
        self._tls: ssl.SSLContext | None = None
        self._idle: _Connection | None = None

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> Response:
        """Send *body* and return the answer within *timeout* seconds.

        Raises:
            TransportError: If no usable answer came in time.
        """
        return self.request("POST", path, body, headers, timeout)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Response:
        """Do one HTTP exchange; a stale kept-alive connection costs one more try.

        Raises:
            TransportError: If no usable answer came in time.
        """
        deadline = self._clock.monotonic() + timeout
        try:
            target = self._origin.path + path
            request = _Request(method, target, self._origin.name, headers, body)
            return self._exchange(request, deadline)
        except AnswerError as error:
            reason = error.reason
        except (OSError, ValueError) as error:
            reason = type(error).__name__
        raise TransportError(reason)  # out here it remembers nothing else

    def _exchange(self, request: _Request, deadline: float) -> Response:
        connection = self._take(deadline)
        if connection is not None:
            try:
                return self._use(connection, request)
            except TimeoutError:
                raise
            except OSError:
                if connection.socket.received:
                    raise
        return self._use(self._connect(deadline), request)

    def _take(self, deadline: float) -> _Connection | None:
        """Return the idle connection, if it may serve another time.

        It is taken: a signal handler that sends meanwhile needs one of its own, and
        after an exchange that is broken off nobody reads the answer as his.
        """
        connection, self._idle = self._idle, None
        if connection is None:
            return None
        rested = self._clock.monotonic() - connection.used_at
        if rested > _LONGEST_REST or not connection.socket.quiet():
            connection.socket.close()
            return None
        connection.socket.deadline = deadline
        connection.socket.received = 0
        return connection

    def _use(self, connection: _Connection, request: _Request) -> Response:
        """Send *request* and return its answer; keep the connection if possible."""
        sock = connection.socket
        keeps = False
        try:
            broken: ConnectionError | None = None
            try:
                sock.send(request.under(connection))
            except ConnectionError as error:
                broken = error  # a server that refuses what it has not read says so
            try:
                answer, keeps = AnswerReader(sock.receive).read()
            except (AnswerError, ConnectionError):
                if broken is None or sock.received:
                    raise
                raise broken from None
            if connection.prefix and answer.status == 407:
                raise TransportError("proxy_407")  # not what the API says of events
            keeps = keeps and broken is None
        finally:
            if not keeps:
                sock.close()
        if keeps:
            connection.used_at = self._clock.monotonic()
            self.close()
            self._idle = connection
        return answer

    def _connect(self, deadline: float) -> _Connection:
        origin = self._origin
        proxy = proxy_for(origin)
        hop = proxy or origin
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        found = resolver.addresses(hop.host, hop.port, left)
        sock = connect(found, self._clock, deadline, self._connect_timeout)
        if origin.scheme != "https":
            if proxy is None:
                return _Connection(sock)
            return _Connection(sock, f"http://{origin.name}", proxy.authorization)
        secured = False
        try:
            soon = self._clock.monotonic() + self._connect_timeout
            sock.deadline = min(deadline, soon)
            if proxy is not None:
                self._tunnel(sock, proxy)
            sock.secure(self._context(), origin.host)
            sock.deadline = deadline
            secured = True
        finally:
            if not secured:
                sock.close()
        return _Connection(sock)

    def _tunnel(self, sock: TimedSocket, proxy: Proxy) -> None:
        """Have *proxy* connect us; it learns where to, and nothing else."""
        place = self._origin.place
        order = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{proxy.authorization}"
        sock.send(f"{order}\r\n".encode("ascii"))
        answer, clean = AnswerReader(sock.receive).read(tunnel=True)
        if not 200 <= answer.status < 300:
            raise TransportError(f"proxy_{answer.status}")
        if not clean:
            raise AnswerError("bad_answer")

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context(cafile=self._ca_bundle)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def close(self) -> None:
        """Let the connection go."""
        connection, self._idle = self._idle, None
        if connection is not None:
            connection.socket.close()


class _Connection:
    """A way to the API, and how requests look on it."""

    __slots__ = ("fields", "prefix", "socket", "used_at")

    def __init__(self, sock: TimedSocket, prefix: str = "", fields: str = "") -> None:
        self.socket = sock
        self.prefix = prefix  # of every target, for a proxy that forwards
        self.fields = fields  # header lines for that proxy
        self.used_at = 0.0  # monotonic seconds


class _Request:
    """A request that is the same on every connection but for what a proxy needs."""

    __slots__ = ("_body", "_fields", "_method", "_target")

    def __init__(
        self,
        method: str,
        target: str,
        host: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> None:
        if not (target.isascii() and target.isprintable()) or " " in target:
            raise ValueError("the path cannot be sent")
        fields = [f"Host: {host}", "Accept-Encoding: identity"]
        for name, value in headers.items():
            field = f"{name}: {value}"
            if not (field.isascii() and field.isprintable()):  # no line's end, either
                raise ValueError("a header cannot be sent")
            fields.append(field)
        if body is not None:
            fields.append(f"Content-Length: {len(body)}")
        self._method = method
        self._target = target
        self._fields = "\r\n".join(fields)
        self._body = body or b""

    def under(self, connection: _Connection) -> bytes:
        """Return the bytes to send on *connection*."""
        start = f"{self._method} {connection.prefix}{self._target} HTTP/1.1"
        head = f"{start}\r\n{connection.fields}{self._fields}\r\n\r\n"
        return head.encode("ascii") + self._body
