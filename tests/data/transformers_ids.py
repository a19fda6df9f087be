"""What Transformers itself makes of conversations: JSON `[folder, conversations]` pairs in, ids and masks out."""

import json
import sys

from transformers import AutoTokenizer


def rendered(folder: str, conversations: list[list[dict[str, str]]]) -> list[list[list[int]]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    made = []
    for messages in conversations:
        whole = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
        prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=True)
        made.append([whole["input_ids"], whole["assistant_masks"], prompt["input_ids"]])
    return made


if __name__ == "__main__":
    print("\n" + json.dumps([rendered(*pair) for pair in json.load(sys.stdin)]))
