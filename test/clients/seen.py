"""What the days in Python share: lines "ok - ..." of what they saw."""

import contextlib

DETAIL = 'The account has 7 of 10 marketing contacts; the statement adds 10, but there is room for 3.'
CAPPED = '2 contacts of account "2" were stored as '


def ok(true, name, seen=None):
    """Print what a test expects to be true."""
    print('ok' if true else 'not ok', '-', name)
    if not true:
        print('#', seen)


def same(seen, expected, name):
    """Print whether a test saw what it expects."""
    ok(seen == expected, name, f'{seen!r}, expected {expected!r}')


@contextlib.contextmanager
def refused(name, errors, diagnostics):
    """The statement in this block must be refused, with all the fields that applications go by."""
    try:
        yield
    except errors as error:
        sqlstate, diag = diagnostics(error)
        same((sqlstate, diag.schema_name, diag.table_name, diag.constraint_name, diag.message_detail),
             ('MC001', 'public', 'contacts', 'contact_tier', DETAIL), name)
    else:
        ok(False, name, 'not refused')
