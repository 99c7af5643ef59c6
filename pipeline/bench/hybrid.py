"""Does a VAE-GAN keep what each of its parents is good at? `python -m pipeline.bench.hybrid` holds it against a VAE and a GAN.

It should make better pictures of noise than the VAE (Fréchet distance), and make given ones again better than the GAN, which has
no encoder: there the noise is searched for, by gradient descent on the squared error. The hybrid does it in one pass, and can be
searched from there on. The references are those that `edgepress run` has trained and kept for a recipe with models `gan`, `vae`
and `vae_gan`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, final

import numpy as np
from rich.console import Console

from models.tasks import _mean
from models.tasks._generated import Generated
from models.tasks._pictures import brightness
from models.tasks.elbo import chances
from models.tasks.from_noise import drawn
from models.tasks.reconstruction import Reconstruction
from pipeline.alone import asked
from pipeline.bench.generators import about, count, made, table
from pipeline.core import Array, Arrays, Dataset, Detail, Model, Predict
from pipeline.errors import UserError, told
from pipeline.evaluate import module_predictors
from pipeline.files import write_atomic
from pipeline.places import data_root, store_root
from pipeline.recipe import RECIPES, read
from pipeline.registry import ROOT
from pipeline.store import Store

if TYPE_CHECKING:
    import torch

    from models.gan import GAN
    from models.vae import VAE

WANTED = ("gan", "vae", "vae_gan")
STEPS, RATE = 400, 0.05
"""Of the search, by Adam."""


def inverted(generator: torch.nn.Module, pictures: Array, kind: Array, start: Array, steps: int = STEPS) -> Array:
    """Noise [N, latent] of which a generator makes pictures [N, C, H, W] of known classes [N, classes] best, found from a start.

    Source: A. Creswell & A. Bharath, "Inverting the generator of a generative adversarial network" (2018, arXiv:1611.05644).
    """
    import torch

    given, known = torch.from_numpy(pictures), torch.from_numpy(kind)
    found = torch.from_numpy(start).clone().requires_grad_()
    optimizer = torch.optim.Adam([found], RATE)
    generator.eval().requires_grad_(False)
    for _ in range(steps):
        optimizer.zero_grad()
        (generator(found, known) - given).square().sum().backward()
        optimizer.step()
    numbers: Array = found.detach().numpy()
    return numbers


@final
@dataclass(frozen=True, kw_only=True)
class Unasked(Generated):
    """A VAE, which knows no classes and makes of noise what it makes; the chance of a pixel is its brightness."""

    latent: int

    def made(self, predictors: Mapping[str, Predict], labels: Array, random: np.random.Generator) -> Array:
        """One call of the decoder, of standard normal noise."""
        noise = random.standard_normal((len(labels), self.latent)).astype(np.float32)
        return chances(predictors["decoder"]({"latent": noise})["logits"].astype(np.float64))


def compared(models: Mapping[str, Model], data: Dataset, samples: int | None, searched: int) -> tuple[Detail, ...]:
    """Fréchet distances over the test split (its first `samples`), and squared errors over its first `searched` pictures."""
    searched = min(searched, samples or searched)
    vae, gan = (cast("VAE", models["vae"].family.build()), cast("GAN", models["gan"].family.build()))
    hybrid: Reconstruction = models["vae_gan"].family.build().task(data.domain)
    unasked = Unasked.of(data.domain, latent=vae.latent)
    judges: dict[str, Generated] = {"vae": unasked, "gan": gan.task(data.domain), "vae_gan": hybrid}
    found = {name: asked(models[name], data, judge, samples) for name, judge in judges.items()}
    distances = [
        Detail(f"{name}: {judge.metric}", judge.value(found[name]), *judge.interval(found[name]))
        for name, judge in judges.items()
    ]
    again = again_made(models, data.batch("test", slice(0, searched)), hybrid, gan.latent)
    return (*distances, *(_mean.detail(f"{name}: reconstruction error", *_mean.alike(each)) for name, each in again.items()))


def again_made(models: Mapping[str, Model], rows: Arrays, judge: Reconstruction, latent: int) -> dict[str, Array]:
    """Mean squared errors [N] of prepared pictures made again: in one pass through an encoder's means, and by a search."""
    pictures = brightness(rows[judge.input], judge.dark, judge.bright).astype(np.float32)
    kind = np.eye(judge.classes, dtype=np.float32)[rows["label"]]
    graphs = {name: model.family.build().graphs(model.module.eval(), model.domain) for name, model in models.items()}
    ask = {name: module_predictors(each) for name, each in graphs.items()}
    means = {
        "vae": ask["vae"]["encoder"]({judge.input: pictures})["mean"],
        "vae_gan": ask["vae_gan"]["encoder"]({"pictures": pictures})["mean"],
    }
    found = {"vae": chances(ask["vae"]["decoder"]({"latent": means["vae"]})["logits"].astype(np.float64))}
    found["vae_gan"] = drawn(ask["vae_gan"]["decoder"], rows["label"], judge.classes, means["vae_gan"])
    starts = {"gan": ("generator", np.zeros((len(pictures), latent), np.float32)), "vae_gan": ("decoder", means["vae_gan"])}
    for name, (graph, start) in starts.items():
        noise = inverted(graphs[name][graph].module, pictures, kind, start)
        found[f"{name}, searched in {STEPS} steps"] = drawn(ask[name][graph], rows["label"], judge.classes, noise)
    return {name: np.square(each - pictures).reshape(len(pictures), -1).mean(axis=1) for name, each in found.items()}


def main() -> None:
    """Prints a table, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.hybrid", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=RECIPES / "fashion_gan.toml")
    parser.add_argument("--preset", choices=("quick", "full"))
    parser.add_argument("--samples", type=count, help="of the test split; all unless it is said")
    parser.add_argument("--searched", type=count, default=256, help="pictures that the GAN's noise is searched for")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/hybrid.json")
    given = parser.parse_args()
    recipe = read(given.recipe, given.preset)
    missing = [name for name in WANTED if name not in [entry.family.name for entry in recipe.models]]
    if missing:
        raise UserError(f"{given.recipe}: has no {missing[0]}; gan, vae and vae_gan are compared")
    names = {entry.label: entry.family.name for entry in recipe.models if entry.family.name in WANTED}
    models = {names[label]: model for label, model in made(recipe, Store(store_root())).items() if label in names}
    data: Dataset = recipe.data.build().load(data_root())
    found = compared(models, data, given.samples, given.searched)
    Console().print(table(str(given.recipe), found))
    head = {**about(recipe, data, given.samples), "searched": given.searched}
    write_atomic(given.out, json.dumps({**head, "found": [asdict(detail) for detail in found]}, indent=1).encode())


if __name__ == "__main__":
    told(main)
