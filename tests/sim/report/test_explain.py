"""The story behind a failure: backwards by causes, told forwards."""

import re

import pytest

from ferrite.sim.recording import RecordingInvalid
from ferrite.sim.report import Link, explain, explanation_text
from ferrite.sim.report.explain import FAULTS_MAX
from tests.sim.report import small
from tests.sim.report.sample import sample_rows
from tests.sim.report.small import lost_votes


def numbered(links: list[Link], part: str) -> int:
    """The number of the only sentence with this in it."""
    found = [number for number, link in enumerate(links, start=1) if part in link.text]
    assert len(found) == 1, f"{part!r} in {found}"
    return found[0]


def test_the_story_ends_with_the_violation_and_goes_back_to_its_step() -> None:
    links = explain(lost_votes())
    assert links[-1].text == "S10 is violated at node 2: Nothing is lost. entry 3"
    assert numbered(links, "node 2: RequestVote from 3") in links[-1].because


def test_a_step_is_because_of_the_frame_and_the_frame_because_of_the_step_that_sent_it() -> None:
    links = explain(lost_votes())
    frame = numbered(links, "RequestVote term 2 from node 3 (sent at 0.000100 s) arrives at node 2")
    campaign = numbered(links, "becomes candidate of term 2")
    assert frame in links[numbered(links, "node 2: RequestVote from 3") - 1].because
    assert links[frame - 1].because == (campaign,)


def test_the_power_loss_in_between_is_told_with_its_fault() -> None:
    links = explain(lost_votes())
    vote, restart = numbered(links, "node 2: RequestVote from 3"), numbered(links, "starts again (boot 2)")
    down, fault = numbered(links, "node 2 lost power"), numbered(links, "fault crash:0")
    assert restart in links[vote - 1].because
    assert down in links[restart - 1].because
    assert fault in links[down - 1].because


def test_a_timer_is_explained_by_the_frames_that_did_not_come() -> None:
    links = explain(lost_votes())
    campaign = numbered(links, "becomes candidate of term 2")
    assert "after 1 frame to it was lost (1 by partition)" in links[campaign - 1].text
    assert numbered(links, "fault partition:0") in links[campaign - 1].because


def test_the_whole_small_story_reads_as_it_happened() -> None:
    assert explanation_text(explain(lost_votes())) == (
        "#1   0.000000 s  node 1 starts with term 0, log up to 0, applied 0.\n"
        "#2   0.000000 s  node 2 starts with term 0, log up to 0, applied 0.\n"
        "#3   0.000000 s  node 3 starts with term 0, log up to 0, applied 0.\n"
        "#4   0.000010 s  node 1: its timer fires: becomes leader of term 1 -> Send AppendEntries, because of #1.\n"
        "#5   0.000020 s  AppendEntries term 1 from node 1 (sent at 0.000010 s) arrives at node 2, because of #4.\n"
        "#6   0.000020 s  node 2: AppendEntries from 1: follows node 1 in term 1, because of #2, #5.\n"
        "#7   0.000030 s  fault crash:0: a crash, until 0.000050 s.\n"
        "#8   0.000030 s  node 2 lost power, because of #6, #7.\n"
        "#9   0.000050 s  node 2 starts again (boot 2) with term 0, log up to 0, applied 0, because of #7, #8.\n"
        "#10  0.000060 s  fault partition:0: a partition, until 0.000200 s.\n"
        "#11  0.000100 s  node 3: its timer fires after 1 frame to it was lost (1 by partition): "
        "becomes candidate of term 2 -> Send RequestVote, because of #3, #10.\n"
        "#12  0.000110 s  RequestVote term 2 from node 3 (sent at 0.000100 s) arrives at node 2, because of #11.\n"
        "#13  0.000110 s  node 2: RequestVote from 3: enters term 2, because of #9, #12.\n"
        "#14  0.000110 s  S10 is violated at node 2: Nothing is lost. entry 3, because of #13.\n"
    )


@pytest.mark.parametrize("steps_max", [1, 2, 7, 40])
def test_the_story_is_bounded_in_order_and_every_reason_stands_before(steps_max: int) -> None:
    links = explain(sample_rows(until_us=3_000_000), steps_max=steps_max)
    assert len(links) == steps_max
    assert [link.row for link in links] == sorted(link.row for link in links)
    for number, link in enumerate(links, start=1):
        assert all(0 < reason < number for reason in link.because)
        assert number == len(links) or any(number in later.because for later in links)


def test_what_changed_a_state_wins_over_what_moved_an_index() -> None:
    recording = small.run()
    small.boot(recording, 0, 1)
    step = small.step(recording, 1, 1, state=small.state("leader", 1))
    for t in range(2, 60):
        step = small.step(recording, t, 1, step, state=small.state("leader", 1, last=t))
    small.violation(recording, 60, 1, step)
    texts = [link.text for link in explain(recording.rows, steps_max=5)]
    assert any("becomes leader of term 1" in text for text in texts)
    assert any("node 1 starts" in text for text in texts)


def test_of_many_faults_only_the_newest_are_told() -> None:
    recording = small.run()
    small.boot(recording, 0, 1)
    names = [f"partition:{number}" for number in range(9)]
    for t, name in enumerate(names, start=1):
        small.fault(recording, t, name, 100, links=[[1, 2]])
    small.violation(recording, 20, 1, small.step(recording, 20, 1, state=small.state("candidate", 1)))
    story = explanation_text(explain(recording.rows))
    assert [name for name in names if name in story] == names[-FAULTS_MAX:]


def test_any_row_can_be_explained() -> None:
    rows = lost_votes()
    lost = next(row for row in rows if row["row"] == "lost")
    links = explain(rows, row=lost["id"])
    assert links[-1].row == lost["id"]
    assert links[-1].text == "Heartbeat term 1 from node 1 to node 3 is lost (partition)"


def test_an_operation_ends_because_of_its_attempts() -> None:
    rows = sample_rows(until_us=1_500_000)
    complete = next(row for row in rows if row["row"] == "complete" and row["outcome"] == "ok")
    texts = [link.text for link in explain(rows, row=complete["id"])]
    operation = complete["operation"]
    assert any(f"operation {operation} goes to node" in text for text in texts)
    assert any(re.search(rf"c\d+ asks .* \(operation {operation}\)", text) for text in texts)


def test_a_clean_run_needs_a_row_to_explain() -> None:
    rows = sample_rows(until_us=500_000, violation=False)
    with pytest.raises(RecordingInvalid, match="no `violation`; name the id of the row"):
        explain(rows)
    with pytest.raises(RecordingInvalid, match="no row 999999"):
        explain(rows, row=999_999)
    with pytest.raises(ValueError, match="steps_max 0"):
        explain(rows, row=1, steps_max=0)
