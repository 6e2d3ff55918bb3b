"""Conversions between SQL Server's types, as PostgreSQL functions ``t.to_<type>``: CAST, and what assignments do.

The functions of one target differ by their argument; where there is none, SQL Server allows none, or it is not known
here, and the statement is refused. ``t.try_<type>`` gives NULL where the other fails.
"""

from __future__ import annotations

from tests.servers.tsql.prelude import function

_WHOLE = {"tinyint": (0, 255, "t.tinyint"), "smallint": (-32768, 32767, "int2"),
          "int": (-(2**31), 2**31 - 1, "int4"), "bigint": (-(2**63), 2**63 - 1, "int8")}  # fmt: skip
_EXACT = {"t.bit": "$1::int2::numeric", "t.tinyint": "$1::int2::numeric", "int2": "$1::numeric",
          "int4": "$1::numeric", "int8": "$1::numeric", "numeric": "$1", "t.money": "$1::numeric",
          "t.smallmoney": "$1::numeric"}  # fmt: skip
_FLOATS = ("float4", "float8")
_RANK = {"t.bit": 0, "t.tinyint": 1, "int2": 2, "int4": 3, "int8": 4}
_STRINGS = ("nvarchar", "varchar")
_MOMENTS = ("datetime2", "datetime", "smalldatetime")

_HELPERS = r"""
create function t.fail(number int, message text) returns void language plpgsql immutable as $f$
begin
  raise exception using errcode = 'T' || lpad(number::text, 4, '0'), message = message;
end$f$;
create function t.in_range(n numeric, low numeric, high numeric, kind text) returns numeric
language plpgsql immutable strict parallel safe as $f$
begin
  if n between low and high then return n; end if;
  if kind in ('tinyint', 'smallint') and n between -2147483648 and 2147483647 then
    perform t.fail(220, 'Arithmetic overflow error for data type ' || kind || ', value = ' || n || '.');
  end if;
  perform t.fail(8115, 'Arithmetic overflow error converting expression to data type ' || kind || '.');
end$f$;
create function t.float_range(n float8, low numeric, high numeric, kind text) returns numeric
language plpgsql immutable strict parallel safe as $f$
begin
  if n between low and high then return n::numeric; end if;
  perform t.fail(232, 'Arithmetic overflow error for type ' || kind || ', value = ' || to_char(n, 'FM990.000000')
    || '.');
end$f$;
create function t.read_whole(txt text, low numeric, high numeric, kind text, source text) returns numeric
language plpgsql immutable strict parallel safe as $f$
declare
  n numeric;
begin
  if btrim(txt, ' ') = '' then return 0; end if;
  if txt !~ '^ *[-+]? *[0-9]+ *$' then
    if kind = 'bigint' then perform t.fail(8114, 'Error converting data type ' || source || ' to bigint.'); end if;
    perform t.fail(245, 'Conversion failed when converting the ' || source || ' value ''' || txt || ''' to data type '
      || kind || '.');
  end if;
  n := replace(txt, ' ', '')::numeric;
  if n between low and high then return n; end if;
  if kind = 'bigint' then
    perform t.fail(8115, 'Arithmetic overflow error converting expression to data type bigint.');
  elsif kind = 'int' then
    perform t.fail(248, 'The conversion of the ' || source || ' value ''' || txt || ''' overflowed an int column.');
  end if;
  perform t.fail(244, 'The conversion of the ' || source || ' value ''' || txt || ''' overflowed an '
    || case kind when 'tinyint' then 'INT1' else 'INT2' end || ' column. Use a larger integer column.');
end$f$;
create function t.read_decimal(txt text, source text) returns numeric
language plpgsql immutable strict parallel safe as $f$
begin
  if txt ~ '^ *[-+]?([0-9]+\.?[0-9]*|\.[0-9]+) *$' then return btrim(txt, ' ')::numeric; end if;
  perform t.fail(8114, 'Error converting data type ' || source || ' to numeric.');
end$f$;
create function t.fit_decimal(n numeric, p int, s int, source text) returns numeric
language plpgsql immutable strict parallel safe as $f$
begin
  n := round(n, s);
  if abs(n) < power(10::numeric, p - s) then return n; end if;
  perform t.fail(8115, 'Arithmetic overflow error converting ' || source || ' to data type numeric.');
end$f$;
create function t.read_float(txt text, source text) returns float8
language plpgsql immutable strict parallel safe as $f$
begin
  if txt ~ '^ *[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)? *$' then return btrim(txt, ' ')::float8; end if;
  perform t.fail(8114, 'Error converting data type ' || source || ' to float.');
end$f$;
create function t.read_bit(txt text, source text) returns t.bit
language plpgsql immutable strict parallel safe as $f$
begin
  if lower(btrim(txt, ' ')) in ('true', '1') then return 1::int2::t.bit; end if;
  if lower(btrim(txt, ' ')) in ('false', '0', '') then return 0::int2::t.bit; end if;
  if txt ~ '^ *[-+]?[0-9]+ *$' then
    return (case when btrim(txt, ' ')::numeric = 0 then 0 else 1 end)::int2::t.bit;
  end if;
  perform t.fail(245, 'Conversion failed when converting the ' || source || ' value ''' || txt
    || ''' to data type bit.');
end$f$;
create function t.read_guid(txt text) returns t.guid language plpgsql immutable strict parallel safe as $f$
begin
  if txt ~* '^(\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})' then
    return substring(txt from '[0-9A-Fa-f-]{36}')::uuid::t.guid;
  end if;
  perform t.fail(8169, 'Conversion failed when converting from a character string to uniqueidentifier.');
end$f$;
create function t.units(txt text) returns int language sql immutable strict parallel safe as $f$
  select case when octet_length(txt) = length(txt) then length(txt)
    else length(txt) + length(regexp_replace(txt, '[^\U00010000-\U0010ffff]', '', 'g')) end
$f$;
create function t.left_units(txt text, n int) returns text language plpgsql immutable strict parallel safe as $f$
begin
  if octet_length(txt) <= n or t.units(txt) <= n then return txt; end if;
  txt := left(txt, n);
  while t.units(txt) > n loop txt := left(txt, -1); end loop;
  return txt;
end$f$;
create function t.latin(txt text) returns text language sql immutable strict parallel safe as $f$
  select case when octet_length(txt) = length(txt) then txt else regexp_replace(txt,
    '[^\u0001-\u007f\u00a0-\u00ff€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]', '?', 'g') end
$f$;
create function t.no_moment() returns void language plpgsql immutable as $f$
begin
  perform t.fail(241, 'Conversion failed when converting date and/or time from character string.');
end$f$;
create function t.clock(txt text) returns text language plpgsql immutable strict parallel safe as $f$
begin
  if substr(txt, 1, 2) > '23' or substr(txt, 4, 2) > '59' or substr(txt, 7, 2) > '59' then
    perform t.no_moment();
  end if;
  return rpad(case length(txt) when 0 then '00:00:00.' when 5 then txt || ':00.' when 8 then txt || '.' else txt end,
    16, '0');
end$f$;
create function t.moment(txt text, source text) returns text language plpgsql immutable strict parallel safe as $f$
begin
  if txt !~ '^ *\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,7})?)?)?Z? *$' then perform t.no_moment(); end if;
  txt := btrim(txt, ' Z');
  return substr(txt, 1, 10)::date::text || ' ' || t.clock(substr(txt, 12));
end$f$;
create function t.read_clock(txt text) returns text language plpgsql immutable strict parallel safe as $f$
begin
  if txt !~ '^ *(\d{4}-\d\d-\d\d[T ])?\d\d:\d\d(:\d\d(\.\d{1,7})?)? *$' then perform t.no_moment(); end if;
  txt := btrim(txt, ' ');
  return t.clock(case when substr(txt, 5, 1) = '-' then substr(txt, 12) else txt end);
end$f$;
create function t.read_offset(txt text) returns text language plpgsql immutable strict parallel safe as $f$
declare
  zone text := substring(btrim(txt, ' ') from '[-+]\d\d:\d\d$');
  minutes int := 0;
begin
  if zone is null then return t.moment(txt, '') || '+0000'; end if;
  minutes := (left(zone, 1) || '1')::int * (substr(zone, 2, 2)::int * 60 + substr(zone, 5, 2)::int);
  if abs(minutes) > 840 or substr(zone, 5, 2) > '59' then perform t.no_moment(); end if;
  return t.shift(t.moment(rtrim(left(btrim(txt, ' '), -6), ' '), ''), -minutes) || to_char(minutes, 'FMSG0000');
end$f$;
create function t.shift(txt text, minutes int) returns text language sql immutable strict parallel safe as $f$
  select to_char(left(txt, 19)::timestamp + minutes * interval '1 minute', 'YYYY-MM-DD HH24:MI:SS')
    || substr(txt, 20, 8)
$f$;
create function t.round_moment(txt text, s int) returns text language plpgsql immutable strict parallel safe as $f$
declare
  f numeric;
begin
  if s >= 7 or right(txt, 7 - s) = repeat('0', 7 - s) then return txt; end if;
  f := round(substr(txt, 20, 8)::numeric, s);
  if f < 1 then return left(txt, 20) || rpad(substr(f::text, 3), 7, '0'); end if;
  return to_char(left(txt, 19)::timestamp + interval '1 second', 'YYYY-MM-DD HH24:MI:SS') || '.0000000';
end$f$;
create function t.round_datetime(txt text) returns text language plpgsql immutable strict parallel safe as $f$
declare
  ticks int := round(substr(txt, 20, 8)::numeric * 300);
  base timestamp := left(txt, 19)::timestamp;
begin
  if base < timestamp '1753-01-01' then
    perform t.fail(242, 'The conversion of a nvarchar data type to a datetime data type resulted in an out-of-range '
      || 'value.');
  end if;
  if ticks = 300 then base := base + interval '1 second'; ticks := 0; end if;
  return to_char(base, 'YYYY-MM-DD HH24:MI:SS') || '.' || lpad(((ticks * 10 + 1) / 3)::text, 3, '0') || '0000';
end$f$;
create function t.read_hex(txt text, style int) returns bytea language plpgsql immutable strict parallel safe as $f$
begin
  if style = 1 then
    if txt !~* '^0x' then perform t.fail(8114, 'Error converting data type nvarchar to varbinary.'); end if;
    txt := substr(txt, 3);
  end if;
  if txt ~* '^([0-9a-f]{2})*$' then return decode(txt, 'hex'); end if;
  perform t.fail(8114, 'Error converting data type nvarchar to varbinary.');
end$f$;
create function t.not_too_long(txt text, n int, place text) returns text
language plpgsql immutable strict parallel safe as $f$
begin
  if octet_length(txt) <= n or t.units(txt) <= n then return txt; end if;
  if t.units(rtrim(txt, ' ')) <= n then return t.left_units(txt, n); end if;
  perform t.fail(2628, 'String or binary data would be truncated in ' || place || '. Truncated value: '''
    || t.left_units(txt, least(n, 100)) || '''.');
end$f$;
create function t.not_too_long(bin bytea, n int, place text) returns bytea
language plpgsql immutable strict parallel safe as $f$
begin
  if octet_length(bin) <= n then return bin; end if;
  perform t.fail(2628, 'String or binary data would be truncated in ' || place || '. Truncated value: ''''.');
end$f$;
"""


class _Made:
    def __init__(self) -> None:
        self.sql: list[str] = [_HELPERS]

    def add(self, target: str, source: str, returns: str, body: str, more: str = "") -> None:
        """One conversion, and the one that gives NULL instead of failing."""
        self.sql.append(function(f"to_{target}", source + more, returns, f"select {body}"))
        extra = "".join(f", ${at}" for at in range(2, 2 + more.count(",")))
        body = f"begin return t.to_{target}($1{extra}); exception when others then return null; end"
        self.sql.append(function(f"try_{target}", source + more, returns, body, "plpgsql"))


def conversions() -> str:
    made = _Made()
    _numbers(made)
    _strings(made)
    _moments(made)
    for source in _STRINGS:
        made.add("uniqueidentifier", f"t.{source}", "t.guid", "t.read_guid($1::text)")
    made.add("uniqueidentifier", "t.guid", "t.guid", "$1")
    for name in ("varbinary", "binary"):
        fit = "substr($1::bytea, 1, $2)"
        if name == "binary":
            fit = f"({fit} || decode(repeat('00', greatest($2 - octet_length($1::bytea), 0)), 'hex'))"
        made.add(name, "t.varbinary", f"t.{name}", f"{fit}::t.{name}", ", int4")
        made.add(name, "t.old_image", f"t.{name}", f"t.to_{name}($1::t.varbinary, $2)", ", int4")
        for source in _STRINGS:
            made.add(f"{name}_styled", f"t.{source}", "t.varbinary", "t.read_hex($1::text, $2)::t.varbinary", ", int4")
    return "".join(made.sql) + _comparisons()


_COMPARED = {"int2": "int", "int4": "int", "int8": "bigint", "float8": "float", "date": "date", "t.bit": "bit",
             "t.guid": "uniqueidentifier", "t.datetime2": "datetime2, 7", "t.datetime": "datetime",
             "t.time": "time, 7", "t.smalldatetime": "smalldatetime",
             "t.datetimeoffset": "datetimeoffset, 7"}  # fmt: skip


def _comparisons() -> str:
    """A string that is compared with something else is turned into that first."""
    made = []
    for at, (held, kind) in enumerate(_COMPARED.items()):
        name, _, scale = kind.partition(", ")
        label = "::t.datetime2" if held in ("t.datetime", "t.smalldatetime") else ""
        where = "t" if held.startswith("t.") else "pg_catalog"
        for source in _STRINGS:
            read = f"t.to_{name}({{}}{', ' + scale if scale else ''}){label}"
            for number, operator in enumerate(("<", "<=", "=", ">=", ">", "<>")):
                for side in (0, 1):
                    kinds = (held, f"t.{source}") if side == 0 else (f"t.{source}", held)
                    values = (f"$1{label}", read.format("$2")) if side == 0 else (read.format("$1"), f"$2{label}")
                    called = f"with_{source}_{at}_{number}_{side}"
                    body = f"select {values[0]} operator({where}.{operator}) {values[1]}"
                    made.append(function(called, ", ".join(kinds), "bool", body))
                    made.append(
                        f"create operator t.{operator} (leftarg = {kinds[0]}, rightarg = {kinds[1]}, "
                        f"function = t.{called});\n"
                    )
    return "".join(made)


def _numbers(made: _Made) -> None:
    for name, (low, high, held) in _WHOLE.items():
        for source, number in _EXACT.items():
            if (source in _RANK and 0 < _RANK[source] <= _RANK[held]) or source == "t.bit":
                via = "$1::int2" if source.startswith("t.") else "$1"
                made.add(name, source, held, f"{via}::{held}")
            else:
                checked = f"t.in_range(trunc({number}), {low}, {high}, '{name}')"
                made.add(name, source, held, f"{checked}::{'int2' if held == 't.tinyint' else held}::{held}")
        for source in _FLOATS:
            checked = f"t.float_range(trunc($1::float8), {low}, {high}, '{name}')"
            made.add(name, source, held, f"{checked}::{'int2' if held == 't.tinyint' else held}::{held}")
        for source in _STRINGS:
            checked = f"t.read_whole($1::text, {low}, {high}, '{name}', '{source}')"
            made.add(name, f"t.{source}", held, f"{checked}::{'int2' if held == 't.tinyint' else held}::{held}")
    called = {"int2": "smallint", "int4": "int", "int8": "bigint", "float4": "real", "float8": "float"}
    for source, number in _EXACT.items():
        name = called.get(source, source.removeprefix("t."))
        made.add("decimal", source, "numeric", f"t.fit_decimal({number}, $2, $3, '{name}')", ", int4, int4")
        made.add("bit", source, "t.bit", f"(case when {number} = 0 then 0 else 1 end)::int2::t.bit")
        for target in ("real", "float"):
            made.add(target, source, "float4" if target == "real" else "float8",
                     f"({number})::{'float4' if target == 'real' else 'float8'}")  # fmt: skip
        for target, precision in (("money", 19), ("smallmoney", 10)):
            made.add(target, source, f"t.{target}", f"t.fit_decimal({number}, {precision}, 4, '{name}')::t.{target}")
    for source in _FLOATS:
        made.add(
            "decimal", source, "numeric", f"t.fit_decimal($1::numeric, $2, $3, '{called[source]}')", ", int4, int4"
        )
        made.add("bit", source, "t.bit", "(case when $1 = 0 then 0 else 1 end)::int2::t.bit")
        made.add("real", source, "float4", "$1::float4")
        made.add("float", source, "float8", "$1::float8")
        for target, precision in (("money", 19), ("smallmoney", 10)):
            made.add(target, source, f"t.{target}", f"t.fit_decimal($1::numeric, {precision}, 4, 'float')::t.{target}")
    for source in _STRINGS:
        read = f"t.read_decimal($1::text, '{source}')"
        made.add("decimal", f"t.{source}", "numeric", f"t.fit_decimal({read}, $2, $3, '{source}')", ", int4, int4")
        made.add("bit", f"t.{source}", "t.bit", f"t.read_bit($1::text, '{source}')")
        made.add("real", f"t.{source}", "float4", f"t.read_float($1::text, '{source}')::float4")
        made.add("float", f"t.{source}", "float8", f"t.read_float($1::text, '{source}')")


def _strings(made: _Made) -> None:
    texts = {
        **{f"t.{name}": "$1::text" for name in _STRINGS},
        **dict.fromkeys(("int2", "int4", "int8", "numeric", "date"), "$1::text"),
        "t.bit": "$1::int2::text", "t.tinyint": "$1::int2::text", "t.guid": "upper($1::uuid::text)",
    }  # fmt: skip
    texts |= {"t.old_ntext": "$1::t.nvarchar::text", "t.old_text": "$1::t.varchar::text"}
    for source, text in texts.items():
        made.sql.append(function("written", source, "text", f"select {text}"))
    for source in texts:
        for target in ("nvarchar", "nchar", "varchar", "char"):
            text = "t.written($1)" if target.startswith("n") else "t.latin(t.written($1))"
            fit = f"t.left_units({text}, $2)"
            if target in ("nchar", "char"):
                fit = f"({fit} || repeat(' ', $2 - t.units({fit})))"
            made.add(target, source, f"t.{target}", f"{fit}::t.{target}", ", int4")
    for target in ("nvarchar", "varchar"):
        for source in ("t.varbinary",):
            text = "(case $3 when 1 then '0x' else '' end || upper(encode($1::bytea, 'hex')))"
            made.add(f"{target}_styled", source, f"t.{target}", f"t.left_units({text}, $2)::t.{target}", ", int4, int4")


def _moments(made: _Made) -> None:
    made.add("date", "date", "date", "$1")
    for source in _MOMENTS:
        read = "t.exact($1::text)" if source == "datetime" else "$1::text"
        made.add("date", f"t.{source}", "date", "left($1::text, 10)::date")
        made.add("time", f"t.{source}", "t.time", f"substr(t.round_moment({read}, $2), 12, 16)::t.time", ", int4")
    local = "t.shift($1::text, substr($1::text, 28)::int)"
    made.add("date", "t.datetimeoffset", "date", f"left({local}, 10)::date")
    rounded = "substr(t.round_moment('2000-01-01 ' || {}, $2), 12, 16)::t.time"
    made.add("time", "t.time", "t.time", rounded.format("$1::text"), ", int4")
    for source in _STRINGS:
        read = f"t.moment($1::text, '{source}')"
        made.add("date", f"t.{source}", "date", f"left({read}, 10)::date")
        made.add("time", f"t.{source}", "t.time", rounded.format("t.read_clock($1::text)"), ", int4")
        made.add("datetime2", f"t.{source}", "t.datetime2", f"t.round_moment({read}, $2)::t.datetime2", ", int4")
        made.add("datetime", f"t.{source}", "t.datetime", f"t.round_datetime({read})::t.datetime")
        made.add("smalldatetime", f"t.{source}", "t.smalldatetime", f"{_minutes(read)}::t.smalldatetime")
        read = "t.read_offset($1::text)"
        made.add("datetimeoffset", f"t.{source}", "t.datetimeoffset", _offset(read), ", int4")
    made.add("datetime2", "t.datetimeoffset", "t.datetime2", f"t.round_moment({local}, $2)::t.datetime2", ", int4")
    made.add("datetimeoffset", "t.datetimeoffset", "t.datetimeoffset", _offset("$1::text"), ", int4")
    for source in ("date", *(f"t.{name}" for name in _MOMENTS)):
        read = {"date": "($1::text || ' 00:00:00.0000000')", "t.datetime": "t.exact($1::text)"}.get(source, "$1::text")
        made.add("datetime2", source, "t.datetime2", f"t.round_moment({read}, $2)::t.datetime2", ", int4")
        made.add("datetime", source, "t.datetime", f"t.round_datetime({read})::t.datetime")
        made.add("smalldatetime", source, "t.smalldatetime", f"{_minutes(read)}::t.smalldatetime")
        made.add("datetimeoffset", source, "t.datetimeoffset", _offset(f"({read} || '+0000')"), ", int4")


def _offset(read: str) -> str:
    return f"(t.round_moment(left({read}, 27), $2) || substr({read}, 28))::t.datetimeoffset"


def _minutes(read: str) -> str:
    rounded = f"date_trunc('minute', left({read}, 19)::timestamp + interval '30 seconds')"
    return f"(to_char({rounded}, 'YYYY-MM-DD HH24:MI:SS') || '.0000000')"
