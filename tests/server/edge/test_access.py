"""Tickets, sessions and wrong tokens: what opens, how often, where, and who has to wait."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from server.edge import access
from server.edge.access import Access, Guesses, cookie_name, peer_of
from server.edge.security import security_stack
from server.settings import Settings

TOKEN = "a-token-for-this-test"  # noqa: S105
HERE = "http://127.0.0.1:8000"


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """The whole stack before an application that answers "in" to everything."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = Clock()
        self.access = Access(TOKEN, self.clock)
        settings = Settings(host="0.0.0.0", token=TOKEN, output=tmp_path)  # noqa: S104
        self.app = security_stack(PlainTextResponse("in"), settings, deque(), self.access)

    def browser(self, address: str = HERE, peer: str = "192.0.2.1") -> TestClient:
        return TestClient(self.app, base_url=address, follow_redirects=False, client=(peer, 50_000))


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def bearer(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


def test_a_ticket_opens_once_and_is_taken_out_of_the_address(gate: Gate) -> None:
    ticket, browser = gate.access.tickets.issue(), gate.browser()
    answer = browser.get(f"/gallery?q=fox&ticket={ticket}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/gallery?q=fox")
    assert browser.get("/health").text == "in"
    assert gate.browser().get(f"/?ticket={ticket}").status_code == 401


def test_a_ticket_is_short_lived_and_opens_pages_only(gate: Gate) -> None:
    ticket = gate.access.tickets.issue()
    assert gate.browser().get(f"/health?ticket={ticket}").status_code == 401
    assert gate.browser().get(f"/?{'a=1&' * 21}ticket={ticket}").status_code == 401
    gate.clock.now += access.TICKET_S
    assert gate.browser().get(f"/?ticket={ticket}").status_code == 401


@pytest.mark.parametrize("query", ["token={}", "ticket={}"])
def test_the_token_itself_opens_no_address(gate: Gate, query: str) -> None:
    assert gate.browser().get("/?" + query.format(TOKEN)).status_code == 401


def test_the_cookie_is_not_the_token_and_no_script_reads_it(gate: Gate) -> None:
    answer = gate.browser().post("/sign-in", data={"token": TOKEN, "page": "/gallery"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/gallery")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert cookie.startswith(f"{cookie_name('127.0.0.1:8000')}=")


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.1:8001", "http://192.0.2.9:8000", "http://localhost:8000"])
def test_a_session_is_good_at_its_host_and_port_alone(gate: Gate, elsewhere: str) -> None:
    """A browser sends the cookies of a host to all of its ports: what stands there may try them elsewhere."""
    here = gate.browser()
    here.post("/sign-in", data={"token": TOKEN})
    (word,) = here.cookies.values()
    other = elsewhere.removeprefix("http://")
    for name in (cookie_name("127.0.0.1:8000"), cookie_name(other)):
        answer = gate.browser(elsewhere).get("/health", headers={"Cookie": f"{name}={word}"})
        assert answer.status_code == 401
    odd = f"a,b=c; {cookie_name('127.0.0.1:8000')}={word}; d"
    assert gate.browser().get("/health", headers={"Cookie": odd}).text == "in"


def test_a_session_ends(gate: Gate) -> None:
    browser = gate.browser()
    browser.post("/sign-in", data={"token": TOKEN})
    (word,) = browser.cookies.values()
    cookie = {"Cookie": f"{cookie_name('127.0.0.1:8000')}={word}"}
    gate.clock.now += access.SESSION_S - 1
    assert gate.browser().get("/health", headers=cookie).status_code == 200
    gate.clock.now += 1
    assert gate.browser().get("/health", headers=cookie).status_code == 401


def test_signing_in_leads_to_pages_only_and_says_what_is_wrong(gate: Gate) -> None:
    for page in ("//evil.example", "https://evil.example/", "/health", "\\evil"):
        answer = gate.browser().post("/sign-in", data={"token": TOKEN, "page": page})
        assert answer.headers["location"] == "/", page
    wrong = gate.browser().post("/sign-in", data={"token": "wrong", "page": '/"><b>'})
    assert wrong.status_code == 401
    assert "That is not the token." in wrong.text
    assert "<b>" not in wrong.text
    assert gate.browser().post("/sign-in", content=b"x" * 5_000).status_code == 413
    foreign = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert gate.browser().post("/sign-in", data={"token": TOKEN}, headers=foreign).status_code == 403


@pytest.mark.slow
def test_guessing_is_slowed_down(gate: Gate) -> None:
    """In an hour an address tries a hundred tokens, not millions."""
    guesser, tried = gate.browser(), 0
    end = gate.clock.now + 3_600
    while gate.clock.now < end:
        answer = guesser.get("/health", **bearer("wrong"))
        if answer.status_code == 401:
            tried += 1
        else:
            assert answer.status_code == 429
            assert "Wait" in answer.json()["error"]["remedy"]
            gate.clock.now += int(answer.headers["retry-after"])
    assert 20 < tried < 100


def test_a_waiting_address_is_told_nothing_of_a_token(gate: Gate) -> None:
    guesser = gate.browser()
    for _ in range(6):
        guesser.get("/health", **bearer("wrong"))
    assert guesser.get("/health", **bearer(TOKEN)).status_code == 429
    assert guesser.get("/health", auth=("x", TOKEN)).status_code == 429
    assert guesser.post("/sign-in", data={"token": TOKEN}).status_code == 429
    assert guesser.get("/", headers={"Accept": "text/html"}).status_code == 401  # no guess, no wait
    gate.clock.now += 2
    assert guesser.get("/health", **bearer(TOKEN)).status_code == 200
    assert guesser.get("/health", **bearer("wrong")).status_code == 401  # and everything is forgiven


@pytest.mark.slow
def test_the_owner_is_not_locked_out(gate: Gate) -> None:
    """Neither by somebody at the same address nor by very many of them."""
    owner, program = gate.browser(), gate.browser(peer="198.51.100.7")
    owner.post("/sign-in", data={"token": TOKEN})
    program.get("/health", **bearer(TOKEN))
    for _ in range(20):
        gate.browser().get("/health", **bearer("wrong"))
    for number in range(250):
        gate.browser(peer=f"203.0.113.{number}").get("/health", **bearer("wrong"))
    assert gate.browser(peer="192.0.2.200").get("/health", **bearer("wrong")).status_code == 429
    assert owner.get("/health").status_code == 200
    assert program.get("/health", **bearer(TOKEN)).status_code == 200


def test_what_is_kept_of_guesses_is_bounded() -> None:
    guesses = Guesses(Clock())
    for number in range(5_000):
        guesses.wrong(str(number))
        guesses.right(str(-number))
    assert len(guesses._failures) == len(guesses._known) == 1_000


def test_an_ipv6_network_is_one_guesser() -> None:
    assert peer_of({"client": ("2001:db8::1", 1)}) == peer_of({"client": ("2001:db8::ffff:2", 9)})
    assert peer_of({"client": ("2001:db8:0:1::1", 1)}) != peer_of({"client": ("2001:db8::1", 1)})
    assert peer_of({"client": ("fe80::1%en0", 1)}) == "fe80::/64"
    assert peer_of({"client": ("192.0.2.1", 1)}) == "192.0.2.1"
    assert peer_of({"client": None}) == ""


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(access.secrets, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    assert Access(TOKEN).matches(TOKEN)
    assert not Access(TOKEN).matches("x")
    assert len(compared) == 2


def test_what_is_kept_of_tickets_is_bounded() -> None:
    clock = Clock()
    tickets = access.Passes(60, clock)
    words = [tickets.issue() for _ in range(1_001)]
    assert not tickets.good(words[0])
    assert tickets.good(words[1])
    assert tickets.good(words[-1])


def test_a_form_that_arrives_in_pieces_signs_in(gate: Gate) -> None:
    pieces = iter((b"token=", TOKEN.encode()))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert gate.browser().post("/sign-in", content=pieces, headers=headers).status_code == 303


def test_a_token_may_come_in_pieces(gate: Gate) -> None:
    pieces = iter([b"token=a-token", b"-for-this-test"])
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": HERE}
    answer = gate.browser().post("/sign-in", content=pieces, headers=form)
    assert answer.status_code == 303
