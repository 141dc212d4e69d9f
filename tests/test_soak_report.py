"""The report of `make soak` says what was done, how often, what held and what was measured, and why what failed failed."""

from __future__ import annotations

import pytest

pytest_plugins = "pytester"

SUITE = '''
import pytest

@pytest.mark.parametrize("seed", range(3))
def test_rows_survive_kills(seed, record_property):
    """Killed | again,
    and again."""
    record_property("killed", 10 + seed)
    record_property("recovery seconds", 1.5 + seed)
    record_property("ends", "whole")
    assert seed != 1, "a row is gone\\nand more"

@pytest.mark.skip(reason="no redis here")
def test_two_workers():
    pass

@pytest.fixture
def broken():
    yield
    raise RuntimeError("it would not stop")

def test_what_is_left_behind(broken):
    pass

def test_nothing_to_tell():
    pass
'''


def lines(pytester: pytest.Pytester, *options: str) -> list[str]:
    pytester.makepyfile(test_faults=SUITE)
    result = pytester.runpytest_inprocess("-p", "tests.soak_report", "-p", "no:cacheprovider", *options)
    result.stdout.fnmatch_lines(["report: *out.md"])
    return (pytester.path / "out.md").read_text().splitlines()


def test_the_report_has_a_line_for_every_suite_and_names_what_failed(pytester: pytest.Pytester) -> None:
    said = lines(pytester, "--soak-report", "out.md")
    assert "3 rounds of 4 suites held, 2 failed, 1 were not run." in said
    assert "- `test_faults.py::test_rows_survive_kills[1]`: AssertionError: a row is gone" in said
    assert "- `test_faults.py::test_what_is_left_behind`: RuntimeError: it would not stop" in said
    assert "- `test_faults.py::test_two_workers`: no redis here" in said
    [kills] = [line for line in said if "rows survive kills." in line]
    assert kills.startswith(r"| `test_faults.py` | rows survive kills. Killed \| again, | 3 | 2, **1 failed** | ")
    assert kills.endswith(" | killed 33; recovery seconds 1.5 to 3.5; ends whole |")
    [quiet] = [line for line in said if "nothing to tell" in line]
    assert quiet.startswith("| `test_faults.py` | nothing to tell. | 1 | 1 | ")
    assert quiet.endswith("| – |")


def test_an_interrupted_session_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_more="import pytest\ndef test_stop():\n    pytest.exit('enough')\n")
    said = lines(pytester, "--soak-report", "out.md")
    assert any("The session was interrupted" in line for line in said)


def test_without_the_option_nothing_is_written(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_one="def test_one():\n    pass\n")
    result = pytester.runpytest_inprocess("-p", "tests.soak_report")
    result.assert_outcomes(passed=1)
    assert not list(pytester.path.glob("*.md"))
