/*-------------------------------------------------------------------------
 *
 * option.c
 *	  What attach() was told of a table besides names, as the triggers' last argument says it.
 *
 * It is a list of words, separated by spaces, and empty for most tables:
 *
 *		whole_row_saves			the application saves whole rows (S8)
 *		had_status				the table had the column of this property before it was
 *		had_until_next_update	attached, so that detach() must not drop it
 *		...
 *
 * Properties are named instead of columns, whose names are arguments already.  Other words
 * mean nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "contact/contact.h"

#define WHOLE_ROW_SAVES "whole_row_saves"

/* By CtTriggerArg less CT_ARG_STATUS */
static const char *const had_words[CT_NCOLUMNS] = {
	"had_status", "had_until_next_update", "had_source_type", "had_source_name", "had_updated_at"
};

/* Is this one of the words? */
static bool
has_word(const char *options, const char *word)
{
	size_t		length = strlen(word);

	for (const char *p = options; (p = strstr(p, word)) != NULL; p += length)
		if ((p == options || p[-1] == ' ') && (p[length] == ' ' || p[length] == '\0'))
			return true;
	return false;
}

/*
 * Does the application save whole rows (S8)?
 */
bool
ct_option_whole_row_saves(const char *options)
{
	return has_word(options, WHOLE_ROW_SAVES);
}

/*
 * Did the table have the column of this property before it was attached?
 */
bool
ct_option_had_column(const char *options, CtTriggerArg which)
{
	return has_word(options, had_words[which - CT_ARG_STATUS]);
}

/*
 * The argument, palloc'd; "had" is by CtTriggerArg less CT_ARG_STATUS.
 */
char *
ct_options(bool whole_row_saves, const bool had[CT_NCOLUMNS])
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (whole_row_saves)
		appendStringInfoString(&buf, WHOLE_ROW_SAVES);
	for (int i = 0; i < CT_NCOLUMNS; i++)
		if (had[i])
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? " " : "", had_words[i]);
	return buf.data;
}
