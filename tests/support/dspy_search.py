"""A small task for DSPy's optimizers, without a language model: answers that depend on the whole prompt."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage, response_to_events

EXAMPLES = [
    dspy.Example(question=f"question {number}", answer=str(number % 3)).with_inputs("question")
    for number in range(8)
]


class Engine:
    """Answers from the prompt's hash, so that each program has scores of its own; 10 and 5 tokens a call."""

    def __init__(self) -> None:
        self.calls = 0

    def complete(self, request: Request) -> Response:
        self.calls += 1
        system = request.system or ""
        parts = [system if isinstance(system, str) else "".join(part.text for part in system)]
        parts += [message.text or "" for message in request.messages]
        digest = int(hashlib.sha256("\n".join(parts).encode()).hexdigest(), 16)
        wanted = parts[-1].rpartition("Respond with")[2]
        as_json = wanted.startswith(" a JSON object")
        names = re.findall(r"`(?:\[\[ ## )?(\w+)", wanted)
        values = {"answer": str(digest % 3)}
        texts = {name: values.get(name, f"{name} {digest % 1000}") for name in names if name != "completed"}
        if as_json:
            said = json.dumps(texts)
        else:
            said = "".join(f"[[ ## {name} ## ]]\n{text}\n\n" for name, text in texts.items())
        usage = Usage(input_tokens=10, output_tokens=5, total_tokens=15)
        message = Message.assistant([TextPart(said)])
        return Response(id=None, model="local", message=message, finish_reason="stop", usage=usage)

    def stream(self, request: Request) -> Iterator[Any]:
        return response_to_events(self.complete(request))

    def close(self) -> None:
        pass


def model(engine: Engine) -> dspy.LM:
    """Return a model of DSPy's that is this engine."""
    return dspy.LM("local/model", engine=engine, cache=False)


def exact(example: Any, prediction: Any, trace: Any = None, *_: Any) -> float:
    """Return whether an answer is right."""
    return float(example.answer == prediction.answer)


def exact_for_gepa(
    example: Any, prediction: Any, trace: Any = None, name: Any = None, own: Any = None
) -> Any:
    """Return whether an answer is right, and something to reflect on."""
    return dspy.Prediction(score=exact(example, prediction), feedback="It must be the remainder by 3.")


def program() -> dspy.Module:
    return dspy.Predict("question -> answer")
