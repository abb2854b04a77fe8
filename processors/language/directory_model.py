"""A language model in the process, from a Hugging Face directory: any causal model that transformers knows, EXAONE 4 too.

Nothing is downloaded and no code of the directory runs: `local_files_only`, `trust_remote_code=False`, safetensors alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, StoppingCriteriaList

from processors.devices import release_memory
from processors.language.answers import generate_valid
from processors.language.directory import NAMED, checked_directory
from processors.language.event_stream import clean
from processors.language.model import ChatMessage, Generated, ModelUnavailable, never
from processors.language.token_stream import StopWhen, TokenStream
from schemas.errors import JobCancelled, ModelNotFound

#: Seconds of one call of `generate` in all.
TIMEOUT_S = 120.0
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
#: How a conversation reads for a model without a chat template, and where its answer ends.
_PLAIN_ANSWER, _PLAIN_STOP = "assistant:", "\nuser:"


class DirectoryModel:
    """A loaded model. Weights are float32 on the CPU, and as they are stored on a GPU.

    `device`: where it runs. `note`: the reason, if that is not the device that was asked for. Raises ModelNotFound for a
    directory that can't be loaded whole.
    """

    def __init__(self, directory: str, device: str, *, sha256: str = "", timeout_s: float = TIMEOUT_S) -> None:
        path = checked_directory(directory, sha256)
        self.name = path.resolve().name
        self._timeout_s = timeout_s
        self._tokenizer = _tokenizer(path)
        self._network = _network(path, device)
        self.device, self.note = _placed(self._network, device)
        added = (str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special)
        self._special = sorted((token for token in added if len(token) > 1), key=len, reverse=True)
        self._system_apart = self._check_template(path)
        self._longest = int(getattr(self._network.config, "max_position_embeddings", 0) or 1 << 30)
        self.generate([ChatMessage("user", "?")], max_tokens=1)  # what is broken shows now

    def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        schema: Mapping[str, Any] | None = None,
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> Generated:
        """Return the model's answer; see LanguageModel. A cancel, or the time limit, ends it at the next token.

        An answer ends, cut, where the model's context does.
        """
        until = time.monotonic() + self._timeout_s

        def ask(messages: Sequence[ChatMessage]) -> Generated:
            return self._answer(messages, max_tokens, temperature, on_text, cancelled, until)

        return ask(messages) if schema is None else generate_valid(ask, messages, schema, on_text)

    def _answer(
        self,
        messages: Sequence[ChatMessage],
        max_tokens: int,
        temperature: float,
        on_text: Callable[[str], None] | None,
        cancelled: Callable[[], bool],
        until: float,
    ) -> Generated:
        prompt = self._encoded(messages)
        room = self._longest - prompt.shape[1]
        if room < 1:
            raise ModelUnavailable(
                f"The prompt has {prompt.shape[1]} tokens, and {self.name} takes {self._longest} with its answer.",
                reason="too_long",
                next_step="Shorten the prompt, or use a model with a longer context.",
            )
        most = min(max_tokens, room)
        stream = TokenStream(self._tokenizer, on_text, "" if self._tokenizer.chat_template else _PLAIN_STOP)
        stop = StopWhen(lambda: stream.stopped or cancelled() or time.monotonic() >= until)
        _raise_if_over(cancelled, until, self.name, self._timeout_s)
        try:
            found = self._network.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=self._settings(most, temperature),
                stopping_criteria=StoppingCriteriaList([stop]),
                streamer=stream,
            )
        except torch.OutOfMemoryError as error:
            release_memory()
            raise ModelUnavailable(
                f"{self.device} has too little memory for an answer of {self.name}.", reason="out_of_memory"
            ) from error
        ended = int(found[0, -1]) in self._ends or stream.stopped
        if not ended and stream.count < most:
            _raise_if_over(cancelled, until, self.name, self._timeout_s)
        return Generated(stream.text, self.name, stream.count, cut=not ended, note=self.note)

    def _settings(self, max_tokens: int, temperature: float) -> GenerationConfig:
        """Return the directory's settings of generation (its end tokens), with the call's."""
        settings = copy.deepcopy(self._network.generation_config)
        settings.max_length, settings.max_new_tokens = None, max_tokens
        settings.num_beams = settings.num_return_sequences = 1
        settings.do_sample = temperature > 0
        settings.temperature = temperature or None
        settings.top_p = settings.top_k = None
        if settings.pad_token_id is None:
            settings.pad_token_id = next(iter(self._ends), 0)
        return settings

    @property
    def _ends(self) -> set[int]:
        ends = self._network.generation_config.eos_token_id
        return set(ends) if isinstance(ends, list) else set() if ends is None else {ends}

    def _encoded(self, messages: Sequence[ChatMessage]) -> torch.Tensor:
        """Return the tokens of the conversation, (1, n)."""
        spoken = [{"role": each.role, "content": self._harmless(each.content)} for each in messages]
        if not self._tokenizer.chat_template:
            text = "".join(f"{each['role']}: {each['content']}\n" for each in spoken) + _PLAIN_ANSWER
            tokens = self._tokenizer(text, return_tensors="pt")["input_ids"]
        else:
            text = self._tokenizer.apply_chat_template(
                spoken if self._system_apart else _system_merged(spoken), tokenize=False, add_generation_prompt=True
            )
            tokens = self._tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return torch.as_tensor(tokens, device=self.device)

    def _harmless(self, content: str) -> str:
        """Split special tokens that stand in a text, so that a document can't speak as another role."""
        content = clean(content)
        for token in self._special:
            content = content.replace(token, f"{token[0]} {token[1:]}")
        return content

    def _check_template(self, path: Path) -> bool:
        """Return whether the chat template knows the role system. Raises ModelNotFound if it can't be used at all."""
        if not self._tokenizer.chat_template:
            return True
        conversation = [{"role": "system", "content": "An order."}, {"role": "user", "content": "A question."}]
        for apart in (True, False):
            spoken = conversation if apart else _system_merged(conversation)
            try:
                text = self._tokenizer.apply_chat_template(spoken, tokenize=False, add_generation_prompt=True)
                if "An order." in text and "A question." in text:
                    return apart
            except (TemplateError, ValueError, TypeError, KeyError) as error:
                fault = type(error).__name__
            else:
                fault = "it leaves the message out"
        raise ModelNotFound(
            f"The chat template of {path.name} can't be used ({fault}).",
            next_step="Correct chat_template.jinja or tokenizer_config.json, or remove the template.",
        )


def _tokenizer(path: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(path, **_LOCAL)
    except Exception as error:  # transformers raises whatever a broken file makes it
        raise ModelNotFound(
            f"The tokenizer of {path.name} can't be loaded ({type(error).__name__}).",
            next_step="It may be damaged, need code of its own, which is never run, or need a newer transformers.",
        ) from error


def _network(path: Path, device: str) -> Any:
    """Load the weights on the CPU. Weights that the file lacks would be random: they are refused."""
    try:
        config = AutoConfig.from_pretrained(path, **_LOCAL)
        network, found = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            use_safetensors=True,
            dtype=torch.float32 if device == "cpu" else "auto",
            output_loading_info=True,
            **_LOCAL,
        )
    except Exception as error:
        raise ModelNotFound(
            f"{path.name} can't be loaded as a causal language model ({type(error).__name__}).",
            next_step="transformers may not know its architecture, which may need code of its own; that is never run.",
        ) from error
    for fault, names in (("lacks weights", "missing_keys"), ("has weights of another shape", "mismatched_keys")):
        if found[names]:
            listed = sorted(str(name) for name in found[names])
            more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
            raise ModelNotFound(
                f"{path.name} {fault}: {', '.join(listed[:NAMED])}{more}.",
                next_step="config.json and the weights are of different models; fetch both again.",
            )
    if not all(bool(torch.isfinite(each).all()) for each in network.parameters()):
        raise ModelNotFound(f"{path.name} has weights that are NaN or infinite.", next_step="Take another checkpoint.")
    return network.eval()


def _placed(network: Any, device: str) -> tuple[str, str]:
    """Move the network to the device, else to the CPU; return where it is, and the reason if that is not the device."""
    try:
        network.to(device)
        return device, ""
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch is built without CUDA
        fault = (str(error).strip().splitlines() or [type(error).__name__])[0]
    release_memory()
    network.to("cpu", torch.float32)
    return "cpu", f"running on the CPU, because {device} does not work here: {fault}"


def _system_merged(spoken: list[dict[str, str]]) -> list[dict[str, str]]:
    """Put the system's message in front of the user's: some templates know no system."""
    if len(spoken) < 2 or spoken[0]["role"] != "system":
        return spoken
    return [{"role": spoken[1]["role"], "content": f"{spoken[0]['content']}\n\n{spoken[1]['content']}"}, *spoken[2:]]


def _raise_if_over(cancelled: Callable[[], bool], until: float, name: str, timeout_s: float) -> None:
    if cancelled():
        raise JobCancelled("Stopped while the language model was answering.")
    if time.monotonic() >= until:
        raise ModelUnavailable(
            f"{name} gave no whole answer within {timeout_s:g} s.",
            reason="timeout",
            next_step="Set LLM_TIMEOUT_S higher, ask for fewer tokens, or use a GPU.",
        )
