from __future__ import annotations

import io

import pytest

from vljepa_lab.evaluation.quality.figures import TaskAnswers, macro, task_figures
from vljepa_lab.evaluation.quality.report import CARD_BEGIN, card_section, fill_card, print_table

RESULT = {
    "model_id": "nano-abc",
    "engine": "onnxruntime",
    "scenes": {"test_a": 20, "test_b": 5},
    "tasks": {
        "door": {
            "accuracy": 0.9,
            "ci": [0.85, 0.95],
            "blind": 0.5,
            "other_clip": 0.48,
            "n": 100,
            "scenes": 20,
        },
        "retrieval_r1": {"accuracy": 0.3, "ci": [0.2, 0.4], "blind": None, "n": 50, "scenes": 20},
    },
    "macro_vqa": 0.9,
    "ece_debiased": 0.02,
    "events_named_share": 0.7,
    "text_right_share": None,
}


def test_figures_of_known_answers():
    judged = TaskAnswers(
        scenes=["a", "a", "b", "b"],
        right=[True, True, True, False],
        blind_majority=[True, False, False, False],
        blind_zeroed=[True, True, False, False],
    )
    figures = task_figures(judged)
    assert figures["accuracy"] == 0.75
    assert figures["blind"] == 0.5  # the better of the two
    assert figures["blind_by"] == {"majority": 0.25, "zeroed": 0.5}
    assert task_figures(judged, 0.6)["blind"] == 0.6  # one trained without seeing is better still
    assert (figures["n"], figures["scenes"]) == (4, 2)
    assert figures["ci"][0] <= 0.75 <= figures["ci"][1]


def test_a_known_chance_level_stands_for_the_blind_answer():
    assert task_figures(TaskAnswers(["a"], [True], chance=0.02))["blind"] == 0.02
    assert task_figures(TaskAnswers(["a"], [True]))["blind"] is None


def test_macro_is_over_vqa_tasks_only():
    tasks = RESULT["tasks"] | {"exists": {"accuracy": 0.7, "blind": 0.4}}
    assert macro(tasks) == {"macro_vqa": 0.8, "macro_vqa_above_blind": pytest.approx(0.65)}
    assert macro({}) == {}


def test_card_is_replaced_in_place_and_written_only_once():
    card = f"# nano\n\nabove\n\n{card_section(RESULT)}\n\nbelow\n"
    changed = RESULT | {"macro_vqa": 0.95}
    filled = fill_card(card, changed)
    assert filled.startswith("# nano\n\nabove")
    assert filled.endswith("below\n")
    assert filled.count(CARD_BEGIN) == 1
    assert "mean VQA accuracy: 0.950" in filled
    assert fill_card(filled, changed) == filled
    row = "| door | 0.900 | 0.850 to 0.950 | 0.500 | 0.480 | 100 |"
    assert fill_card("# new\n", RESULT).count(row) == 1


def test_the_card_begins_with_the_two_figures_that_matter_most_and_names_what_failed():
    section = card_section(RESULT).splitlines()
    assert section[2] == "- **mean VQA accuracy: 0.900**"
    assert section[3] == "- **share of events named rightly: 0.700**"
    assert "not to be relied on" not in card_section(RESULT)
    failed = {"accuracy": 0.5, "ci": [0.48, 0.52], "blind": 0.5, "n": 90, "scenes": 20}
    worse = RESULT | {"tasks": RESULT["tasks"] | {"side": failed}}
    assert "not to be relied on: side." in card_section(worse)


def test_table_shows_every_task():
    out = io.StringIO()
    print_table(RESULT, out)
    text = out.getvalue()
    assert "retrieval_r1" in text
    assert "expected calibration error, the answer being among the candidates: 0.020" in text
    assert "text is true" not in text  # not measured
