"""`bonsai-mlx styles`: the styles there are, and changes to them."""

from __future__ import annotations

import json

from ..pipelines.styles import Style, StyleBook
from ..printable import printable


def styles_command(*, save: tuple[str, str] | None, delete: str | None, restore: bool, as_json: bool) -> int:
    book = StyleBook.open()
    if restore:
        book = book.restore()
    if delete is not None:
        book = book.delete(delete)
    if save is not None:
        book = book.save(Style(*save))
    if as_json:
        rows = [style.as_json() | {"ours": book.is_ours(style)} for style in book.styles]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    for style in book.styles:
        print(f"{printable(style.name):<18} {printable(style.text)}")
    print(f"\nYours are kept in {printable(book.path)}")
    return 0
