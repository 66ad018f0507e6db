"""Run the tests with each supported version of Python that is installed: `pipx run nox`.

Versions that are not found are skipped, and named at the end.
"""

import nox

nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """Run the tests, or those that are named: `nox -- tests/codec -n 0`."""
    session.install("--editable", ".[dev]")
    session.run("pytest", *session.posargs)
