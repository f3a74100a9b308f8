/*-------------------------------------------------------------------------
 *
 * guard_contact.c
 *	  The contacts that the rows of a guarded table name: by which index they are found, and who
 *	  may have them looked up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"

/* An index that finds at most one row by plain columns, and always */
static bool
can_find(Relation index)
{
	Form_pg_index form = index->rd_index;

	return form->indisunique && form->indimmediate && form->indisvalid && form->indislive &&
		index->rd_rel->relam == BTREE_AM_OID && form->indnkeyatts <= CT_MAX_CONTACT_KEYS &&
		RelationGetIndexExpressions(index) == NIL && RelationGetIndexPredicate(index) == NIL;
}

/*
 * Complete the key for column "i" of an index and a value of this type; false if they cannot be
 * compared.
 */
static bool
make_key(Relation index, int i, Oid column_type, Oid value_type, CtContactKey *key)
{
	Oid			family = index->rd_opfamily[i];
	Oid			index_type = index->rd_opcintype[i];
	Oid			type = getBaseType(value_type);
	Oid			operator;

	/* of an enum or array, for example, only the very same */
	if (IsPolymorphicType(index_type))
		type = type == getBaseType(column_type) ? index_type : InvalidOid;
	else if (!OidIsValid(get_opfamily_member(family, index_type, type, BTEqualStrategyNumber)))
		type = IsBinaryCoercible(type, index_type) ? index_type : InvalidOid;
	if (!OidIsValid(type))
		return false;
	operator = get_opfamily_member(family, index_type, type, BTEqualStrategyNumber);
	if (!OidIsValid(operator))
		return false;
	ScanKeyEntryInitialize(&key->keys[i], 0, i + 1, BTEqualStrategyNumber, type,
						   index->rd_indcollation[i], get_opcode(operator), (Datum) 0);
	if (get_opcode(operator) >= FirstNormalObjectId ||
		index_getprocid(index, i + 1, BTORDER_PROC) >= FirstNormalObjectId)
		key->is_builtin = false;
	return true;
}

/*
 * The column of the guarded table that has the value for column "i" of an index: the one
 * that names the contact, or the account's, which is called as that of the contacts.
 */
static AttrNumber
value_column(const CtTable *contacts, Relation index, int i, Relation guarded, AttrNumber contact)
{
	AttrNumber	attno = index->rd_index->indkey.values[i];

	if (attno != contacts->attno[CT_ARG_ACCOUNT] || index->rd_index->indnkeyatts == 1)
		return contact;
	return get_attnum(RelationGetRelid(guarded), get_attname(contacts->relid, attno, false));
}

/* Can the contact of a row be found by this index?  Then complete the key. */
static bool
try_index(const CtTable *contacts, Oid relid, Relation guarded, AttrNumber contact, CtContactKey *key)
{
	Relation	index = index_open(relid, AccessShareLock);
	int			named = 0;
	bool		result = can_find(index);

	key->index = relid;
	key->nkeys = result ? index->rd_index->indnkeyatts : 0;
	key->is_builtin = true;
	for (int i = 0; i < key->nkeys && result; i++)
	{
		AttrNumber	column = value_column(contacts, index, i, guarded, contact);

		key->contact_columns[i] = index->rd_index->indkey.values[i];
		key->columns[i] = column;
		named += column == contact ? 1 : 0;
		result = column > 0 &&
			make_key(index, i, get_atttype(contacts->relid, key->contact_columns[i]),
					 TupleDescAttr(RelationGetDescr(guarded), column - 1)->atttypid, key);
	}
	index_close(index, NoLock);
	return result && named == 1;
}

/*
 * The only one of the unique indexes, besides the primary key, that finds a contact by one
 * column.
 */
static bool
try_others(const CtTable *contacts, Relation rel, Oid primary, Relation guarded, AttrNumber contact, CtContactKey *key)
{
	List	   *indexes = RelationGetIndexList(rel);
	int			count = 0;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		CtContactKey other;

		if (lfirst_oid(cell) == primary ||
			!try_index(contacts, lfirst_oid(cell), guarded, contact, &other) || other.nkeys != 1)
			continue;
		*key = other;
		count++;
	}
	return count == 1;
}

/*
 * Find out how the contacts are found which a column of the guarded table names: by the
 * primary key, else by the only unique index that is on one column of a type to compare.
 * Errors: 55000.
 */
static void
find_key(const CtTable *contacts, Relation rel, Relation guarded, AttrNumber contact, CtContactKey *key)
{
	Oid			primary;

	/* it reads the list of indexes, which knows which one is the primary key */
	list_free(RelationGetIndexList(rel));
	primary = ct_primary_key_index(rel);
	if (OidIsValid(primary) && try_index(contacts, primary, guarded, contact, key))
		return;
	if (try_others(contacts, rel, primary, guarded, contact, key))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("column \"%s\" of table \"%s\" does not identify contacts of table \"%s\"",
					get_attname(RelationGetRelid(guarded), contact, false), RelationGetRelationName(guarded),
					RelationGetRelationName(rel)),
			 errhint("The contacts need a primary key of this one column, of a type that can be compared with it, or one other unique index. A key may also have the account, if table \"%s\" has a column of that name.",
					 RelationGetRelationName(guarded)),
			 errtable(guarded)));
}

/* May a role read a column? */
static bool
may_read_column(Oid relid, AttrNumber attno, Oid role)
{
	return pg_attribute_aclcheck(relid, attno, role, ACL_SELECT) == ACLCHECK_OK;
}

/* 42501 */
pg_noreturn static void
may_not_read_error(Relation guarded, const char *contacts, bool is_hidden)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("owner of table \"%s\" may not read contacts of table \"%s\"",
					RelationGetRelationName(guarded), contacts),
			 is_hidden ? errdetail("Row-level security hides contacts from role \"%s\".",
								   GetUserNameFromId(guarded->rd_rel->relowner, false)) :
			 errdetail("Role \"%s\" needs SELECT on the columns of their key and their status.",
					   GetUserNameFromId(guarded->rd_rel->relowner, false)),
			 errtable(guarded)));
}

/*
 * What is looked up, and what comes of it, is for the owner of the guarded table, who has it
 * done: he owns the contacts, too, or may read the columns that are read, of all rows.  "key"
 * may be NULL: then one column at least.
 */
static void
check_privileges(Oid contacts, AttrNumber status, const CtContactKey *key, Relation guarded)
{
	Oid			owner = guarded->rd_rel->relowner;
	char	   *name = get_rel_name(contacts);
	bool		allowed;

	if (name == NULL)
		ct_no_relation_error(contacts);
	if (object_ownercheck(RelationRelationId, contacts, owner))
		return;
	allowed = pg_class_aclcheck(contacts, owner, ACL_SELECT) == ACLCHECK_OK;
	if (!allowed && key == NULL)
		allowed = pg_attribute_aclcheck_all(contacts, owner, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK;
	else if (!allowed)
	{
		allowed = may_read_column(contacts, status, owner);
		for (int i = 0; i < key->nkeys && allowed; i++)
			allowed = may_read_column(contacts, key->contact_columns[i], owner);
	}
	if (!allowed)
		may_not_read_error(guarded, name, false);
	if (check_enable_rls(contacts, owner, true) == RLS_ENABLED)
		may_not_read_error(guarded, name, true);
}

/* Where Citus distributes either of the tables, contacts are not where the guard looks: 0A000. */
static void
check_distribution(Oid contacts, Relation guarded)
{
	if (!ct_is_distributed(contacts) && !ct_is_distributed(RelationGetRelid(guarded)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("table \"%s\" cannot be guarded by contacts of table \"%s\"", RelationGetRelationName(guarded), get_rel_name(contacts)),
			 errdetail("A guard looks contacts up on its own node, and Citus distributes a table of the two."),
			 errhint("Use contacts_tier.can_use() where rows are inserted.  A guard is dropped with contacts_tier.unguard()."),
			 errtable(guarded)));
}

/*
 * Open the contacts and find their key, on behalf of the owner of the guarded table, whose
 * privileges are checked before they are locked, and after.  Locks: ACCESS SHARE on the contacts.
 * Errors: 0A000 (distributed), 42501, 42P01, 42809, 55000.
 */
const CtTable *
ct_open_contacts(Oid relid, Relation guarded, AttrNumber contact, Relation *rel, CtContactKey *key)
{
	CtManaged	managed;

	(void) ct_companion_schema(relid);
	check_privileges(relid, InvalidAttrNumber, NULL, guarded);
	check_distribution(relid, guarded);
	ct_read_open(&managed, relid);
	find_key(managed.table, managed.rel, guarded, contact, key);
	for (int i = 0; i < key->nkeys; i++)
		key->names[i] = TupleDescAttr(RelationGetDescr(managed.rel), key->contact_columns[i] - 1)->attname;
	check_privileges(relid, managed.table->attno[CT_ARG_STATUS], key, guarded);
	*rel = managed.rel;
	return managed.table;
}

/*
 * Check that the contacts can be looked up that a column of a guarded table names.
 * Errors: 0A000 (distributed), 42501, 42P01, 42809, 55000.
 */
void
ct_check_lookup(Oid contacts, Relation guarded, AttrNumber contact)
{
	Relation	rel;
	CtContactKey key;

	(void) ct_open_contacts(contacts, guarded, contact, &rel, &key);
	relation_close(rel, NoLock);
}
