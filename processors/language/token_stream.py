"""Turns the tokens of a running generation into pieces of text, and stops it: a streamer and a criterion of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

#: The decoder's sign of a character of which bytes are still to come.
_PARTIAL = "�"


class TokenStream:
    """Collects the pieces of one answer, as `generate` makes it. `stop`: the text ends before it, "" for no such text.

    A piece is passed on once its characters are whole, and once it can't be the beginning of `stop`.
    """

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None] | None, stop: str = "") -> None:
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._stop = stop
        self._tokens: list[int] = []
        self._from, self._decoded = (
            0,
            0,
        )  # tokens before `_from` are not decoded again, those before `_decoded` are text
        self._held = ""
        self._pieces: list[str] = []
        self._in_prompt = True
        self.stopped = False

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def count(self) -> int:
        return len(self._tokens)

    def put(self, value: torch.Tensor) -> None:
        if self._in_prompt:  # the first call is the prompt
            self._in_prompt = False
            return
        self._tokens.extend(value.reshape(-1).tolist())
        self._decode(last=False)

    def end(self) -> None:
        self._decode(last=True)
        if not self.stopped:
            self._pass_on(self._held)
        self._held = ""

    def _decode(self, last: bool) -> None:
        """Decode the newest tokens with a few before them: some tokenizers put a space before the first one of a text."""
        before = self._text_of(self._tokens[self._from : self._decoded])
        now = self._text_of(self._tokens[self._from :])
        if len(now) <= len(before) or (now.endswith(_PARTIAL) and not last):
            return
        self._from, self._decoded = self._decoded, len(self._tokens)
        self._hold(now[len(before) :])

    def _hold(self, text: str) -> None:
        if self.stopped:
            return
        self._held += text
        if self._stop and self._stop in self._held:
            self._pass_on(self._held.partition(self._stop)[0])
            self._held, self.stopped = "", True
            return
        kept = next((n for n in range(len(self._stop) - 1, 0, -1) if self._held.endswith(self._stop[:n])), 0)
        cut = len(self._held) - kept
        whole, self._held = self._held[:cut], self._held[cut:]
        self._pass_on(whole)

    def _pass_on(self, text: str) -> None:
        text = text.replace("\0", "")
        if text:
            self._pieces.append(text)
            if self._on_text is not None:
                self._on_text(text)

    def _text_of(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class StopWhen:
    """Ends a generation after the token at which `condition` becomes true."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self._condition(), dtype=torch.bool, device=input_ids.device)
