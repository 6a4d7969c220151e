"""The names and addresses by which a server is called: in Host headers, in options, in what is shown to people."""

from __future__ import annotations

import ipaddress
import re
import socket
import subprocess
import sys

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9._-]{0,252}))(?::(\d{1,5}))?")


def parse_host(value: str) -> str | None:
    """The host of a Host header in lower case, IPv6 in brackets; None when it is not `host` or `host:port`."""
    match = _HOST.fullmatch(value.lower())
    if match is None or (match[2] is not None and int(match[2]) > 65_535):
        return None
    return match[1].rstrip(".") if match[1][0] != "[" else match[1]


def plain_host(value: str) -> str:
    """An option's name or address as `parse_host` has it; ValueError when it is more or less than that."""
    host = parse_host(in_url(value))
    if host is None or host != in_url(value).lower().rstrip("."):
        raise ValueError(f"{value!r} is no name of a server: leave out http://, port and path, as in studio.local")
    return host


def address_in(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def own_names() -> frozenset[str]:
    """What others in the network call this computer: its name, and the same name as Bonjour and Avahi announce it."""
    names = {socket.gethostname().lower().rstrip(".")}
    if sys.platform == "darwin":  # where the announced name is a setting of its own
        done = subprocess.run(
            ["/usr/sbin/scutil", "--get", "LocalHostName"], capture_output=True, text=True, check=False
        )
        names.add(done.stdout.strip().lower())
    short = {name.partition(".")[0] for name in names}
    every = names | short | {f"{name}.local" for name in short}
    return frozenset(name for name in every if parse_host(name) == name and address_in(name) is None)


def address_in_network() -> str:
    """The address of this computer that others see; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Whether a bind address is this computer's own: `localhost`, 127.0.0.0/8 or ::1."""
    address = address_in(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def in_url(host: str) -> str:
    return f"[{host}]" if isinstance(address_in(host), ipaddress.IPv6Address) and host[:1] != "[" else host
