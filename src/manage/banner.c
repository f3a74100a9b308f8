/*-------------------------------------------------------------------------
 *
 * banner.c
 *	  banner(): the sentence that an application shows to an account near its limit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* A number of contacts, with commas between thousands whatever lc_numeric says */
#define COUNT_TEXT(n) "to_char(" n ", 'FM9,999,999,999,999,999,999')"

/*
 * Who has EXECUTE may ask about the tables in which he may read a column, so about none of
 * a stranger in the same database.  42501.
 */
static void
check_visible(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ct_no_relation_error(relid);
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(relid)), name);
}

/*
 * The banner is up from the highest threshold of the account below 100 % on; without one,
 * from the limit on.  The share is rounded down, so that it never says 100 % too early.  OFFSET 0
 * keeps the count from being made for each place that it is named in.
 */
static char *
banner_query(const CtManaged *managed, const char *account)
{
	Datum		value = ct_managed_account(managed, account);
	char	   *condition = ct_sqlf(managed->table, "account {=} %s::%s",
									quote_literal_cstr(ct_account_text(managed->table, value)), managed->account_type);

	return ct_sqlf(managed->table, "SELECT CASE"
				   " WHEN n.used > n.contact_limit THEN 'This account uses ' || " COUNT_TEXT("n.used") " || ' marketing contacts, '"
				   "  || " COUNT_TEXT("n.used - n.contact_limit") " || ' more than its contact tier of ' || " COUNT_TEXT("n.contact_limit") " || '.'"
				   " WHEN n.used = n.contact_limit THEN 'This account uses all ' || " COUNT_TEXT("n.contact_limit")
				   "  || ' marketing contacts of its contact tier.'"
				   " ELSE 'This account uses ' || " COUNT_TEXT("n.used") " || ' of ' || " COUNT_TEXT("n.contact_limit") " || ' marketing contacts ('"
				   "  || trunc(100.0 * n.used / n.contact_limit, 1) || ' %%).' END"
				   " FROM (SELECT a.contact_limit, a.thresholds, coalesce((SELECT sum(c.used) FROM %1$s c), 0)::bigint AS used"
				   "  FROM {account} a WHERE %2$s AND a.ended_at IS NULL AND a.contact_limit > 0"
				   "  OFFSET 0) n"
				   " WHERE n.used >= n.contact_limit"
				   "  * coalesce((SELECT max((n.thresholds[:])[i]) FROM generate_series(1, 100) i WHERE (n.thresholds[:])[i] < 100), 100) / 100.0",
				   ct_counter_of(managed->table, condition), condition);
}

PG_FUNCTION_INFO_V1(contacts_tier_banner);

/*
 * banner(contacts regclass, account text) text: NULL below the threshold, and without a
 * subscription
 *
 * Reads the counters as the owner of the table.  Errors: 22004, 42501 for who can read no
 * column of the contacts, 55000 where the table is not attached.
 */
Datum
contacts_tier_banner(PG_FUNCTION_ARGS)
{
	CtManaged	managed;
	Oid			relid;
	char	   *account;
	char	   *sentence = NULL;
	MemoryContext context = CurrentMemoryContext;

	ct_check_not_null(fcinfo, 0, "contacts");
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	account = ct_account_argument(fcinfo, 1);
	relid = PG_GETARG_OID(0);
	(void) ct_companion_schema(relid);
	check_visible(relid);
	ct_read_open(&managed, relid);
	check_visible(relid);
	ct_check_companions(managed.table);
	ct_read_begin(&managed);
	if (ct_query(banner_query(&managed, account)) > 0)
		sentence = MemoryContextStrdup(context, ct_result_text(1));
	ct_manage_end(&managed);
	if (sentence == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(sentence));
}
