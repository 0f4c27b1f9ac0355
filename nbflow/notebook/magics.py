"""The magics, each a few lines: the work is done by the modules they name."""

from __future__ import annotations

import ast
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand

from nbflow.exceptions import DefinitionError
from nbflow.notebook.flowsql import flowsql
from nbflow.notebook.mark_options import Mark
from nbflow.notebook.verbs import run_verb

__all__ = ["NbflowMagics"]


@magics_class
class NbflowMagics(Magics):
    """``%%workflow``, ``%%activity``, ``%%flowsql`` and ``%nbflow``."""

    @property
    def _shell(self) -> InteractiveShell:
        assert self.shell is not None
        return self.shell

    @no_var_expand
    @line_cell_magic
    def workflow(self, line: str, cell: str | None = None) -> Any:
        """Mark the functions of this cell as workflows; the first line of the cell.

        ``%%workflow`` and ``%workflow`` do the same; linters understand cells with the second.

        Options are those of ``@workflow``::

            --name NAME                     the workflow type (default: the function's name)
            --id ID                         names the execution; starting it again is safe
            --id-conflict attach|fail|terminate
            --id-reuse failed_only|allow|reject
            --retry N|false|JSON            runs in all, or the fields of RetryPolicy
            --execution-timeout DURATION    --run-timeout DURATION    --start-delay DURATION
            --memo JSON                     --search-attributes JSON
            --on-edit move|keep             what open executions do when the cell is edited
            --on-error fail|suspend         what an exception does to its execution
            --parent-close-policy TERMINATE|ABANDON|REQUEST_CANCEL     when it is a child
            --cancellation-type TRY_CANCEL|WAIT_CANCELLATION_COMPLETED|ABANDON|WAIT_CANCELLATION_REQUESTED
            --priority 1..5                 of its activities, lower first
            --summary TEXT

        A DURATION is ``30s``, ``"30 days"``, ``1h30m`` or a number of seconds.
        """
        return self._mark("workflow", line, cell)

    @no_var_expand
    @line_cell_magic
    def activity(self, line: str, cell: str | None = None) -> Any:
        """Mark the functions of this cell as activities; the first line of the cell.

        ``%%activity`` and ``%activity`` do the same; linters understand cells with the second.

        Options are those of ``@activity``::

            --name NAME                     the activity type (default: the function's name)
            --retry N|false|JSON            attempts in all, or the fields of RetryPolicy
            --start-to-close-timeout DURATION      --schedule-to-close-timeout DURATION
            --schedule-to-start-timeout DURATION   --heartbeat-timeout DURATION
            --cancellation-type TRY_CANCEL|WAIT_CANCELLATION_COMPLETED|ABANDON
            --run-in thread|loop|process
            --max-concurrency N             so many at once, of all executions
            --rate-limit N/s                so many starts in a second (minute: N/m)
            --priority 1..5                 lower first
            --summary TEXT

        A DURATION is ``30s``, ``"30 days"``, ``1h30m`` or a number of seconds; ``_timeout`` may be left out.
        """
        return self._mark("activity", line, cell)

    def _mark(self, kind: Mark, line: str, cell: str | None) -> Any:
        if cell is None:
            msg = (
                f"%{kind} marks the functions of its cell: it has to be the first statement of a cell, "
                f"and nbflow has to be loaded by an earlier one"
            )
            raise DefinitionError(msg)
        return self._run_marked(f"%{kind} {line}\n{cell}")

    def _run_marked(self, source: str) -> Any:
        """Run a marked cell that reached the magic: with nothing below it, or from inside another magic."""
        shell = self._shell
        transformed = shell.transform_cell(source)  # type: ignore[no-untyped-call]
        filename = shell.compile.cache(transformed, shell.execution_count, raw_code=source)
        tree = shell.compile.ast_parse(transformed, filename=filename)
        tree = shell.transform_ast(tree)  # type: ignore[no-untyped-call]
        last = tree.body.pop() if len(tree.body) > 1 and isinstance(tree.body[-1], ast.Expr) else None
        exec(shell.compile(tree, filename, "exec"), shell.user_ns)  # noqa: S102  the user's own cell
        if last is not None:
            value = compile(ast.Expression(last.value), filename, "eval")
            return eval(value, shell.user_ns)  # noqa: S307  same
        return None

    @no_var_expand
    @line_cell_magic
    def flowsql(self, line: str, cell: str | None = None) -> Any:
        """Run SQL over the event log and give a DataFrame.

        ::

            %%flowsql [--out NAME] [--limit N] [--write]
            SELECT activity_type, outcome, count(*) FROM attempts WHERE workflow_id = $report_id GROUP BY ALL

        ``$name`` stands for the notebook's variable of that name, bound as a value and never pasted into the text.
        With several statements the last one answers. Relations: executions, activities, attempts, timers, signals,
        failures, logs, events, definitions.

        --out NAME    put the DataFrame into a variable instead of showing it
        --limit N     at most so many rows
        --write       allow statements that change something
        """
        return flowsql(line, cell, self._shell.user_ns)

    @no_var_expand
    @line_magic
    def nbflow(self, line: str) -> Any:
        """See and steer executions: ``%nbflow help`` lists the verbs.

        ::

            %nbflow status
            %nbflow ls --status Running
            %nbflow show report-2026-11
            %nbflow signal report-2026-11 approve {"by": "Ada"}

        An execution is named by its workflow id, its run id, or ``$variable`` that holds a handle or an id.
        """
        return run_verb(line, self._shell.user_ns)
