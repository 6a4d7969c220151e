"""The order of the stages, and running those that are left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from .bits.autoencoder import encode_codes, train_autoencoder
from .bits.autoencoder import tune_decoder as tune_bits_decoder
from .bits.diffusion import distil_bits_binary, distil_bits_guidance, train_bits
from .bits.export import export_bits
from .draw import rendering
from .judge.evaluate import evaluate
from .judge.report import write_report
from .model.distil import distil_guidance, distil_quantised, distil_steps
from .model.export import export
from .model.flow import train_flow
from .model.networks import device
from .model.run import EXPORT, Run
from .model.text import train_tokenizer
from .model.vae import encode_pictures, train_vae, tune_decoder
from .options import PARTS, STAGES, TIMED


def make_tokenizer(run: Run) -> None:
    """The stage "tokenizer": draw the pictures, learn a vocabulary from their captions."""
    rendering.render(run.cache, run.options, run.options.images)
    texts = rendering.caption_texts(rendering.captions(run.cache))
    train_tokenizer(texts, run.options.vocabulary, run.folder / "tokenizer")
    (run.cache / "tokens.npz").unlink(missing_ok=True)  # of an earlier vocabulary
    run.log("tokenizer", f"{run.options.images} pictures, {len(texts)} captions")


def judge_models(run: Run) -> None:
    """The stage "evaluate": through the engine, or with torch where there is a GPU for it."""
    evaluate(run, "torch" if device().type == "cuda" else "engine")


WORK: Mapping[str, Callable[[Run], None]] = {
    "tokenizer": make_tokenizer,
    "vae": train_vae,
    "latents": encode_pictures,
    "flow": train_flow,
    "guidance": distil_guidance,
    "steps": distil_steps,
    "ternary": partial(distil_quantised, variant="ternary"),
    "binary": partial(distil_quantised, variant="binary"),
    "decoder": tune_decoder,
    "export": export,
    "evaluate": judge_models,
    "report": write_report,
    "bits-ae": train_autoencoder,
    "bits-codes": encode_codes,
    "bits": train_bits,
    "bits-guidance": distil_bits_guidance,
    "bits-binary": distil_bits_binary,
    "bits-decoder": tune_bits_decoder,
    "bits-export": export_bits,
}


def check(run: Run, only: str | None) -> None:
    """ValueError for a trained stage that is complete: what it began with is gone, and what follows came from it."""
    if only in TIMED and run.done(only):
        raise ValueError(f"the stage {only!r} is complete; to train it again, begin in another folder")


def train(run: Run, only: str | None = None, part: str = "seedling") -> None:
    """Run every stage of a part that is left, or the one that is named. Raises Paused as `Run` says."""
    if only is not None:
        part = next(name for name, stages in PARTS.items() if only in stages)
    for stage in PARTS[part] if only is None else (only,):
        if only is None and run.done(stage) and not _lost(run, stage):
            continue
        timed = [name for name in PARTS[part] if name in TIMED]
        left = sum(60 * run.options.minutes[name] - _spent(run, name) for name in timed if not run.done(name))
        run.log(stage, f"begins; {left / 60:.0f} min of training left in all")
        started = time.monotonic()
        WORK[stage](run)
        run.finish(stage)
        run.log(stage, f"done in {time.monotonic() - started:.0f} s")


def _spent(run: Run, stage: str) -> float:
    return float(run.progress.get(stage, {}).get("seconds", 0))


def _lost(run: Run, stage: str) -> bool:
    """Whether a complete stage's files did not travel with the run and are needed again."""
    if stage == "export":
        return not (run.folder / EXPORT).is_dir()
    if stage != "latents" or (run.cache / "latents.npy").is_file():
        return False
    return not all(run.done(later) for later in STAGES[STAGES.index("latents") + 1 : STAGES.index("export")])
