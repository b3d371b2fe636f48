"""The site of `tests.browser.pages`, served by one framework each."""
