"""Write the pages: `python -m tests.reference`."""

from __future__ import annotations

from tests.reference.pages import FOLDER, PAGES


def main() -> None:
    """Write every page that has changed, and name it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        file, text = FOLDER / name, page()
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
