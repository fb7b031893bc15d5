"""Small checkpoints of each kind of neural codec, random but meaningful: silence decodes to silence, and what is loud
in stays loud out. Only tests see them; no codec of the package is one.

Weights are scaled so that signals keep their power, biases are zero, and the entries of the codebooks are drawn from
what the random encoder makes of a probe, one of them of silence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from codecbench.bench.delay import probe

ENTRIES = 64


class _CapturedError(Exception):
    """Carries a tensor out of a model."""


def encodec(folder: Path) -> None:
    """Causal and mono, as the model for 24 kHz: 75 frames/s of 6 bits a stage, 4 stages."""
    from transformers import EncodecConfig

    _encodec(EncodecConfig(target_bandwidths=[0.9, 1.8], num_filters=2, hidden_size=16, codebook_size=ENTRIES), folder)


def encodec_chunks(folder: Path) -> None:
    """Stereo in chunks that overlap, with a gain each, as the model for 48 kHz: 0.2 s of which 0.19 s are new."""
    from transformers import EncodecConfig

    config = EncodecConfig(
        sampling_rate=48000,
        audio_channels=2,
        target_bandwidths=[1.8, 3.6],
        normalize=True,
        chunk_length_s=0.2,
        overlap=0.05,
        use_causal_conv=False,
        norm_type="time_group_norm",
        num_filters=2,
        hidden_size=16,
        codebook_size=ENTRIES,
    )
    _encodec(config, folder)


def _encodec(config: Any, folder: Path) -> None:
    from transformers import EncodecModel

    model = EncodecModel(config).eval()
    wave = _wave(config.sampling_rate, config.audio_channels)

    def embed(layer: Any, entries: torch.Tensor) -> None:
        layer.codebook.embed.copy_(entries)

    _randomise(model, config.use_causal_conv)
    _draw(model, wave, model.quantizer.layers, embed)
    _level(model, model.decoder.layers[-1].conv, wave)
    model.save_pretrained(folder)


def dac(folder: Path) -> None:
    """Hop 320 with an odd stride, as the models for 16 and 24 kHz: the decoder makes 8 samples too few."""
    _dac(folder, 16000, [2, 4, 5, 8])


def dac_even(folder: Path) -> None:
    """Hop 512, as the model for 44.1 kHz."""
    _dac(folder, 44100, [2, 4, 8, 8])


def _dac_config(rate: int, ratios: list[int]) -> Any:
    from transformers import DacConfig

    return DacConfig(
        sampling_rate=rate,
        downsampling_ratios=ratios,
        encoder_hidden_size=2,
        decoder_hidden_size=32,
        n_codebooks=4,
        codebook_size=ENTRIES,
        codebook_dim=4,
    )


def _dac(folder: Path, rate: int, ratios: list[int]) -> None:
    from transformers import DacModel

    model = DacModel(_dac_config(rate, ratios)).eval()
    wave = _wave(rate)
    _randomise(model)
    _draw_cosine(model, wave)
    _level(model, model.decoder.conv2, wave)
    model.save_pretrained(folder)


def mimi(folder: Path) -> None:
    """Causal with transformers, as the real one, but at 150 frames/s, so that its envelope can be followed."""
    from transformers import MimiConfig, MimiModel

    config = MimiConfig(
        upsampling_ratios=[5, 4, 4],
        num_filters=4,
        hidden_size=32,
        upsample_groups=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        codebook_size=ENTRIES,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        num_quantizers=4,
    )
    model = MimiModel(config).eval()
    wave = _wave(config.sampling_rate)

    def embed(layer: Any, entries: torch.Tensor) -> None:
        layer.codebook.embed_sum.copy_(entries)
        layer.codebook._embed = None

    quantizer = model.quantizer
    _randomise(model, causal=True)
    for part in (quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer):
        _draw(model, wave, part.layers, embed, part.input_proj)
    # newer transformers have a module between
    _level(model, getattr(model.decoder, "decoder_seanet", model.decoder).layers[-1].conv, wave)
    model.save_pretrained(folder)


def xcodec(folder: Path) -> None:
    """An acoustic encoder and a small HuBERT: 50 frames/s of 6 bits a stage, 4 stages."""
    from transformers import HubertConfig, XcodecConfig, XcodecModel

    semantic = HubertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
    )
    acoustic = _dac_config(16000, [8, 5, 4, 2])
    config = XcodecConfig(
        target_bandwidths=[0.3, 1.2],
        codebook_size=ENTRIES,
        acoustic_model_config=acoustic.to_dict() | {"hidden_size": 32},
        semantic_model_config=semantic.to_dict(),
    )
    model = XcodecModel(config).eval()
    wave = _wave(config.sample_rate)

    def embed(layer: Any, entries: torch.Tensor) -> None:
        layer.codebook.embed.copy_(entries)

    _randomise(model)
    with torch.no_grad():
        # HuBERT normalises: its features have the same power in loud and in quiet
        model.fc.weight[:, config.acoustic_model_config.hidden_size :] *= 0.1
    _draw(model, wave, model.quantizer.quantizers, embed)
    _level(model, model.acoustic_decoder.conv2, wave)
    model.save_pretrained(folder)


def snac(folder: Path) -> None:
    """Three stages of three rates, with noise in the decoder, as the model for 24 kHz."""
    _snac(folder, 24000, None)


def snac_attention(folder: Path) -> None:
    """The same with attention within windows of 8 frames, as the models for 32 and 44.1 kHz."""
    _snac(folder, 32000, 8)


def _snac(folder: Path, rate: int, window: int | None) -> None:
    import json

    from snac import SNAC

    config = {
        "sampling_rate": rate,
        "encoder_dim": 4,
        "encoder_rates": [2, 3, 4, 4],
        "decoder_dim": 64,
        "decoder_rates": [4, 4, 3, 2],
        "attn_window_size": window,
        "codebook_size": ENTRIES,
        "codebook_dim": 4,
        "vq_strides": [4, 2, 1],
        "noise": True,
        "depthwise": True,
    }
    model = SNAC(**config).eval()
    wave = model.preprocess(_wave(rate))
    _randomise(model)
    _draw_cosine(model, wave)
    _level(model, model.decoder.model[-2], wave)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


#: name -> what writes such a checkpoint into a folder
BUILDERS: dict[str, Callable[[Path], None]] = {
    function.__name__: function
    for function in (encodec, encodec_chunks, dac, dac_even, mimi, xcodec, snac, snac_attention)
}


def build(name: str, folder: Path) -> None:
    """Write the checkpoint of that name, the same every time."""
    if takes(name) != "snac":
        import transformers

        transformers.logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BUILDERS[name](folder)


def takes(name: str) -> str:
    """What users write before the path of such a checkpoint."""
    return name.split("_")[0]


def _wave(rate: int, channels: int = 1) -> torch.Tensor:
    """[1, channels, n] of 4 s."""
    clips = [probe(rate, 4.0, seed=seed).samples for seed in range(1, channels + 1)]
    return torch.from_numpy(np.concatenate(clips))[None]


@torch.no_grad()
def _randomise(model: Any, causal: bool = False) -> None:
    """Weights that keep the power of what passes and its place in time, no biases."""
    random = torch.Generator().manual_seed(0)
    for module in model.modules():
        if not isinstance(module, (torch.nn.Conv1d, torch.nn.ConvTranspose1d, torch.nn.Linear)):
            continue
        weight = torch.randn(module.weight.shape, generator=random)
        if isinstance(module, torch.nn.Linear):
            weight /= module.in_features**0.5
        else:
            size, stride = module.kernel_size[0], module.stride[0]
            transposed = isinstance(module, torch.nn.ConvTranspose1d)
            first = (0 if transposed else size - stride) if causal else -(-(size - stride) // 2)
            taps = torch.full((size,), 0.1)
            taps[first : first + stride] = 1.0
            weight *= taps / (module.in_channels // module.groups * (1 if transposed else stride)) ** 0.5
        _set(module, weight)
        if module.bias is not None:
            module.bias.zero_()
    for name, parameter in model.named_parameters():
        if ".lstm.bias" in name:
            parameter.zero_()


def _set(module: Any, weight: torch.Tensor) -> None:
    if torch.nn.utils.parametrize.is_parametrized(module, "weight"):
        module.weight = weight
    else:
        module.weight.copy_(weight)


def _latents(model: Any, wave: torch.Tensor) -> torch.Tensor:
    """What reaches the quantiser, [time, dimension]."""

    def stop(_module: Any, inputs: Any) -> None:
        raise _CapturedError(inputs[0])

    def stop_method(latents: torch.Tensor, *_rest: Any) -> None:
        raise _CapturedError(latents)

    hook = model.quantizer.register_forward_pre_hook(stop)
    if hasattr(model.quantizer, "encode"):
        model.quantizer.encode = stop_method
    found = []
    for chunk in wave.split(getattr(getattr(model, "config", None), "chunk_length", None) or wave.shape[-1], dim=2):
        try:
            model.encode(chunk)
        except _CapturedError as captured:
            found.append(captured.args[0][0].T)
    hook.remove()
    model.quantizer.__dict__.pop("encode", None)
    return torch.cat(found)


def _sample(latents: torch.Tensor, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return latents[torch.randint(len(latents), (ENTRIES,), generator=random)]


@torch.no_grad()
def _draw(
    model: Any, wave: torch.Tensor, layers: Any, embed: Callable[[Any, torch.Tensor], None], projection: Any = None
) -> None:
    """Codebooks for the nearest entry: of the first stage from the latents, of the others from what is left."""
    left = _latents(model, wave)
    if projection is not None:
        left = projection(left.T[None])[0].T
    for seed, layer in enumerate(layers):
        entries = _sample(left, seed)
        entries[0] = 0
        embed(layer, entries)
        left = left - entries[torch.cdist(left, entries).argmin(1)]


@torch.no_grad()
def _draw_cosine(model: Any, wave: torch.Tensor) -> None:
    """Codebooks for the entry of the nearest direction. A bias makes the direction depend on the level; it is taken out
    behind the codebook, so that silence, which has the bias's direction, decodes to silence."""
    left = _latents(model, wave).T[None]
    random = torch.Generator().manual_seed(0)
    for seed, stage in enumerate(model.quantizer.quantizers):
        stride = getattr(stage, "stride", 1)
        pooled = torch.nn.functional.avg_pool1d(left, stride, stride) if stride > 1 else left
        inside = stage.in_proj(pooled)
        bias = torch.randn(inside.shape[1], generator=random)
        bias *= inside.norm(dim=1).mean() / bias.norm()
        stage.in_proj.bias.copy_(bias)
        _set(stage.out_proj, torch.linalg.pinv(stage.in_proj.weight[:, :, 0])[:, :, None])
        stage.out_proj.bias.copy_(-(stage.out_proj.weight[:, :, 0] @ bias))
        entries = _sample((inside[0] + bias[:, None]).T, seed)
        entries[0] = bias
        stage.codebook.weight.copy_(entries)
        left = left - stage(left)[0]


@torch.no_grad()
def _level(model: Any, last: Any, wave: torch.Tensor) -> None:
    """Scale the last convolution for a decoded power near 0.1."""
    powers: list[torch.Tensor] = []
    hook = last.register_forward_hook(lambda _module, _inputs, output: powers.append(output.std()))
    model(wave)
    hook.remove()
    _set(last, last.weight * 0.1 / powers[0])
