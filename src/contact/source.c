/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Who sets the status of contacts in this session (rule S5).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "contact/contact.h"

/*
 * S5: what a row does not say about its source, the settings do, and else the
 * caller's role.
 */
const char *
ct_session_source_type(void)
{
	const char *given = ct_valid_setting(ct_source_type);

	return *given != '\0' ? given : "USER";
}

/* The same for its name. */
const char *
ct_session_source_name(void)
{
	const char *given = ct_valid_setting(ct_source_name);

	return *given != '\0' ? given : ct_caller_name();
}

/*
 * Does the session have a setting for the source type, or the source name?
 */
bool
ct_source_is_set(CtTriggerArg which)
{
	return *ct_valid_setting(which == CT_ARG_SOURCE_TYPE ? ct_source_type : ct_source_name) != '\0';
}

/* Where the texts are remembered for the statement at hand; NULL: nowhere */
static CtSessionSource *used_source = NULL;

/*
 * Remember the texts of the session's source here for the rows that follow, until this is
 * called with NULL.  A row that a statement builds holds a pointer to the text, so the
 * memory must live as long as the statement.
 */
void
ct_use_session_source(CtSessionSource *source)
{
	used_source = source;
}

/* What the session says, as a new value of type text. */
static Datum
session_text(CtTriggerArg which)
{
	return CStringGetTextDatum(which == CT_ARG_SOURCE_TYPE ? ct_session_source_type() : ct_session_source_name());
}

/*
 * What the session said first in the transaction at hand, by CtTriggerArg as in CtSessionSource: many
 * small statements need no text of their own.  It stays until the transaction ends, as rows point
 * to it.
 */
static struct
{
	bool		valid;
	uint64		known_at;		/* by ct_name_changes(), for the role's name */
	CtSourceText texts[2];
}			said_first = {0};

/* Is this what a setting, or the role, says now? */
static bool
is_said(const CtSourceText *text, const char *setting)
{
	return text->setting != NULL && OidIsValid(text->role) && text->role == ct_caller() && strcmp(text->setting, setting) == 0;
}

/* Note what the session says, in a memory context. */
static void
note_said(CtSourceText *text, CtTriggerArg which, const char *setting, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	char	   *copy = pstrdup(setting);

	text	  ->value = session_text(which);
	text	  ->role = ct_caller();
	text	  ->setting = copy;
	text	  ->borrowed = false;

	MemoryContextSwitchTo(old);
}

/* The memory of the transaction goes. */
static void
forget_said_first(void *arg)
{
	said_first.valid = false;
}

/* Begin to note what is said first in a transaction. */
static void
begin_transaction(void)
{
	MemoryContextCallback *callback;

	if (said_first.valid)
		return;
	callback = MemoryContextAllocZero(TopTransactionContext, sizeof(MemoryContextCallback));
	callback->func = forget_said_first;
	memset(&said_first, 0, sizeof(said_first));
	said_first.valid = true;
	said_first.known_at = ct_name_changes();
	MemoryContextRegisterResetCallback(TopTransactionContext, callback);
}

/* What was said first, if it is what a setting says now; else NULL. */
static const CtSourceText *
borrow(CtTriggerArg which, const char *setting)
{
	CtSourceText *text = &said_first.texts[which - CT_ARG_SOURCE_TYPE];

	begin_transaction();
	if (text->setting == NULL)
		note_said(text, which, setting, TopTransactionContext);
	return said_first.known_at == ct_name_changes() && is_said(text, setting) ? text : NULL;
}

/* Have a text of a statement be what the session says now; rows before this one are written. */
static void
replace(CtSourceText *text, CtTriggerArg which, const char *setting, MemoryContext context)
{
	const CtSourceText *first = borrow(which, setting);

	if (text->setting != NULL && !text->borrowed)
	{
		pfree(text->setting);
		pfree(DatumGetPointer(text->value));
	}
	text	  ->setting = NULL;

	if (first == NULL)
		note_said(text, which, setting, context);
	else
	{
		*text = *first;
		text	  ->borrowed = true;
	}
}

/*
 * Give a row what the session says of its source type or name (S5); a function may set that for
 * each row.
 */
void
ct_row_set_source(CtRow *row, CtTriggerArg which)
{
	const char *setting = which == CT_ARG_SOURCE_TYPE ? ct_source_type : ct_source_name;
	CtSourceText *text;

	row->isnull[which] = false;
	if (used_source == NULL)
	{
		row->value[which] = session_text(which);
		return;
	}
	text = &used_source->texts[which - CT_ARG_SOURCE_TYPE];

	if (!is_said(text, setting))
		replace(text, which, setting, used_source->context);
	row->value[which] = text->value;
}

/*
 * S5: what the row does not say about its source, the session does.
 */
void
ct_row_complete_source(CtRow *row)
{
	for (int i = CT_ARG_SOURCE_TYPE; i <= CT_ARG_SOURCE_NAME; i++)
		if (ct_row_lacks(row, i))
			ct_row_set_source(row, i);
}

/* A statement that failed does not call ct_use_session_source(NULL). */
static void
forget_used(void)
{
	used_source = NULL;
}

static CtXactList used = {.forget = forget_used};

/*
 * Have the memory of a statement that failed not be used any more.
 */
void
ct_source_init(void)
{
	ct_xact_list_add(&used);
}
