/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Settings of the extension, and its clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/base.h"

/* What base.h declares; the strings are never NULL once the settings are defined */
char	   *ct_source_type = NULL;
char	   *ct_source_name = NULL;
bool		ct_fast_path = true;

/* contacts_tier.clock_warning */
static bool clock_warning = true;

/* contacts_tier.now as it was given, "" when unset: relative times are read anew each time */
static char *fixed_clock = NULL;

/* Errors: those of the type.  Time zones and "now" are read in a transaction. */
static TimestampTz
parse_clock(const char *text)
{
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												   CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

/*
 * Refuse what is not a timestamp when it is set, not when it is first needed.
 * Outside a transaction (a configuration file) there is no way to look at it,
 * since "now" and named time zones need one.
 */
static bool
check_clock(char **newval, void **extra, GucSource source)
{
	if (!IsTransactionState() || **newval == '\0' || !TIMESTAMP_NOT_FINITE(parse_clock(*newval)))
		return true;
	GUC_check_errdetail("The clock must be finite.");
	return false;
}

/*
 * Refuse text that is not valid in the encoding of the database: connection options
 * are not checked by anything else, and what is set before the library is loaded is
 * checked then (define_custom_variable()).  The postmaster serves databases of all encodings, so what it
 * reads is checked when it is used.
 */
static bool
check_source(char **newval, void **extra, GucSource source)
{
	if (!IsUnderPostmaster || pg_verifymbstr(*newval, strlen(*newval), true))
		return true;
	GUC_check_errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE);
	GUC_check_errdetail("The setting contains an invalid byte sequence for encoding \"%s\".", GetDatabaseEncodingName());
	return false;
}

/*
 * A setting of the session as text that is valid in the encoding of the database, or else
 * "": see check_source() for how an invalid one can come about.
 */
const char *
ct_valid_setting(const char *value)
{
	return pg_verifymbstr(value, strlen(value), true) ? value : "";
}

/*
 * Define the settings.  Those that could change what is counted or billed are for
 * superusers, or whom they grant SET on them.
 */
void
ct_settings_init(void)
{
	DefineCustomStringVariable("contacts_tier.source_type",
							   "Sets the source type of contacts whose status this session changes.",
							   "Empty means USER.",
							   &ct_source_type, "",
							   PGC_USERSET, 0,
							   check_source, NULL, NULL);
	DefineCustomStringVariable("contacts_tier.source_name",
							   "Sets the source name of contacts whose status this session changes.",
							   "Empty means the name of the current role.",
							   &ct_source_name, "",
							   PGC_USERSET, 0,
							   check_source, NULL, NULL);
	DefineCustomStringVariable("contacts_tier.now",
							   "Sets a fixed clock, for tests and demonstrations.",
							   "Empty means the real clock.",
							   &fixed_clock, "",
							   PGC_SUSET, 0,
							   check_clock, NULL, NULL);
	DefineCustomBoolVariable("contacts_tier.clock_warning",
							 "Warns once in a session that writes or manages by a fixed clock.",
							 "For tests.",
							 &clock_warning, true,
							 PGC_USERSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("contacts_tier.fast_path",
							 "Skips row triggers where that makes no difference.",
							 "If off, every statement fires them, which takes longer.",
							 &ct_fast_path, true,
							 PGC_SUSET, 0,
							 NULL, NULL, NULL);
	MarkGUCPrefixReserved("contacts_tier");
}

/*
 * Is the clock a fixed one, contacts_tier.now?
 */
bool
ct_clock_is_fixed(void)
{
	return fixed_clock != NULL && *fixed_clock != '\0';
}

/*
 * Something is about to be written or managed: where the clock is a fixed one, say so once in
 * a session.  What is left of a test or a demonstration would bill by it.
 */
void
ct_warn_of_clock(void)
{
	static bool warned = false;

	if (warned || !clock_warning || !ct_clock_is_fixed())
		return;
	warned = true;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("contacts_tier.now is set to \"%s\"", fixed_clock),
			 errdetail("Dates and bills follow the setting, not the clock."),
			 errhint("RESET contacts_tier.now, or remove it from the configuration.")));
}

/*
 * The current instant: the start of the statement, or contacts_tier.now.
 *
 * Not the start of the transaction: one that was left open over an update date
 * must not set flags that seem older than that date (rule D2).  Not the
 * wall clock either: all rows of a statement shall tell the same time.
 */
TimestampTz
ct_now(void)
{
	if (ct_clock_is_fixed())
		return parse_clock(fixed_clock);
	return GetCurrentStatementStartTimestamp();
}

PG_FUNCTION_INFO_V1(contacts_tier_finite_instant);

/*
 * finite_instant(timestamptz) timestamptz: the same, or 22008 where it is infinite
 */
Datum
contacts_tier_finite_instant(PG_FUNCTION_ARGS)
{
	TimestampTz instant = PG_GETARG_TIMESTAMPTZ(0);

	if (TIMESTAMP_NOT_FINITE(instant))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("instant must be finite")));
	PG_RETURN_TIMESTAMPTZ(instant);
}

PG_FUNCTION_INFO_V1(contacts_tier_clock);

/*
 * clock() timestamptz: ct_now() for the parts that are written in SQL
 */
Datum
contacts_tier_clock(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(ct_now());
}
