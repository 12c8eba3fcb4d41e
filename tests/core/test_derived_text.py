"""What is derived from code stands between its marks, and nothing else of the page is touched."""

import pytest

from onboard_vla.core.derived_text import with_section

PAGE = "above\n<!-- limits -->\nold\n<!-- end of limits -->\nbelow\n"


def test_only_the_text_between_the_marks_is_replaced():
    assert with_section(PAGE, "limits", "new\n") == PAGE.replace("old", "new")


@pytest.mark.parametrize("page", ["", PAGE.replace("end of ", ""), PAGE + PAGE, "<!-- end of limits -->\n" + PAGE])
def test_marks_that_are_not_there_once_are_refused(page):
    with pytest.raises(ValueError, match="limits"):
        with_section(page, "limits", "new\n")
