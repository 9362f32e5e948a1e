"""Writes docs/options.md from the options themselves: `python docs/make_options.py`; a test says when it is due."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_tdengine.migration.assessment_options import ASSESSMENT_OPTIONS
from airflow_provider_tdengine.migration.options import OPTIONS, Option

FILE = Path(__file__).parent / "options.md"

_HEAD = "| option | default | what it does, and when to change it |"


def render() -> str:
    """The page."""
    lines = [
        "# Options of a migration",
        "",
        "The trigger form shows these options, `migration_dag(defaults={...})` sets what it shows first, and the",
        "operators take them as `options={...}`. This page is made by `python docs/make_options.py`.",
    ]
    section = ""
    for name, option in OPTIONS.items():
        if option.section != section:
            section = option.section
            lines += ["", f"## {section}", "", _HEAD, "|---|---|---|"]
        lines.append(_line(name, option))
    lines += ["", "# Options of an assessment of whole servers", ""]
    lines += ["`assessment_dag()` and `TDengineAssessOperator` take these: see [assessment.md](assessment.md).", ""]
    lines += [_HEAD, "|---|---|---|", *(_line(name, option) for name, option in ASSESSMENT_OPTIONS.items())]
    return "\n".join(lines) + "\n"


def _line(name: str, option: Option) -> str:
    explanation = option.explanation
    for value, meaning in option.choices.items():
        explanation += f"<br>`{value}`: {meaning}"
    if option.minimum is not None:
        most = "" if option.maximum is None else f" to {option.maximum:,}"
        explanation += f"<br>From {option.minimum}{most}."
    if option.examples:
        explanation += "<br>For example " + ", ".join(f"`{example}`" for example in option.examples)
    default = "required" if option.required else option.default
    return f"| `{name}` | {default} | {explanation.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
