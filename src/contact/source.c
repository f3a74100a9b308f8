/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Who sets the status of contacts in this session (rule S5).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
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
 * Give a row what the session says of its source type or name (S5).
 */
void
ct_row_set_source(CtRow *row, CtTriggerArg which)
{
	const char *setting = which == CT_ARG_SOURCE_TYPE ? ct_source_type : ct_source_name;
	CtSessionSource *source = used_source;
	int			i = which - CT_ARG_SOURCE_TYPE;

	row->isnull[which] = false;
	if (source == NULL)
	{
		row->value[which] = session_text(which);
		return;
	}
	if (source->texts[i].setting == NULL || strcmp(source->texts[i].setting, setting) != 0 ||
		source->texts[i].role != GetOuterUserId())
	{
		MemoryContext old = MemoryContextSwitchTo(source->context);

		/*
		 * a function may set it for each row; rows before this one are
		 * written
		 */
		if (source->texts[i].setting != NULL)
		{
			pfree(source->texts[i].setting);
			pfree(DatumGetPointer(source->texts[i].text));
			source->texts[i].setting = NULL;
		}
		source->texts[i].setting = pstrdup(setting);
		source->texts[i].role = GetOuterUserId();
		source->texts[i].text = session_text(which);
		MemoryContextSwitchTo(old);
	}
	row->value[which] = source->texts[i].text;
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
