"""The formats are what their readers expect."""

from __future__ import annotations

import json
from typing import Any

from thinned.model.check.finding import Finding
from thinned.model.check.findings import Findings
from thinned.model.check.registry import rules
from thinned.model.check.walk import check_paths

from .conftest import Write

LIVE = Finding("THN101", "It's 100 %\nwrong", place="blocks.0:dropout")


def found(write: Write) -> Findings:
    write("pack/my net.py")
    write("pack/broken.py", "def")
    ours = check_paths(["pack"])
    return Findings([*ours, LIVE], ours.errors)


def test_text(write: Write) -> None:
    lines = str(found(write)).splitlines()
    assert lines[0].startswith("pack/broken.py:1:")
    assert "pack/my net.py:7:16: THN101 [*] `dropout` drops in evaluation too: it is not told `training`" in lines
    assert lines[-1] == "Found 2 findings. 1 file could not be read. 1 can be mended with --fix."
    assert str(Findings()) == "All checks passed."


def test_findings_are_a_sequence(write: Write) -> None:
    all_found = found(write)
    assert len(all_found) == 2
    assert [finding.code for finding in all_found] == ["THN101", "THN101"]
    assert all_found[0] is LIVE
    assert isinstance(all_found[:1], Findings)
    assert bool(all_found) and not Findings()  # noqa: PT018
    assert all_found.counts() == {"THN101": 2}
    assert repr(all_found) == "<Findings: THN101 2>"


def test_json(write: Write) -> None:
    error, live, source = json.loads(found(write).to_json())
    assert error["code"] == "error"
    assert live["place"] == "blocks.0:dropout"
    assert live["filename"] is None
    assert source["filename"] == "pack/my net.py"
    assert source["name"] == "functional-ignores-training"
    assert source["location"] == {"row": 7, "column": 16}
    assert source["fix"]["edits"] == [
        {
            "location": {"row": 7, "column": 32},
            "end_location": {"row": 7, "column": 32},
            "content": ", training=self.training",
        }
    ]


def test_github(write: Write) -> None:
    error, live, source = found(write).to_github().splitlines()
    assert error.startswith("::error title=thinned (error),file=pack/broken.py,line=1,")
    assert live == "::error title=thinned (THN101)::blocks.0:dropout: THN101 It's 100 %25%0Awrong"
    assert source.startswith("::error title=thinned (THN101),file=pack/my net.py,line=7,col=16::")


def test_sarif_has_what_the_standard_requires(write: Write) -> None:
    """The members that SARIF 2.1.0 requires (3.13, 3.14, 3.18, 3.19, 3.27), their types, and that indices point."""
    log = json.loads(found(write).to_sarif())
    assert log["version"] == "2.1.0"
    assert log["$schema"] == "https://json.schemastore.org/sarif-2.1.0.json"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "thinned"
    assert [rule["id"] for rule in driver["rules"]] == ["THN101"]
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"] == rules()[rule["id"]].summary
    live, source = run["results"]
    for result in run["results"]:
        assert result["level"] in {"none", "note", "warning", "error"}
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert isinstance(result["message"]["text"], str)
    assert live["locations"] == [{"logicalLocations": [{"fullyQualifiedName": "blocks.0:dropout", "kind": "module"}]}]
    place = source["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "pack/my%20net.py"
    assert place["region"] == {"startLine": 7, "startColumn": 16}
    (fix,) = source["fixes"]
    (change,) = fix["artifactChanges"]
    assert change["artifactLocation"] == place["artifactLocation"]
    (replacement,) = change["replacements"]
    assert replacement["deletedRegion"] == {"startLine": 7, "startColumn": 32, "endLine": 7, "endColumn": 32}
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"].startswith("no valid Python")


def test_an_empty_sarif_log_is_whole() -> None:
    (run,) = json.loads(Findings().to_sarif())["runs"]
    assert run["results"] == []
    assert run["invocations"][0]["executionSuccessful"] is True


def test_advice_fails_nothing() -> None:
    advice = next((code for code, rule in rules().items() if rule.advice), None)
    assert advice is not None
    some = Findings([Finding(advice, "so it is", place="a")])
    assert some and not some.failed  # noqa: PT018
    assert str(some).splitlines() == [f"a: {advice} (advice) so it is", "Found 1 finding, 1 of them advice."]
    level: Any = json.loads(some.to_sarif())["runs"][0]["results"][0]["level"]
    assert level == "note"
    assert some.to_github().startswith("::notice ")
