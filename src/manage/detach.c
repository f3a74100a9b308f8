/*-------------------------------------------------------------------------
 *
 * detach.c
 *	  detach(): ending the management of a table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "manage/manage.h"

/*
 * Drop the index that attach() created: the one that depends on
 * library_loaded().  Its name may be another by now.
 */
static void
drop_index(Oid relid)
{
	char	   *indexes;

	ct_executef("SELECT pg_catalog.string_agg(DISTINCT d.objid::pg_catalog.regclass::pg_catalog.text, ', ')"
				" FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_index i ON i.indexrelid = d.objid"
				" WHERE i.indrelid = %u AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
				" AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass"
				" AND d.refobjid = 'contacts_tier_internal.library_loaded()'::pg_catalog.regprocedure",
				relid);
	indexes = ct_result_text(1);
	if (indexes != NULL)
		ct_executef("DROP INDEX %s", indexes);
}

/*
 * The statement that drops the status columns that attach() added, and the defaults that
 * set_defaults() gave others; NULL if there is nothing to drop.
 */
static char *
alter_columns(const CtManaged *managed, bool drop_columns)
{
	StringInfoData command;
	const char *separator = "";
	char	   *args[CT_NARGS];

	if (!ct_trigger_args(managed->rel, CT_TRIGGER_STATUS, args))
		return NULL;			/* it has one, or would not be managed */
	initStringInfo(&command);
	appendStringInfo(&command, "ALTER TABLE %s", ct_qualified_name(managed->rel));
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
	{
		const char *column = ct_table_column(managed->table, i);

		if (drop_columns && !ct_option_had_column(args[CT_ARG_OPTIONS], i))
			appendStringInfo(&command, "%s DROP COLUMN %s", separator, column);
		else if (ct_has_our_default(managed->rel, managed->table->attno[i]))
			appendStringInfo(&command, "%s ALTER COLUMN %s DROP DEFAULT", separator, column);
		else
			continue;
		separator = ",";
	}
	return *separator == '\0' ? NULL : command.data;
}

PG_FUNCTION_INFO_V1(contacts_tier_detach);

/*
 * detach(contacts regclass, drop_columns boolean) void
 *
 * The companion tables stay, with the history of the accounts, and so do accounts that are
 * subscribed: the table can be attached again.  Its contacts are subtracted from the counters
 * before the columns go, and the triggers are dropped after that, so that no writer comes in
 * between: the lock excludes them.  What is open of the ledger is closed, as far as no writer
 * of another table is at work.
 *
 * Locks: the table and its partitions, exclusively, and the slots of its accounts.
 * Errors: 42501, 42P01 where companion tables have been renamed, 55000 where the table is not attached.
 */
Datum
contacts_tier_detach(PG_FUNCTION_ARGS)
{
	Oid			relid;
	CtManaged	managed;
	char	   *command;

	ct_check_not_null(fcinfo, 0, "contacts");
	ct_check_not_null(fcinfo, 1, "drop_columns");
	relid = PG_GETARG_OID(0);
	ct_manage_begin(&managed, relid, AccessExclusiveLock);
	(void) find_all_inheritors(relid, AccessExclusiveLock, NULL);
	ct_detach_pending(relid);
	command = alter_columns(&managed, PG_GETARG_BOOL(1));
	ct_refuse_renamed(managed.table);
	ct_restore_companions(managed.table);
	if (OidIsValid(ct_companion_relid(&managed.table->names, CT_COUNTER)))
		ct_uncount(managed.table, ct_qualified_name(managed.rel), false);
	if (ct_is_distributed(relid))
		ct_allow_distributed_ddl();
	else if (ct_has_companions(managed.table))
		while (ct_ledger_close_entries(managed.table, false) == CT_ENTRIES_AT_ONCE)
			CHECK_FOR_INTERRUPTS();
	ct_manage_close_table(&managed);

	ct_drop_triggers(relid);
	ct_ddl_forget();
	drop_index(relid);
	if (command != NULL)
		ct_execute(command, 0, NULL, NULL, NULL);
	ct_manage_end(&managed);
	PG_RETURN_VOID();
}
