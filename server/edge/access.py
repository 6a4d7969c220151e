"""Who may come in where a token is set: programs by the token, browsers by a session that is not the token.

A browser gets its session from a ticket in an address, which works once and for a few minutes, or by typing the token
into the page that it is shown. Sessions and tickets are random, kept in memory, and end with the server. What another
server on this computer sees of the cookie (browsers do not tell ports apart) is worth nothing at another host or port.

A wrong token is a guess. After a few of them an address has to wait, longer each time; while it waits its tokens are
not looked at. After very many, from everywhere together, so has every address that never had the right one. Browsers
with a session are not concerned, so the owner is not locked out of the page.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import ErrorDetail, refusal
from ..templating import render
from .limits import BodyLimit
from .pages import is_page

SIGN_IN = "/sign-in"
TICKET = "ticket"
COOKIE_PREFIX = "bonsai_session_"
TICKET_S = 600.0
SESSION_S = 30 * 86_400.0
# of the page that asks for the token, which has its style in itself: it can fetch none
_POLICY = "default-src 'none'; style-src 'sha256-{}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_KEPT = 1_000  # tickets, sessions and peers; the oldest give way
_FORM_BYTES, _FORM_S = 4_096, 15.0

_FREE = 5  # wrong tokens of one peer without a wait
_LONGEST_WAIT_S = 60.0
_FREE_TOGETHER, _TOGETHER_PER_S = 200, 1.0  # of all peers: at once, and from then on

Clock = Callable[[], float]


class Passes:
    """Random words that are good until a time, at most so many of them."""

    def __init__(self, lasting_s: float, clock: Clock) -> None:
        self._lasting_s = lasting_s
        self._clock = clock
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def issue(self, bound_to: str = "") -> str:
        word = secrets.token_urlsafe(32)
        self._until[_digest(word, bound_to)] = self._clock() + self._lasting_s
        while len(self._until) > _KEPT:
            self._until.popitem(last=False)
        return word

    def good(self, word: str, bound_to: str = "") -> bool:
        return self._until.get(_digest(word, bound_to), -math.inf) > self._clock()

    def spend(self, word: str) -> bool:
        """Whether it was good; it is not from now on."""
        return self._until.pop(_digest(word, ""), -math.inf) > self._clock()


def _digest(word: str, bound_to: str) -> bytes:
    """What is kept and looked up, so that the time which that takes tells nothing of a word."""
    return hashlib.sha256(f"{bound_to}\n{word}".encode()).digest()


class Guesses:
    """How long an address has to wait before its next token is looked at."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # peer -> how many, when it may go on
        self._known: OrderedDict[str, None] = OrderedDict()  # peers that had the right one
        self._together, self._since = 0.0, clock()

    def wait_s(self, peer: str) -> float:
        """0: now."""
        alone = self._failures.get(peer, (0, -math.inf))[1] - self._clock()
        together = 0.0 if peer in self._known else (self._drained() - _FREE_TOGETHER) / _TOGETHER_PER_S
        return max(0.0, alone, together)

    def wrong(self, peer: str) -> None:
        count = self._failures.get(peer, (0, 0.0))[0] + 1
        wait_s = min(_LONGEST_WAIT_S, 2.0 ** min(count - _FREE, 10)) if count > _FREE else 0.0
        self._failures[peer] = (count, self._clock() + wait_s)
        self._failures.move_to_end(peer)
        _trim(self._failures)
        self._together, self._since = self._drained() + 1, self._clock()

    def right(self, peer: str) -> None:
        self._failures.pop(peer, None)
        self._known[peer] = None
        self._known.move_to_end(peer)
        _trim(self._known)

    def _drained(self) -> float:
        return max(0.0, self._together - (self._clock() - self._since) * _TOGETHER_PER_S)


def _trim(kept: OrderedDict[str, tuple[int, float]] | OrderedDict[str, None]) -> None:
    while len(kept) > _KEPT:
        kept.popitem(last=False)


class Access:
    """The token, and what was given out for it."""

    def __init__(self, token: str, clock: Clock = time.monotonic) -> None:
        self._token = token.encode()
        self.tickets = Passes(TICKET_S, clock)
        self.sessions = Passes(SESSION_S, clock)
        self.guesses = Guesses(clock)

    def matches(self, candidate: str) -> bool:
        return secrets.compare_digest(candidate.encode(), self._token)


def peer_of(scope: Scope) -> str:
    """The address that a request comes from; of IPv6 the network, since one computer has all of its addresses."""
    host = str((scope.get("client") or ("",))[0])
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else host


def cookie_name(authority: str) -> str:
    """One for each host and port: browsers send the cookies of a host to all of its ports, and would mix them up."""
    return f"{COOKIE_PREFIX}{hashlib.sha256(authority.lower().encode()).hexdigest()[:12]}"


class TokenGate:
    """Nothing without a session, or the token as a bearer or as a Basic password."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access
        self._form = BodyLimit(self._sign_in, _FORM_BYTES, _FORM_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._has_session(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        if scope["path"] == SIGN_IN and scope["method"] == "POST":
            await self._form(scope, receive, send)
            return
        candidates = _from_authorization(Headers(scope=scope))
        if candidates and (refused := self._try(scope, candidates[0])):
            await refused(scope, receive, send)
        elif candidates:
            await self.app(scope, receive, send)
        else:
            response = self._exchange(scope) or _refusal(scope)
            await response(scope, receive, send)

    def _has_session(self, headers: Headers) -> bool:
        host = headers.get("host", "")
        words = _from_cookies(headers, cookie_name(host))
        return any(self.access.sessions.good(word, host.lower()) for word in words)

    def _try(self, scope: Scope, candidate: str) -> Response | None:
        """None for the right token, else what to answer."""
        guesses, peer = self.access.guesses, peer_of(scope)
        if wait_s := math.ceil(guesses.wait_s(peer)):
            message = "Too many wrong tokens came from this address."
            remedy = f"Wait {wait_s} s, then try again. A browser that is signed in goes on working."
            detail = ErrorDetail(code="unauthorized", message=message, remedy=remedy, retry_after_s=wait_s)
            response = refusal(scope, 429, detail)
            response.headers["Retry-After"] = str(wait_s)
            return response
        if self.access.matches(candidate):
            guesses.right(peer)
            return None
        guesses.wrong(peer)
        return _refusal(scope, "The token is wrong.")

    def _exchange(self, scope: Scope) -> Response | None:
        if scope["method"] != "GET" or not is_page(scope["path"]):
            return None
        query = _fields(scope["query_string"].decode("latin-1"))
        if not any(self.access.tickets.spend(value) for name, value in query if name == TICKET):
            return None
        rest = urlencode([(name, value) for name, value in query if name != TICKET])
        return self._signed_in(scope, scope["path"] + (f"?{rest}" if rest else ""))

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        given = dict(_fields(body.decode("latin-1")))
        refused = self._try(scope, given.get("token", "").strip())
        page = given.get("page", "/")
        if refused is None:
            response = self._signed_in(scope, page if is_page(page) else "/")
        elif refused.status_code == 429:
            words = "Too many wrong tokens came from this address. Wait a minute, then try again."
            response = _page(words, page, 429)
            response.headers["Retry-After"] = refused.headers["Retry-After"]
        else:
            response = _page("That is not the token.", page, 401)
        await response(scope, receive, send)

    def _signed_in(self, scope: Scope, address: str) -> Response:
        host = Headers(scope=scope).get("host", "")
        response = RedirectResponse(address, status_code=303)
        word = self.access.sessions.issue(host.lower())
        response.set_cookie(cookie_name(host), word, httponly=True, samesite="strict", max_age=int(SESSION_S))
        return response


def _refusal(scope: Scope, message: str = "A token is needed.") -> Response:
    if is_page(scope["path"]) and "text/html" in Headers(scope=scope).get("accept", ""):
        return _page("", scope["path"], 401)
    remedy = "Send it as `Authorization: Bearer <token>`; in a browser, open the server's address and sign in."
    response = refusal(scope, 401, ErrorDetail(code="unauthorized", message=message, remedy=remedy))
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _page(problem: str, path: str, status: int) -> Response:
    context = {"problem": problem, "path": path if is_page(path) else "/", "action": SIGN_IN}
    text = render("sign_in.html", context)
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return HTMLResponse(text, status, {"Content-Security-Policy": _POLICY.format(digest)})


def _fields(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=20)
    except ValueError:  # more fields than any link or form of ours has
        return []


def _from_cookies(headers: Headers, wanted: str) -> list[str]:
    """By hand: one odd cookie of another program on this host makes http.cookies refuse them all."""
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return [value for name, _, value in pairs if name == wanted]


def _from_authorization(headers: Headers) -> list[str]:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return [value.strip().encode("latin-1").decode(errors="replace")]  # sent as UTF-8, but read as Latin-1
    if scheme.lower() != "basic":
        return []
    try:
        return [base64.b64decode(value, validate=True).decode().partition(":")[2]]
    except ValueError:  # no base64, or no UTF-8 in it
        return []
