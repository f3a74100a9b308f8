/*-------------------------------------------------------------------------
 *
 * managed.c
 *	  What functions that manage an attached table have in common: who may call
 *	  them, and the frame they work in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "contact/contact.h"

/*
 * Refuse a null argument: 22004.
 */
void
ct_check_not_null(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
}

/*
 * Refuse a null table or account, the first two arguments of a function: 22004.
 */
void
ct_check_account_not_null(FunctionCallInfo fcinfo)
{
	ct_check_not_null(fcinfo, 0, "contacts");
	ct_check_not_null(fcinfo, 1, "account");
}

/*
 * An account that is an argument of a function, not null: text, or of any type where the
 * function is declared with a polymorphic type; then it is what the output function of the type
 * gives, or for char(n), what a cast gives.  A palloc'd text.
 *
 * Call it as the caller, before becoming the owner: the type may be the caller's own, and
 * so its output function (R3).
 */
char *
ct_account_argument(FunctionCallInfo fcinfo, int argument)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, argument);
	Oid			base = OidIsValid(type) ? getBaseType(type) : TEXTOID;
	Oid			output;
	bool		isvarlena;
	int			level;
	char	   *account;

	if (base == TEXTOID || base == VARCHAROID)
		return text_to_cstring(PG_GETARG_TEXT_PP(argument));
	if (base == BPCHAROID)
		return text_to_cstring(DatumGetTextPP(DirectFunctionCall1(rtrim1, PG_GETARG_DATUM(argument))));
	getTypeOutputInfo(type, &output, &isvarlena);
	/* as ct_managed_account() reads it */
	level = NewGUCNestLevel();
	ct_set_exact_text();
	account = OidOutputFunctionCall(output, PG_GETARG_DATUM(argument));
	AtEOXact_GUC(false, level);
	return account;
}

/*
 * Only the owner of a table manages it: 42501.
 */
void
ct_check_owner(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ct_no_relation_error(relid);
	if (!object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)), name);
}

/*
 * Does the user, or the administrator of the server, want a statement to end?  Then it is
 * ProcessInterrupts() that raises the error; any function can raise the same codes.
 */
static bool
is_interrupt(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION &&
		error->funcname != NULL && strcmp(error->funcname, "ProcessInterrupts") == 0;
}

/*
 * Do some work in a subtransaction.  Where it fails, the work is rolled back, and the result is the error, else
 * NULL.  A cancelled query is an error still; it, too, must not end its statement in the subtransaction.
 */
ErrorData *
ct_try(void (*work) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL && is_interrupt(error))
		ReThrowError(error);
	return error;
}

/*
 * Do some work that others must not depend on, as ct_try().  Where it fails, a WARNING says so, and the
 * result is false.  "what" names it in the WARNING.
 */
bool
ct_attempt(void (*work) (void *arg), void *arg, const char *what)
{
	ErrorData  *error = ct_try(work, arg);

	if (error == NULL)
		return true;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("%s is skipped", what),
			 errdetail_internal("%s", error->message),
			 error->hint != NULL ? errhint("%s", error->hint) : 0));
	return false;
}

/*
 * Wait for a lock, but not long.  If others hold it all that time, or wait for what we hold, the
 * error is 55P03.  Our look for a deadlock is early: those who wait for us look later, and are
 * not the ones to be cancelled.
 */
static void
wait_for_lock(Oid relid, LOCKMODE lockmode, const char *name, int *patience)
{
	int			level = NewGUCNestLevel();

	if (LockTimeout == 0 || LockTimeout > *patience)
		ct_set_for_now("lock_timeout", psprintf("%d", *patience));

	/*
	 * which only a superuser can set for a session; ct_set_for_now() asks for
	 * the user's right
	 */
	(void) set_config_option("deadlock_timeout", psprintf("%d", CT_NEXT_PATIENCE / 2), PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	PG_TRY();
	{
		LockRelationOid(relid, lockmode);
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		if (code != ERRCODE_LOCK_NOT_AVAILABLE && code != ERRCODE_T_R_DEADLOCK_DETECTED)
			PG_RE_THROW();
		FlushErrorState();
		*patience = CT_NEXT_PATIENCE;
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not obtain lock on relation \"%s\"", name)));
	}
	PG_END_TRY();
	AtEOXact_GUC(false, level);
}

/*
 * Lock a relation, then what is below it.  Each is locked before its partitions are
 * listed: find_inheritance_children() looks its relation up, which must not be dropped
 * meanwhile.
 */
static void
lock_tree(Oid relid, LOCKMODE lockmode, int *patience)
{
	char	   *name = get_rel_name(relid);
	ListCell   *cell;
	List	   *children;

	if (name != NULL && !ConditionalLockRelationOid(relid, lockmode))
		wait_for_lock(relid, lockmode, name, patience);
	/* a partition that was dropped since it was listed */
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return;
	children = find_inheritance_children(relid, NoLock);
	foreach(cell, children)
		lock_tree(lfirst_oid(cell), lockmode, patience);
}

/*
 * Lock a relation and its partitions, and wait for each at most *patience milliseconds, or
 * the user's lock_timeout: 55P03 where another transaction holds one of them longer, 42P01 where
 * there is no such relation.  *patience begins with CT_FIRST_PATIENCE, enough for ordinary
 * transactions; after a lock that was not to be had it is CT_NEXT_PATIENCE, for what is one
 * of many.  The caller may lock them, is in a subtransaction, and rolls that back on an error.
 */
void
ct_lock_within(Oid relid, LOCKMODE lockmode, int *patience)
{
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		ct_no_relation_error(relid);
	lock_tree(relid, lockmode, patience);
}

/*
 * Wait for no lock longer than this, until the identity is restored: what is one of many is
 * not worth more.  A shorter lock_timeout of the user stays.
 */
void
ct_limit_lock_waits(int milliseconds)
{
	if (LockTimeout == 0 || LockTimeout > milliseconds)
		ct_set_for_now("lock_timeout", psprintf("%dms", milliseconds));
}

/*
 * Lock a table on all nodes, if Citus distributes it, against writers at least, as the owner: before
 * rows of shards are, since writers on other nodes lock it there first.  Citus does not find such
 * deadlocks, as a single statement has no distributed transaction.
 */
static void
lock_on_nodes(Oid relid, LOCKMODE lockmode)
{
	CtIdentity	identity;

	if (lockmode < ShareRowExclusiveLock || !ct_is_distributed(relid))
		return;

	/*
	 * LOCK needs one of these: not so for the ledger, on which attach()
	 * revokes them, and to which nobody else writes
	 */
	if (pg_class_aclmask(relid, ct_companion_owner(relid), ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE, ACLMASK_ANY) == 0)
		return;
	ct_connect_spi();
	ct_manage_as_owner(ct_companion_owner(relid), &identity);
	ct_executef("LOCK TABLE %s IN %s MODE", quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
				lockmode == AccessExclusiveLock ? "ACCESS EXCLUSIVE" : lockmode == ExclusiveLock ? "EXCLUSIVE" : "SHARE ROW EXCLUSIVE");
	ct_restore_identity(&identity);
	SPI_finish();
}

/*
 * Open a table that the caller owns and lock it.  Ownership is looked at before
 * the lock is requested, so that nobody can block other people's tables.  Errors: 42501,
 * 42P01.
 */
Relation
ct_open_owned(Oid relid, LOCKMODE lockmode)
{
	Relation	rel;

	ct_check_owner(relid);
	ct_warn_of_clock();
	lock_on_nodes(relid, lockmode);
	rel = try_relation_open(relid, lockmode);
	if (rel == NULL)
		ct_no_relation_error(relid);
	ct_check_owner(relid);		/* it may have changed while we waited */
	return rel;
}

/*
 * What is known of an open table that must be attached: 55000, 42809.
 */
static CtTable *
find_table(Relation rel)
{
	char	   *args[CT_NARGS];

	if (!ct_trigger_args(rel, CT_TRIGGER_STATUS, args) || rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP ||
		rel->rd_rel->relispartition)
		ct_not_attached_error(RelationGetRelid(rel));
	return ct_table_resolve(rel, CT_NARGS, args);
}

/*
 * Begin to work on an open table as its owner.  Errors: those of ct_check_propagated() if it is distributed.
 */
static void
begin(CtManaged *managed)
{
	managed->table = find_table(managed->rel);
	if (ct_is_distributed(RelationGetRelid(managed->rel)))
		ct_check_propagated(managed->rel->rd_rel->relowner);
	ct_connect_spi();
	ct_manage_as_owner(managed->rel->rd_rel->relowner, &managed->identity);
	managed->account_type = ct_type_name(managed->table->account_type);
}

/*
 * Begin to manage an attached table: lock it, connect to SPI, be its owner, until
 * ct_manage_end().
 * Errors: 42501 for others than its owner, 55000 where it is not attached.
 */
void
ct_manage_begin(CtManaged *managed, Oid relid, LOCKMODE lockmode)
{
	managed->rel = ct_open_owned(relid, lockmode);
	begin(managed);
}

/*
 * The same for reading, on behalf of a caller whose rights are checked before and once
 * more after the table is opened: what holds when a lock is requested may not hold when
 * it is granted.  ct_read_open() opens the table alone; ct_read_begin() becomes its owner
 * then.
 */
void
ct_read_open(CtManaged *managed, Oid relid)
{
	managed->rel = try_relation_open(relid, AccessShareLock);
	if (managed->rel == NULL)
		ct_no_relation_error(relid);
	managed->table = find_table(managed->rel);
}

/*
 * Go on with what ct_read_open() has opened, once the caller's rights are known.
 */
void
ct_read_begin(CtManaged *managed)
{
	begin(managed);
}

/*
 * An account given as text, in the type of the account column.  Errors: those
 * of the type's input function; 22023 for a table that is one account.
 */
Datum
ct_managed_account(const CtManaged *managed, const char *account)
{
	if (!AttributeNumberIsValid(managed->table->attno[CT_ARG_ACCOUNT]) &&
		strcmp(account, CT_DEFAULT_ACCOUNT) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has no account \"%s\"",
						RelationGetRelationName(managed->rel), account),
				 errdetail("The table was attached without an account column, so the whole table is account \"%s\".",
						   CT_DEFAULT_ACCOUNT),
				 errtable(managed->rel)));
	return ct_account_input(managed->table, account);
}

/*
 * Begin to manage one account, for a function whose first two arguments are the table
 * and the account.  Errors: 22004 where one of them is null, those of ct_manage_begin()
 * and ct_managed_account().
 */
Datum
ct_manage_begin_account(CtManaged *managed, FunctionCallInfo fcinfo)
{
	char	   *account;

	ct_check_account_not_null(fcinfo);
	account = ct_account_argument(fcinfo, 1);
	ct_manage_begin(managed, PG_GETARG_OID(0), RowExclusiveLock);
	return ct_managed_account(managed, account);
}

/*
 * Close the table early, for commands that demand it.  The lock stays.
 */
void
ct_manage_close_table(CtManaged *managed)
{
	relation_close(managed->rel, NoLock);
	managed->rel = NULL;
}

/*
 * Be the caller again.  The lock stays until the transaction ends.
 */
void
ct_manage_end(CtManaged *managed)
{
	ct_restore_identity(&managed->identity);
	SPI_finish();
	if (managed->rel != NULL)
		relation_close(managed->rel, NoLock);
}

/*
 * Attribute numbers of the primary key, in its order; NIL if there is none.  From the
 * catalogue, by SQL: the relation cache has them as a set, without order.
 */
List *
ct_primary_key(Relation rel)
{
	List	   *columns = NIL;
	uint64		count = ct_executef("SELECT k.attno FROM pg_catalog.pg_index i,"
									" pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (attno, position)"
									" WHERE i.indrelid = %u AND i.indisprimary AND k.position <= i.indnkeyatts"
									" ORDER BY k.position",
									RelationGetRelid(rel));

	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;

		columns = lappend_int(columns,
							  DatumGetInt16(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
														  1, &isnull)));
	}
	return columns;
}
