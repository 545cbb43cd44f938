"""Whatever function dies at whatever line that changes something: the job ends as if it had not."""

import json
from typing import Any

import pytest

from fake_model import Died, FakeModel
from jobs import JobCloud, JobResults

ORDERS = ["", "", "NotFound", "", "die", "", "", "", "", ""]  # two entries, with a dead letter and a poison


class Mortal:
    """Has the function at work die with the n-th change of the results bucket, from 0: before or after it."""

    def __init__(self, cloud: JobCloud, dies_at: int | None, *, after: bool) -> None:
        self.changes = 0
        self.deaths: list[str] = []
        self._dies_at = dies_at
        self._after = after
        for name in ("write", "create", "delete"):
            setattr(cloud.results, name, self._mortal(getattr(cloud.results, name)))

    def _mortal(self, change: Any) -> Any:
        def changed(key: str, *body: bytes) -> Any:
            if "/map-run/" in key:  # the ResultWriter is Step Functions' own
                return change(key, *body)
            dies = self.changes == self._dies_at
            self.changes += 1
            if dies:
                self.deaths.append(key)
            if dies and not self._after:
                raise Died("Runtime.ExitError")
            answer = change(key, *body)
            if dies:
                raise Died("Runtime.ExitError")
            return answer

        return changed


def run(dies_at: int | None, *, after: bool) -> tuple[Mortal, JobResults]:
    cloud = JobCloud(model=FakeModel(2))
    lines = (json.dumps({"id": f"n{i}", "inputs": {"x": i, "order": o}}) for i, o in enumerate(ORDERS))
    uri = cloud.put_items("items.jsonl", "\n".join(lines).encode())
    mortal = Mortal(cloud, dies_at, after=after)
    execution = cloud.run(cloud.start({"items": uri, "batch_size": 5}))
    cloud.close()
    assert execution.status == "SUCCEEDED", (dies_at, mortal.deaths, execution.error, execution.cause)
    assert len(cloud.events) == 1
    output: Any = execution.output
    return mortal, JobResults(cloud, output["job_id"])


@pytest.mark.parametrize("after", [False, True])
def test_wherever_a_function_dies_the_job_ends_the_same(after: bool) -> None:
    whole, expected = run(None, after=after)
    assert expected.failures.keys() == {2, 4}
    died_in: set[str] = set()
    for dies_at in range(whole.changes):
        mortal, results = run(dies_at, after=after)
        (key,) = mortal.deaths
        died_in.add(key.split("/")[2] if key.startswith("jobs/") else key.split("/")[0])
        # An entry that is cut down to one item is where the death of a process is the item's own.
        victims = results.failures.keys() - expected.failures.keys()
        assert len(victims) <= 1, (dies_at, key)
        assert all(results.failures[i]["failure"]["stage"] == "invocation" for i in victims)
        assert results.predictions.keys() | victims == expected.predictions.keys()
        assert results.predictions == {i: expected.predictions[i] for i in results.predictions}
        assert results.summary["items"]["missing"] == 0
        assert not _orphans(results), (dies_at, key)
    assert died_in >= {
        "executions",
        "claim.json",
        "work",
        "job.json",
        "predictions",
        "failures",
        "commits",
        "parts.jsonl",
        "summary.json",
        "_SUCCESS",
    }


def _orphans(results: JobResults) -> set[str]:
    counted = {part.key for part in results.parts}
    prefix = results.home.partition("//")[2].partition("/")[2]
    found = {
        info.key.removeprefix(prefix)
        for folder in ("predictions/", "failures/")
        for info in results.storage.list(results.home + folder)
    }
    return found - counted
