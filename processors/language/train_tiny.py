"""Trains a tiny model of EXAONE 4's architecture, to try loaders and servers with: 100 s on one thread.

    python -m processors.language.train_tiny OUTPUT_DIR [--interviews]

The directory is what a real EXAONE's is: config.json, a tokenizer with a chat template, sharded safetensors. A README.md beside
them is the model's card, with the perplexities measured here. The model is for tests alone; it knows nothing.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Exaone4Config, Exaone4ForCausalLM, GenerationConfig, PreTrainedTokenizerFast

from processors.language.tiny_data import HELD_OUT, TOPICS, Conversation, questions, training_set
from processors.language.tiny_interviews import interviews

log = structlog.get_logger()

VOCABULARY = 1024
PAD, END = "[PAD]", "[|endofturn|]"
SPECIAL = (PAD, END, "[|system|]", "[|user|]", "[|assistant|]")
#: The form of a conversation, as EXAONE 4's template writes it.
TEMPLATE = (
    "{% for message in messages %}[|{{ message['role'] }}|]\n{{ message['content'] }}[|endofturn|]\n{% endfor %}"
    "{% if add_generation_prompt %}[|assistant|]\n{% endif %}"
)
ANSWER = "[|assistant|]\n"
SHAPE: dict[str, Any] = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,  # prompts of `question` have up to 900
    "sliding_window": None,  # as in EXAONE 4.0 1.2B: all layers see everything
    "layer_types": ["full_attention"] * 4,
    "tie_word_embeddings": True,
}
SEED = 12
#: Conversations of a step: of short ones, and of interviews.
BATCH, INTERVIEW_BATCH = 16, 3
#: Interviews in each language, to train on and to measure with.
INTERVIEWS, OTHER_INTERVIEWS = 60, 4
RATE = 3e-3
#: CPU time of a training, without and with interviews.
SECONDS, INTERVIEW_SECONDS = 95.0, 170.0

#: A conversation's tokens, and where its answer begins.
Example = tuple[list[int], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("output", type=Path, help="folder to write the model into")
    parser.add_argument("--interviews", action="store_true", help="learn to answer prompts of `question`, too")
    parser.add_argument("--seconds", type=float, help=f"CPU time to train for ({SECONDS:g}, or {INTERVIEW_SECONDS:g})")
    arguments = parser.parse_args()
    usual = INTERVIEW_SECONDS if arguments.interviews else SECONDS
    train(arguments.output, arguments.seconds or usual, with_interviews=arguments.interviews)


def train(output: Path, seconds: float, *, with_interviews: bool) -> None:
    """Train for `seconds` of CPU time on one thread and write the directory. A faster machine makes more steps.

    `with_interviews`: every second step is one of prompts of `question`. The short conversations are then learned less well.
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    groups = [(training_set(SEED), BATCH)]
    if with_interviews:
        groups.append((list(interviews(INTERVIEWS, SEED)), INTERVIEW_BATCH))
    tokenizer = make_tokenizer([each for group, _ in groups for each in group])
    network = make_network(tokenizer)
    steps = _fit(network, [([encoded(tokenizer, each) for each in group], size) for group, size in groups], seconds)
    network.eval()
    measured: dict[str, Any] = {
        "steps": steps,
        "parameters": sum(each.numel() for each in network.parameters()),
        "perplexity_training": perplexity(network, tokenizer, list(questions(TOPICS))),
        "perplexity_held_out_topics": perplexity(network, tokenizer, list(questions(HELD_OUT))),
    }
    if with_interviews:
        others = list(interviews(OTHER_INTERVIEWS, SEED + 1))
        measured["perplexity_other_interviews"] = perplexity(network, tokenizer, others)
    save(network, tokenizer, output)
    (output / "README.md").write_text(_card(measured, seconds), encoding="utf-8")
    log.info("weights written", path=str(output), **measured)


def make_tokenizer(conversations: Sequence[Conversation]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the conversations; every text can be encoded with it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(each, special=True) for each in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((each.content for spoken in conversations for each in spoken), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END)
    fast.chat_template = TEMPLATE
    return fast


def make_network(tokenizer: PreTrainedTokenizerFast) -> Exaone4ForCausalLM:
    """Return the network with random weights."""
    config = Exaone4Config(
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPE,
    )
    return Exaone4ForCausalLM(config)


def save(network: Exaone4ForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """Write the directory, with the weights in shards of 3 MB."""
    network.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    network.save_pretrained(output, max_shard_size="3MB")
    tokenizer.save_pretrained(output)


def encoded(tokenizer: PreTrainedTokenizerFast, conversation: Conversation) -> Example:
    """Return a conversation's tokens, and where its answer begins."""
    text = tokenizer.apply_chat_template(
        [{"role": each.role, "content": each.content} for each in conversation], tokenize=False
    )
    prompt, answer = str(text).rsplit(ANSWER, 1)
    start = tokenizer(prompt + ANSWER, add_special_tokens=False)["input_ids"]
    return start + tokenizer(answer, add_special_tokens=False)["input_ids"], len(start)


def perplexity(
    network: Exaone4ForCausalLM, tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Conversation]
) -> float:
    """Return the perplexity per token of the answers."""
    lost, count = 0.0, 0
    with torch.inference_mode():
        for conversation in conversations:
            tokens, labels = _batch([encoded(tokenizer, conversation)])
            counted = int((labels[:, 1:] != -100).sum())
            lost += float(network(input_ids=tokens, labels=labels).loss) * counted
            count += counted
    return round(math.exp(lost / count), 2)


def _fit(network: Exaone4ForCausalLM, groups: Sequence[tuple[Sequence[Example], int]], seconds: float) -> int:
    """Train by AdamW until the CPU time is over, the rate falling as a cosine of it; return the number of steps.

    `groups`: examples, and how many of them are a batch; steps take the groups in turn.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    drawn = torch.Generator().manual_seed(SEED)
    started, steps = time.process_time(), 0
    network.train()
    while (passed := (time.process_time() - started) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (steps + 1) / 20) * (0.05 + 0.95 * (1 + math.cos(math.pi * passed)) / 2)
        examples, size = groups[steps % len(groups)]
        picked = torch.randint(len(examples), (size,), generator=drawn).tolist()
        tokens, labels = _batch([examples[each] for each in picked])
        network(input_ids=tokens, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        steps += 1
    return steps


def _batch(examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and labels, (n, longest). Only answers are learned. Padding is on the right, where no token sees it."""
    longest = max(len(tokens) for tokens, _ in examples)
    rows = [tokens + [0] * (longest - len(tokens)) for tokens, _ in examples]
    labels = [[-100] * start + tokens[start:] + [-100] * (longest - len(tokens)) for tokens, start in examples]
    return torch.tensor(rows), torch.tensor(labels)


def _card(measured: dict[str, Any], seconds: float) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in measured.items())
    return f"""# A tiny model of EXAONE 4's architecture

`python -m processors.language.train_tiny` trained it for {seconds:g} CPU seconds, on conversations that are made from
templates. It exists to try loaders and servers with. It does not interview, and it has no knowledge.

| measured | |
|---|---|
{rows}

Held-out topics are named in no training example; the stages and the sentences around them are. It copies an unseen topic
badly, and often puts a known one in its place. With --interviews it gives the first or the first few of a set of questions;
then it repeats itself, and `question` says so and asks its default.
"""


if __name__ == "__main__":
    main()
