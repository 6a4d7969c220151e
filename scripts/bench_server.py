#!/usr/bin/env python3
"""What the server costs on top of the engine, and how it behaves while drawing and with a full gallery.

    .venv/bin/python scripts/bench_server.py            # everything, about a minute with the embedded checkpoint
    .venv/bin/python scripts/bench_server.py --only overhead --repeats 20 --json
    .venv/bin/python scripts/bench_server.py --only start --against ../before   # beside another working tree

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
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
IMAGES = 5_000
Figures = dict[str, float]


class Server:
    """`python -m server` in a process of its own."""

    def __init__(self, output: Path, *options: str, tree: Path = ROOT) -> None:
        started = time.perf_counter()
        command = [sys.executable, "-m", "server", "--port", "0", "--no-browser", "--output", str(output), *options]
        self.process = subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, text=True)
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
def server(*options: str, output: Path | None = None, tree: Path = ROOT) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        running = Server(output or Path(folder), *options, tree=tree)
        try:
            yield running
        finally:
            running.end()


def start(repeats: int, other: Path | None) -> Figures:
    """From the command to the first answer, medians; of another tree in turns with this one, since machines drift."""
    taken: dict[Path, list[float]] = {tree: [] for tree in (ROOT, other) if tree is not None}
    for _ in range(repeats):
        for tree, found in taken.items():
            with server(tree=tree) as running:
                found.append(running.start_s)
    medians = [1e3 * statistics.median(found) for found in taken.values()]
    names = ("start_ms", "other_start_ms")
    return dict(zip(names, medians, strict=False)) | ({"ratio": medians[0] / medians[1]} if other else {})


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


def events(running: Server) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """What GET /events tells, with the time at which it came; ends with the server."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=600)
    connection.request("GET", "/events")
    kind = ""
    for line in connection.getresponse():
        name, _, value = line.decode().rstrip().partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield time.perf_counter(), kind, json.loads(value)


def responsiveness(repeats: int) -> Figures:
    """How long GET /health and the page take, and how often memory is told, while pictures and previews are drawn."""
    with server() as running:
        done = threading.Event()
        told: list[float] = []

        def draw() -> None:
            for seed in range(repeats):
                running.request("POST", "/generate", {"prompt": "a green square", "seed": seed})
            done.set()

        def listen() -> None:
            told.extend(at for at, kind, _ in events(running) if kind == "memory")

        running.request("POST", "/generate", {"prompt": "a green square"})  # the engine runs, the prompt is known
        listening, drawing = threading.Thread(target=listen), threading.Thread(target=draw)
        listening.start()
        drawing.start()
        health, page, began = [], [], time.perf_counter()
        while not done.wait(0.02):
            health.append(seconds(lambda: running.request("GET", "/health")))
            page.append(seconds(lambda: running.request("GET", "/")))
        ended = time.perf_counter()
        drawing.join()
    listening.join()
    moments = [began, *(at for at in told if began < at < ended), ended]
    return {
        "polls": float(len(health)),
        "longest_without_memory_ms": 1e3 * max(after - before for before, after in pairwise(moments)),
        "health_p50_ms": 1e3 * statistics.median(health),
        "health_p99_ms": 1e3 * percentile(health, 99),
        "page_p50_ms": 1e3 * statistics.median(page),
        "page_p99_ms": 1e3 * percentile(page, 99),
    }


def cancelling(repeats: int) -> Figures:
    """From the request to cancel until the job has ended, against one step, and what MLX holds then and before."""
    with server("--no-preview") as running:

        def mlx_active() -> int:
            time.sleep(1.2)  # the engine reports once a second when it has nothing to do
            active: int = json.loads(running.request("GET", "/memory"))["mlx_active_bytes"]
            return active

        body = {"prompt": "a tree", "steps": 50, "width": 256, "height": 256}
        running.request("POST", "/generate", body)
        idle_bytes, steps, stopped = mlx_active(), [], []
        stream = events(running)
        for _ in range(repeats):
            job = json.loads(running.request("POST", "/jobs", body))["jobs"][0]["id"]
            begun, cancelled = {}, 0.0
            for at, kind, data in stream:
                if kind != "job" or data["id"] != job:
                    continue
                if data["status"] == "cancelled":
                    stopped.append(at - cancelled)
                    break
                if data["phase"] == "denoise" and not cancelled:
                    begun[data["step"]] = at
                    if data["step"] == 5:
                        steps.append((begun[5] - begun[1]) / 4)
                        cancelled = time.perf_counter()
                        running.request("DELETE", f"/jobs/{job}")
        after_bytes = mlx_active()
    return {
        "step_ms": 1e3 * statistics.median(steps),
        "stopped_after_ms": 1e3 * statistics.median(stopped),
        "stopped_after_at_most_ms": 1e3 * max(stopped),
        "idle_before_mb": idle_bytes / 1e6,
        "idle_after_mb": after_bytes / 1e6,
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

    from bonsai_mlx.images.metadata import Recipe, encode_png

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
    parser.add_argument("--only", choices=("start", "overhead", "responsiveness", "cancelling", "idle", "gallery"))
    parser.add_argument("--against", type=Path, metavar="TREE", help="another working tree, started in turns")
    parser.add_argument("--repeats", type=int, default=20, help="pictures to draw in each test")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    tests: dict[str, Callable[[], Figures]] = {
        "start": lambda: start(arguments.repeats, arguments.against),
        "overhead": lambda: overhead(arguments.repeats),
        "responsiveness": lambda: responsiveness(arguments.repeats),
        "cancelling": lambda: cancelling(arguments.repeats),
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
            print(f"  {figure:25} {value:9.2f}")


if __name__ == "__main__":
    main()
