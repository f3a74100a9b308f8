/*-------------------------------------------------------------------------
 *
 * copy.c
 *	  COPY without the BEFORE INSERT row trigger.
 *
 * A table that has any BEFORE INSERT row trigger makes COPY insert its rows one
 * by one, not many at a time, which costs half as much again; it decides so
 * before any trigger has run.  What our status trigger does to a row of a COPY
 * is known beforehand where the status properties are not among the columns
 * that are copied: the defaults of these columns, which attach() has set, do the
 * same.  The status itself may be copied; where it is not, the default of the
 * source type decides, and it is uniform enough to be guessed.
 *
 * So for such a COPY the flag "has a BEFORE INSERT row trigger" is taken from
 * this backend's descriptions of the table and its partitions, from the start of
 * the COPY until other code of this backend may look at them: until the next
 * statement starts, or until the COPY ends.  Each relation that COPY opens
 * meanwhile is judged by its own description, so the worst that can happen is
 * that the trigger fires.
 *
 * Nothing relies on the guess: the counting trigger looks at each row of the
 * COPY, and mends those that are not as the rules want them (trigger_count.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "contacts_tier.h"

/* The COPY that runs without our BEFORE trigger */
typedef struct Copying
{
	int			depth;			/* of the triggers that it fires; 0: no such
								 * COPY */
	bool		sets_status;	/* is the status among the columns copied? */
	List	   *relations;		/* whose triggers are described otherwise */
	List	   *clauses;		/* that their counting triggers were given */
	bool		hidden;			/* are they still? */
} Copying;

static Copying copying = {0};
static ProcessUtility_hook_type previous_utility = NULL;

/* Is our status trigger the only one that fires before a row of a COPY? */
static bool
is_sole_trigger(Relation rel)
{
	Trigger    *count = ct_find_trigger(rel, CT_TRIGGER_COUNT);

	return count != NULL && ct_right_args(count->tgnargs) && count->tgqual == NULL &&
		ct_sole_keeper(CopyTriggerDesc(rel->trigdesc), TRIGGER_TYPE_INSERT) != NULL;
}

/*
 * Let other code see the triggers as they are.
 */
void
ct_copy_show_triggers(void)
{
	ListCell   *cell;
	ListCell   *clause;

	if (!copying.hidden)
		return;
	copying.hidden = false;
	forboth(cell, copying.relations, clause, copying.clauses)
	{
		Relation	rel = lfirst(cell);
		bool		has_status = ct_find_trigger(rel, CT_TRIGGER_STATUS) != NULL;
		Trigger    *trigger = ct_live_trigger(rel, CT_TRIGGER_COUNT);

		/* it may have been read anew; then it is right already */
		if (trigger == NULL || trigger->tgqual != lfirst(clause))
			continue;
		pfree(trigger->tgqual);
		trigger->tgqual = NULL;
		rel->trigdesc->trig_insert_before_row = has_status;
	}
}

/* Change what is known of the triggers of one relation, which stays open. */
static void
hide_triggers_of(Relation rel, bool status_trigger)
{
	char	   *clause = ct_copy_clause(rel, ct_find_trigger(rel, CT_TRIGGER_COUNT));
	Trigger    *trigger = ct_live_trigger(rel, CT_TRIGGER_COUNT);

	/* it goes with the description, if that goes first */
	trigger->tgqual = MemoryContextStrdup(CacheMemoryContext, clause);
	if (status_trigger)
		rel->trigdesc->trig_insert_before_row = false;
	copying.relations = lappend(copying.relations, rel);
	copying.clauses = lappend(copying.clauses, trigger->tgqual);
	copying.hidden = true;
}

/*
 * The same for a relation and, if it is partitioned, its partitions.
 */
static void
hide_triggers(Relation root, bool status_trigger)
{
	List	   *relids = find_all_inheritors(RelationGetRelid(root), AccessShareLock, NULL);
	ListCell   *cell;

	foreach(cell, relids)
	{
		Relation	rel = table_open(lfirst_oid(cell), NoLock);

		if (is_sole_trigger(rel))
			hide_triggers_of(rel, status_trigger);
		else
			table_close(rel, NoLock);
	}
}

static void
close_relations(void)
{
	ListCell   *cell;

	foreach(cell, copying.relations)
		table_close(lfirst(cell), NoLock);
}

static bool
is_listed(const List *columns, const char *column)
{
	ListCell   *cell;

	foreach(cell, columns)
		if (strcmp(strVal(lfirst(cell)), column) == 0)
		return true;
	return false;
}

/* Do new contacts of the session's source type become marketing contacts? */
static bool
defaults_to_marketing(void)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(ct_session_source_type())};
	bool		result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = ct_execute("SELECT FROM contacts_tier.source_type s WHERE s.name OPERATOR(pg_catalog.=) $1"
						" AND s.default_status OPERATOR(pg_catalog.=) 'marketing'::contacts_tier.marketing_status",
						lengthof(types), types, values, NULL) > 0;
	SPI_finish();
	return result;
}

/*
 * Is what our trigger would make of the rows what the defaults make of them?
 */
static bool
needs_no_trigger(Relation rel, const CopyStmt *copy)
{
	Trigger    *trigger = ct_find_trigger(rel, CT_TRIGGER_STATUS);
	char	   *args[CT_NARGS];
	CtTable    *table;

	if (copy->attlist == NIL)
		return false;
	ct_complete_args(trigger->tgnargs, trigger->tgargs, args);
	if (is_listed(copy->attlist, args[CT_ARG_UNTIL]))
		return false;
	table = ct_table_resolve(rel, trigger->tgnargs, trigger->tgargs);
	for (int i = CT_ARG_SOURCE_TYPE; i < CT_NARGS; i++)
		if (is_listed(copy->attlist, args[i]) || !ct_has_our_default(rel, table->attno[i]))
			return false;
	copying.sets_status = is_listed(copy->attlist, args[CT_ARG_STATUS]);
	return copying.sets_status ||
		(ct_has_our_default(rel, table->attno[CT_ARG_STATUS]) && !defaults_to_marketing());
}

/*
 * A COPY begins: see whether it can do without our trigger.  The lock is the one
 * that it takes itself.
 */
static void
begin_copy(const CopyStmt *copy)
{
	Relation	rel = table_openrv_extended(copy->relation, RowExclusiveLock, true);

	if (rel == NULL)
		return;
	if (is_sole_trigger(rel))
	{
		bool		needless = needs_no_trigger(rel, copy);

		if (needless)
			copying.depth = ct_trigger_depth() + 1;
		hide_triggers(rel, needless);
	}
	table_close(rel, NoLock);
}

static void
next_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (previous_utility)
		previous_utility(statement, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(statement, query, read_only_tree, context, params, environment, dest, completion);
}

static void
process_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	static const Copying nothing = {0};
	Copying		outer = copying;
	CopyStmt   *copy = (CopyStmt *) statement->utilityStmt;
	bool		copies = IsA(copy, CopyStmt) && copy->is_from;
	const void *outer_statement;

	ct_copy_show_triggers();
	if (!copies && !IsA(copy, TruncateStmt))
	{
		next_utility(statement, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}

	outer.hidden = false;
	copying = nothing;
	outer_statement = ct_set_statement(statement);
	PG_TRY();
	{
		if (copies)
			begin_copy(copy);
		next_utility(statement, query, read_only_tree, context, params, environment, dest, completion);
		ct_copy_show_triggers();
		close_relations();		/* after an error, the resource owner does it */
	}
	PG_FINALLY();
	{
		ct_copy_show_triggers();
		copying = outer;
		(void) ct_set_statement(outer_statement);
	}
	PG_END_TRY();
}

/*
 * Is a row trigger at this depth called for a COPY without our BEFORE trigger?
 * If so, *sets_status tells whether the status was copied.
 */
bool
ct_is_copying(int depth, bool *sets_status)
{
	*sets_status = copying.sets_status;
	return copying.depth > 0 && copying.depth == depth;
}

PG_FUNCTION_INFO_V1(contacts_tier_default_status);

/*
 * default_status() contacts_tier.marketing_status: the status of a new contact
 * as far as it can be told without the row; NULL leaves it to the trigger
 */
Datum
contacts_tier_default_status(PG_FUNCTION_ARGS)
{
	bool		sets_status;

	if (ct_is_copying(ct_trigger_depth() + 1, &sets_status) && !sets_status)
		PG_RETURN_OID(ct_non_marketing());
	PG_RETURN_NULL();
}

/*
 * Install the hook.
 */
void
ct_copy_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
