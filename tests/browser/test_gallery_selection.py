"""Many pictures at once in the gallery: chosen in every way, packed, moved, marked, deleted, and brought back."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from bonsai_mlx.images import metadata
from tests.browser.driver import Site, Watch
from tests.browser.filled import filled_site

pytestmark = pytest.mark.browser

PICTURES = [
    ("maple bonsai in autumn", 64, 64, 0),
    ("three green stars", 96, 54, 0),
    ("a portrait of a fox", 54, 96, 0),
    ("mountains at sunset", 64, 64, 3),
    ("a red fox", 64, 48, 3),
    ("zebras", 64, 64, 40),
]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site, _ = filled_site(tmp_path_factory.mktemp("album"), PICTURES)
    yield site
    site.stop()


@pytest.fixture
def gallery(album: Site, open_page: Callable[..., Page]) -> Page:
    page = open_page(f"{album.url}/gallery")
    expect(page.locator("#engine-mark")).to_be_visible()  # the scripts have started
    return page


def prompts(page: Page, of: str = ".print") -> list[str]:
    found: list[str] = page.locator(f"#sheet {of} img").evaluate_all("images => images.map((i) => i.alt)")
    return found


def selected(page: Page) -> list[str]:
    return prompts(page, ".print.selected")


def test_days_are_headings_and_pictures_keep_their_shape(gallery: Page) -> None:
    assert gallery.locator(".day h2").first.inner_text() == "Today"
    expect(gallery.locator(".day")).to_have_count(3)
    assert re.fullmatch(r"\w+, \w+ \d+, \d{4}", gallery.locator(".day h2").last.inner_text())
    for item in gallery.locator(".print").all():
        box, image = item.bounding_box(), item.locator("img")
        width, height = (int(image.get_attribute(name) or 0) for name in ("width", "height"))
        assert box is not None
        assert abs(box["width"] / box["height"] - width / height) < 0.02
    gallery.locator("#sort").select_option("prompt")
    expect(gallery.locator(".day")).to_have_count(1)
    expect(gallery.locator(".print[data-id]")).to_have_count(len(PICTURES))
    assert prompts(gallery) == sorted(prompt for prompt, *_ in PICTURES)
    assert "sort=prompt" in gallery.url
    gallery.reload()
    assert prompts(gallery) == sorted(prompt for prompt, *_ in PICTURES)
    gallery.locator("#sort").select_option("oldest")
    expect(gallery.locator(".print img").first).to_have_attribute("alt", "zebras")


def test_every_way_to_choose(gallery: Page) -> None:
    names = prompts(gallery)
    gallery.locator(".print").nth(1).hover()
    gallery.get_by_role("button", name="Select “three green stars”").click()
    assert selected(gallery) == names[1:2]
    frame, caption = (gallery.locator(f".print.selected{part}").bounding_box() for part in ("", " .print-caption"))
    assert frame is not None
    assert caption is not None  # within the line that says that it is selected
    assert (caption["x"] - frame["x"], round(frame["width"] - caption["width"])) == (3, 6)
    assert frame["y"] + frame["height"] - caption["y"] - caption["height"] == 3
    gallery.locator(".print").nth(4).click(modifiers=["Shift"])
    assert selected(gallery) == names[1:5]
    gallery.locator(".print").nth(2).click()
    assert selected(gallery) == [names[1], *names[3:5]]
    expect(gallery.locator("#selected-count")).to_have_text("3 pictures selected")
    gallery.keyboard.press("Escape")
    assert selected(gallery) == []
    expect(gallery.locator("#selection-bar")).to_be_hidden()
    gallery.locator("#select").click()
    expect(gallery.locator("#delete-selected")).to_be_disabled()
    gallery.locator(".day-select").nth(1).click()
    assert selected(gallery) == names[3:5]
    gallery.locator(".day-select").nth(1).click()
    assert selected(gallery) == []
    gallery.locator("#select-all").click()
    assert selected(gallery) == names
    gallery.locator("#end-selection").click()
    expect(gallery.locator("#select")).to_be_focused()


def test_the_keyboard_alone_chooses(gallery: Page) -> None:
    names = prompts(gallery)
    gallery.locator(".print-link").first.focus()
    gallery.keyboard.press("x")
    assert selected(gallery) == names[:1]
    gallery.keyboard.press("Shift+ArrowRight")
    gallery.keyboard.press("Shift+ArrowRight")
    assert selected(gallery) == names[:3]
    gallery.keyboard.press("Shift+ArrowLeft")
    assert selected(gallery) == names[:2]
    gallery.keyboard.press("ArrowDown")
    expect(gallery.locator(".print-link").nth(4)).to_be_focused()
    gallery.keyboard.press(" ")
    assert selected(gallery) == [*names[:2], names[4]]
    gallery.keyboard.press("ArrowUp")
    gallery.keyboard.press("End")
    expect(gallery.locator(".print-link").last).to_be_focused()
    gallery.keyboard.press("Home")
    expect(gallery.locator(".print-link").first).to_be_focused()
    gallery.keyboard.press("Control+a")
    assert selected(gallery) == names
    gallery.keyboard.press("Escape")
    gallery.keyboard.press("Enter")  # nothing is chosen any more: the link is followed
    expect(gallery.locator("h1")).to_have_text(names[0])


def test_the_chosen_ones_come_as_one_file(gallery: Page, tmp_path: Path) -> None:
    gallery.locator("#select").click()
    for number in (0, 4):
        gallery.locator(".print").nth(number).click()
    with gallery.expect_download() as download:
        gallery.locator("#download-selected").click()
    assert re.fullmatch(r"bonsai-.*2-pictures\.zip", download.value.suggested_filename)
    download.value.save_as(tmp_path / "two.zip")
    with zipfile.ZipFile(tmp_path / "two.zip") as archive:
        assert archive.namelist() == ["maple-bonsai-in-autumn-1000.png", "a-red-fox-1004.png"]
        archive.extractall(tmp_path)
    found = metadata.read(tmp_path / "a-red-fox-1004.png")
    assert found is not None
    assert found.prompt == "a red fox"
    expect(gallery.locator("#selected-count")).to_have_text("2 pictures selected")  # for what comes next
    gallery.locator("#end-selection").click()


def test_many_are_deleted_marked_and_brought_back(album: Site, gallery: Page) -> None:
    names = prompts(gallery)
    gallery.locator("#select").click()
    for number in (3, 4):
        gallery.locator(".print").nth(number).click()
    gallery.locator("#favourite-selected").click()
    expect(gallery.locator(".print [data-action=favourite][aria-pressed=true]")).to_have_count(2)
    expect(gallery.locator("#selected-count")).to_have_text("2 pictures selected")
    ticks = gallery.locator(".print-check .icon")
    shown = [tick.evaluate("one => getComputedStyle(one).visibility") for tick in ticks.all()]
    assert [number for number, value in enumerate(shown) if value == "visible"] == [3, 4]
    gallery.keyboard.press("Escape")
    gallery.locator("#favourites").click()
    expect(gallery.locator("#sheet .print")).to_have_count(2)
    expect(gallery.locator("html")).to_have_attribute("data-started", "")  # a page of its own
    gallery.locator(".print-link").first.focus()
    gallery.keyboard.press("Control+a")
    gallery.keyboard.press("Delete")
    expect(gallery.get_by_text("2 pictures deleted.")).to_be_visible()
    expect(gallery.get_by_text("Nothing found")).to_be_visible()
    gallery.locator("#empty-link").click()
    expect(gallery.locator(".print")).to_have_count(4)
    expect(gallery.locator("#engine-mark")).to_be_visible()
    assert prompts(gallery) == [*names[:3], *names[5:]]
    gallery.locator("#select").click()
    gallery.locator(".print").nth(0).click()
    gallery.locator("#delete-selected").click()
    expect(gallery.locator("#total")).to_have_text("3 pictures")
    gallery.get_by_role("button", name="Undo").click()
    expect(gallery.locator(".print img").first).to_have_attribute("alt", names[0])
    ids = [f"{number:032x}" for number in (3, 4)]
    gallery.request.post(f"{album.url}/images/restore", data={"ids": ids})
    expect(gallery.locator(".print")).to_have_count(6)  # heard of by this page as by any other
    gallery.request.post(f"{album.url}/images/favourite", data={"ids": ids, "favourite": False})
    assert prompts(gallery) == names


def test_a_collection_is_filled_renamed_emptied_and_deleted(album: Site, gallery: Page, watch: Watch) -> None:
    watch.expected = ["status of 409"]  # a name that is taken
    gallery.locator("#new-collection").click()
    gallery.get_by_role("textbox", name="Name").fill("Trees")
    gallery.keyboard.press("Enter")
    expect(gallery.locator("#collections")).to_contain_text("Trees")
    gallery.locator("#new-collection").click()
    gallery.get_by_role("textbox", name="Name").fill("trees")
    gallery.get_by_role("button", name="Create").click()
    expect(gallery.get_by_role("alert")).to_contain_text("already")
    gallery.get_by_role("button", name="Cancel").click()
    gallery.locator("#select").click()
    for number in (0, 3):
        gallery.locator(".print").nth(number).click()
    gallery.locator("#move-selected").click()
    gallery.get_by_role("button", name="Trees (0)").click()
    expect(gallery.get_by_text("2 pictures moved to “Trees”.")).to_be_visible()
    expect(gallery.locator("#collections")).to_contain_text("Trees2")
    gallery.locator("#collections a", has_text="Trees").click()
    expect(gallery.locator("h1")).to_have_text("Trees")
    expect(gallery.locator("#engine-mark")).to_be_visible()
    assert prompts(gallery) == ["maple bonsai in autumn", "mountains at sunset"]
    gallery.locator("#rename-collection").click()
    gallery.get_by_role("textbox", name="Name").fill("Woods")
    gallery.keyboard.press("Enter")
    expect(gallery.locator("h1")).to_have_text("Woods")
    gallery.locator("#select").click()
    gallery.locator(".print").first.click()
    gallery.locator("#move-selected").click()
    gallery.get_by_label("A new collection").fill("Autumn")
    gallery.get_by_role("button", name="Create and move").click()
    expect(gallery.locator(".print")).to_have_count(1)
    gallery.locator("#select").click()
    gallery.locator(".print").first.click()
    gallery.locator("#take-out").click()
    expect(gallery.get_by_text("Nothing in this collection yet")).to_be_visible()
    gallery.get_by_role("button", name="Undo").last.click()
    expect(gallery.locator(".print")).to_have_count(1)
    gallery.locator(".print-link").click()
    expect(gallery.locator("#engine-mark")).to_be_visible()
    expect(gallery.locator("#before, #after")).to_have_count(0)  # alone in its collection
    expect(gallery.get_by_role("link", name="Woods")).to_be_visible()
    gallery.locator("#move").click()
    gallery.get_by_role("button", name="Autumn (1)").click()
    expect(gallery.get_by_text("Moved to “Autumn”.")).to_be_visible()
    gallery.locator("#back").click()
    expect(gallery.get_by_text("Nothing in this collection yet")).to_be_visible()
    expect(gallery.locator("#engine-mark")).to_be_visible()
    gallery.locator("#delete-collection").click()
    gallery.get_by_role("button", name="Delete the collection").click()
    expect(gallery).to_have_url(f"{album.url}/gallery")
    expect(gallery.locator("#collections")).not_to_contain_text("Woods")
    expect(gallery.locator(".print")).to_have_count(6)


def test_arrows_stay_in_the_search(gallery: Page) -> None:
    gallery.locator("#q").fill("fox")
    expect(gallery.locator(".print")).to_have_count(2)
    gallery.locator("#sort").select_option("prompt")
    expect(gallery.locator(".print img").first).to_have_attribute("alt", "a portrait of a fox")
    gallery.locator(".print-link").first.click()
    expect(gallery.locator("#engine-mark")).to_be_visible()
    expect(gallery.locator("#before")).to_have_count(0)
    gallery.keyboard.press("ArrowRight")
    expect(gallery.locator("h1")).to_have_text("a red fox")
    expect(gallery.locator("#after")).to_have_count(0)
    gallery.locator("#back").click()
    expect(gallery.locator("#q")).to_have_value("fox")
    assert prompts(gallery) == ["a portrait of a fox", "a red fox"]


def test_a_picture_is_carried_out_of_the_page(album: Site, gallery: Page) -> None:
    """Dragged as a file under its name; copied as a picture; its time is the reader's."""
    carried = """selector => {
        const event = new DragEvent("dragstart", {bubbles: true, dataTransfer: new DataTransfer()});
        document.querySelector(selector).dispatchEvent(event);
        return event.dataTransfer.getData("DownloadURL");
    }"""
    expected = f"image/png:maple-bonsai-in-autumn-1000.png:{album.url}/images/{0:032x}.png"
    assert gallery.evaluate(carried, ".print img") == expected
    gallery.context.grant_permissions(["clipboard-read", "clipboard-write"])
    gallery.goto(f"{album.url}/i/{0:032x}")
    expect(gallery.locator("#engine-mark")).to_be_visible()
    assert gallery.evaluate(carried, ".image-full") == expected
    gallery.locator("#copy-picture").click()
    expect(gallery.get_by_text("Picture copied.")).to_be_visible()
    read = "async () => (await navigator.clipboard.read())[0].types"
    assert gallery.evaluate(read) == ["image/png"]
    created = json.loads(gallery.request.get(f"{album.url}/images/{0:032x}").text())["created_at"]
    local = (
        "time => new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'short'}).format(new Date(time))"
    )
    assert gallery.locator("#drawn").inner_text() == gallery.evaluate(local, created)


def test_the_reader_may_be_in_another_part_of_the_world(album: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{album.url}/gallery", timezone_id="Pacific/Kiritimati")
    expect(page.locator("#engine-mark")).to_be_visible()
    day = "time => new Date(time).toDateString()"
    for section in page.locator(".day").all():
        times = section.locator(".print").evaluate_all("items => items.map((item) => item.dataset.created)")
        assert {page.evaluate(day, time) for time in times} == {
            page.evaluate(day, f"{section.get_attribute('data-day')}T12:00:00")
        }
    assert len(prompts(page)) == len(PICTURES)
