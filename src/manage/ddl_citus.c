/*-------------------------------------------------------------------------
 *
 * ddl_citus.c
 *	  What functions of Citus do to attached tables behind the commands that users know.
 *
 * Citus changes the distribution of a table by a new one of which it has the rows, and drops the former
 * table, as if its contacts were gone; and it makes a local table the shard of a new one.  The
 * companion tables would stay as they are.  Both are refused, where Citus does it by commands that
 * hooks see.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_trigger.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"

/*
 * A trigger is about to be dropped, as before its table: not by Citus, which has put another table in the place of an
 * attached one?  undistribute_table(), alter_distributed_table() and their like do so.  Errors: 55000.
 */
void
ct_guard_replaced(Oid trigger)
{
	HeapTuple	tuple = ct_has_citus() ? ct_read_trigger(trigger, NULL) : NULL;
	Oid			relid;
	char	   *name;

	if (tuple == NULL || ct_function(((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid) == CT_OTHER_FUNCTION)
		return;
	relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
	if (!ct_has_replacement(relid) || ct_is_work_of_citus(relid, InvalidOid))
		return;
	name = quote_literal_cstr(ct_name_in_statement(relid));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot change the distribution of attached table \"%s\"", get_rel_name(relid)),
			 errdetail("Its companion tables would not change with it, and its contacts would be counted out."),
			 errhint("Detach the table with contacts_tier.detach(%s), change the companion tables and it, and attach it again.", name),
			 ct_errtable(relid)));
}

/* The number behind the last underscore of a name, with it; NULL if there is none */
static const char *
number_of(const char *name)
{
	const char *number = strrchr(name, '_');

	return number != NULL && number[1] != '\0' && strspn(number + 1, "0123456789") == strlen(number + 1) ? number : NULL;
}

/*
 * A trigger was renamed: not since Citus makes an attached local table the shard of one that it
 * manages, and has given both the number of the shard?  Errors: 0A000.
 */
void
ct_guard_trigger_renamed(Oid trigger)
{
	HeapTuple	after = ct_has_citus() ? ct_read_trigger(trigger, SnapshotSelf) : NULL;
	HeapTuple	before = after == NULL ? NULL : ct_read_trigger(trigger, NULL);
	Form_pg_trigger form;
	char	   *name;
	const char *number;

	if (before == NULL || ct_function(((Form_pg_trigger) GETSTRUCT(after))->tgfoid) == CT_OTHER_FUNCTION)
		return;
	form = (Form_pg_trigger) GETSTRUCT(after);
	name = get_rel_name(form->tgrelid);
	number = name == NULL ? NULL : number_of(name);
	if (number == NULL || ct_is_distributed(form->tgrelid) ||
		strcmp(psprintf("%s%s", NameStr(((Form_pg_trigger) GETSTRUCT(before))->tgname), number), NameStr(form->tgname)) != 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("attached table \"%.*s\" cannot become a local table that Citus manages", (int) (number - name), name),
			 errdetail("Citus does that where a local table references a reference table, or is referenced by one."),
			 errhint("Have the table distributed with contacts_tier.distribute(), or do without the foreign key."),
			 ct_errtable(form->tgrelid)));
}
