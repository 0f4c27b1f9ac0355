"""`%load_ext nbflow` and its way back, in a plain IPython shell."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

import nbflow
from nbflow.client import handle as handle_module
from nbflow.notebook import load_ipython_extension, unload_ipython_extension


@nbflow.workflow
def wait() -> str:
    return nbflow.wait_for_signal("go")


def registered(ip):
    """Return all that the extension may register, in a form that compares."""
    return (
        list(ip.input_transformers_cleanup),
        list(map(type, ip.ast_transformers)),
        list(ip.Completer.custom_matchers),
        sorted(ip.magics_manager.magics["line"]),
        sorted(ip.magics_manager.magics["cell"]),
        sorted(ip.magics_manager.registry),
        [
            nbflow.client.WorkflowHandle in ip.display_formatter.formatters[mime].type_printers
            for mime in ("text/html", "text/plain")
        ],
        handle_module._watch is None,
    )


def test_loading_twice_registers_once_and_unloading_takes_all_of_it_back(plain_shell):
    """Nothing of nbflow is left in IPython afterwards."""
    ip = plain_shell.ip
    before = registered(ip)
    load_ipython_extension(ip)
    once = registered(ip)
    load_ipython_extension(ip)
    assert registered(ip) == once != before
    unload_ipython_extension(ip)
    assert registered(ip) == before


def test_unloading_what_is_not_loaded_does_nothing(plain_shell):
    """Asking twice is no mistake."""
    before = registered(plain_shell.ip)
    unload_ipython_extension(plain_shell.ip)
    assert registered(plain_shell.ip) == before


def test_ipython_loads_unloads_and_reloads_it_by_name(plain_shell, env):
    """%load_ext, %reload_ext and %unload_ext find it under the package's name."""
    plain_shell.run("%load_ext nbflow\n%reload_ext nbflow")
    plain_shell.run("%nbflow status")
    plain_shell.run("%unload_ext nbflow")
    with pytest.raises(UsageError):
        plain_shell.run("%nbflow status")


def test_unloading_leaves_workflows_running_and_says_so(plain_shell, env, capsys):
    """The engine belongs to the store, not to the extension."""
    load_ipython_extension(plain_shell.ip)
    handle = wait.start()
    unload_ipython_extension(plain_shell.ip)
    assert "1 workflow execution runs on" in capsys.readouterr().err
    handle.signal("go", "on")
    assert handle.result() == "on"


def test_a_handle_shows_itself_as_html_and_text(shell, env):
    """Front ends choose; both tell the status."""
    handle = wait.options(id="w1").start()
    data, _ = shell.ip.display_formatter.format(handle)
    assert "► Running" in data["text/html"]
    assert data["text/plain"].startswith("► Running  w1")
    handle.terminate()


def test_a_handle_inside_a_list_stays_short(shell, env):
    """A list of a thousand handles must not read the log a thousand times."""
    handle = wait.options(id="w1").start()
    data, _ = shell.ip.display_formatter.format([handle])
    assert data["text/plain"] == f"[<WorkflowHandle 'w1' run {handle.run_id}>]"
    handle.terminate()


def test_a_handle_of_a_closed_store_still_shows(shell, env):
    """Looking at an old output variable is no error."""
    handle = wait.options(id="w1").start()
    env.client.close()
    data, _ = shell.ip.display_formatter.format(handle)
    assert "text/html" not in data
    assert data["text/plain"].endswith("(its store is closed)")
