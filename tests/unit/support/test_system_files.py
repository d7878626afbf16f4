import tomllib

import pytest

from tests.support import sipp
from tests.support.system import SAMPLE, to_toml


def test_toml_is_read_back() -> None:
    data = {
        "run_dir": "/tmp/x",
        "sip": {"address": "127.0.0.1", "port": 5060},
        "calls": {"allow": ["^sip:\\d+@h$"], "answer_timeout": 2.5},
        "media": {"allow_private_urls": True},
        "routes": [{"callee": "^bot$", "pool": "a"}, {"webhook": 'http://h/"x"'}],
    }
    assert tomllib.loads(to_toml(data)) == data


def test_metrics_are_read_with_and_without_labels() -> None:
    text = '# HELP a b\n# TYPE a gauge\na 3.0\nb{x="1",y="}"} 2e3\n'
    assert SAMPLE.findall(text) == [("a", "3.0"), ('b{x="1",y="}"}', "2e3")]


def test_scenario_placeholders_are_filled_or_refused() -> None:
    assert "a=inactive" in sipp.render("@sdp@", {"direction": "a=inactive"})
    with pytest.raises(KeyError, match="nothing"):
        sipp.render("@nothing@", {})


@pytest.mark.parametrize("scenario", sorted(sipp.SCENARIOS.glob("*.xml")), ids=lambda path: path.stem)
def test_scenarios_need_no_undocumented_value(scenario: object) -> None:
    given = ("code", "reason", "sound", "username", "password", "expires")
    text = sipp.render(scenario.read_text("utf-8"), dict.fromkeys(given, "1"))  # type: ignore[attr-defined]
    assert not sipp.PLACEHOLDER.search(text)
