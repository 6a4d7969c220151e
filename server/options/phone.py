"""The address of this server for a phone, as a QR code that signs it in, once."""

from __future__ import annotations

import io

from ..hosts import address_in_network, in_url

ANY = ("0.0.0.0", "::")  # noqa: S104


def outside_url(host: str, port: int) -> str:
    return f"http://{in_url(address_in_network() if host in ANY else host)}:{port}"


def qr_svg(text: str) -> str:
    """Dark on white whatever the page's theme: not every camera reads the opposite."""
    import segno  # here: nobody else has a use for it

    drawn = io.BytesIO()
    segno.make(text, error="m", micro=False).save(drawn, kind="svg", scale=5, border=4, dark="#000", light="#fff")
    return drawn.getvalue().decode()
