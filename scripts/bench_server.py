#!/usr/bin/env python3
"""What the server costs on top of the engine, and how it behaves while drawing and with a full gallery.

    .venv/bin/python scripts/bench_server.py            # everything, about a minute with the embedded checkpoint
    .venv/bin/python scripts/bench_server.py --only overhead --repeats 20 --json

Starts servers of its own on free ports with folders of its own; talks to the loopback address only.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
IMAGES = 5_000
Figures = dict[str, float]


class Server:
    """`python -m server` in a process of its own."""

    def __init__(self, output: Path, *options: str) -> None:
        started = time.perf_counter()
        command = [sys.executable, "-m", "server", "--port", "0", "--no-browser", "--output", str(output), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.port = int(line.split("http://127.0.0.1:")[1].split()[0])
        self.request("GET", "/health")
        self.start_s = time.perf_counter() - started

    def request(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> bytes:
        """The answer's body; RuntimeError for a status that is no success."""
        content = None if body is None else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request(method, path, content, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {data[:300]!r}")
        return data

    def end(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=10)


@contextmanager
def server(*options: str, output: Path | None = None) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        running = Server(output or Path(folder), *options)
        try:
            yield running
        finally:
            running.end()


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def overhead(repeats: int) -> Figures:
    """POST /generate against the same call of the library, medians.

    One block after the other, not in turns: idle threads of a BLAS spin for a while and would slow the other process.
    """
    from bonsai_mlx import Pipeline

    prompt, model = "a red circle on a blue background", "seedling-ternary"
    with server("--no-preview") as running:

        def post(seed: int) -> float:
            body = {"prompt": prompt, "model": model, "seed": seed}
            return seconds(lambda: running.request("POST", "/generate", body))

        post(0)  # starts the engine and encodes the prompt
        served = statistics.median(post(seed) for seed in range(1, repeats + 1))
        running.request("POST", "/unload")
        pipe = Pipeline.from_pretrained(model)

        def call(seed: int) -> float:
            return seconds(lambda: pipe.generate(prompt, seed=seed))

        call(0)
        library = statistics.median(call(seed) for seed in range(1, repeats + 1))
    return {"library_ms": 1e3 * library, "post_generate_ms": 1e3 * served, "overhead_ms": 1e3 * (served - library)}


def responsiveness(repeats: int) -> Figures:
    """How long GET /health and the page take while pictures are drawn and their previews sent."""
    with server() as running:
        drawing = threading.Event()

        def draw() -> None:
            other = http.client.HTTPConnection("127.0.0.1", running.port, timeout=600)
            for seed in range(repeats):
                body = json.dumps({"prompt": "a green square", "seed": seed, "model": "seedling-ternary"})
                other.request("POST", "/generate", body, {"Content-Type": "application/json"})
                other.getresponse().read()
            drawing.set()

        running.request("GET", "/")
        thread = threading.Thread(target=draw)
        thread.start()
        health, page = [], []
        while not drawing.wait(0.02):
            health.append(seconds(lambda: running.request("GET", "/health")))
            page.append(seconds(lambda: running.request("GET", "/")))
        thread.join()
    return {
        "polls": float(len(health)),
        "health_p50_ms": 1e3 * statistics.median(health),
        "health_p99_ms": 1e3 * percentile(health, 99),
        "page_p50_ms": 1e3 * statistics.median(page),
        "page_p99_ms": 1e3 * percentile(page, 99),
    }


def idle() -> Figures:
    """Start-up time, resident memory of the web process without an engine, and the time to end."""
    with server() as running:
        for path in ("/", "/gallery", "/model-manager", "/health"):
            running.request("GET", path)
        resident = psutil.Process(running.process.pid).memory_info().rss
        result = {"start_s": running.start_s, "resident_mb": resident / 1e6}
        return result | {"end_s": seconds(running.end)}


def gallery() -> Figures:
    """A folder of 5,000 images: making its index from the files alone, the first page, searches."""
    from PIL import Image

    from bonsai_mlx.metadata import Recipe, encode_png

    with tempfile.TemporaryDirectory() as folder:
        for number in range(IMAGES):
            words = f"picture {number} of a quiet garden in the rain, woodblock print, mist over old stones"
            recipe = Recipe(words, number, 4, 32, 32, "ternary", "seedling-ternary")
            image = Image.new("RGB", (32, 32), (number % 256, 0, 0))
            (Path(folder) / f"{number:032x}.png").write_bytes(encode_png(image, recipe))
        command = [sys.executable, "-m", "server", "reindex", "--output", folder]
        index_s = seconds(lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True))
        with server(output=Path(folder)) as running:
            paths = {
                "first_page_ms": "/images",
                "gallery_page_ms": "/gallery",
                "search_ms": "/images?q=garden%204321",
                "search_nothing_ms": "/images?q=nowhere",
                "thumbnail_ms": f"/images/{7:032x}/thumbnail",
            }
            timed = {}
            for name, path in paths.items():
                timed[name] = 1e3 * max(seconds(lambda path=path: running.request("GET", path)) for _ in range(5))  # type: ignore[misc]
            return {"index_of_5000_s": index_s, "start_with_5000_s": running.start_s, **timed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("overhead", "responsiveness", "idle", "gallery"))
    parser.add_argument("--repeats", type=int, default=20, help="pictures to draw in each test")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    tests: dict[str, Callable[[], Figures]] = {
        "overhead": lambda: overhead(arguments.repeats),
        "responsiveness": lambda: responsiveness(arguments.repeats),
        "idle": idle,
        "gallery": gallery,
    }
    results = {name: test() for name, test in tests.items() if arguments.only in (None, name)}
    if arguments.json:
        print(json.dumps(results, indent=1))
        return
    for name, figures in results.items():
        print(name)
        for figure, value in figures.items():
            print(f"  {figure:20} {value:9.2f}")


if __name__ == "__main__":
    main()
