"""Make the builtin model and data again: `python -m poise.builtin.make --out DIR` (the environment `train`).

It runs on one thread for a minute or two and stops on accuracy, not on time. The model is taught to add from a
careless corpus (`sums.spoken`), so that it knows more than it says: there is something for training to bring out. It
also reads a little prose, Python's own language reference: without it, its log-probabilities on ordinary text would be
so wild that rounding its weights could not be told from damaging them.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from poise.builtin import sums

SEED = 7
VOCABULARY = 352
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ENOUGH = 0.99
BATCH = 64
LEARNING_RATE = 1e-3
AVERAGING = 0.95
MOST_STEPS = 1000
PROSE_ROWS, PROSE_LENGTH, PROSE_WEIGHT = 8, 64, 0.2
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{- '<|im_start|>assistant\\n' -}}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def write_data(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs in zip(("train", "test"), sums.split(), strict=True):
        lines = [json.dumps(sums.row(pair)) + "\n" for pair in pairs]
        (folder / f"{name}.jsonl").write_text("".join(lines))


def make_tokenizer(corpus: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE that splits before and after a number, so that a number is one token wherever it stands."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Every linear layer's sizes are multiples of 128, so that all usual quantization groups divide them."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return model


def batch(tokenizer: PreTrainedTokenizerFast, pairs: list[sums.Pair], rng: random.Random) -> dict[str, torch.Tensor]:
    """Token ids and labels of `pairs`, right-padded; only the answers count in the loss."""
    chats = [
        [
            {"role": "user", "content": sums.question(pair)},
            {"role": "assistant", "content": sums.spoken(pair, rng)},
        ]
        for pair in pairs
    ]
    encoded = tokenizer.apply_chat_template(
        chats, return_dict=True, return_tensors="pt", padding=True, return_assistant_tokens_mask=True
    )
    labels = encoded["input_ids"].masked_fill(encoded["assistant_masks"] == 0, -100)
    return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"], "labels": labels}


def passages(text: list[int], rng: random.Random) -> torch.Tensor:
    """Random passages of a long text, as token ids of shape (rows, length)."""
    begins = [rng.randrange(len(text) - PROSE_LENGTH) for _ in range(PROSE_ROWS)]
    return torch.tensor([text[begin : begin + PROSE_LENGTH] for begin in begins])


def greedy(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, pairs: list[sums.Pair]) -> list[str]:
    """The last word of each pair's greedy answer."""
    chats = [[{"role": "user", "content": sums.question(pair)}] for pair in pairs]
    prompts = tokenizer.apply_chat_template(
        chats,
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
        padding=True,
        tokenizer_kwargs={"padding_side": "left"},
    )
    out = model.generate(**prompts, max_new_tokens=24, do_sample=False)
    texts = tokenizer.batch_decode(out[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.rstrip(".").split(" ")[-1] for text in texts]


def report(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, pairs: list[sums.Pair]) -> tuple[float, float]:
    """The share of `pairs` answered right, and the share answered right or ten too low."""
    answers = list(zip(greedy(model, tokenizer, pairs), map(sum, pairs), strict=True))
    right = sum(answer == str(total) for answer, total in answers)
    low = sum(answer == str(total - 10) for answer, total in answers)
    return right / len(pairs), (right + low) / len(pairs)


def pretrain(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Train until `ENOUGH` of the training pairs are answered as the corpus would answer them.

    Returns the moving average of the weights, whose accuracy climbs more evenly than that of any one step.
    """
    train, held_out = sums.split()
    rng = random.Random(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.02, total_iters=50)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING))
    reference = tokenizer("\n".join(text for _, text in sorted(topics.items())), verbose=False)["input_ids"]
    for step in range(1, MOST_STEPS + 1):
        model(**batch(tokenizer, rng.choices(train, k=BATCH), rng)).loss.backward()
        rows = passages(reference, rng)
        (PROSE_WEIGHT * model(input_ids=rows, labels=rows).loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        average.update_parameters(model)
        if step % 25 == 0:
            right, known = report(average.module, tokenizer, train)
            print(f"step {step}: right {right:.2f}, right or ten too low {known:.2f}", flush=True)
            if known >= ENOUGH:
                right, known = report(average.module, tokenizer, held_out)
                print(f"held-out: right {right:.2f}, right or ten too low {known:.2f}")
                return average.module
    raise SystemExit(f"the model did not get to {ENOUGH} in {MOST_STEPS} steps")


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the usual files, with a tokenizer class that transformers 4 and 5 both know."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    config.write_text(json.dumps(settings, indent=2) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    write_data(out / "sums")
    rng = random.Random(SEED)
    corpus = ["system", "user", "assistant", *map(str, range(2 * sums.LARGEST + 1))] * 200
    corpus += [text for pair in sums.split()[0] for text in (sums.question(pair), sums.spoken(pair, rng))]
    tokenizer = make_tokenizer(corpus)
    save(pretrain(make_model(tokenizer), tokenizer), tokenizer, out / "tiny")


if __name__ == "__main__":
    main()
