/*-------------------------------------------------------------------------
 *
 * call_table.c
 *	  Is the table of calls of distributed companion tables what attach() creates?
 *
 * An INSERT into it is run with the rights of the owner of the contacts, and so are its triggers.
 * Anybody who may create tables in the schema can create one of this name, before attach() or after the
 * owner has dropped his.  So whose it is is looked at before each call; what the owner has put on a
 * table of his own is his affair.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* Say what is wrong with the table of calls, and how to be rid of it. */
static void
wrong_table_error(const CtTable *table, int code, const char *what)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("table \"%s.%s\" %s", NameStr(table->names.schema), CT_CALL_TABLE, what),
			 errdetail("It takes calls for attached table \"%s\" to shards, with the rights of the owner.", get_rel_name(table->relid)),
			 errhint("If it is of a former owner, use ALTER TABLE ... OWNER TO.  Otherwise drop or rename it, and create it again with contacts_tier.repair().")));
}

/*
 * The table of calls of an attached table, which need not exist: invalid then.  It is of the same owner, and
 * distributed.  Errors: 42501, 42809.
 */
Oid
ct_find_call_table(const CtTable *table)
{
	Oid			relid = ct_find_relation(NameStr(table->names.schema), CT_CALL_TABLE);

	if (!OidIsValid(relid))
		return InvalidOid;
	if (ct_companion_owner(relid) != table->owner)
		wrong_table_error(table, ERRCODE_INSUFFICIENT_PRIVILEGE,
						  psprintf("is no table of the owner of \"%s\"", get_rel_name(table->relid)));
	if (!ct_is_distributed(relid) || ct_is_reference(relid))
		wrong_table_error(table, ERRCODE_WRONG_OBJECT_TYPE,
						  psprintf("is not distributed like \"%s\"", get_rel_name(table->relid)));
	return relid;
}

/*
 * The same, locked for an INSERT, as in a statement.  Errors: 42P01 if there is none, 42501, 42809.
 */
char *
ct_call_table(const CtTable *table)
{
	for (;;)
	{
		Oid			relid = ct_find_call_table(table);

		if (!OidIsValid(relid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("table \"%s.%s\" does not exist", NameStr(table->names.schema), CT_CALL_TABLE),
					 errdetail("It takes calls for attached table \"%s\" to shards.", get_rel_name(table->relid)),
					 errhint("If it was renamed, rename it back.  If it was dropped, create it again with contacts_tier.repair().")));
		LockRelationOid(relid, RowExclusiveLock);

		/*
		 * while we waited, the name may have come to mean another, or that
		 * may have come to be another's
		 */
		if (ct_find_call_table(table) == relid)
			return quote_qualified_identifier(NameStr(table->names.schema), CT_CALL_TABLE);
		UnlockRelationOid(relid, RowExclusiveLock);
	}
}
