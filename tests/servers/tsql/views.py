"""The catalogue views of SQL Server, on those of PostgreSQL."""

from __future__ import annotations

from tests.servers.tsql.prelude import DATABASE_COLLATION, OTHER_COLLATION

# name, PostgreSQL's type, system_type_id, user_type_id, max_length, precision, scale
_TYPES = [
    ("bit", "t.bit", 104, 104, 1, 1, 0), ("tinyint", "t.tinyint", 48, 48, 1, 3, 0),
    ("smallint", "int2", 52, 52, 2, 5, 0), ("int", "int4", 56, 56, 4, 10, 0), ("bigint", "int8", 127, 127, 8, 19, 0),
    ("real", "float4", 59, 59, 4, 24, 0), ("float", "float8", 62, 62, 8, 53, 0), ("date", "date", 40, 40, 3, 10, 0),
    ("time", "t.time", 41, 41, 5, 16, 7), ("datetime2", "t.datetime2", 42, 42, 8, 27, 7),
    ("datetimeoffset", "t.datetimeoffset", 43, 43, 10, 34, 7), ("datetime", "t.datetime", 61, 61, 8, 23, 3),
    ("smalldatetime", "t.smalldatetime", 58, 58, 4, 16, 0), ("money", "t.money", 60, 60, 8, 19, 4),
    ("smallmoney", "t.smallmoney", 122, 122, 4, 10, 4), ("uniqueidentifier", "t.guid", 36, 36, 16, 0, 0),
    ("nvarchar", "t.nvarchar", 231, 231, 8000, 0, 0), ("nchar", "t.nchar", 239, 239, 8000, 0, 0),
    ("varchar", "t.varchar", 167, 167, 8000, 0, 0), ("char", "t.char", 175, 175, 8000, 0, 0),
    ("varbinary", "t.varbinary", 165, 165, 8000, 0, 0), ("binary", "t.binary", 173, 173, 8000, 0, 0),
    ("decimal", "numeric", 106, 106, 17, 38, 38),
]  # fmt: skip


def views(database: str) -> str:
    values = ", ".join(
        f"('{name}', '{held}'::regtype, {system}, {user}, {length}, {precision}, {scale})"
        for name, held, system, user, length, precision, scale in _TYPES
    )
    sql = _VIEWS.replace("{types}", values)
    sql = sql.replace("{collation}", f"'{DATABASE_COLLATION}'").replace("{other_collation}", f"'{OTHER_COLLATION}'")
    return sql.replace("{database}", "'" + database.replace("'", "''") + "'")


_VIEWS = r"""
create table t.kinds (
  name text, held oid, system_type_id int, user_type_id int, max_length int, precision int, scale int);
insert into t.kinds values {types};
create function t.label_of(typmod int) returns int language sql immutable as
  $f$ select case when typmod > 0 then typmod - 4 end $f$;
create function t.bits(b bool) returns t.bit language sql immutable as $f$ select b::int::int2::t.bit $f$;
create function t.shown(s text) returns t.nvarchar language sql immutable as $f$ select s::t.nvarchar $f$;
create function t.max_length(k t.kinds, typmod int) returns int2 language sql immutable as $f$
  select case
    when k.name in ('nvarchar', 'nchar') then coalesce(t.label_of(typmod) * 2, -1)
    when k.name in ('varchar', 'char', 'varbinary', 'binary') then coalesce(t.label_of(typmod), -1)
    when k.name = 'decimal' then case when ((typmod - 4) >> 16) <= 9 then 5 when ((typmod - 4) >> 16) <= 19 then 9
      when ((typmod - 4) >> 16) <= 28 then 13 else 17 end
    when k.name in ('time', 'datetime2', 'datetimeoffset') then
      case k.name when 'time' then 0 when 'datetime2' then 3 else 5 end
      + case when t.label_of(typmod) - 1 <= 2 then 3 when t.label_of(typmod) - 1 <= 4 then 4 else 5 end
    else k.max_length end::int2
$f$;
create function t.digits(k t.kinds, typmod int) returns int language sql immutable as $f$
  select case
    when k.name = 'decimal' then (typmod - 4) >> 16
    when k.name in ('time', 'datetime2', 'datetimeoffset') then
      case k.name when 'time' then 8 when 'datetime2' then 19 else 26 end
      + case when t.label_of(typmod) = 1 then 0 else t.label_of(typmod) end
    else k.precision end
$f$;
create function t.decimals(k t.kinds, typmod int) returns int language sql immutable as $f$
  select case
    when k.name = 'decimal' then (typmod - 4) & 65535
    when k.name in ('time', 'datetime2', 'datetimeoffset') then t.label_of(typmod) - 1
    else k.scale end
$f$;
create view t.owners as
  select oid, nspname, coalesce(obj_description(oid, 'pg_namespace'), substr(nspname, 3)) as name
  from pg_namespace where left(nspname, 2) = 'u_';
create view t.things as
  select c.oid, c.relkind, c.relpersistence, c.relnamespace, o.oid as owner, o.name as owner_name,
    coalesce(obj_description(c.oid, 'pg_class'), c.relname) as name
  from pg_class as c join t.owners as o on o.oid = c.relnamespace
  where c.relkind in ('r', 'v');
create view sys.schemas as
  select t.shown(name)::t.nvarchar(128) as name, oid::int4 as schema_id, 1::int4 as principal_id from t.owners;
create view sys.objects as
  select t.shown(name)::t.nvarchar(128) as name, oid::int4 as object_id, owner::int4 as schema_id,
    0::int4 as parent_object_id, (case relkind when 'r' then 'U ' else 'V ' end)::text::t.char(2) as type,
    t.shown(case relkind when 'r' then 'USER_TABLE' else 'VIEW' end)::t.nvarchar(60) as type_desc,
    t.bits(false) as is_ms_shipped
  from t.things;
create view sys.tables as select *, 0::int2::t.tinyint as temporal_type, t.bits(false) as is_memory_optimized,
  t.bits(false) as is_external
  from sys.objects where type = 'U'::t.char;
create view sys.views as select * from sys.objects where type = 'V'::t.char;
create view sys.types as
  select t.shown(name)::t.nvarchar(128) as name, system_type_id::int2::t.tinyint as system_type_id,
    user_type_id::int4 as user_type_id, 4::int4 as schema_id, max_length::int2 as max_length,
    precision::int2::t.tinyint as precision, scale::int2::t.tinyint as scale, t.bits(true) as is_nullable,
    t.bits(false) as is_user_defined
  from t.kinds
  union all select 'sysname'::text::t.nvarchar(128), 231::int2::t.tinyint, 256, 4, 256::int2, 0::int2::t.tinyint,
    0::int2::t.tinyint, t.bits(false), t.bits(false);
create view t.fields as
  select a.attrelid, a.attname, a.attnum, a.attnotnull, a.atttypid, a.atttypmod, a.attidentity, a.attgenerated,
    a.attcollation, array_position(array['start', 'end'],
      substring(pg_get_expr(d.adbin, d.adrelid) from 'row_(start|end)\(\)$')) as period,
    coalesce(d.oid, 0) as defaulted, coalesce(col_description(a.attrelid, a.attnum), a.attname) as name
  from pg_attribute as a left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attnum > 0 and not a.attisdropped;
create view sys.columns as
  select f.attrelid::int4 as object_id, t.shown(f.name)::t.nvarchar(128) as name, f.attnum::int4 as column_id,
    k.system_type_id::int2::t.tinyint as system_type_id, k.user_type_id::int4 as user_type_id,
    t.max_length(k, f.atttypmod) as max_length, t.digits(k, f.atttypmod)::int2::t.tinyint as precision,
    t.decimals(k, f.atttypmod)::int2::t.tinyint as scale,
    (case when k.name not in ('nvarchar', 'nchar', 'varchar', 'char') then null
      when f.attcollation = 't.other'::regcollation then {other_collation} else {collation} end)::text
      ::t.nvarchar(128) as collation_name,
    t.bits(not f.attnotnull) as is_nullable, t.bits(f.attidentity <> '') as is_identity,
    t.bits(f.attgenerated <> '') as is_computed,
    (case when f.attgenerated <> '' or f.period > 0 then 0 else f.defaulted end)::int4 as default_object_id,
    coalesce(f.period, 0)::int2::t.tinyint as generated_always_type, t.bits(false) as is_hidden,
    t.bits(false) as is_sparse,
    t.bits(false) as is_column_set, t.bits(false) as is_rowguidcol, t.bits(false) as is_xml_document
  from t.fields as f join t.kinds as k on k.held = f.atttypid
  join pg_class as c on c.oid = f.attrelid
  where c.relkind in ('r', 'v') and (left(c.relnamespace::regnamespace::text, 2) = 'u_'
    or left(c.relnamespace::regnamespace::text, 3) = '"u_' or c.relpersistence = 't');
-- In Azure its numbers are not those of DB_ID().
create view sys.databases as
  select t.shown({database})::t.nvarchar(128) as name, 7::int4 as database_id,
    (case when snapshots then 1 else 0 end)::int2::t.tinyint as snapshot_isolation_state,
    t.shown(case when snapshots then 'ON' else 'OFF' end)::t.nvarchar(60) as snapshot_isolation_state_desc,
    t.bits(true) as is_read_committed_snapshot_on, t.bits(false) as is_read_only,
    t.shown('SQL_Latin1_General_CP1_CI_AS')::t.nvarchar(128) as collation_name,
    160::int2::t.tinyint as compatibility_level, 0::int2::t.tinyint as state,
    t.shown('ONLINE')::t.nvarchar(60) as state_desc
  from (select true as snapshots) as o;
create view info.tables as
  select t.shown({database})::t.nvarchar(128) as table_catalog, t.shown(owner_name)::t.nvarchar(128) as table_schema,
    t.shown(name)::t.nvarchar(128) as table_name,
    (case relkind when 'r' then 'BASE TABLE' else 'VIEW' end)::text::t.varchar(10) as table_type
  from t.things;
create view info.columns as
  select t.shown({database})::t.nvarchar(128) as table_catalog, t.shown(h.owner_name)::t.nvarchar(128) as table_schema,
    t.shown(h.name)::t.nvarchar(128) as table_name, t.shown(f.name)::t.nvarchar(128) as column_name,
    f.attnum::int4 as ordinal_position,
    (case when f.attnotnull then 'NO' else 'YES' end)::text::t.varchar(3) as is_nullable,
    t.shown(k.name)::t.nvarchar(128) as data_type,
    (case when k.name in ('nvarchar', 'nchar', 'varchar', 'char', 'varbinary', 'binary')
      then coalesce(t.label_of(f.atttypmod), -1) end)::int4 as character_maximum_length,
    (case when k.name in ('decimal', 'int', 'bigint', 'smallint', 'tinyint', 'money', 'smallmoney', 'real', 'float')
      then t.digits(k, f.atttypmod) end)::int2::t.tinyint as numeric_precision,
    (case when k.name in ('decimal', 'int', 'bigint', 'smallint', 'tinyint', 'money', 'smallmoney')
      then t.decimals(k, f.atttypmod) end)::int4 as numeric_scale,
    (case when k.name in ('time', 'datetime2', 'datetimeoffset', 'datetime', 'smalldatetime', 'date')
      then case k.name when 'date' then 0 else t.decimals(k, f.atttypmod) end end)::int2 as datetime_precision
  from t.fields as f join t.things as h on h.oid = f.attrelid join t.kinds as k on k.held = f.atttypid;
create function t.folded(name text) returns text language sql immutable strict as $f$
  select case when octet_length(lower(name)) <= 60 then lower(name) else 'long~' || md5(lower(name)) end
$f$;
create function t.object_id(n t.nvarchar) returns int4 language plpgsql stable strict as $f$
declare
  parts text[] := array[]::text[];
  rest text := btrim(n::text, ' ');
  m text;
begin
  loop
    m := substring(rest from '^(\[(?:[^]]|\]\])*\]|"(?:[^"]|"")*"|[^][".]*)');
    if m is null then return null; end if;
    rest := substr(rest, length(m) + 1);
    if left(m, 1) = '[' then m := replace(substr(m, 2, length(m) - 2), ']]', ']');
    elsif left(m, 1) = '"' then m := replace(substr(m, 2, length(m) - 2), '""', '"'); end if;
    parts := parts || m;
    exit when rest = '';
    if left(rest, 1) <> '.' then return null; end if;
    rest := substr(rest, 2);
  end loop;
  if cardinality(parts) = 3 and lower(parts[1]) not in (lower({database}), 'tempdb', '') or cardinality(parts) > 3 then
    return null;
  end if;
  m := t.folded(parts[cardinality(parts)]);
  if left(m, 1) = '#' then
    if cardinality(parts) <> 3 or lower(parts[1]) <> 'tempdb' then return null; end if;
    return to_regclass('pg_temp.' || quote_ident(m))::oid::int4;
  end if;
  return (select c.oid::int4 from pg_class as c where c.relname = m and c.relkind in ('r', 'v') and c.relnamespace =
    to_regnamespace(quote_ident(t.folded('u_' || coalesce(nullif(parts[cardinality(parts) - 1], ''), 'dbo')))));
end$f$;
create function t.object_id(n t.nvarchar, kind t.nvarchar) returns int4 language sql stable strict as $f$
  select c.oid::int4 from pg_class as c where c.oid = t.object_id(n)::oid
    and c.relkind = case upper(btrim(kind::text)) when 'U' then 'r' when 'V' then 'v' end
$f$;
create function t.schema_id(n t.nvarchar) returns int4 language sql stable strict as
  $f$ select to_regnamespace(quote_ident(t.folded('u_' || n::text)))::oid::int4 $f$;
create function t.object_name(id int4) returns t.nvarchar language sql stable strict as
  $f$ select name::t.nvarchar from t.things where oid = id::oid $f$;
create function t.object_schema(id int4) returns t.nvarchar language sql stable strict as
  $f$ select owner_name::t.nvarchar from t.things where oid = id::oid $f$;
create schema u_dbo;
comment on schema u_dbo is 'dbo';
"""
