"""What stands in a page: its blocks of code, the commands in them, links, headings and their anchors."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

FENCE = re.compile(r"^( *)(`{3,})([\w-]*)[^\n]*\n(.*?)^\1\2`*$", re.M | re.S)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
HEADING = re.compile(r"^(#{1,6}) +(.+?)(?: +\{#([\w-]+)\})? *#*$", re.M)
HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)(\w+)\1.*?\n(.*?\n)?\s*\2$", re.M | re.S)
SEPARATORS = frozenset({"&&", "||", "|", ";", "&"})


def words_of(block: str) -> Iterator[list[str]]:
    """Give the words of each command in a block of shell, those that other commands feed included."""
    command = ""
    for line in HERE_DOCUMENT.sub("", block).replace("\\\n", " ").split("\n"):
        command += re.sub(r"^\s*\$ ", "", line) + "\n"
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            found = list(lexer)
        except ValueError:  # a quotation continues in the next line
            continue
        command = ""
        words: list[str] = []
        for word in [*found, ";"]:
            if word in SEPARATORS:
                yield words
                words = []
            else:
                words.append(word)
    assert not command, f"no closing quotation: {command}"


def commands_in(text: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Give the variables and the arguments of each call of `evometrics` in a page's blocks of shell."""
    for _, _, language, block in FENCE.findall(text):
        if language not in ("bash", "sh", "shell", "console"):
            continue
        for words in words_of(block):
            given = {}
            while words and re.match(r"\w+=", words[0]):
                name, _, value = words.pop(0).partition("=")
                given[name] = value
            if words and words[0] in ("evometrics", ".venv/bin/evometrics"):
                redirected = next((n for n, word in enumerate(words) if word[0] in "<>"), len(words))
                yield given, words[1:redirected]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings that GitHub and MkDocs make alike."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    seen: dict[str, int] = {}
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for _, title, given in HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").strip().lower()
        github = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        mkdocs = given or re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())
        number = seen[github] = seen.get(github, 0) + 1
        if number == 1 and (given or github == mkdocs):
            found.add(mkdocs)
    return found
