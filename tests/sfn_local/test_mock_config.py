"""The mock configuration file, read; and that its answers are those that the real functions give."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.aggregation.recomputed import recomputed_of
from fanwise.commits import answer_of
from fanwise.recomputation import Recomputed
from fanwise.records import Commit, Entry, Round
from fanwise_local.states.payloads import JSON
from jobs import RESULTS, JobCloud
from sfn_local.cases import CHILD_INPUT, CHILDREN, STOPPED
from sfn_local.mock_config import PATH, MockConfigError, Response, read_mock_config

CONFIG = read_mock_config(PATH.read_bytes())
EXECUTION = STOPPED["detail"]["executionArn"]
RECOMPUTED = {f"recomputed.{key}" for key in (*Recomputed.__struct_fields__, "reason")}


def written(responses: JSON, cases: JSON = None) -> str:
    machines = {"M": {"TestCases": cases or {}}}
    return json.dumps({"StateMachines": machines, "MockedResponses": responses})


def returned(value: JSON) -> JSON:
    return {"Return": value}


class TestReading:
    def test_a_case(self) -> None:
        thrown = {"Throw": {"Error": "Boom", "Cause": "a test"}}
        text = written({"Tried": {"0": thrown, "1-2": returned([1])}}, {"C": {"S": "Tried"}})
        response = read_mock_config(text).mocked("M", "C")["S"]
        first = response.at(0)
        assert first is not None
        assert first.thrown is not None
        assert (first.thrown.error, first.thrown.cause) == ("Boom", "a test")
        assert [answer.returned for n in (1, 2) if (answer := response.at(n))] == [[1], [1]]
        assert (response.at(3), response.count, response.last) == (None, 3, response.at(2))

    @given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=10), shuffled=st.randoms())
    def test_numbers_and_ranges_are_the_same_as_all_numbers_by_themselves(
        self, lengths: list[int], shuffled: Any
    ) -> None:
        spans: list[tuple[str, JSON]] = []
        wanted: list[int] = []
        for value, length in enumerate(lengths):
            first, last = len(wanted), len(wanted) + length - 1
            spans.append((str(first) if first == last else f"{first}-{last}", returned(value)))
            wanted += [value] * length
        shuffled.shuffle(spans)
        response = read_mock_config(written({"R": dict(spans)})).responses["R"]
        assert response.count == len(wanted)
        assert [response.at(n) and response.at(n).returned for n in range(len(wanted))] == wanted  # type: ignore[union-attr]
        assert response.at(len(wanted)) is None

    @pytest.mark.parametrize(
        "numbers", ["", "a", "-1", "1-", "2-1", "1 - 2", "0,1", "\u0661", "1-2-3", "9999999"]
    )
    def test_what_is_no_number(self, numbers: str) -> None:
        with pytest.raises(MockConfigError, match=r"MockedResponses\.R: .* is no number"):
            read_mock_config(written({"R": {numbers: returned(0)}}))

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("{", "no mock configuration"),
            ('{"StateMachines": {}}', "MockedResponses"),
            (written({"R": {}}), "R: answers no invocation"),
            (written({"R": {"0": {}}}), r"R\.0: has to have one of Return and Throw"),
            (written({"R": {"0": {"Return": 1, "Throw": {"Error": "E", "Cause": ""}}}}), "one of"),
            (written({"R": {"0": {"Throw": {"Error": "E"}}}}), "Cause"),
            (written({"R": {"0": {"Returns": 1}}}), "Returns"),
            (written({"R": {"0-2": returned(0), "2": returned(0)}}), "invocation 2 is answered twice"),
            (written({"R": {"0": returned(0), "2": returned(0)}}), "invocation 1 is not answered"),
            (written({"R": {"1": returned(0)}}), "invocation 0 is not answered"),
            (written({}, {"C": {"S": "R"}}), r"StateMachines\.M\.TestCases\.C\.S: .* no 'R'"),
        ],
    )
    def test_what_is_refused(self, text: str, told: str) -> None:
        with pytest.raises(MockConfigError, match=told):
            read_mock_config(text)

    def test_null_is_a_result(self) -> None:
        answer = read_mock_config(written({"R": {"0": returned(None)}})).responses["R"].last
        assert (answer.returned, answer.thrown) == (None, None)


FREE = ("failures", "commit")


def names(value: JSON, prefix: str = "") -> set[str]:
    """The names in a value, dotted; what errors there were is free, and what an entry has come to."""
    if not isinstance(value, dict):
        return set()
    found = {f"{prefix}{name}" for name in value}
    return found.union(*(names(v, f"{prefix}{n}.") for n, v in value.items() if n not in FREE))


def payloads(*states: str) -> Iterator[JSON]:
    """What functions are mocked to answer in these states."""
    used = {
        name
        for cases in CONFIG.cases.values()
        for by_state in cases.values()
        for state, name in by_state.items()
        if state in states
    }
    for name in sorted(used):
        response: Response = CONFIG.responses[name]
        for _, _, answer in response.spans:
            if answer.thrown is None:
                assert answer.returned["StatusCode"] == 200
                yield answer.returned["Payload"]


class TestAnswers:
    """The mocked answers have what the stages' own have, and nothing else."""

    @pytest.fixture
    def cloud(self) -> Iterator[JobCloud]:
        cloud = JobCloud()
        yield cloud
        cloud.close()

    def plan(self, cloud: JobCloud, start: JSON, execution: str = EXECUTION) -> Any:
        return cloud.plan({"execution": execution, "started_at": "2026-08-01T02:00:00.000Z", "start": start})

    def planned(self, cloud: JobCloud) -> tuple[JSON, Any, list[JSON]]:
        """The input of an execution, the round that it got, and the entries."""
        lines = "\n".join(json.dumps({"inputs": {"x": n}}) for n in range(42))
        start = cloud.start({"items": cloud.put_items("items.jsonl", lines.encode()), "batch_size": 2})
        round_ = self.plan(cloud, start)
        work = cloud.storage.read(f"s3://{RESULTS}/{round_['work_key']}")
        return start, round_, [json.loads(line) for line in work.splitlines()]

    def test_rounds(self, cloud: JobCloud) -> None:
        start, planned, _ = self.planned(cloud)
        duplicate = self.plan(cloud, start, "another")
        without_plan = self.plan(JobCloud(), STOPPED)
        closing = self.plan(cloud, STOPPED)
        assert closing["closes"]
        last: Any = cloud.aggregate({**planned, "stop": {"Error": "ModelError", "Cause": "none"}})
        others = [names(duplicate), names(without_plan)]
        rounds = 0
        for payload in payloads("PlanJob", "AggregateResults"):
            if names(payload) in others:
                others.remove(names(payload))
                continue
            assert msgspec.to_builtins(msgspec.convert(payload, Round)) == payload
            summary = payload.get("summary") or last["summary"]
            assert names(summary) - RECOMPUTED == names(last["summary"])
            rounds += 1
        assert others == []
        assert rounds > 10

    def test_items_predicted_again(self) -> None:
        answers = list(payloads("RecomputeItems"))
        for payload in answers:
            assert json.loads(msgspec.json.encode(msgspec.convert(payload, Recomputed))) == payload
        told = [
            payload["summary"]["recomputed"]
            for payload in payloads("AggregateResults")
            if "summary" in payload
        ]
        came_to = [
            json.loads(json.dumps(recomputed_of({"recomputed": {"StatusCode": 200, "Payload": payload}})))
            for payload in answers
        ]
        throttled = CONFIG.responses["ThrottledSevenTimes"].last.thrown
        assert throttled is not None
        came_to.append(recomputed_of({"recomputed": {"Error": throttled.error, "Cause": throttled.cause}}))
        assert [one for one in told if one is not None and one not in came_to] == []
        assert sum(one is not None for one in told) == len(came_to) - 1  # one is what two cases come to

    def test_answers_about_entries(self, cloud: JobCloud) -> None:
        _, planned, (first, second, *_) = self.planned(cloud)
        job_id = planned["job_id"]
        died = {"Error": "Runtime.ExitError", "Cause": ""}
        real = {
            "ProbeModel": cloud.predict({"job_id": job_id, "probe": planned["probe"]}),
            "LoadModel": cloud.predict({"job_id": job_id, "load_only": True}),
            "PredictBatch": cloud.predict({**CHILD_INPUT, "job_id": job_id, "entry": first}),
            "HandleFailure": cloud.handle_failure(
                {**CHILD_INPUT, "job_id": job_id, "entry": second, "failure": died}
            ),
        }
        for state, answer in real.items():
            found = list(payloads(state))
            assert found
            assert [names(payload) for payload in found] == [names(answer)] * len(found)
            for payload in found:
                if "commit" in payload:
                    assert answer_of(msgspec.convert(payload["commit"], Commit)) == payload

    def test_entries(self) -> None:
        for child in CHILDREN:
            assert msgspec.to_builtins(msgspec.convert(child.input["entry"], Entry)) == child.input["entry"]
