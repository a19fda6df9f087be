from __future__ import annotations

from typing import Any

import pytest


def test_a_good_adapter_passes_and_its_rank_is_told(adapters: dict[str, Any]) -> None:
    assert adapters["verdicts"]["good"] == 8


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("rank", "layers.0.mlp.down_proj.lora_A.weight has rank 8, but adapter_config.json says 16"),
        ("unknown_layer", "no layer for base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight"),
        ("nan", "layers.1.self_attn.q_proj.lora_A.weight holds values that are not finite"),
        ("infinite", "layers.1.self_attn.q_proj.lora_A.weight holds values that are not finite"),
        ("huge", "far beyond any weight"),
        ("shape", "layers.1.self_attn.q_proj.lora_A.weight is of shape (8, 96), but the base needs (8, 128)"),
        ("half", "model.layers.1.self_attn.q_proj has only one of its two LoRA matrices"),
        ("dora", "plain LoRA"),
        ("empty", "no tensors"),
        ("other_base", "layers.0.mlp.down_proj.lora_A.weight is of shape (8, 384), but the base needs (8, 256)"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(adapters: dict[str, Any], adapter: str, said: str) -> None:
    assert said in str(adapters["verdicts"][adapter])


def test_a_probe_is_of_the_active_adapter_and_leaves_training_mode_alone(adapters: dict[str, Any]) -> None:
    assert adapters["probes"] is True
