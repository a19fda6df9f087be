"""The losses that TRL's own command gives: its arguments in as a JSON list, the losses out."""

import json
import sys
from pathlib import Path

import torch
from trl.scripts.sft import main, make_parser

if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments = json.load(sys.stdin)
    script, training, model, dataset = make_parser().parse_args_and_config(args=arguments)
    main(script, training, model, dataset)
    state = json.loads((Path(training.output_dir) / f"checkpoint-{training.max_steps}/trainer_state.json").read_text())
    print("\n" + json.dumps([entry["loss"] for entry in state["log_history"] if "loss" in entry]))
