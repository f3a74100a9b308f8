/*-------------------------------------------------------------------------
 *
 * report.c
 *	  Functions that only read: usage() and has_access(), and how bill.c, history.c,
 *	  progress.c and verify.c read.
 *
 * Every role that may SELECT from the companion tables (and, for verify(), from the
 * contacts themselves) may call them.  The statements run as the owner of the tables all the
 * same, security-restricted: the types, casts and policies that they meet are
 * the owner's, and must not run with the rights of a mightier caller.
 *
 * Who asks for all tables is told how many schemas are hidden, and not which (O2).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "manage/manage.h"

/* 42501: the caller may not read a table. */
static void
no_privilege_error(Oid relid, const char *name)
{
	char	   *schema = get_namespace_name(get_rel_namespace(relid));

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for table %s", name),
			 errhint("Its owner can run GRANT SELECT ON %s TO %s; for all companion tables, contacts_tier.grant_reader().",
					 quote_qualified_identifier(schema, name),
					 quote_identifier(GetUserNameFromId(GetUserId(), false))),
			 ct_errtable(relid)));
}

/*
 * May the caller read a relation, and all rows of it?  A report adds up all rows, so row-level
 * security that hides some from the caller forbids it.  With "missing_ok" the answer is the
 * result, else an error: 42501, 42P01.
 */
static bool
may_read(Oid relid, bool missing_ok)
{
	bool		is_missing = false;
	AclResult	result = pg_class_aclcheck_ext(relid, GetUserId(), ACL_SELECT, &is_missing);
	char	   *name = get_rel_name(relid);

	if ((is_missing || name == NULL) && !missing_ok)
		ct_no_relation_error(relid);
	if (is_missing || name == NULL)
		return false;
	if (result != ACLCHECK_OK && !missing_ok)
		no_privilege_error(relid, name);
	if (result != ACLCHECK_OK)
		return false;
	if (object_ownercheck(RelationRelationId, relid, GetUserId()) ||
		check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED)
		return true;
	if (!missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security hides rows of table \"%s\" from role \"%s\"",
						name, GetUserNameFromId(GetUserId(), false)),
				 errhint("Query the companion tables directly, or call the function as a role that bypasses row-level security."),
				 ct_errtable(relid)));
	return false;
}

/*
 * OID of a companion table: 42P01 if it is missing, where that is an error.
 */
static Oid
companion(const CtNames *names, CtCompanion which, bool missing_ok)
{
	Oid			relid = ct_companion_relid(names, which);

	if (!OidIsValid(relid) && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("companion table \"%s.%s\" does not exist",
						NameStr(names->schema), NameStr(names->companions[which])),
				 errhint("If it was renamed, rename it back.  If it was dropped, call contacts_tier.repair() with the table as its argument to create it again.")));
	return relid;
}

/* Does a report read this companion table?  The ledger only where it says so. */
static bool
reads(const CtReportKind *kind, CtCompanion which)
{
	return which != CT_LEDGER || kind->reads_ledger;
}

/*
 * May the caller read the companion tables that a report reads, and the contacts
 * themselves?
 */
static bool
may_report(const CtNames *names, const CtReportKind *kind, List *relids, bool missing_ok)
{
	ListCell   *cell;

	for (int i = 0; i < CT_NCOMPANIONS; i++)
		if (reads(kind, i) && !may_read(companion(names, i, missing_ok), missing_ok))
			return false;
	foreach(cell, relids)
	{
		if (!may_read(lfirst_oid(cell), missing_ok))
			return false;
	}
	return true;
}

/* An attached table, and all that stands with it, by names that outlive it */
typedef struct Attached
{
	Oid			relid;
	char	   *schema;
	char	   *name;
	char	   *companion_schema;
} Attached;

/* A report over one set of companion tables */
typedef struct CompanionGroup
{
	CtReport   *report;
	const CtReportKind *kind;
	Oid			relid;			/* of one of its tables */
	CtNames		names;			/* of the companion tables */
	int		   *patience;		/* one of many: for ct_lock_within(); else
								 * NULL */
	bool		is_hidden;		/* from the caller */
} CompanionGroup;

/*
 * The same for a group, whose owner the caller must be where the report records what it
 * finds.
 */
static bool
may_report_group(const CompanionGroup *group, bool missing_ok)
{
	if (group->kind->records && !missing_ok)
		ct_check_owner(group->relid);
	if (group->kind->records && !object_ownercheck(RelationRelationId, group->relid, GetUserId()))
		return false;
	return may_report(&group->names, group->kind, group->report->relids, missing_ok);
}

/*
 * Lock what the report reads, without waiting long.  One table that is not sound would make
 * all that is counted together wrong.
 */
static void
lock_group(const CompanionGroup *group)
{
	ListCell   *cell;

	ct_lock_within(group->relid, AccessShareLock, group->patience);
	for (int i = 0; i < CT_NCOMPANIONS; i++)
		if (reads(group->kind, i))
			ct_lock_within(companion(&group->names, i, false), AccessShareLock, group->patience);
	foreach(cell, group->report->relids)
	{
		if (!ct_is_sound(lfirst_oid(cell), &group->names))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a table that shares its companion tables is not as contacts_tier.attach() creates it"),
					 errhint("Pass the table as an argument: the error then names what is wrong.")));
		ct_lock_within(lfirst_oid(cell), AccessShareLock, group->patience);
	}
}

/*
 * Run the report over one set of companion tables, as their owner.  The caller's
 * rights are looked at before anything is locked, and again when it is: they may have been
 * revoked while we waited.  Columns of the result are checked against those that the function
 * declares, which tuplestore_puttuple() does not do.
 */
static void
report_group(void *arg)
{
	CompanionGroup *group = arg;
	CtReport   *report = group->report;
	ReturnSetInfo *result = (ReturnSetInfo *) report->fcinfo->resultinfo;
	CtManaged	managed;
	uint64		count;

	/* it reads all triggers of the database: only where it must */
	report->relids = group->kind->reads_contacts ? ct_attached_tables(&group->names) :
		group->kind->reads_table ? list_make1_oid(group->relid) : NIL;
	group->is_hidden = !may_report_group(group, group->patience != NULL);
	if (group->is_hidden)
		return;
	if (group->patience != NULL)
		lock_group(group);
	ct_read_open(&managed, group->relid);
	if (!ct_names_equal(&managed.table->names, &group->names))
		ct_no_relation_error(group->relid);
	(void) may_report_group(group, false);
	ct_check_companions(managed.table);
	ct_read_begin(&managed);
	if (group->patience != NULL)
		ct_limit_lock_waits(1000);
	report->table = &managed;
	if (group->kind->accounts != NULL && report->account == NULL && ct_is_distributed(group->relid))
		count = ct_query(ct_shards_query(report, group->kind->accounts));
	else
		count = group->kind->records ? ct_execute(group->kind->query(report), 0, NULL, NULL, NULL) :
			ct_query(group->kind->query(report));
	for (int i = 0; count > 0 && i < result->setDesc->natts; i++)
		ct_check_result_type(SPI_tuptable->tupdesc, i + 1, TupleDescAttr(result->setDesc, i)->atttypid);
	for (uint64 i = 0; i < count; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	ct_manage_end(&managed);
}

/* For list_sort(): by names, which are the same after a dump and restore, unlike OIDs. */
static int
compare_names(const ListCell *a, const ListCell *b)
{
	const Attached *left = lfirst(a);
	const Attached *right = lfirst(b);
	int			result = strcmp(left->schema, right->schema);

	return result != 0 ? result : strcmp(left->name, right->name);
}

/*
 * The attached tables that are sound and still there, by name.  None is locked: one that is
 * dropped meanwhile fails in report_group(), and is left out.
 */
static List *
list_attached(void)
{
	List	   *relids = ct_attached_tables(NULL);
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, relids)
	{
		Attached	attached = {.relid = lfirst_oid(cell)};
		Oid			namespace = get_rel_namespace(attached.relid);
		char	   *args[CT_NARGS];

		attached.schema = get_namespace_name(namespace);
		attached.name = get_rel_name(attached.relid);
		if (attached.schema == NULL || attached.name == NULL || !ct_look_up_args(attached.relid, args))
			continue;
		attached.companion_schema = args[CT_ARG_SCHEMA];
		result = lappend(result, memcpy(palloc(sizeof(attached)), &attached, sizeof(attached)));
	}
	list_sort(result, compare_names);
	return result;
}

/*
 * Report on one set of companion tables of many, if the caller may read it.  Says so by
 * its result.  What fails, or is locked, is skipped with a WARNING.
 */
static bool
report_if_visible(CompanionGroup *group, const char *schema)
{
	ct_names_resolve(&group->names, group->relid, schema);
	group->report->relids = NIL;
	/* who may not read it is not told which it is */
	if (!may_report_group(group, true))
		return false;
	(void) ct_attempt(report_group, group, psprintf("schema \"%s\"", schema));
	return !group->is_hidden;
}

/* Tell how much the caller does not see: no silent absence. */
static void
tell_hidden(int hidden, bool records)
{
	if (hidden > 0)
		ereport(NOTICE,
				(errmsg_plural("attached tables of %d schema are left out, because role \"%s\" may not read them all",
							   "attached tables of %d schemas are left out, because role \"%s\" may not read them all",
							   hidden, hidden, GetUserNameFromId(GetUserId(), false)),
				 records ? errhint("Only the owner of attached tables can record what verify() finds.") : 0));
}

/* Report on each set of companion tables that the caller may read. */
static void
report_all(CtReport *report, const CtReportKind *kind)
{
	List	   *done = NIL;
	int			patience = CT_FIRST_PATIENCE;
	ListCell   *cell;
	int			hidden = 0;

	foreach(cell, list_attached())
	{
		const Attached *attached = lfirst(cell);
		CompanionGroup group = {
			.report = report,.kind = kind,.relid = attached->relid,.patience = &patience
		};

		if (list_member(done, makeString(attached->companion_schema)))
			continue;
		done = lappend(done, makeString(attached->companion_schema));
		if (!report_if_visible(&group, attached->companion_schema))
			hidden++;
	}
	tell_hidden(hidden, kind->records);
}

/*
 * Run a report for every set of companion tables that the caller may read.
 */
void
ct_report_all(FunctionCallInfo fcinfo, const CtReportKind *kind)
{
	CtReport	report = {.fcinfo = fcinfo};

	InitMaterializedSRF(fcinfo, 0);
	report_all(&report, kind);
}

/*
 * Run a report for the table that is argument 0 of the function, if that is not null;
 * else for every set of companion tables that the caller may read, where what fails or stays
 * locked is left out with a WARNING, and a NOTICE counts the schemas that are hidden from
 * the caller.  "account" is the account asked for, NULL for all.
 *
 * Citus sends the query to nodes, as the owner, without the schema of functions of pg_catalog, and his sessions there
 * have his search_path.  So a query calls none that takes "any" or a polymorphic type: one of that name in a schema
 * of the path would fit its arguments better, whoever has created it (R3).  Operators come with their schema.
 *
 * Errors: 42501, 42P01, 55000 where the table is not attached.
 */
void
ct_report_of(FunctionCallInfo fcinfo, const CtReportKind *kind, const char *account)
{
	CtReport	report = {.fcinfo = fcinfo,.account = account};

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		report_all(&report, kind);
	else
	{
		CompanionGroup group = {
			.report = &report,.kind = kind,.relid = PG_GETARG_OID(0),.patience = NULL
		};

		ct_attached_names(group.relid, &group.names);
		report_group(&group);
	}
}

/*
 * The same for a function whose argument 1 is the account.
 */
void
ct_report(FunctionCallInfo fcinfo, const CtReportKind *kind)
{
	ct_report_of(fcinfo, kind, PG_ARGISNULL(1) ? NULL : ct_account_argument(fcinfo, 1));
}

/*
 * A condition on an account column, as a part of a statement.  The account is read here, so
 * that one that does not parse gets the error of its type, not one that quotes the statement.
 */
static char *
is_account(const CtManaged *managed, const char *column, const char *account)
{
	Datum		value = ct_account_input(managed->table, account);

	return ct_sqlf(managed->table, "%s {=} %s::%s", column,
				   quote_literal_cstr(ct_account_text(managed->table, value)),
				   managed->account_type);
}

/*
 * That condition after a keyword, WHERE or AND, where the report is about one account; else
 * an empty text.
 */
char *
ct_report_account(const CtReport *report, const char *keyword, const char *column)
{
	return report->account == NULL ? "" :
		psprintf(" %s %s", keyword, is_account(report->table, column, report->account));
}

/*
 * The counters of an account, for a FROM clause: the rows of its slots.  "condition" chooses it
 * by a column "account".
 *
 * Slot by slot from the last one on: while somebody holds an old snapshot, slots have many dead
 * versions, and a scan of the account would walk all of them (see ct_slots_list()).
 */
char *
ct_counter_of(const CtTable *table, const char *condition)
{
	if (ct_is_distributed(table->relid))
		return ct_sqlf(table, "(SELECT * FROM {counter} WHERE %1$s)", condition);
	return ct_sqlf(table, "(WITH RECURSIVE slots AS ("
				   "(SELECT * FROM {counter} WHERE %1$s ORDER BY slot DESC LIMIT 1)"
				   " UNION ALL SELECT c.* FROM slots s CROSS JOIN LATERAL (SELECT * FROM {counter}"
				   "  WHERE %1$s AND slot < s.slot ORDER BY slot DESC LIMIT 1) c)"
				   " SELECT * FROM slots)", condition);
}

/*
 * The same for a report: all counters, if it is about all accounts.
 */
char *
ct_report_counter(const CtReport *report)
{
	return report->account == NULL ? ct_sql(report->table->table, "{counter}") :
		ct_counter_of(report->table->table, ct_report_account(report, "", "account"));
}

/* Of usage(): a full join, since an account can have contacts without a subscription. */
static char *
usage_query(const CtReport *report)
{
	return ct_sqlf(report->table->table, "SELECT %1$u::regclass, coalesce(a.account, c.account)::text, a.plan, a.contact_limit,"
				   " coalesce(c.used, 0), coalesce(c.pending, 0), coalesce(c.used - c.pending, 0),"
				   " greatest(a.contact_limit - coalesce(c.used, 0), 0),"
				   " round(100.0 * coalesce(c.used, 0) / nullif(a.contact_limit, 0), 1),"
				   " CASE WHEN a.contact_limit = 0 THEN NULL"
				   "  WHEN c.used >= a.contact_limit * 0.98 THEN 'banner'"
				   "  WHEN c.used >= a.contact_limit * a.thresholds[1] / 100.0 THEN 'notice' END,"
				   " nullif(a.next_update_at, 'infinity'), CASE WHEN a.ended_at IS NULL THEN a.renews_at END"
				   " FROM (SELECT * FROM {account}%2$s) a"
				   " FULL JOIN (SELECT account, sum(used)::bigint AS used, sum(pending)::bigint AS pending"
				   "  FROM %3$s s GROUP BY account) c ON a.account {=} c.account"
				   " ORDER BY coalesce(a.account, c.account)",
				   report->table->table->relid,
				   ct_report_account(report, "WHERE", "account"), ct_report_counter(report));
}

PG_FUNCTION_INFO_V1(contacts_tier_usage);

/*
 * usage(contacts regclass, account text): a row for each account
 *
 * Reads counters and account rows alone.
 */
Datum
contacts_tier_usage(PG_FUNCTION_ARGS)
{
	static const CtReportKind usage = {.query = usage_query};

	ct_report(fcinfo, &usage);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(contacts_tier_has_access);

/*
 * has_access(contacts regclass, account text) boolean
 *
 * May the account have marketing contacts: is it subscribed to a plan that includes them?
 * False for a null account, as for one that is not known.
 *
 * Errors: 42501, 55000 where the table is not attached, those of the account's
 * input function.
 */
Datum
contacts_tier_has_access(PG_FUNCTION_ARGS)
{
	static const CtReportKind kind = {.reads_ledger = false};
	CtManaged	managed;
	Oid			relid;
	CtNames		names;
	bool		access;
	char	   *account;

	ct_check_not_null(fcinfo, 0, "contacts");
	if (PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	account = ct_account_argument(fcinfo, 1);
	relid = PG_GETARG_OID(0);
	ct_attached_names(relid, &names);
	(void) may_report(&names, &kind, NIL, false);
	ct_read_open(&managed, relid);
	(void) may_report(&managed.table->names, &kind, NIL, false);
	ct_check_companions(managed.table);
	ct_read_begin(&managed);
	access = ct_query(ct_sqlf(managed.table, "SELECT FROM {account} a JOIN {plan} p ON p.name = a.plan"
							  " WHERE %s AND p.marketing_contacts AND a.ended_at IS NULL",
							  is_account(&managed, "a.account", account))) > 0;
	ct_manage_end(&managed);
	PG_RETURN_BOOL(access);
}
