/*-------------------------------------------------------------------------
 *
 * rollover_run.c
 *	  What a rollover leaves behind of itself (rule O1).
 *
 * Each run puts one entry, "rollover_run", into the ledger of each schema in which it had
 * something to do: its real start and end, what is done, what failed and what was skipped.
 * The entry is a step of its own at the end of the run, so it is committed whatever was
 * undone.  What failed is in the error at the end as well, since schedulers store that, but
 * not the warnings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* Failures that the error of a run lists, and that the entry of a run does */
#define MAX_IN_ERROR	10
#define MAX_IN_ENTRY	100

/* Bytes of a message that are stored of each: anybody's trigger can raise any text */
#define MAX_MESSAGE		1000

/* Owners that a warning names */
#define MAX_OWNERS		10

/* Add to a list, in memory of the run, unless it is long enough. */
static List *
add_trouble(List *troubles, const CtWork *work, int sqlstate, const char *message)
{
	MemoryContext old = MemoryContextSwitchTo(work->run->context);
	CtTrouble  *trouble;

	if (list_length(troubles) < MAX_IN_ENTRY)
	{
		trouble = palloc(sizeof(CtTrouble));
		trouble->what = pstrdup(work->what);
		trouble->account = work->account != NULL ? pstrdup(work->account) : NULL;
		trouble->sqlstate = sqlstate;
		trouble->message = pnstrdup(message, pg_mbcliplen(message, strlen(message), MAX_MESSAGE));
		troubles = lappend(troubles, trouble);
	}
	MemoryContextSwitchTo(old);
	return troubles;
}

/*
 * A work has failed, and is undone: count it, and remember why.  Where a schema has failures,
 * that they cannot be recorded either is not one more.
 */
void
ct_rollover_note_failure(const CtWork *work, const ErrorData *error)
{
	if (work->step == ct_rollover_record && work->group->nfailed > 0)
		return;
	work->group->nfailed++;
	work->group->failures = add_trouble(work->group->failures, work, error->sqlerrcode, error->message);
}

/*
 * The same for one that is locked by others, and left to the next run.
 */
void
ct_rollover_note_skipped(const CtWork *work)
{
	work->group->nskipped++;
	work->group->skipped = add_trouble(work->group->skipped, work, ERRCODE_LOCK_NOT_AVAILABLE, work->lock);
}

/* Add them to a text as a JSON array of objects. */
static void
append_troubles(StringInfo json, const List *troubles)
{
	ListCell   *cell;
	const char *separator = "";

	appendStringInfoChar(json, '[');
	foreach(cell, troubles)
	{
		const CtTrouble *trouble = lfirst(cell);

		appendStringInfo(json, "%s{\"what\": ", separator);
		escape_json(json, trouble->what);
		if (trouble->account != NULL)
		{
			appendStringInfoString(json, ", \"account\": ");
			escape_json(json, trouble->account);
		}
		appendStringInfo(json, ", \"sqlstate\": \"%s\", \"message\": ", unpack_sql_state(trouble->sqlstate));
		escape_json(json, trouble->message);
		appendStringInfoChar(json, '}');
		separator = ", ";
	}
	appendStringInfoChar(json, ']');
}

/* What failed and what was skipped in a group, as members of a JSON object. */
static char *
troubles_as_json(const CtTableGroup *group)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"accounts\": %lld, \"failed\": %d, \"skipped\": %d, \"failures\": ",
					 (long long) group->naccounts, group->nfailed, group->nskipped);
	append_troubles(&json, group->failures);
	appendStringInfoString(&json, ", \"locked\": ");
	append_troubles(&json, group->skipped);
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* The owner of the tables of a group; invalid if none of them is there any more. */
static Oid
owner_of_group(const CtTableGroup *group)
{
	for (int i = 0; i < group->ntables; i++)
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(group->relids[i]));
		Oid			owner;

		if (!HeapTupleIsValid(tuple))
			continue;
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
		ct_check_owner(group->relids[i]);
		return owner;
	}
	return InvalidOid;
}

/*
 * Had the run something to do in a group?  The next run finds what another one is at work on.
 */
bool
ct_rollover_has_record(const CtTableGroup *group)
{
	return group->naccounts > 0 || group->nfailed > 0 || group->nskipped > 0;
}

/* Insert the entry, as the owner of the tables. */
static void
insert_record(const CtTableGroup *group, const CtNames *names)
{
	const CtRun *run = group->run;
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT8OID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(run->id),
		TimestampTzGetDatum(run->now),
		TimestampTzGetDatum(run->started_at),
		TimestampTzGetDatum(GetCurrentTimestamp()),
		CStringGetTextDatum(ct_caller_name()),
		Int64GetDatum(group->ncontacts),
		CStringGetTextDatum(troubles_as_json(group))
	};

	ct_execute(ct_names_sqlf(names, "INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
							 " SELECT account, $2, 'rollover_run', $5, $6,"
							 "  jsonb_build_object('run', $1, 'started_at', $3, 'ended_at', $4) || $7::jsonb"
							 " FROM {account} ORDER BY account LIMIT 1"),
			   lengthof(types), types, values, NULL);
}

/*
 * Step: record the run in the ledger of a group.  The entry is about all its accounts, and
 * has the account that comes first, since each entry has one.  The tables themselves are not
 * opened: they may be what is locked.
 */
void
ct_rollover_record(CtWork *work)
{
	Oid			owner = owner_of_group(work->group);
	CtIdentity	identity;
	CtNames		names;

	work->finished = true;
	ct_names_resolve(&names, work->group->relids[0], work->group->schema);
	if (!OidIsValid(owner) || !OidIsValid(ct_companion_relid(&names, CT_LEDGER)) ||
		!OidIsValid(ct_companion_relid(&names, CT_ACCOUNT)))
		return;
	ct_connect_spi();
	ct_manage_as_owner(owner, &identity);
	insert_record(work->group, &names);
	ct_restore_identity(&identity);
	SPI_finish();
}

/* Begin a line of a list of failures, or an item where all must be in one line. */
static void
append_separator(StringInfo buf, const CtRun *run)
{
	if (buf->len > 0)
		appendStringInfoString(buf, run->for_shard ? "; " : "\n");
}

/* What was skipped, the first of it */
static void
append_skipped(StringInfo buf, const CtRun *run)
{
	int			listed = 0;
	ListCell   *cell;
	ListCell   *inner;

	foreach(cell, run->groups)
	{
		foreach(inner, ((CtTableGroup *) lfirst(cell))->skipped)
		{
			if (listed++ >= MAX_IN_ERROR)
				break;
			append_separator(buf, run);
			appendStringInfo(buf, _("skipped: %s"), ((CtTrouble *) lfirst(inner))->what);
		}
	}
}

/* Shards that have failed, as many as there is room for */
static void
append_shards(StringInfo buf, const CtRun *run, int room)
{
	ListCell   *cell;

	foreach(cell, run->failed_shards)
	{
		if (room-- <= 0)
			break;
		append_separator(buf, run);
		appendStringInfoString(buf, lfirst(cell));
	}
}

/*
 * The first failures of all groups and of shards and, behind them, what was skipped; "failures" is how
 * many there are of groups.  Of an error on a shard Citus tells the coordinator the first line
 * only, so there it is one line.
 */
static char *
list_of_failures(const CtRun *run, int failures)
{
	StringInfoData buf;
	int			listed = 0;
	ListCell   *cell;
	ListCell   *inner;

	initStringInfo(&buf);
	foreach(cell, run->groups)
	{
		foreach(inner, ((CtTableGroup *) lfirst(cell))->failures)
		{
			const CtTrouble *trouble = lfirst(inner);

			if (listed++ >= MAX_IN_ERROR)
				break;
			append_separator(&buf, run);
			appendStringInfo(&buf, "%s: %s: %s", trouble->what, unpack_sql_state(trouble->sqlstate), trouble->message);
		}
	}
	append_shards(&buf, run, MAX_IN_ERROR - Min(listed, MAX_IN_ERROR));
	failures += list_length(run->failed_shards);
	if (failures > MAX_IN_ERROR)
	{
		append_separator(&buf, run);
		appendStringInfo(&buf, _("and %d more"), failures - MAX_IN_ERROR);
	}
	append_skipped(&buf, run);
	for (char *c = buf.data; run->for_shard && *c != '\0'; c++)
		if (*c == '\n')
			*c = ' ';
	return buf.data;
}

/*
 * Raise what failed as one error, 55000, if anything did.  What could be done is committed.
 */
void
ct_rollover_raise_failures(const CtRun *run)
{
	int			shards = list_length(run->failed_shards);
	int			failures = 0;
	char	   *list;
	ListCell   *cell;

	foreach(cell, run->groups)
		failures += ((CtTableGroup *) lfirst(cell))->nfailed;
	if (failures + shards == 0)
		return;
	list = list_of_failures(run, failures);
	if (run->for_shard)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_plural("rollover of %d account failed: %s", "rollover of %d accounts failed: %s",
							   failures, failures, list),
				 errhint("The next rollover tries again.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 failures > 0 ?
			 errmsg_plural("rollover of %d account failed", "rollover of %d accounts failed", failures, failures) :
			 errmsg_plural("rollover of %d shard failed", "rollover of %d shards failed", shards, shards),
			 errdetail_internal("%s", list),
			 errhint("The next rollover tries again.")));
}

/*
 * The caller owns no attached table, so there is nothing that he can roll over: if others
 * own some, a WARNING says who.  The caller is connected to SPI.
 */
void
ct_rollover_warn_of_owners(void)
{
	char	   *owners;

	ct_executef("SELECT pg_catalog.string_agg(pg_catalog.quote_ident(o.name), ', ' ORDER BY o.name)"
				" FROM (SELECT DISTINCT pg_catalog.pg_get_userbyid(c.relowner) AS name"
				"  FROM contacts_tier.attached() a"
				"  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.contacts"
				"  ORDER BY name LIMIT %d) o", MAX_OWNERS);
	owners = ct_result_text(1);
	if (owners == NULL)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("rollover has nothing to do: role \"%s\" owns no attached table",
					GetUserNameFromId(GetUserId(), false)),
			 errdetail("Attached tables belong to: %s.", owners),
			 errhint("Call rollover() as the owner, or as a role that has the privileges of the owner.")));
}
