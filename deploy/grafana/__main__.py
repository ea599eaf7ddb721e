"""Write the dashboards: `python -m evometrics.deploy.grafana`."""

from __future__ import annotations

from evometrics.deploy.grafana.building import FOLDER, built


def main() -> None:
    """Write every file that has changed, and name it."""
    for name, text in built().items():
        file = FOLDER / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
