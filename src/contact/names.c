/*-------------------------------------------------------------------------
 *
 * names.c
 *	  The names of the tables that belong to an attached relation, and statements
 *	  that are put together from them.
 *
 * Every attached relation carries the names of its companion tables and of the
 * catalogue (CtNames): what is one installation on a server of its own may be one
 * of many elsewhere, where tables of the same role have other names.  So no
 * statement names such a table itself.  Its text has placeholders, and
 * ct_sqlf() fills in what they stand for:
 *
 *		{account} {counter} {ledger}	the companion tables
 *		{plan} {tier} {source_type}		the tables of the catalogue
 *		{=}								equality of accounts
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "contact/contact.h"

/* Where the extension and its catalogue are; it is not relocatable */
#define CATALOGUE_SCHEMA	"contacts_tier"

/* What a placeholder may be called; in the order of CtCompanion and of CtCatalogue */
static const char *const companion_words[CT_NCOMPANIONS] = {"account", "counter", "ledger"};
static const char *const catalogue_words[CT_NCATALOGUE] = {"plan", "tier", "source_type"};

/*
 * The names for a relation whose trigger arguments name this schema of companion
 * tables; for a shard, those at its side (shard.c).  InvalidOid stands for any relation that is
 * none.  The bytes after each name are zero, so that names can be part of a key.
 */
void
ct_names_resolve(CtNames *names, Oid relid, const char *companion_schema)
{
	memset(names, 0, sizeof(*names));
	namestrcpy(&names->schema, companion_schema);
	for (int i = 0; i < CT_NCOMPANIONS; i++)
		snprintf(NameStr(names->companions[i]), NAMEDATALEN, "contacts_tier_%s", companion_words[i]);
	namestrcpy(&names->catalogue_schema, CATALOGUE_SCHEMA);
	for (int i = 0; i < CT_NCATALOGUE; i++)
		namestrcpy(&names->catalogue[i], catalogue_words[i]);
	if (OidIsValid(relid) && ct_has_citus())
		ct_names_localise(names, relid);
}

/*
 * Are these the same tables?
 */
bool
ct_names_equal(const CtNames *a, const CtNames *b)
{
	return memcmp(a, b, sizeof(CtNames)) == 0;
}

/*
 * Do two relations share their companion tables?
 */
bool
ct_same_companions(const CtNames *a, const CtNames *b)
{
	return memcmp(&a->schema, &b->schema, sizeof(a->schema)) == 0 &&
		memcmp(a->companions, b->companions, sizeof(a->companions)) == 0;
}

/*
 * OID of a companion table as it is named now, invalid if there is none.
 */
Oid
ct_companion_relid(const CtNames *names, CtCompanion which)
{
	return ct_find_relation(NameStr(names->schema), NameStr(names->companions[which]));
}

/*
 * The same of a table of the catalogue.
 */
Oid
ct_catalogue_relid(const CtNames *names, CtCatalogue which)
{
	return ct_find_relation(NameStr(names->catalogue_schema), NameStr(names->catalogue[which]));
}

/* What a placeholder of this name stands for; NULL if there is no such placeholder. */
static const char *
find_placeholder(const CtNames *names, Oid equals, const char *word, int length)
{
	if (length == 1 && word[0] == '=' && OidIsValid(equals))
		return ct_quoted_operator(equals);
	for (int i = 0; i < CT_NCOMPANIONS; i++)
		if (strlen(companion_words[i]) == (size_t) length && strncmp(word, companion_words[i], length) == 0)
			return quote_qualified_identifier(NameStr(names->schema), NameStr(names->companions[i]));
	for (int i = 0; i < CT_NCATALOGUE; i++)
		if (strlen(catalogue_words[i]) == (size_t) length && strncmp(word, catalogue_words[i], length) == 0)
			return quote_qualified_identifier(NameStr(names->catalogue_schema), NameStr(names->catalogue[i]));
	return NULL;
}

/* Fill the placeholders in.  If the result is a format, a % in a name is doubled. */
static char *
fill_in(const CtNames *names, Oid equals, const char *text, bool is_format)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const char *p = text; *p != '\0'; p++)
	{
		const char *end = *p == '{' ? strchr(p, '}') : NULL;
		const char *name = end == NULL ? NULL : find_placeholder(names, equals, p + 1, end - p - 1);

		if (name == NULL)
		{
			appendStringInfoChar(&buf, *p);
			continue;
		}
		for (; *name != '\0'; name++)
			appendStringInfo(&buf, is_format && *name == '%' ? "%c%c" : "%c", *name, *name);
		p = end;
	}
	return buf.data;
}

static char *format_names(const CtNames *names, Oid equals, const char *format,
						  va_list args) pg_attribute_printf(3, 0);

/* Fill the names in, then format as psprintf() does. */
static char *
format_names(const CtNames *names, Oid equals, const char *format, va_list args)
{
	char	   *filled = fill_in(names, equals, format, true);
	char	   *result = ct_vpsprintf(filled, args);

	pfree(filled);
	return result;
}

/*
 * A statement on the tables of an attached relation, with its placeholders filled in; a
 * palloc'd text.  What is no placeholder stays as it is, braces included.
 */
char *
ct_sql(const CtTable *table, const char *text)
{
	return fill_in(&table->names, table->account_eq, text, false);
}

/*
 * The same for a format: its placeholders are filled in, then it is formatted as
 * psprintf() does.  So placeholders in what the arguments bring are left alone.
 */
char *
ct_sqlf(const CtTable *table, const char *format,...)
{
	va_list		args;
	char	   *result;

	va_start(args, format);
	result = format_names(&table->names, table->account_eq, format, args);
	va_end(args);
	return result;
}

/*
 * The same without a table, from names alone: {=} is no placeholder then.
 */
char *
ct_names_sqlf(const CtNames *names, const char *format,...)
{
	va_list		args;
	char	   *result;

	va_start(args, format);
	result = format_names(names, InvalidOid, format, args);
	va_end(args);
	return result;
}

PG_FUNCTION_INFO_V1(contacts_tier_catalogue_copy);

/*
 * catalogue_copy(catalogue regclass, name text) text: where the tables of the catalogue are for what
 * fires on one of them.  Errors: 22023 for a name that is none of a table of the catalogue.
 */
Datum
contacts_tier_catalogue_copy(PG_FUNCTION_ARGS)
{
	CtNames		names;
	char	   *word = text_to_cstring(PG_GETARG_TEXT_PP(1));

	ct_names_resolve(&names, PG_GETARG_OID(0), CATALOGUE_SCHEMA);
	for (int i = 0; i < CT_NCATALOGUE; i++)
		if (strcmp(catalogue_words[i], word) == 0)
			PG_RETURN_TEXT_P(cstring_to_text(quote_qualified_identifier(NameStr(names.catalogue_schema),
																		NameStr(names.catalogue[i]))));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a table of the catalogue", word)));
}
