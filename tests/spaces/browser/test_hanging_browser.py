"""A page that hangs fails its test, and the next test has a browser again."""

import time

import pytest
from playwright.sync_api import Error
from processes import limited

pytestmark = pytest.mark.browser


def test_waiting_that_is_not_the_browser_s_is_stopped():
    with pytest.raises(pytest.fail.Exception, match=r"more than 0\.2 seconds"), limited(0.2):
        time.sleep(60)


def test_a_script_that_never_ends_is_stopped_and_a_browser_is_started_anew(new_page):
    page, began = new_page(), time.monotonic()
    with pytest.raises(Error, match=r"closed|crash"), limited(1):
        page.evaluate("while (true) {}")
    assert time.monotonic() - began < 15
    assert new_page().evaluate("6 * 7") == 42
