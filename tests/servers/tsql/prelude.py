"""What makes a PostgreSQL database hold SQL Server's types: types of their own names, with SQL Server's comparisons.

Strings compare without regard to case and to blanks at their end, as in the collation SQL_Latin1_General_CP1_CI_AS;
their order is by code points, which is that collation's for letters and digits only. Columns may be of another by
name.
"""

from __future__ import annotations

_COMPARISONS = {"<": "lt", "<=": "le", "=": "eq", ">=": "ge", ">": "gt", "<>": "ne"}


DATABASE_COLLATION, OTHER_COLLATION = "SQL_Latin1_General_CP1_CI_AS", "Latin1_General_100_CI_AS"


def _type(name: str, like: str, reads: str, *, label: bool = False, category: str = "U") -> str:
    held = f"t.{name}"
    labels = ", typmod_in = t.label_in, typmod_out = t.label_out" if label else ""
    labels += ", collatable = true" if category == "S" else ""
    return f"""
    create type {held};
    create function t.{name}_in(cstring) returns {held} language internal immutable strict as '{reads}in';
    create function t.{name}_out({held}) returns cstring language internal immutable strict as '{reads}out';
    create type {held} (input = t.{name}_in, output = t.{name}_out, like = {like}, category = '{category}'{labels});
    """


def function(name: str, arguments: str, returns: str, body: str, language: str = "sql", how: str = "strict") -> str:
    return (
        f"create function t.{name}({arguments}) returns {returns} language {language} immutable {how} parallel safe "
        f"as $f${body}$f$;\n"
    )


def _ordered(name: str, internal: str | None, key: str = "", base: str = "") -> str:
    """Comparisons, and with them ORDER BY, GROUP BY, UNIQUE, joins, MIN and MAX.

    :param internal: beginning of PostgreSQL's own functions that compare such values; else ``key`` makes of ``$1``
        what is compared, of the type ``base``.
    """
    held, made = f"t.{name}", []
    for operator, short in _COMPARISONS.items():
        if internal:
            body, language = f"{internal}{short}", "internal"
        else:
            body, language = f"select {key} {operator} {key.replace('$1', '$2')}", "sql"
        made.append(function(f"{name}_{short}", f"{held}, {held}", "bool", body, language))
        extra = ", hashes, merges" if operator == "=" else ""
        swapped = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(operator, operator)
        opposite = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "<>", "<>": "="}[operator]
        made.append(
            f"create operator t.{operator} (leftarg = {held}, rightarg = {held}, function = t.{name}_{short}, "
            f"commutator = operator(t.{swapped}), negator = operator(t.{opposite}){extra});\n"
        )
    compare = {"bytea": "byteacmp", "int2": "btint2cmp", "text": "bttextcmp"}[base]
    hashes = {"bytea": "hashvarlena", "int2": "hashint2", "text": "hashtext"}[base]
    if internal:
        made.append(function(f"{name}_cmp", f"{held}, {held}", "int4", compare, "internal"))
        made.append(function(f"{name}_hash", held, "int4", hashes, "internal"))
    else:
        body = f"begin return {compare}({key}, {key.replace('$1', '$2')}); end"
        made.append(function(f"{name}_cmp", f"{held}, {held}", "int4", body, "plpgsql"))
        hashed = f"hashtext(encode({key}, 'hex'))" if base == "bytea" else f"{hashes}({key})"
        made.append(function(f"{name}_hash", held, "int4", f"begin return {hashed}; end", "plpgsql"))
    operators = ", ".join(f"operator {at} t.{op}" for at, op in enumerate(("<", "<=", "=", ">=", ">"), 1))
    made.append(f"""
    create operator class t.{name}_order default for type {held} using btree
        as {operators}, function 1 t.{name}_cmp({held}, {held});
    create operator class t.{name}_equal default for type {held} using hash
        as operator 1 t.=, function 1 t.{name}_hash({held});
    """)
    for which, operator in (("min", "<="), ("max", ">=")):
        body = f"select case when $1 operator(t.{operator}) $2 then $1 else $2 end"
        made.append(function(f"{name}_{which}", f"{held}, {held}", held, body))
        made.append(f"create aggregate t.{which}({held}) (sfunc = t.{name}_{which}, stype = {held});\n")
    return "".join(made)


def _cast(source: str, target: str, function: str = "") -> str:
    way = f"with function t.{function}" if function else "without function"
    return f"create cast ({source} as {target}) {way} as implicit;\n"


def prelude() -> str:
    parts = [
        "create schema t; create schema sys; create schema info;\n",
        "create collation t.other (provider = builtin, locale = 'C.UTF-8');\n",
        "create function t.label_in(cstring[]) returns int language internal immutable strict as 'varchartypmodin';\n",
        "create function t.label_out(int) returns cstring language internal immutable strict as 'varchartypmodout';\n",
    ]
    strings, moments = ("nvarchar", "varchar", "nchar", "char"), ("datetime2", "time", "datetimeoffset", "datetime")
    parts += [_type(name, "text", "text", label=True, category="S") for name in strings]
    parts += [_type(name, "bytea", "bytea", label=True) for name in ("varbinary", "binary")]
    parts += [_type(name, "bytea", "text", label=True) for name in (*moments, "smalldatetime")]
    parts += [_type("bit", "int2", "int2"), _type("tinyint", "int2", "int2")]
    parts += [_type("money", "numeric", "numeric_"), _type("smallmoney", "numeric", "numeric_")]
    parts.append(_type("guid", "uuid", "uuid_"))
    for name in ("nvarchar", "varchar", "nchar", "char"):
        parts.append(f"create cast (t.{name} as text) without function;\n")
        parts.append(f"create cast (text as t.{name}) without function;\n")
    # Nothing is known of these but how to turn them into others.
    parts += [
        _type("old_ntext", "text", "text"),
        _type("old_text", "text", "text"),
        _type("old_image", "bytea", "bytea"),
    ]
    parts.append("create cast (t.old_ntext as t.nvarchar) without function;\n")
    parts.append("create cast (t.old_text as t.varchar) without function;\n")
    parts.append("create cast (t.old_image as t.varbinary) without function;\n")
    parts += [_cast(f"t.{name}", "t.nvarchar") for name in ("varchar", "nchar", "char")]
    for name in ("bit", "tinyint"):
        parts.append(f"create cast (t.{name} as int2) without function;\n")
        parts.append(f"create cast (int2 as t.{name}) without function;\n")
        parts.append(function(f"{name}_int4", f"t.{name}", "int4", "select $1::int2::int4"))
        parts.append(_cast(f"t.{name}", "int4", f"{name}_int4(t.{name})"))
    for name in ("money", "smallmoney"):
        parts.append(_cast(f"t.{name}", "numeric"))
        parts.append(f"create cast (numeric as t.{name}) without function;\n")
    parts.append("create cast (t.guid as uuid) without function; create cast (uuid as t.guid) without function;\n")
    for name in ("varbinary", "binary"):
        parts.append(f"create cast (t.{name} as bytea) without function;\n")
        parts.append(f"create cast (bytea as t.{name}) without function;\n")
    parts.append(_cast("t.binary", "t.varbinary"))
    for name in ("datetime2", "time", "datetimeoffset", "datetime", "smalldatetime"):
        parts.append(function(f"{name}_text", f"t.{name}", "text", "select convert_from($1::bytea, 'UTF8')"))
        parts[-1] = (
            f"create cast (t.{name} as bytea) without function;\ncreate cast (bytea as t.{name}) without function;\n"
            + parts[-1]
            + function(f"text_{name}", "text", f"t.{name}", f"select convert_to($1, 'UTF8')::t.{name}")
            + f"create cast (t.{name} as text) with function t.{name}_text(t.{name});\n"
            + f"create cast (text as t.{name}) with function t.text_{name}(text);\n"
        )
    parts.append(_cast("t.smalldatetime", "t.datetime2"))
    # Since SQL Server 2016 a datetime is as many 300ths of a second there, not what it is written as.
    exact = (
        "case substr($1, 23, 1) when '3' then left($1, 23) || '3333' when '7' then left($1, 22) || '66667' else $1 end"
    )
    parts.append(function("exact", "text", "text", f"select {exact}"))
    parts.append(function("datetime_datetime2", "t.datetime", "t.datetime2", "select t.exact($1::text)::t.datetime2"))
    parts.append(_cast("t.datetime", "t.datetime2", "datetime_datetime2(t.datetime)"))
    parts.append(
        function("date_datetime2", "date", "t.datetime2", "select ($1::text || ' 00:00:00.0000000')::t.datetime2")
    )
    parts.append(_cast("date", "t.datetime2", "date_datetime2(date)"))
    parts.append(
        function(
            "datetime2_offset", "t.datetime2", "t.datetimeoffset", "select ($1::text || '+0000')::t.datetimeoffset"
        )
    )
    parts.append(_cast("t.datetime2", "t.datetimeoffset", "datetime2_offset(t.datetime2)"))
    parts.append(_ordered("nvarchar", None, "lower(rtrim($1::text, ' '))", "text"))
    parts += [_ordered(name, "bytea", base="bytea") for name in ("varbinary", "datetime2", "datetime", "time")]
    parts.append(_ordered("datetimeoffset", None, "substr($1::bytea, 1, 27)", "bytea"))
    key = "substr({0}, 11, 6) || substr({0}, 9, 2) || substr({0}, 7, 2) || substr({0}, 5, 2) || substr({0}, 1, 4)"
    parts.append(_ordered("guid", None, "(" + key.format("uuid_send($1::uuid)") + ")", "bytea"))
    parts += [_ordered(name, "int2", base="int2") for name in ("bit", "tinyint")]
    for kind, sql in (("nvarchar", "text"), ("varchar", "text"), ("varbinary", "bytea")):
        body = f"select ($1::{sql} || $2::{sql})::t.{kind}"
        parts.append(function(f"{kind}_plus", f"t.{kind}, t.{kind}", f"t.{kind}", body))
        parts.append(f"create operator t.+ (leftarg = t.{kind}, rightarg = t.{kind}, function = t.{kind}_plus);\n")
    for kind, adds in (("int4", "int4pl"), ("int8", "int8pl"), ("numeric", "numeric_add"), ("float8", "float8pl")):
        parts.append(f"create aggregate t.total({kind}) (sfunc = {adds}, stype = {kind});\n")
    return "".join(parts)
