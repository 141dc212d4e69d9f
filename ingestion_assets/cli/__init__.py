"""The command line: thin verbs over the assets and the ledgers. Heavy libraries load in the verb that needs them."""

from __future__ import annotations

import sys

_STOPPED = 130
"""Exit status after Ctrl-C, by the convention of shells: 128 and the number of the signal."""


def main() -> None:
    """Run the command line. After Ctrl-C it ends with a sentence as well."""
    try:
        # Not at the top: the imports take most of a second, in which people press Ctrl-C too.
        from ingestion_assets.cli.app import main as run

        run()
    except KeyboardInterrupt:
        pass
    except SystemExit as ended:
        if ended.code != _STOPPED:
            raise
    else:
        return
    sys.stderr.write("ingest: stopped by Ctrl-C before the end; call it again\n")
    sys.exit(_STOPPED)


__all__ = ["main"]
