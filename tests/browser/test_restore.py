"""Reading settings from pictures that are dropped, pasted or chosen."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from bonsai_mlx.images import metadata
from tests.browser.driver import Site, Watch, make_picture
from tests.images import pictures

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    pictures.write(folder)
    large = Image.new("RGB", (96, 64), "teal")  # enough to be edited
    large.save(folder / "plain.png")
    found = metadata.read(folder / "ours.png")
    assert found is not None
    assert found.recipe is not None
    (folder / "ours.png").write_bytes(metadata.encode_png(large, found.recipe))
    return folder


def deliver(page: Page, file: Path, event: str) -> bool:
    """Drop or paste a file, as the browser tells a page of it. Whether the page then shows where to drop it."""
    awaited: bool = page.evaluate(
        """async ([data, name, kind]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type: "image/png" }));
            const init = { bubbles: true, cancelable: true };
            const event = kind === "paste"
                ? new ClipboardEvent("paste", { ...init, clipboardData: transfer })
                : new DragEvent(kind, { ...init, dataTransfer: transfer });
            document.body.dispatchEvent(event);
            return !document.getElementById("drop-target").hidden;
        }""",
        [base64.b64encode(file.read_bytes()).decode(), file.name, event],
    )
    return awaited


def test_drop_shows_what_is_in_the_picture_and_applies_it(studio: Page, files: Path) -> None:
    assert deliver(studio, files / "ours.png", "dragover")
    assert not deliver(studio, files / "ours.png", "drop")
    dialog = studio.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Settings from bonsai-mlx")
    expect(dialog).to_contain_text("with <b>two</b> lines")
    dialog.get_by_role("button", name="Apply").click()
    expect(studio.get_by_label("Describe the picture")).to_have_value(pictures.RECIPE.prompt)
    expect(studio.get_by_label("Seed", exact=True)).to_have_value("4294967295")
    expect(studio.locator("[name=size]:checked")).to_have_value(f"{pictures.RECIPE.width}x{pictures.RECIPE.height}")


def test_only_what_is_ticked_is_applied(studio: Page, files: Path) -> None:
    seed = studio.get_by_label("Seed", exact=True).input_value()
    deliver(studio, files / "a1111.png", "paste")
    dialog = studio.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Settings from Forge")
    expect(dialog).to_contain_text("Bonsai takes none")
    expect(dialog.get_by_label("Apply Steps")).not_to_be_checked()
    dialog.get_by_label("Apply Seed").uncheck()
    dialog.get_by_role("button", name="Apply").click()
    expect(studio.get_by_label("Describe the picture")).to_have_value("a red fox, ink wash\nsecond line")
    expect(studio.get_by_label("Seed", exact=True)).to_have_value(seed)
    expect(studio.get_by_label("Steps")).to_have_value("4")


def test_a_chosen_file_can_be_declined_with_escape(studio: Page, files: Path) -> None:
    studio.locator("#image-file").set_input_files(files / "swarm.png")
    expect(studio.get_by_role("dialog").get_by_role("heading")).to_have_text("Settings from SwarmUI")
    studio.keyboard.press("Escape")
    expect(studio.get_by_role("dialog")).to_be_hidden()
    expect(studio.get_by_label("Describe the picture")).to_have_value("")


def test_a_drop_in_the_gallery_leads_to_the_studio(site: Site, open_page: Callable[..., Page], files: Path) -> None:
    page = open_page(f"{site.url}/gallery")
    deliver(page, files / "ours.png", "drop")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url(f"{site.url}/")
    expect(page.get_by_label("Describe the picture")).to_have_value(pictures.RECIPE.prompt)


def test_what_is_no_picture_is_said_plainly(studio: Page, watch: Watch, files: Path) -> None:
    watch.expected.append("422")
    for name, words in (
        ("not-an-image.png", "cannot be used: it is no PNG, JPEG"),
        ("bomb.png", "cannot be used: it is damaged"),
    ):
        deliver(studio, files / name, "drop")
        expect(studio.locator(".toast", has_text=words)).to_be_visible()
        expect(studio.get_by_role("dialog")).to_be_hidden()


def test_a_picture_without_settings_is_edited_and_one_with_them_if_that_is_meant(studio: Page, files: Path) -> None:
    deliver(studio, files / "plain.png", "drop")
    expect(studio.locator("#bench .easel")).to_be_visible()
    studio.locator("#editor-close").click()
    expect(studio.locator("#editor")).to_be_hidden()
    deliver(studio, files / "ours.png", "paste")
    studio.get_by_role("dialog").get_by_role("button", name="Edit this picture").click()
    expect(studio.get_by_role("dialog")).to_be_hidden()
    expect(studio.locator("#bench .easel")).to_be_visible()
    expect(studio.locator(".slot-thumb")).to_have_count(1)
    expect(studio.get_by_label("Describe the picture")).to_have_value("")


def test_a_photo_that_is_dropped_in_the_gallery_is_edited_in_the_studio(
    site: Site, open_page: Callable[..., Page], files: Path
) -> None:
    page = open_page(f"{site.url}/gallery")
    deliver(page, files / "plain.png", "drop")
    page.wait_for_url(f"{site.url}/")
    expect(page.locator("#bench .easel")).to_be_visible()


def test_a_picture_of_the_gallery_gives_its_settings_back(site: Site, studio: Page, tmp_path: Path) -> None:
    picture = make_picture(site, "round trip", seed=99)
    file = tmp_path / "picture.png"
    file.write_bytes(studio.request.get(f"{site.url}/images/{picture}.png").body())
    deliver(studio, file, "drop")
    studio.get_by_role("button", name="Apply").click()
    expect(studio.get_by_label("Describe the picture")).to_have_value("round trip")
    expect(studio.get_by_label("Seed", exact=True)).to_have_value("99")


def test_without_the_server_that_is_said(studio: Page, watch: Watch, files: Path) -> None:
    watch.expected += ["ERR_FAILED", "net::"]
    studio.route("**/metadata", lambda route: route.abort())
    deliver(studio, files / "ours.png", "drop")
    expect(studio.locator(".toast")).to_contain_text("The server does not answer")


def test_what_the_page_once_could_not_read(studio: Page, files: Path) -> None:
    for name in ("ours.jpg", "ours.webp", "fooocus.jpg", "draw-things.webp", "utf-8-in-text.png"):
        studio.get_by_label("Describe the picture").fill("")
        deliver(studio, files / name, "drop")
        expected = pictures.CASES[name].settings
        assert expected is not None
        heading = studio.get_by_role("dialog").get_by_role("heading")
        expect(heading).to_have_text(f"Settings from {expected['program']}")
        studio.get_by_role("button", name="Apply").click()
        expect(studio.get_by_label("Describe the picture")).to_have_value(expected["prompt"])
        expect(studio.get_by_role("dialog")).to_be_hidden()
