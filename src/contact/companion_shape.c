/*-------------------------------------------------------------------------
 *
 * companion_shape.c
 *	  Are companion tables what attach() creates?
 *
 * They are ordinary tables of the owner of the contacts, and anybody can create
 * tables of these names.  So before a statement on them is planned, or one is accessed
 * without SQL, this is checked: whose they are, of which kind, which columns of
 * which types and collation they have, and their primary keys.
 *
 * A view of the name would run what it selects from with the rights of the owner of the
 * contacts; a column of another type would bring in a cast that somebody else has created.
 * Triggers, rules and policies that the owner has put on his tables are his affair, and run
 * with his rights alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "contact/contact.h"

/*
 * Owner of a companion table; invalid if there is no such table.  A view or a temporary
 * table of the name is none: what it does, and to whom it shows what, nobody knows.
 */
Oid
ct_companion_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	Oid			owner = InvalidOid;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if ((form->relkind == RELKIND_RELATION || form->relkind == RELKIND_PARTITIONED_TABLE) &&
		form->relpersistence != RELPERSISTENCE_TEMP)
		owner = form->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Types that are not built in: of the extension, whose OIDs differ between databases */
#define BILLING_CYCLE	"billing_cycle"
#define EXCEED_POLICY	"exceed_policy"

/*
 * The columns that the extension needs, as create_companions() creates them; there may
 * be more.
 */
static const struct
{
	CtCompanion which;
	const char *name;
	Oid			type;			/* invalid: see own_type */
	const char *own_type;		/* of the extension; NULL: the account's */
}			companion_columns[] = {
	{CT_ACCOUNT, "account", InvalidOid, NULL},
	{CT_ACCOUNT, "plan", TEXTOID, NULL},
	{CT_ACCOUNT, "contact_limit", INT8OID, NULL},
	{CT_ACCOUNT, "billing_cycle", InvalidOid, BILLING_CYCLE},
	{CT_ACCOUNT, "on_exceed", InvalidOid, EXCEED_POLICY},
	{CT_ACCOUNT, "grace", INT8OID, NULL},
	{CT_ACCOUNT, "thresholds", INT4ARRAYOID, NULL},
	{CT_ACCOUNT, "announced", INT4OID, NULL},
	{CT_ACCOUNT, "exceeded_announced", BOOLOID, NULL},
	{CT_ACCOUNT, "source_defaults", JSONBOID, NULL},
	{CT_ACCOUNT, "time_zone", TEXTOID, NULL},
	{CT_ACCOUNT, "started_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "anchor", DATEOID, NULL},
	{CT_ACCOUNT, "period_started_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "next_update_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "renews_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "renewal_limit", INT8OID, NULL},
	{CT_ACCOUNT, "renewal_cycle", InvalidOid, BILLING_CYCLE},
	{CT_ACCOUNT, "auto_downgrade", BOOLOID, NULL},
	{CT_ACCOUNT, "cancelled", BOOLOID, NULL},
	{CT_ACCOUNT, "ended_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "period_limit", INT8OID, NULL},
	{CT_ACCOUNT, "period_price", NUMERICOID, NULL},
	{CT_ACCOUNT, "period_opening", INT8OID, NULL},
	{CT_ACCOUNT, "period_upgrades", INT4OID, NULL},
	{CT_ACCOUNT, "requested_limit", INT8OID, NULL},
	{CT_ACCOUNT, "record_activity", BOOLOID, NULL},
	{CT_ACCOUNT, "max_limit", INT8OID, NULL},
	{CT_ACCOUNT, "source_policies", JSONBOID, NULL},
	{CT_ACCOUNT, "proration", TEXTOID, NULL},
	{CT_ACCOUNT, "brake", JSONBOID, NULL},
	{CT_ACCOUNT, "rollover_run", UUIDOID, NULL},
	{CT_ACCOUNT, "rollover_started_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "rollover_contacts", INT8OID, NULL},
	{CT_COUNTER, "account", InvalidOid, NULL},
	{CT_COUNTER, "slot", INT4OID, NULL},
	{CT_COUNTER, "used", INT8OID, NULL},
	{CT_COUNTER, "pending", INT8OID, NULL},
	{CT_COUNTER, "granted", INT8OID, NULL},
	{CT_COUNTER, "promoted", INT8OID, NULL},
	{CT_COUNTER, "demoted", INT8OID, NULL},
	{CT_COUNTER, "corrected", INT8OID, NULL},
	{CT_COUNTER, "peak", INT8OID, NULL},
	{CT_COUNTER, "floor", INT8OID, NULL},
	{CT_COUNTER, "bottom", INT8OID, NULL},
	{CT_COUNTER, "lowest", INT8OID, NULL},
	{CT_COUNTER, "brake", INT8OID, NULL},
	{CT_COUNTER, "braked_at", TIMESTAMPTZOID, NULL},
	{CT_COUNTER, "entry_started_at", TIMESTAMPTZOID, NULL},
	{CT_COUNTER, "entry_ended_at", TIMESTAMPTZOID, NULL},
	{CT_COUNTER, "entry_statements", INT8OID, NULL},
	{CT_COUNTER, "entry_created", INT8OID, NULL},
	{CT_COUNTER, "entry_deleted", INT8OID, NULL},
	{CT_COUNTER, "entry_promoted", INT8OID, NULL},
	{CT_COUNTER, "entry_demoted", INT8OID, NULL},
	{CT_COUNTER, "entry_flagged", INT8OID, NULL},
	{CT_COUNTER, "entry_unflagged", INT8OID, NULL},
	{CT_COUNTER, "entry_dropped", INT8OID, NULL},
	{CT_COUNTER, "entry_role", TEXTOID, NULL},
	{CT_COUNTER, "entry_source_type", TEXTOID, NULL},
	{CT_COUNTER, "entry_source_name", TEXTOID, NULL},
	{CT_LEDGER, "account", InvalidOid, NULL},
	{CT_LEDGER, "entry", UUIDOID, NULL},
	{CT_LEDGER, "recorded_at", TIMESTAMPTZOID, NULL},
	{CT_LEDGER, "event", TEXTOID, NULL},
	{CT_LEDGER, "role", TEXTOID, NULL},
	{CT_LEDGER, "contacts", INT8OID, NULL},
	{CT_LEDGER, "details", JSONBOID, NULL}
};

/* The columns of the primary keys; the second may be missing */
static const char *const companion_keys[CT_NCOMPANIONS][2] = {
	[CT_ACCOUNT] = {"account", NULL},
	[CT_COUNTER] = {"account", "slot"},
	[CT_LEDGER] = {"account", "entry"}
};

/* Fill a fault in; true, for its caller to return.  The hint may be NULL. */
static bool
fault_is(CtFault *fault, int code, char *message, const char *hint)
{
	fault->code = code;
	fault->message = message;
	fault->hint = hint;
	return true;
}

/* Access method of a relation; invalid if it has none */
static Oid
access_method(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			result;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	result = ((Form_pg_class) GETSTRUCT(tuple))->relam;
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Is a companion table missing, not the owner's, or of another kind than it must be?  His rights
 * are what statements on it run with, so it must be his (R3).  Counters and accounts are accessed
 * without SQL, so they are heaps.  A crash empties unlogged tables, and not the contacts.
 */
static bool
find_table_fault(const CtCompanionOf *of, CtCompanion which, Oid relid, CtFault *fault)
{
	const char *name = NameStr(of->names.companions[which]);
	Oid			owner = ct_companion_owner(relid);

	if (!OidIsValid(relid) && of->may_be_missing)
		return false;
	if (!OidIsValid(owner))
		return fault_is(fault, ERRCODE_UNDEFINED_TABLE,
						psprintf("companion table \"%s.%s\" of attached table \"%s\" does not exist",
								 NameStr(of->names.schema), name, of->contacts),
						"If the companion table or its schema was renamed, rename it back.  If it was dropped, call contacts_tier.repair() with the table as its argument to create it again.");
	if (owner != of->owner)
		return fault_is(fault, ERRCODE_INSUFFICIENT_PRIVILEGE,
						psprintf("companion table \"%s.%s\" does not belong to the owner of \"%s\"",
								 NameStr(of->names.schema), name, of->contacts),
						"Attached tables and their companion tables must have one owner.  Use ALTER TABLE ... OWNER TO.");
	if (which != CT_LEDGER && get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		return fault_is(fault, ERRCODE_WRONG_OBJECT_TYPE,
						psprintf("companion table \"%s.%s\" is partitioned", NameStr(of->names.schema), name),
						"Of the companion tables, only the ledger can be partitioned.");
	if (which != CT_LEDGER && access_method(relid) != HEAP_TABLE_AM_OID)
		return fault_is(fault, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						psprintf("companion table \"%s.%s\" does not have access method heap", NameStr(of->names.schema), name),
						"Use ALTER TABLE ... SET ACCESS METHOD heap.");
	if (get_rel_persistence(relid) != RELPERSISTENCE_PERMANENT)
		return fault_is(fault, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						psprintf("companion table \"%s.%s\" is unlogged, so a crash would empty it", NameStr(of->names.schema), name),
						"Use ALTER TABLE ... SET LOGGED.");
	return false;
}

/*
 * The account must be of the same type, and compared in the same way: otherwise accounts
 * that are equal in one table are two in the other, or an index does not serve.
 */
static bool
find_account_fault(const CtCompanionOf *of, const char *name, Oid relid, AttrNumber attno, CtFault *fault)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(relid, attno, &type, &typmod, &collation);
	if (type == of->account_type && collation == of->account_collation)
		return false;
	if (!of->has_account_column)
		return fault_is(fault, ERRCODE_DATATYPE_MISMATCH,
						psprintf("table \"%s\" without an account column needs companion tables of account type %s, but those of schema \"%s\" are of type %s%s",
								 of->contacts, format_type_be(of->account_type), NameStr(of->names.schema),
								 format_type_be(type), type == of->account_type ? " with another collation" : ""),
						"Attached tables of one schema share their companion tables.  Put the table into another schema.");
	return fault_is(fault, ERRCODE_DATATYPE_MISMATCH,
					psprintf("accounts of table \"%s\" are of type %s, but those of companion table \"%s.%s\" are of type %s%s",
							 of->contacts, format_type_be(of->account_type), NameStr(of->names.schema), name,
							 format_type_be(type), type == of->account_type ? " with another collation" : ""),
					psprintf("Attached tables of one schema share their companion tables.  Put the table into another schema, or change %s.",
							 type == of->account_type ? "the collation of its account column" :
							 psprintf("its account column to %s", format_type_be(type))));
}

/* Is a column missing, or of another type?  Statements would be planned with other casts. */
static bool
find_column_fault(const CtCompanionOf *of, int column, Oid relid, CtFault *fault)
{
	const char *name = NameStr(of->names.companions[companion_columns[column].which]);
	const char *own_type = companion_columns[column].own_type;
	Oid			type = own_type != NULL ? ct_own_type(own_type) : companion_columns[column].type;
	AttrNumber	attno = get_attnum(relid, companion_columns[column].name);

	if (attno <= 0)
		return fault_is(fault, ERRCODE_UNDEFINED_COLUMN,
						psprintf("companion table \"%s.%s\" has no column \"%s\"",
								 NameStr(of->names.schema), name, companion_columns[column].name),
						psprintf("Add the column as %s without a default.  Or drop the companion tables with CASCADE, and create them again by contacts_tier.repair() with the table as its argument, or by attach() if the table is not attached: their history is lost then.",
								 format_type_be_qualified(OidIsValid(type) ? type : of->account_type)));
	if (!OidIsValid(type))
		return find_account_fault(of, name, relid, attno, fault);
	if (get_atttype(relid, attno) != type)
		return fault_is(fault, ERRCODE_DATATYPE_MISMATCH,
						psprintf("column \"%s\" of companion table \"%s.%s\" must be of type %s, not %s",
								 companion_columns[column].name, NameStr(of->names.schema), name, format_type_be(type),
								 format_type_be(get_atttype(relid, attno))),
						psprintf("Use %s.", ct_retype_statement(quote_qualified_identifier(NameStr(of->names.schema), name), relid,
																companion_columns[column].name, type, InvalidOid)));
	return false;
}

/* The collation by which the first column of an index is sorted */
static Oid
first_collation(HeapTuple index)
{
	bool		isnull;
	Datum		collations = SysCacheGetAttr(INDEXRELID, index, Anum_pg_index_indcollation, &isnull);

	return isnull ? InvalidOid : ((oidvector *) DatumGetPointer(collations))->values[0];
}

/*
 * Has the index of a primary key, or InvalidOid for none, exactly these columns?  The first is the
 * account, which is to be found by how the contacts table compares accounts.
 */
bool
ct_has_key(Oid index, Oid account_collation, const AttrNumber *key, int nkeys)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	result = form->indisvalid && form->indnkeyatts == nkeys && form->indnatts == nkeys &&
		first_collation(tuple) == account_collation;
	for (int i = 0; result && i < nkeys; i++)
		result = key[i] != InvalidAttrNumber && form->indkey.values[i] == key[i];
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Is the primary key missing, or another?  INSERT ... ON CONFLICT goes by it, and a look-up
 * without SQL by its index.  That of a partitioned table needs the columns that divide it, too.
 */
static bool
find_key_fault(const CtCompanionOf *of, CtCompanion which, Oid relid, CtFault *fault)
{
	Oid			constraint;
	Bitmapset  *columns = get_primary_key_attnos(relid, false, &constraint);
	AttrNumber	key[2];
	int			nkeys = 0;
	bool		missing = false;

	for (int i = 0; i < 2 && companion_keys[which][i] != NULL; i++)
	{
		key[i] = get_attnum(relid, companion_keys[which][i]);
		missing |= !bms_is_member(key[i] - FirstLowInvalidHeapAttributeNumber, columns);
		nkeys++;
	}
	if (!missing && (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ||
					 ct_has_key(get_constraint_index(constraint), of->account_collation, key, nkeys)))
		return false;
	return fault_is(fault, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					psprintf("companion table \"%s.%s\" has no primary key (%s%s%s)",
							 NameStr(of->names.schema), NameStr(of->names.companions[which]),
							 companion_keys[which][0], nkeys > 1 ? ", " : "", nkeys > 1 ? companion_keys[which][1] : ""),
					"Add it with ALTER TABLE ... ADD PRIMARY KEY.");
}

/*
 * Are the companion tables in a schema not what attach() creates for these contacts?
 * The first difference goes into "fault".  Looks at the catalogues only and locks no
 * table, so what it finds may change at once.
 */
bool
ct_find_companion_fault(const CtCompanionOf *of, CtFault *fault)
{
	Oid			relids[CT_NCOMPANIONS];

	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		relids[i] = ct_companion_relid(&of->names, i);
		if (find_table_fault(of, i, relids[i], fault))
			return true;
	}
	for (size_t i = 0; i < lengthof(companion_columns); i++)
		if (OidIsValid(relids[companion_columns[i].which]) && find_column_fault(of, i, relids[companion_columns[i].which], fault))
			return true;
	for (int i = 0; i < CT_NCOMPANIONS; i++)
		if (OidIsValid(relids[i]) && find_key_fault(of, i, relids[i], fault))
			return true;
	return false;
}

static bool
find_fault(const CtTable *table, bool may_be_missing, CtFault *fault)
{
	char	   *name = get_rel_name(table->relid);
	CtCompanionOf of = {
		.names = table->names,.contacts = name != NULL ? name : "?",.owner = table->owner,
		.has_account_column = AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]),
		.account_type = table->account_type,.account_collation = table->account_collation,
		.may_be_missing = may_be_missing
	};

	return ct_find_companion_fault(&of, fault);
}

/*
 * Are the companion tables of an attached table as the triggers expect them?
 */
bool
ct_has_companions(const CtTable *table)
{
	CtFault		fault;

	return !find_fault(table, false, &fault);
}

/*
 * Are those of the companion tables that exist as the triggers expect them?
 */
bool
ct_some_companions_fit(const CtTable *table)
{
	CtFault		fault;

	return !find_fault(table, true, &fault);
}

/*
 * The companion tables are ordinary tables of the contacts table's owner: say
 * clearly what to do when they are not where, whose, or as the triggers expect.
 * Errors: 42P01, 42501, 42703, 42804, 42809, 55000.
 */
void
ct_check_companions(const CtTable *table)
{
	CtFault		fault;

	if (find_fault(table, false, &fault))
		ereport(ERROR,
				(errcode(fault.code),
				 errmsg_internal("%s", fault.message),
				 fault.hint != NULL ? errhint("%s", fault.hint) : 0));
}
