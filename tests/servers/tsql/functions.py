"""SQL Server's functions and global variables, as PostgreSQL's expressions."""

from __future__ import annotations

_NOW = "to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '0'"

# With -1 it takes any number of arguments.
CALLS: dict[tuple[str, int], str] = {
    ("ISNULL", 2): "COALESCE({0}, {1})",
    ("COALESCE", -1): "COALESCE",
    ("NULLIF", 2): "NULLIF({0}, {1})",
    ("LEN", 1): "t.len({0})",
    ("DATALENGTH", 1): "t.datalength({0})",
    ("LOWER", 1): "lower({0}::text)::t.nvarchar",
    ("UPPER", 1): "upper({0}::text)::t.nvarchar",
    ("LTRIM", 1): "ltrim({0}::text, ' ')::t.nvarchar",
    ("RTRIM", 1): "rtrim({0}::text, ' ')::t.nvarchar",
    ("TRIM", 1): "btrim({0}::text, ' ')::t.nvarchar",
    ("SUBSTRING", 3): "t.part({0}, {1}, {2})",
    ("LEFT", 2): "t.part({0}, 1, {1})",
    ("RIGHT", 2): "t.part({0}, t.units({0}::text) - {1} + 1, {1})",
    ("REPLICATE", 2): "repeat({0}::text, {1})::t.nvarchar",
    ("CONCAT", -1): "t.concatenated",
    ("ABS", 1): "abs({0})",
    ("DATEPART NANOSECOND", 1): "(rpad(substring({0}::text from '[.]([0-9]+)'), 9, '0'))::int4",
    ("NEWID", 0): "gen_random_uuid()::t.guid",
    ("SYSUTCDATETIME", 0): f"({_NOW})::t.datetime2(8)",
    ("SYSDATETIME", 0): f"({_NOW})::t.datetime2(8)",
    ("SYSDATETIMEOFFSET", 0): f"({_NOW} || '+0000')::t.datetimeoffset(8)",
    ("GETUTCDATE", 0): f"t.to_datetime(({_NOW})::t.datetime2)",
    ("GETDATE", 0): f"t.to_datetime(({_NOW})::t.datetime2)",
    ("DB_NAME", 0): "{database}::t.nvarchar(128)",
    ("DB_ID", 0): "5::int2",
    ("DB_ID", 1): "(CASE WHEN {0} = {database}::t.nvarchar THEN 5 END)::int2",
    ("DATABASEPROPERTYEX", 2): "t.database_property({0}, {1}, {database})",
    ("SCHEMA_NAME", 0): "'dbo'::t.nvarchar(128)",
    ("SCHEMA_ID", 0): "t.schema_id('dbo'::t.nvarchar)",
    ("SCHEMA_ID", 1): "t.schema_id({0})",
    ("SUSER_SNAME", 0): "{login}::t.nvarchar(128)",
    ("SUSER_NAME", 0): "{login}::t.nvarchar(128)",
    ("ORIGINAL_LOGIN", 0): "{login}::t.nvarchar(128)",
    ("USER_NAME", 0): "'dbo'::t.nvarchar(128)",
    ("OBJECT_ID", 1): "t.object_id({0})",
    ("OBJECT_ID", 2): "t.object_id({0}, {1})",
    ("OBJECT_NAME", 1): "t.object_name({0})",
    ("OBJECT_SCHEMA_NAME", 1): "t.object_schema({0})",
    ("COLLATIONPROPERTY", 2): "t.collation_property({0}, {1})",
    ("SERVERPROPERTY", 1): "t.server_property({0})",
    ("XACT_STATE", 0): "{state}::int2",
}

GLOBALS: dict[str, str] = {
    "@@VERSION": "'Microsoft SQL Azure (RTM) - 12.0.2000.8 (stand-in for tests)'::t.nvarchar(300)",
    "@@SPID": "{spid}::int2",
    "@@TRANCOUNT": "{trancount}::int4",
    "@@ROWCOUNT": "{rowcount}::int4",
    "@@LOCK_TIMEOUT": "{lock_timeout}::int4",
    "@@SERVERNAME": "'standin'::t.nvarchar(128)",
    "@@MAX_PRECISION": "38::t.tinyint",
    "@@MICROSOFTVERSION": "201328592::int4",
}

DEFINITIONS = r"""
create function t.len(s t.nvarchar) returns int4 language sql immutable strict as
  $f$ select t.units(rtrim(s::text, ' ')) $f$;
create function t.datalength(s t.nvarchar) returns int4 language sql immutable strict as
  $f$ select 2 * t.units(s::text) $f$;
create function t.datalength(s t.varchar) returns int4 language sql immutable strict as
  $f$ select length(s::text) $f$;
create function t.datalength(s t.char) returns int4 language sql immutable strict as
  $f$ select length(s::text) $f$;
create function t.datalength(s t.varbinary) returns int4 language sql immutable strict as
  $f$ select octet_length(s::bytea) $f$;
create function t.datalength(n int4) returns int4 language sql immutable strict as $f$ select 4 $f$;
create function t.datalength(n int8) returns int4 language sql immutable strict as $f$ select 8 $f$;
create function t.concatenated(variadic s t.nvarchar[]) returns t.nvarchar language sql immutable as
  $f$ select array_to_string(s::text[], '')::t.nvarchar $f$;
create function t.part(s t.nvarchar, first int4, n int4) returns t.nvarchar language plpgsql immutable strict as $f$
begin
  if t.units(s::text) <> length(s::text) then
    perform t.fail(9999, 'parts of strings with characters outside of the basic plane');
  end if;
  if n < 0 then perform t.fail(537, 'Invalid length parameter passed to the LEFT or SUBSTRING function.'); end if;
  return substr(s::text, greatest(first, 1), greatest(n + least(first, 1) - 1, 0))::t.nvarchar;
end$f$;
create function t.server_property(n t.nvarchar) returns t.nvarchar language plpgsql as $f$
begin
  case lower(n::text)
    when 'engineedition' then return '5'::t.nvarchar;
    when 'productversion' then return '12.0.2000.8'::t.nvarchar;
    when 'edition' then return 'SQL Azure'::t.nvarchar;
    when 'collation' then return 'SQL_Latin1_General_CP1_CI_AS'::t.nvarchar;
    else perform t.fail(9999, 'SERVERPROPERTY(' || n::text || ')');
  end case;
end$f$;
create function t.row_start() returns t.datetime2 language sql stable as
  $f$ select (to_char(now() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US') || '0')::t.datetime2 $f$;
create function t.row_end() returns t.datetime2 language sql immutable as
  $f$ select '9999-12-31 23:59:59.9999999'::text::t.datetime2 $f$;
create function t.collation_property(c t.nvarchar, n t.nvarchar) returns t.nvarchar language plpgsql as $f$
begin
  if lower(c::text) !~ '^(sql_)?latin1_general_' then return null; end if;
  case lower(n::text)
    when 'codepage' then return '1252'::t.nvarchar;
    else perform t.fail(9999, 'COLLATIONPROPERTY(…, ' || n::text || ')');
  end case;
end$f$;
create function t.database_property(d t.nvarchar, n t.nvarchar, own text) returns t.nvarchar language plpgsql as $f$
begin
  if lower(d::text) <> lower(own) then return null; end if;
  case lower(n::text)
    when 'collation' then return 'SQL_Latin1_General_CP1_CI_AS'::t.nvarchar;
    when 'status' then return 'ONLINE'::t.nvarchar;
    when 'updateability' then return 'READ_WRITE'::t.nvarchar;
    else perform t.fail(9999, 'DATABASEPROPERTYEX(' || n::text || ')');
  end case;
end$f$;
create function t.matches(s t.nvarchar, p t.nvarchar, esc text) returns bool language plpgsql immutable as $f$
declare
  found text := '';
  c text;
  i int := 1;
  txt text := lower(p::text);
begin
  if s is null or p is null then return null; end if;
  while i <= length(txt) loop
    c := substr(txt, i, 1);
    if esc is not null and c = lower(esc) then
      i := i + 1;
      found := found || regexp_replace(substr(txt, i, 1), '([^[:alnum:]])', '\\\1');
    elsif c = '%' then found := found || '.*';
    elsif c = '_' then found := found || '.';
    elsif c = '[' then
      if substr(txt, i) !~ '^\[\^?[^]\[\\]+\]' then perform t.fail(9999, 'such a pattern of LIKE'); end if;
      found := found || substring(substr(txt, i) from '^\[\^?[^]]+\]');
      i := i + length(substring(substr(txt, i) from '^\[\^?[^]]+\]')) - 1;
    else found := found || regexp_replace(c, '([^[:alnum:]])', '\\\1');
    end if;
    i := i + 1;
  end loop;
  return lower(s::text) ~ ('^' || found || ' *$');
end$f$;
create function t.json_text(j json) returns t.nvarchar language plpgsql immutable strict parallel safe as $f$
begin
  if json_typeof(j) in ('object', 'array') then return null; end if;
  return (j #>> '{}')::t.nvarchar;
end$f$;
create function t.json_source(s t.nvarchar) returns text language sql immutable strict as $f$ select s::text $f$;
create function t.json_rows(txt text) returns setof json language sql immutable strict as $f$
  select v from json_array_elements(
    case when json_typeof(txt::json) = 'array' then txt::json else json_build_array(txt::json) end) as v
$f$;
create function t.json_fits(s t.nvarchar, n int) returns t.nvarchar language plpgsql immutable strict as $f$
begin
  if octet_length(s::text) > n and t.units(s::text) > n then
    perform t.fail(9999, 'what OPENJSON makes of a string that is longer than its column');
  end if;
  return s;
end$f$;
"""
