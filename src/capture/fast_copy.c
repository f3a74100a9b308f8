/*-------------------------------------------------------------------------
 *
 * fast_copy.c
 *	  Which COPY does without the BEFORE INSERT row trigger.
 *
 * Where a table has a BEFORE INSERT row trigger, CopyFrom() inserts rows one by one,
 * not many at a time, which costs half as much again.  It uses a description of the
 * triggers that it creates itself and that no hook sees, so a COPY into contacts is
 * done here instead (copy_rows.c).
 *
 * Only a plain COPY is done here: no WHERE, no options that change how rows are stored or
 * errors are met, no transition tables, no row-level security, and no default that calls a
 * volatile function, which might look at the table.  Into a partition with BEFORE
 * triggers of the application rows are inserted one by one, and these fire.  Every other
 * COPY is left to DoCopy(), with the same result.  So is each COPY if another extension has
 * its hook behind ours, which would miss it.
 *
 * What makes it sound: DoCopy() checks privileges, row-level security and whether the
 * transaction may write before it calls CopyFrom().  may_read_input() and can_copy() leave to it
 * what it would refuse, and ct_check_copy_privileges() checks the same
 * privileges.  A release in which DoCopy() checks more must be compared.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_trigger.h"
#include "commands/copy.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "capture/capture.h"

/* Is there an option that does not only say how the input is read? */
static bool
has_plain_options(const CopyStmt *copy)
{
	static const char *const plain[] = {
		"format", "delimiter", "null", "header", "quote", "escape", "encoding",
		"force_not_null", "force_null", "default"
	};
	ListCell   *cell;

	foreach(cell, copy->options)
	{
		const DefElem *option = lfirst_node(DefElem, cell);
		bool		found = false;

		for (size_t i = 0; i < lengthof(plain); i++)
			found |= strcmp(option->defname, plain[i]) == 0;
		if (!found)
			return false;
	}
	return true;
}

/* May the user read the input?  If not, DoCopy() says so. */
static bool
may_read_input(const CopyStmt *copy)
{
	return copy->filename == NULL ||
		has_privs_of_role(GetUserId(), copy->is_program ? ROLE_PG_EXECUTE_SERVER_PROGRAM : ROLE_PG_READ_SERVER_FILES);
}

/* The columns that are always read; with the option DEFAULT, any may be left to its default. */
static List *
columns_read(const CopyStmt *copy, Relation rel)
{
	ListCell   *cell;

	foreach(cell, copy->options)
	{
		if (strcmp(lfirst_node(DefElem, cell)->defname, "default") == 0)
			return NIL;
	}
	return CopyGetAttnums(RelationGetDescr(rel), rel, copy->attlist);
}

/* Is a column that has a default by a volatile function left to it? */
static bool
has_volatile_default(const CopyStmt *copy, Relation rel)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	List	   *columns = columns_read(copy, rel);
	bool		result = false;

	PinTupleDesc(tupdesc);		/* as in ct_tuple_image() */
	for (int i = 1; !result && i <= tupdesc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(tupdesc, i - 1);
		Node	   *expression;

		if (attr->attisdropped || attr->attgenerated || !(attr->atthasdef || attr->attidentity) ||
			list_member_int(columns, i))
			continue;
		expression = build_column_default(rel, i);
		/* BeginCopyFrom() allows nextval(), too */
		result = expression != NULL && contain_volatile_functions_not_nextval(expression);
	}
	ReleaseTupleDesc(tupdesc);
	return result;
}

/*
 * Can a COPY into a relation be done here?
 */
static bool
can_copy(const CopyStmt *copy, Relation rel)
{
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc); /* look-ups may rebuild
															 * it */

	return triggers != NULL &&
		(rel->rd_rel->relkind == RELKIND_RELATION || rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) &&
		ct_judge_triggers(triggers, TRIGGER_TYPE_INSERT).is_sole &&
		!triggers->trig_insert_new_table &&
		ct_table_of_relation(rel) != NULL &&
		!has_volatile_default(copy, rel) &&
		check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED &&
		!(XactReadOnly && !rel->rd_islocaltemp);
}

/*
 * Do a COPY FROM here, if that can be.  Otherwise returns false, with nothing done but the
 * table locked.
 *
 * Locks: RowExclusiveLock on the table, as DoCopy().  Errors: those of COPY.
 */
bool
ct_copy_fast(PlannedStmt *planned, const char *query, QueryCompletion *completion)
{
	CopyStmt   *copy = castNode(CopyStmt, planned->utilityStmt);
	ParseState *pstate;
	Relation	rel;
	uint64		processed;

	if (!ct_fast_path || copy->relation == NULL || copy->whereClause != NULL || IsInParallelMode() ||
		!has_plain_options(copy) || !may_read_input(copy) || ct_second_writes_wait())
		return false;
	rel = table_openrv_extended(copy->relation, RowExclusiveLock, true);
	if (rel == NULL)
		return false;
	if (!can_copy(copy, rel))
	{
		table_close(rel, NoLock);
		return false;
	}
	pstate = make_parsestate(NULL);
	pstate->p_sourcetext = query;
	ct_check_copy_privileges(pstate, rel, CopyGetAttnums(RelationGetDescr(rel), rel, copy->attlist));
	processed = ct_copy_rows(pstate, rel, copy);
	table_close(rel, NoLock);
	free_parsestate(pstate);
	CommandCounterIncrement();	/* as standard_ProcessUtility() ends */
	if (completion != NULL)
		SetQueryCompletion(completion, CMDTAG_COPY, processed);
	return true;
}
