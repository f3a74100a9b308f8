/*-------------------------------------------------------------------------
 *
 * account_key.c
 *	  Accounts as values: compared and hashed as the type of the account column has
 *	  it, and what can be a key of the companion tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/itup.h"
#include "access/nbtree.h"
#include "access/toast_internals.h"
#include "access/detoast.h"
#include "storage/bufpage.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "contact/contact.h"

/*
 * A copy of an account in a memory context that depends on nothing, not even on a TOAST
 * table, where VACUUM could remove it after the row has gone.
 */
Datum
ct_account_copy(const CtTable *table, Datum account, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum		copy = table->account_typlen == -1 ?
		PointerGetDatum(PG_DETOAST_DATUM_COPY(account)) :
		datumCopy(account, table->account_typbyval, table->account_typlen);

	MemoryContextSwitchTo(old);
	return copy;
}

/*
 * Accounts as keys of hash tables, equal where the primary keys of the companion
 * tables find them equal, and in the order of these.
 */
uint32
ct_account_hash(const CtTable *table, Datum account)
{
	return DatumGetUInt32(FunctionCall1Coll(unconstify(FmgrInfo *, &table->account_hash),
											table->account_collation, account));
}

/*
 * Their order: below, at or above 0.  May read a catalog, as for a type of several columns, so
 * it must not be called while a transaction is being aborted.
 */
int
ct_account_compare(const CtTable *table, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(unconstify(FmgrInfo *, &table->account_cmp),
										   table->account_collation, a, b));
}

/*
 * An account that is given as text.  Errors: those of its type's input function.
 */
Datum
ct_account_input(const CtTable *table, const char *text)
{
	Oid			input;
	Oid			param;

	getTypeInputInfo(table->account_type, &input, &param);
	return OidInputFunctionCall(input, unconstify(char *, text), param, -1);
}

/*
 * An account as users write it, by the output function of its type; a palloc'd text.
 */
char *
ct_account_text(const CtTable *table, Datum account)
{
	return OidOutputFunctionCall(table->account_output, account);
}

/*
 * The largest entry of a btree index, as BTMaxItemSize() of nbtree.h has it for
 * version 4 of the index.
 */
#define MAX_INDEX_ENTRY \
	(MAXALIGN_DOWN((BLCKSZ - MAXALIGN(SizeOfPageHeaderData + 3 * sizeof(ItemIdData)) - \
					MAXALIGN(sizeof(BTPageOpaqueData))) / 3) - MAXALIGN(sizeof(ItemPointerData)))

/* The largest of ours: an account, and an entry of the ledger */
#define MAX_ACCOUNT		(MAX_INDEX_ENTRY - MAXALIGN(sizeof(IndexTupleData)) - UUID_LEN - MAXIMUM_ALIGNOF)

/*
 * Can the account be a key of the companion tables?  Almost all can, without a look at
 * more than their length.  For the others, index_form_tuple() would compress what is
 * longer than TOAST_INDEX_TARGET, and so do we.
 */
bool
ct_account_fits(const CtTable *table, Datum account)
{
	Datum		compressed;
	bool		fits;

	if (table->account_typlen != -1)
		return table->account_typlen <= (int) MAX_ACCOUNT;
	if (toast_raw_datum_size(account) <= MAX_ACCOUNT)
		return true;
	if (!TypeIsToastable(table->account_type) || get_typstorage(table->account_type) == TYPSTORAGE_EXTERNAL)
		return false;
	account = PointerGetDatum(PG_DETOAST_DATUM(account));
	compressed = toast_compress_datum(account, InvalidCompressionMethod);
	if (DatumGetPointer(compressed) == NULL)
		return false;
	fits = VARSIZE(DatumGetPointer(compressed)) <= MAX_ACCOUNT;
	pfree(DatumGetPointer(compressed));
	return fits;
}

/*
 * An account that is too long to have a subscription may not have marketing contacts:
 * MC002.
 */
void
ct_check_account_fits(const CtTable *table, Datum account)
{
	if (!ct_account_fits(table, account))
		ereport(ERROR,
				(errcode(ERRCODE_CT_NO_ACCESS),
				 errmsg("an account of %zu bytes may not have marketing contacts",
						toast_raw_datum_size(account) - VARHDRSZ),
				 errdetail("The account is too long to be a key of the companion tables, so it cannot have a subscription."),
				 errhint("Correct the account, or leave the contacts non-marketing."),
				 ct_errtable(table->relid)));
}
